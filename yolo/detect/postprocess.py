"""Turn predictions into detections: threshold the scores, then non-maximum suppression (NMS) in each class.

Source: AlexeyAB yolo_layer.c get_yolo_detections, box.c do_nms_sort and diounms_sort. nms.py has the NMS.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from yolo.boxes import BOX_DIOU_EXPONENT, cxcywh_to_xyxy
from yolo.detect.nms import nms
from yolo.records import Detections, Predictions


def postprocess(
    boxes: Tensor,
    objectness: Tensor,
    class_probs: Tensor,
    *,
    score_thresh: float,
    nms_thresh: float,
    diou_exponent: float | None = None,
) -> Detections:
    """Turn the predictions of one image into its detections.

    Args:
        boxes: `[P, 4]` cxcywh.
        objectness: `[P]`.
        class_probs: `[P, classes]`.
        score_thresh: A box counts once for each class whose score, objectness x probability, exceeds this.
        nms_thresh: Two boxes of a class that overlap by more than this become one. 0..1.
        diou_exponent: See `nms`.

    Returns:
        Detections in the frame of `boxes`, as xyxy.
    """
    # Compare only the product: YOLOv1's objectness and probabilities may be above 1 or below 0.
    largest = torch.stack(class_probs.aminmax()).abs().max() if class_probs.numel() else 0.0
    likely = torch.nonzero(objectness.abs() * largest > score_thresh)[:, 0]
    scores = objectness[likely, None] * class_probs[likely]
    rows, labels = torch.nonzero(scores > score_thresh, as_tuple=True)
    scores = scores[rows, labels]
    corners = cxcywh_to_xyxy(boxes[likely[rows]])
    keep = nms(corners, scores, labels, nms_thresh, diou_exponent)
    return Detections(corners[keep], scores[keep], labels[keep])


def on_cpu(predictions: Predictions, score_thresh: float) -> Iterator[Predictions]:
    """Yield the Predictions of each image on the CPU: boxes `[P, 4]`, objectness `[P]`, class_probs `[P, classes]`.

    From another device, only those with a score above `score_thresh` are copied: a batch of 64 images of 416 pixels has
    230 MB of predictions, and copying them takes longer than computing them on a GPU.
    """
    if predictions.boxes.device.type == "cpu":
        yield from map(Predictions, *predictions)
        return
    largest = predictions.objectness.abs() * predictions.class_probs.abs().amax(dim=-1)  # [B, P]
    image, place = torch.nonzero(largest > score_thresh, as_tuple=True)
    counts = torch.bincount(image, minlength=len(largest)).tolist()
    likely = (part[image, place].cpu().split(counts) for part in predictions)
    yield from map(Predictions, *likely)


def diou_exponent_of(nms_kind: str, beta_nms: float) -> float | None:
    """Return the `diou_exponent` of a cfg's `nms_kind` and `beta_nms`.

    AlexeyAB's `greedynms` compares IoU - (d²/c²)^0.6 with the threshold (box.c diounms_sort), not the plain IoU.
    """
    return {"greedynms": BOX_DIOU_EXPONENT, "diounms": beta_nms}.get(nms_kind)
