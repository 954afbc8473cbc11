"""Signs of wrong labels, as numbers: what a network predicts at labels, and its detections without a label."""

from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.explain.loss.object_fates import MATCHING_IOU
from yolo.records import Detections, Predictions, Targets

# The score of a predicted box counts for a place from the first IoU on, and with full weight from the second on. With
# MATCHING_IOU alone, a box that is slightly displaced would not count at all
LEAST_IOU, FULL_IOU = 0.2, 0.8
LEAST_SCORE = 1e-3  # lower scores count as this one, and higher ones than 1 - LEAST_SCORE as that
EDGE = 0.01  # of the network input: a box within this distance of the edge of the image counts as cut


@dataclass(frozen=True)
class PlaceScores:
    """The predictions of a network at M places, float64.

    fitting: `[M, classes + 1]`, the largest score of a predicted box with an IoU of at least MATCHING_IOU. near: the
    same, but each score is weighted by how near its box is. objectness: `[M]`, the largest, with the same weights.
    detected: `[M, classes + 1]`, the largest IoU with a detection of the class. The last column is 0, for labels that
    are no class of the network.
    """

    fitting: Tensor
    near: Tensor
    objectness: Tensor
    detected: Tensor


def place_scores(predictions: Predictions, detections: Detections, places: Tensor) -> PlaceScores:
    """Return the scores at places xyxy `[M, 4]`. predictions: of one image, before any threshold, in the same frame."""
    columns = predictions.class_probs.shape[1] + 1
    ious = paired_iou(cxcywh_to_xyxy(predictions.boxes)[:, None], places[None])
    prediction, place = torch.nonzero(ious > LEAST_IOU).unbind(dim=1)
    overlap = ious[prediction, place].double()
    weight = ((overlap - LEAST_IOU) / (FULL_IOU - LEAST_IOU)).clamp(max=1)
    objectness = predictions.objectness[prediction].double()
    scores = objectness[:, None] * predictions.class_probs[prediction].double()
    fits = (overlap >= MATCHING_IOU)[:, None]
    # Infinite boxes have no IoU
    found = paired_iou(detections.boxes[:, None], places[None]).double().nan_to_num().flatten()  # [N * M]
    detected = torch.zeros(len(places) * columns, dtype=torch.float64)
    cells = torch.arange(len(places)) * columns + detections.labels[:, None]
    return PlaceScores(
        fitting=_largest(place, scores * fits, len(places), columns),
        near=_largest(place, scores * weight[:, None], len(places), columns),
        objectness=_largest(place, (objectness * weight)[:, None], len(places), 1)[:, 0],
        detected=detected.scatter_reduce(0, cells.flatten(), found, "amax").view(len(places), columns),
    )


def label_signs(scores: PlaceScores, labels: Tensor) -> Tensor:
    """Return the signs for and against the labels int64 `[M]` of M places, float64 `[M, 6]`.

    Columns: the logits of the class's score of a fitting box, of its score near, of the best other class near and of
    the objectness near; the IoU with a detection of the class, and with any detection.
    """
    unknown = scores.near.shape[1] - 1
    rows, own = torch.arange(len(labels)), torch.where((labels >= 0) & (labels < unknown), labels, unknown)
    others = scores.near.clone()
    others[rows, own] = 0.0
    columns = (
        logits(scores.fitting[rows, own]),
        logits(scores.near[rows, own]),
        logits(others.amax(dim=1)),
        logits(scores.objectness),
        scores.detected[rows, own],
        scores.detected.amax(dim=1),
    )
    return torch.stack(columns, dim=1)


def unlabeled_signs(detections: Detections, ious: Tensor, same: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return which detections no label explains, int64 `[K]`, and their signs, float64 `[K, 3]`.

    The signs: the logit of the score, the largest IoU with a label of any class, and whether the edge of the image cuts
    the detection, where labels are often left out.

    Args:
        detections: of one image.
        ious: with the labels, `[N, M]`.
        same: whether they have the same class, bool `[N, M]`.
        image: where the image is in the frame of the detections, xyxy `[4]`.
    """
    places = torch.nonzero(~is_explained(ious, same))[:, 0]
    nearest = ious[places].double().amax(dim=1) if ious.shape[1] else torch.zeros(len(places), dtype=torch.float64)
    columns = logits(detections.scores[places].double()), nearest, _is_cut(detections.boxes[places], image).double()
    return places, torch.stack(columns, dim=1)


def is_explained(ious: Tensor, same: Tensor) -> Tensor:
    """Return which of N detections have a label of their class with an IoU of at least MATCHING_IOU, bool `[N]`.

    ious, same: as of `unlabeled_signs`.
    """
    return ((ious >= MATCHING_IOU) & same).any(dim=1)


def overlaps(detections: Detections, targets: Targets) -> tuple[Tensor, Tensor]:
    """Return the IoU of the detections of an image with its targets, and whether the classes are equal, `[N, M]` twice.

    The boxes of both are in the same frame.
    """
    ious = paired_iou(detections.boxes[:, None], cxcywh_to_xyxy(targets.boxes)[None]).nan_to_num()
    return ious, detections.labels[:, None] == targets.labels[None]


def logits(scores: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of scores, which are cut to LEAST_SCORE..1 - LEAST_SCORE."""
    return torch.logit(scores, eps=LEAST_SCORE)


def _is_cut(boxes: Tensor, image: Tensor) -> Tensor:
    """Return which boxes reach an edge of the image, or come within EDGE of it; xyxy `[N, 4]`, `[4]` → bool `[N]`."""
    return ((boxes[:, :2] < image[:2] + EDGE) | (boxes[:, 2:] > image[2:] - EDGE)).any(dim=1)


def _largest(places: Tensor, values: Tensor, count: int, columns: int) -> Tensor:
    """Return for each of `count` places the largest of its rows of values `[K, C]`, or 0, `[count, columns]`."""
    found = torch.zeros(count, values.shape[1], dtype=torch.float64)
    found.scatter_reduce_(0, places[:, None].expand_as(values), values, "amax")
    return torch.nn.functional.pad(found, (0, columns - values.shape[1]))
