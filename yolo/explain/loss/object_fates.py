"""The fate of each object of the ground truth: detected, or the reason why not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.detect.detector import Detector
from yolo.letterbox import stretched
from yolo.model.class_tree import best_class_one_hot
from yolo.records import Detections, Predictions, Targets

WHOLE_INPUT = stretched((1, 1), (1, 1))  # the placement that leaves boxes in 0..1 of the network input
MATCHING_IOU = 0.5  # VOC's: a detection with a larger IoU finds an object
DETECTED = "detected"
TAKEN = "one detection for two"  # its detection is that of another object
OTHER_CLASS = "other class"
INEXACT = "inexact box"
SUPPRESSED = "suppressed"
BELOW = "below the threshold"
NO_BOX = "no box"


@dataclass(frozen=True)
class ObjectFate:
    """The fate of an object. kind: one of the constants above.

    score: of the box that came nearest to detecting it, objectness x class probability; objectness: of this box. iou:
    with the object. label: the class that was detected instead, else None.
    """

    kind: str
    score: float
    objectness: float
    iou: float
    label: int | None = None


def detections_in_input(detector: Detector, raw: Sequence[Tensor]) -> list[Detections]:
    """Return the detections of each image of raw maps, xyxy in 0..1 of the network input."""
    return detector.detections(list(raw), [WHOLE_INPUT] * len(raw[0]))


def all_predictions(detector: Detector, raw: Sequence[Tensor]) -> Iterator[Predictions]:
    """Yield the predictions of each image of raw maps before any threshold, with the class scores of detections."""
    predictions = Predictions(*(part.cpu() for part in detector.network.decode(list(raw))))
    if detector.tree is not None:
        predictions = predictions._replace(class_probs=best_class_one_hot(predictions.class_probs, detector.tree))
    return (Predictions(*parts) for parts in zip(*predictions, strict=True))


def fates_in_input(detector: Detector, raw: Sequence[Tensor], targets: Targets) -> tuple[Detections, list[ObjectFate]]:
    """Return the detections of one image, as of `detections_in_input`, and the fate of each of its targets."""
    (predictions,) = all_predictions(detector, raw)
    (detections,) = detections_in_input(detector, raw)
    return detections, object_fates(predictions, detections, targets, detector.score_thresh)


def object_fates(
    predictions: Predictions, detections: Detections, targets: Targets, score_thresh: float
) -> list[ObjectFate]:
    """Return the fate of each target of one image.

    Detections find objects as VOC counts them: from the highest score down, each takes the object of its class with
    which it has the largest IoU, if this is at least MATCHING_IOU and the object is not taken.

    Args:
        predictions: `[P, 4]`, `[P]`, `[P, classes]`, before the threshold.
        detections: after threshold and NMS; boxes in the frame of the predictions.
        targets: of the image, in the same frame.
        score_thresh: of the detections.
    """
    objects = cxcywh_to_xyxy(targets.boxes)
    taken_by = _matches(detections, objects, targets.labels)
    ious = paired_iou(cxcywh_to_xyxy(predictions.boxes)[:, None], objects[None])  # [P, M]
    kept = paired_iou(detections.boxes[:, None], objects[None])  # [N, M]
    fates = []
    for target, label in enumerate(targets.labels.tolist()):
        if target in taken_by:
            place = taken_by[target]
            score, iou = float(detections.scores[place]), float(kept[place, target])
            fates.append(ObjectFate(DETECTED, score, _objectness(predictions, detections.boxes[place]), iou))
        else:
            fates.append(_not_detected(predictions, ious[:, target], detections, kept[:, target], label, score_thresh))
    return fates


def _matches(detections: Detections, objects: Tensor, labels: Tensor) -> dict[int, int]:
    """Return target → detection."""
    taken: dict[int, int] = {}
    for place, (box, label) in enumerate(zip(detections.boxes, detections.labels.tolist(), strict=True)):
        same = torch.nonzero(labels == label)[:, 0]
        if not len(same):
            continue
        ious = paired_iou(box[None], objects[same])
        best = int(same[ious.argmax()])
        if float(ious.max()) >= MATCHING_IOU and best not in taken:
            taken[best] = place
    return taken


def _not_detected(
    predictions: Predictions, ious: Tensor, detections: Detections, kept: Tensor, label: int, score_thresh: float
) -> ObjectFate:
    """Explain why an object was not detected. ious: of all predictions `[P]`; kept: of the detections `[N]`."""
    scores = predictions.objectness * (
        predictions.class_probs[:, label] if label < predictions.class_probs.shape[1] else 0.0
    )
    fits, same = ious >= MATCHING_IOU, detections.labels == label
    best = int(torch.where(fits, scores, -1.0).argmax()) if fits.any() else int(ious.argmax())
    near = float(scores[best]), float(predictions.objectness[best]), float(ious[best])
    fitting = kept >= MATCHING_IOU
    if (fitting & same).any():
        return ObjectFate(TAKEN, *near)
    if fitting.any():
        place = int(torch.where(fitting, detections.scores, -1.0).argmax())
        score, iou = float(detections.scores[place]), float(kept[place])
        return ObjectFate(OTHER_CLASS, score, near[1], iou, int(detections.labels[place]))
    touching = same & (kept > MATCHING_IOU / 2)
    if touching.any():
        place = int(torch.where(touching, kept, -1.0).argmax())
        return ObjectFate(INEXACT, float(detections.scores[place]), near[1], float(kept[place]))
    if not fits.any():
        return ObjectFate(NO_BOX, *near)
    return ObjectFate(SUPPRESSED if near[0] > score_thresh else BELOW, *near)


def _objectness(predictions: Predictions, box: Tensor) -> float:
    """Return the objectness of the prediction that became a detection with this box."""
    distance = (cxcywh_to_xyxy(predictions.boxes) - box).abs().sum(dim=1)
    return float(predictions.objectness[distance.argmin()])
