"""Assigning ground truth to a head's cells: which anchors answer for which box, and which cells are left in peace.

Source: yolo_layer.c forward_yolo_layer of pjreddie and process_batch of AlexeyAB; where they differ, `Dialect` says so.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou, shape_iou
from yolo.model.heads.yolo import YoloHead
from yolo.records import Targets
from yolo.settings import HeadSettings

IGNORE_CLASS_PROBABILITY = 0.25  # AlexeyAB process_batch: compare_yolo_class(..., 0.25f)


@dataclass(frozen=True)
class Dialect:
    """Where the two Darknets differ in a [yolo] loss.

    ignore_needs_class: a cell is ignored only when it also believes in some class (AlexeyAB, since 2019);
    boxes_accumulate: box errors of several ground truths in one cell add up instead of the last one winning;
    extended: the keys that only AlexeyAB reads (normalizers, iou_thresh, label smoothing, focal …) count.
    """

    ignore_needs_class: bool
    boxes_accumulate: bool
    extended: bool


DIALECTS = {
    "alexeyab": Dialect(ignore_needs_class=True, boxes_accumulate=True, extended=True),
    "pjreddie": Dialect(ignore_needs_class=False, boxes_accumulate=False, extended=False),
}


@dataclass(frozen=True)
class Assignment:
    """K pairs of a cell and a ground truth, in the order in which Darknet writes them: for one cell, later pairs come later.

    cells: int64 `[K]` into the flattened `[B, A, H, W]`; ground truths: int64 `[K]` into the targets;
    anchors: int64 `[K]` into all anchors; the first `by_prediction` pairs come from truth_thresh, not from anchors;
    ignored: bool `[B*A*H*W]`, cells whose objectness is not trained (unless a pair names them);
    best_iou: float `[B*A*H*W]`, IoU with the best ground truth; match_iou: the same as far as it counts for ignoring, else 0.
    """

    cells: Tensor
    ground_truths: Tensor
    anchors: Tensor
    by_prediction: int
    ignored: Tensor
    best_iou: Tensor
    match_iou: Tensor


@torch.no_grad()
def assign(
    head: YoloHead,
    settings: HeadSettings,
    dialect: Dialect,
    boxes: Tensor,
    class_probs: Tensor,
    targets: Targets,
    grid: tuple[int, int],
) -> Assignment:
    """Assign `targets` to the cells of one head.

    boxes: the head's decoded boxes `[B, P, 4]` cxcywh 0..1, P = A*H*W; class_probs: `[B, P, classes]`;
    grid: (H, W). Targets with a label outside 0..classes-1 must be gone already.
    """
    best_iou, best_ground_truth = best_ground_truths(boxes, targets)
    match_iou = best_iou
    if dialect.ignore_needs_class:
        believes = (class_probs > IGNORE_CLASS_PROBABILITY).any(dim=-1).flatten()
        match_iou = best_iou * believes
    certain = torch.nonzero(best_iou > settings.truth_thresh)[:, 0]
    columns = grid[0] * grid[1]
    own_ids = torch.as_tensor(head.anchor_ids, device=boxes.device)
    cells, ground_truths, anchors = assign_by_shape(head, settings, targets, grid)
    return Assignment(
        cells=torch.cat((certain, cells)),
        ground_truths=torch.cat((best_ground_truth[certain], ground_truths)),
        anchors=torch.cat((own_ids[certain // columns % len(own_ids)], anchors)),
        by_prediction=len(certain),
        ignored=match_iou > settings.ignore_thresh,
        best_iou=best_iou,
        match_iou=match_iou,
    )


def best_ground_truths(boxes: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Largest IoU of each prediction cxcywh `[B, P, 4]` with a ground truth of its image `[B*P]`, and that ground truth `[B*P]`."""
    batch, predictions, _ = boxes.shape
    if len(targets.labels) == 0:
        nothing = boxes.new_zeros(batch * predictions)
        return nothing, nothing.long()
    order = torch.argsort(targets.image_index, stable=True)
    images = targets.image_index[order]
    counts = torch.bincount(images, minlength=batch)
    starts = torch.cumsum(counts, dim=0) - counts
    places = torch.arange(len(order), device=order.device) - starts[images]
    most = int(counts.max())
    padded = boxes.new_zeros(batch, most, 4)  # an empty box overlaps nothing
    padded[images, places] = cxcywh_to_xyxy(targets.boxes[order])
    ground_truths = order.new_zeros(batch, most)
    ground_truths[images, places] = order
    overlaps = paired_iou(cxcywh_to_xyxy(boxes)[:, :, None], padded[:, None])  # [B, P, most]
    best, place = overlaps.max(dim=-1)
    return best.flatten(), ground_truths.gather(1, place).flatten()


def assign_by_shape(
    head: YoloHead, settings: HeadSettings, targets: Targets, grid: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Each ground truth goes to the anchor, of all heads, whose shape fits best, and to those above iou_thresh.

    Returns cells, ground truths and anchors `[K]` of this head's share, by ground truth, the best anchor before the others.
    Of equally good anchors the first one wins. A center on the far border belongs to the last cell.
    """
    height, width = grid
    anchors = head.all_anchors / head.network_size(grid)
    total = len(anchors)
    numbers = torch.arange(total, device=anchors.device)
    fit = shape_iou(targets.boxes[:, 2:], anchors)  # [M, T]
    if len(fit) == 0:
        nothing = numbers.new_zeros(0)
        return nothing, nothing, nothing
    best = torch.where(fit == fit.amax(dim=1, keepdim=True), numbers, total).amin(dim=1)
    is_best = numbers == best[:, None]
    chosen = is_best
    if settings.iou_thresh < 1:
        centered = [
            torch.cat((-shape, shape), dim=-1) / 2 for shape in (anchors, targets.boxes[:, 2:])
        ]
        overlap = settings.iou_thresh_overlap(centered[0][None], centered[1][:, None])
        chosen = is_best | (overlap > settings.iou_thresh)
    place = torch.full(
        (total,), -1, device=anchors.device
    )  # anchor → its place in this head, or -1
    place[list(head.anchor_ids)] = torch.arange(len(head.anchor_ids), device=anchors.device)
    ground_truths, ids = torch.nonzero(chosen & (place >= 0), as_tuple=True)
    order = torch.argsort(
        ground_truths * (total + 1) + torch.where(ids == best[ground_truths], 0, ids + 1)
    )
    ground_truths, ids = ground_truths[order], ids[order]
    size = torch.tensor([width, height], device=anchors.device)
    column, row = torch.minimum((targets.boxes[ground_truths, :2] * size).long(), size - 1).unbind(
        dim=-1
    )
    first = (targets.image_index[ground_truths] * len(head.anchor_ids) + place[ids]) * height
    return (first + row) * width + column, ground_truths, ids
