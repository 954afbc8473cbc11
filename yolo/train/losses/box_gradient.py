"""Gradients of a box's overlap with its ground truth: the true one, and the one that Darknet writes by hand.

AlexeyAB's box.c dx_box_iou is no function's derivative: the width's and height's slopes of the IoU are twice the true
ones, the way in which the box around both grows with the center enters with the wrong sign, and CIoU's aspect term is
not divided. yolo_layer.c delta_yolo_box then takes the slopes of the box's center for those of the raw x and y.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.boxes import (
    PairedOverlap,
    cxcywh_to_xyxy,
    paired_ciou,
    paired_diou,
    paired_giou,
    paired_iou,
)
from yolo.train.losses.anchored import Pairs

ASPECT = 4 / math.pi**2  # of CIoU's v, Zheng et al. 2020, equation 9

ALPHA_EPSILON = 0.000001  # box.c dx_box_iou: keeps alpha finite

NO_SIZE = 1.0  # yolo_layer.c delta_yolo_box: the width or height of a predicted box that has none


class DeltaLoss(torch.autograd.Function):
    """`DeltaLoss.apply(raw, delta, value)`: the scalar `value` with gradient -delta for `raw`, of whatever shape."""

    @staticmethod
    def forward(ctx, raw: Tensor, delta: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(delta)
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (delta,) = ctx.saved_tensors
        return -gradient * delta, None, None


def bounded(delta: Tensor, max_delta: float) -> Tensor:
    """What is not finite becomes 0, the rest is clipped to ±max_delta (yolo_layer.c fix_nan_inf, clip_value)."""
    return delta.nan_to_num(0, 0, 0).clamp(-max_delta, max_delta)


def true_slopes(head: nn.Module, overlap: PairedOverlap, pairs: Pairs) -> Tensor:
    """d overlap / d (raw x, y, w, h) of K pairs, `[K, 4]`, by autograd through the head's decode_boxes."""
    with torch.enable_grad():
        leaf = pairs.t.detach().requires_grad_()
        boxes = head.decode_boxes(leaf, pairs.place, pairs.anchors, pairs.grid)
        total = overlap(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(pairs.ground_truth)).sum()
    return torch.autograd.grad(total, leaf)[0]


@torch.no_grad()
def darknet_slopes(overlap: PairedOverlap, boxes: Tensor, ground_truth: Tensor) -> Tensor:
    """d overlap / d (x, y, w, h) of the boxes as Darknet has it, cxcywh `[K, 4]`, `[K, 4]` → `[K, 4]`.

    overlap: paired_iou, paired_giou, paired_diou or paired_ciou of yolo.boxes; ValueError for another one.
    Where the boxes don't overlap only the terms beyond IoU are left. paired_iou has none and keeps its formula, with
    an intersection that may then be negative. What has no value is nan or inf. Source: AlexeyAB box.c dx_box_iou.
    """
    terms = {paired_giou: _giou_term, paired_diou: _diou_term, paired_ciou: _ciou_term}
    if overlap not in (paired_iou, *terms):
        raise ValueError(f"found overlap {overlap}, expected iou, giou, diou or ciou")
    sized = torch.where(boxes[:, 2:] == 0, NO_SIZE, boxes[:, 2:])
    both = _both(torch.cat((boxes[:, :2], sized), dim=1), ground_truth)
    slopes = _iou_term(both)
    if overlap is paired_iou:
        return slopes
    apart = (both.shared <= 0).any(dim=1, keepdim=True)
    return torch.where(apart, 0.0, slopes) + terms[overlap](both)


@dataclass(frozen=True)
class _Both:
    """A predicted box and its ground truth, both axes at once: `[K, 2]`, x then y; intersection and union are `[K, 1]`.

    offset: from our center to the ground truth's; size, wanted: ours and the ground truth's; shared: how far the two overlap,
    negative where they don't; hull: size of the box around both; extent: our size as the difference of its sides.
    inner_low, inner_high: whether our low or high side bounds the intersection; outer_*: whether it bounds the hull.
    """

    offset: Tensor
    size: Tensor
    wanted: Tensor
    extent: Tensor
    shared: Tensor
    hull: Tensor
    inner_low: Tensor
    inner_high: Tensor
    outer_low: Tensor
    outer_high: Tensor
    intersection: Tensor
    union: Tensor


