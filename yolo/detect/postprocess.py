"""Predictions → detections: threshold, then non-maximum suppression class by class.

Source: AlexeyAB yolo_layer.c get_yolo_detections, box.c do_nms_sort and diounms_sort.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torchvision
from torch import Tensor

from yolo import boxes as box_functions
from yolo.records import Detections

GREEDY_NMS_EXPONENT = box_functions.BOX_DIOU_EXPONENT

SUPPRESSION_BLOCK = (
    512  # boxes compared with each other at once: memory stays linear in their number
)


# xyxy boxes [N, 4] of one class, scores [N], nms_thresh → indices of the kept ones, scores descending
Suppression = Callable[[Tensor, Tensor, float], Tensor]


def suppression(kind: str, beta: float) -> Suppression:
    """The function that a cfg's `nms_kind` and `beta_nms` name.

    `greedynms` in AlexeyAB compares IoU - (d²/c²)^0.6 with the threshold (box.c diounms_sort), not the plain IoU.
    """
    if kind == "greedynms":
        return partial(suppress_by_distance_iou, exponent=GREEDY_NMS_EXPONENT)
    if kind == "diounms":
        return partial(suppress_by_distance_iou, exponent=beta)
    return torchvision.ops.nms


def suppress_by_distance_iou(
    boxes: Tensor, scores: Tensor, nms_thresh: float, exponent: float
) -> Tensor:
    """Greedy suppression of boxes whose IoU - (d²/c²)^exponent with a better one exceeds `nms_thresh`."""
    order = torch.argsort(scores, descending=True, stable=True)
    kept = order[:0]
    for block in order.split(SUPPRESSION_BLOCK):
        if len(kept):
            beside = box_functions.diou_with_exponent(boxes[block], boxes[kept], exponent)
            block = block[~(beside > nms_thresh).any(dim=1)]
        among = box_functions.diou_with_exponent(boxes[block], boxes[block], exponent)
        kept = torch.cat((kept, block[_uncovered((among > nms_thresh).cpu().numpy())]))
    return kept


def _uncovered(covers: np.ndarray) -> list[int]:
    """Of boxes from best to worst, those that no better kept one covers; covers: bool `[N, N]`."""
    alive = np.ones(len(covers), bool)
    for index in range(len(covers)):
        if alive[index]:
            alive[index + 1 :] &= ~covers[index, index + 1 :]
    return np.flatnonzero(alive).tolist()


def detect(
    boxes: Tensor,
    objectness: Tensor,
    class_probs: Tensor,
    *,
    score_thresh: float,
    nms_thresh: float,
    suppress: Suppression,
) -> Detections:
    """One image's predictions, cxcywh `[P, 4]`, `[P]`, `[P, classes]` → Detections in the same frame, xyxy.

    A box counts once for each class whose score, objectness x probability, exceeds `score_thresh`.
    """
    # only the product counts: YOLOv1's objectness and probabilities may be above 1 or below 0
    largest = torch.stack(class_probs.aminmax()).abs().max() if class_probs.numel() else 0.0
    likely = torch.nonzero(objectness.abs() * largest > score_thresh)[:, 0]
    scores = objectness[likely, None] * class_probs[likely]
    rows, labels = torch.nonzero(scores > score_thresh, as_tuple=True)
    scores = scores[rows, labels]
    corners = box_functions.cxcywh_to_xyxy(boxes[likely[rows]])
    counts = torch.unique_consecutive(labels.sort().values, return_counts=True)[1].tolist()
    kept = []
    for members in torch.argsort(labels, stable=True).split(counts) if counts else ():
        if len(members) > 1:  # most classes have one box, and it is kept
            members = members[suppress(corners[members], scores[members], nms_thresh)]
        kept.append(members)
    keep = torch.cat(kept) if kept else labels.new_zeros(0)
    keep = keep[torch.argsort(scores[keep], descending=True, stable=True)]
    return Detections(corners[keep], scores[keep], labels[keep])