def _both(boxes: Tensor, ground_truth: Tensor) -> _Both:
    low, high = cxcywh_to_xyxy(boxes).split(2, dim=1)
    ground_truth_low, ground_truth_high = cxcywh_to_xyxy(ground_truth).split(2, dim=1)
    shared = torch.minimum(high, ground_truth_high) - torch.maximum(low, ground_truth_low)
    intersection = shared.prod(dim=1, keepdim=True)
    areas = (high - low).prod(dim=1) + (ground_truth_high - ground_truth_low).prod(dim=1)
    return _Both(
        offset=ground_truth[:, :2] - boxes[:, :2],
        size=boxes[:, 2:],
        wanted=ground_truth[:, 2:],
        extent=high - low,
        shared=shared,
        hull=torch.maximum(high, ground_truth_high) - torch.minimum(low, ground_truth_low),
        inner_low=low > ground_truth_low,
        inner_high=high < ground_truth_high,
        outer_low=low < ground_truth_low,
        outer_high=high > ground_truth_high,
        intersection=intersection,
        union=areas[:, None] - intersection,
    )


def _of_box(low: Tensor, high: Tensor) -> Tensor:
    """Slopes of the low and high sides `[K, 2]` → of x, y, w, h `[K, 4]`; a true size's would be half of it."""
    return torch.cat((low + high, high - low), dim=1)


def _area_slopes(sides: Tensor, low: Tensor | bool, high: Tensor | bool) -> Tensor:
    """Slopes of width x height for the (low, high) sides of both axes, `[2, K, 2]`, where these are ours to move."""
    across = sides.flip(1)
    return torch.stack((-across * low, across * high))


def _union_slopes(both: _Both) -> Tensor:
    ours = _area_slopes(both.extent, True, True)
    return ours - _area_slopes(both.shared, both.inner_low, both.inner_high)


def _iou_term(both: _Both) -> Tensor:
    """Slopes of intersection / union."""
    with_intersection = both.union * _area_slopes(both.shared, both.inner_low, both.inner_high)
    slopes = with_intersection - both.intersection * _union_slopes(both)
    return _of_box(*torch.where(both.union > 0, slopes / both.union.square(), 0.0))


def _giou_term(both: _Both) -> Tensor:
    """Slopes of union / area of the hull."""
    area = both.hull.prod(dim=1, keepdim=True)
    with_hull = both.union * _area_slopes(both.hull, both.outer_low, both.outer_high)
    return _of_box(*((area * _union_slopes(both) - with_hull) / area.square()))


def _diou_term(both: _Both) -> Tensor:
    """Slopes of -(squared distance of the centers / squared diagonal of the hull), the hull's sign turned round."""
    distance = both.offset.square().sum(dim=1, keepdim=True)
    diagonal = both.hull.square().sum(dim=1, keepdim=True)
    low, high = both.outer_low.type_as(both.hull), both.outer_high.type_as(both.hull)
    center = 2 * both.offset * diagonal - 2 * both.hull * (high - low) * distance
    size = both.hull * (high + low) * distance
    return torch.cat((center, size), dim=1) / diagonal.square()


def _ciou_term(both: _Both) -> Tensor:
    """DIoU's, and alpha x the aspect's, which Darknet does not divide by the squared diagonal of our box."""
    ours, theirs = (size[:, :1] / size[:, 1:] for size in (both.size, both.wanted))
    turn = theirs.atan() - ours.atan()
    aspect = ASPECT * turn.square()
    alpha = aspect / (1 - both.intersection / both.union + aspect + ALPHA_EPSILON)
    width, height = both.size.split(1, dim=1)
    size = alpha * 2 * ASPECT * turn * torch.cat((height, -width), dim=1)
    return _diou_term(both) + torch.cat((torch.zeros_like(size), size), dim=1)
