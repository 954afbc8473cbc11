"""Gradients of the overlap (IoU, GIoU, DIoU, CIoU) of a predicted and a ground truth box: the true one and Darknet's.

AlexeyAB's hand-written gradient (box.c dx_box_iou) is not the derivative of a function. The IoU gradient for width and
height is twice the true one. The term for the growth of the enclosing box with the center has the wrong sign. The
aspect term of CIoU is not divided. Then yolo_layer.c delta_yolo_box uses the gradient for the box's center as the
gradient for the raw x and y.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.boxes import PairedOverlap, cxcywh_to_xyxy, paired_ciou, paired_diou, paired_giou, paired_iou
from yolo.model.heads.yolo import YoloHead
from yolo.train.losses.assign import PositiveBoxes

ASPECT = 4 / math.pi**2  # of CIoU's v, Zheng et al. 2020, equation 9
ALPHA_EPSILON = 0.000001  # box.c dx_box_iou: keeps alpha finite
EMPTY_SIZE = 1.0  # yolo_layer.c delta_yolo_box: replaces a predicted width or height of 0


class DeltaLoss(torch.autograd.Function):
    """`DeltaLoss.apply(raw, delta, value)`: `value` `[K]`, whose gradient for each row of `raw` `[K, V]` is -delta."""

    @staticmethod
    def forward(ctx, raw: Tensor, delta: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(delta)
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (delta,) = ctx.saved_tensors
        return -gradient[:, None] * delta, None, None


def clip_delta(delta: Tensor, max_delta: float) -> Tensor:
    """Replace what is not finite by 0, clip the rest to ±max_delta (yolo_layer.c fix_nan_inf, clip_value)."""
    return delta.nan_to_num(0, 0, 0).clamp(-max_delta, max_delta)


def overlap_gradient(
    head: YoloHead,
    overlap: PairedOverlap,
    box_gradient: str,
    positive: PositiveBoxes,
    boxes: Tensor,
) -> Tensor:
    """Return d overlap / d (raw x, y, w, h), `[K, 4]`, detached.

    Args:
        head: the head.
        overlap: as in `darknet_gradient`.
        box_gradient: "darknet" for Darknet's formula, "autograd" for the true gradient.
        positive: the pairs.
        boxes: their predicted boxes, cxcywh `[K, 4]`.
    """
    if box_gradient != "darknet":
        return true_gradient(head, overlap, positive)
    gradient = darknet_gradient(overlap, boxes, positive.ground_truth)
    if head.new_coords:
        return gradient
    center, size = gradient.split(2, dim=1)
    if head.center_shift:  # Darknet's correction for a yolo_point
        center = center - head.center_shift * size
    # Darknet multiplies by the derivative of exp, for w and h only
    return torch.cat((center, size * positive.raw[:, 2:].detach().exp()), dim=1)


def true_gradient(head: YoloHead, overlap: PairedOverlap, positive: PositiveBoxes) -> Tensor:
    """Return d overlap / d (raw x, y, w, h), `[K, 4]`, by autograd through `head.decode_boxes`."""
    with torch.enable_grad():
        raw = positive.raw.detach().requires_grad_()
        boxes = head.decode_boxes(raw, positive.cells, positive.anchors, positive.grid)
        total = overlap(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(positive.ground_truth)).sum()
    return torch.autograd.grad(total, raw)[0]


@torch.no_grad()
def darknet_gradient(overlap: PairedOverlap, boxes: Tensor, ground_truth: Tensor) -> Tensor:
    """Return d overlap / d (x, y, w, h) of the predicted boxes by Darknet's formula (AlexeyAB box.c dx_box_iou).

    overlap: paired_iou, paired_giou, paired_diou or paired_ciou of yolo.boxes. boxes, ground_truth: cxcywh `[K, 4]`.
    The result `[K, 4]` may contain nan and inf. If the boxes do not overlap, only the terms beyond IoU remain;
    paired_iou has none and keeps its formula with an intersection that may then be negative.
    Raises ValueError for another overlap.
    """
    other_terms = {
        paired_giou: _giou_gradient, paired_diou: _diou_gradient, paired_ciou: _ciou_gradient,
    }  # fmt: skip
    if overlap not in (paired_iou, *other_terms):
        raise ValueError(f"found overlap {overlap}, expected iou, giou, diou or ciou")
    sizes = boxes[:, 2:].masked_fill(boxes[:, 2:] == 0, EMPTY_SIZE)
    geometry = _geometry(torch.cat((boxes[:, :2], sizes), dim=1), ground_truth)
    gradient = _iou_gradient(geometry)
    if overlap is paired_iou:
        return gradient
    disjoint = (geometry.overlap <= 0).any(dim=1, keepdim=True)
    return gradient.masked_fill(disjoint, 0.0) + other_terms[overlap](geometry)


@dataclass(frozen=True)
class _Geometry:
    """Geometry of K pairs of a predicted box and its ground truth. `[K, 2]` is (x axis, y axis).

    offset: `[K, 2]`, ground truth center minus predicted center.
    size, target_size: `[K, 2]`, (width, height) of the predicted and of the ground truth box.
    extent: `[K, 2]`, size as high side minus low side (it rounds differently).
    overlap: `[K, 2]`, length of the common interval, negative if there is none.
    enclosing: `[K, 2]`, size of the smallest box around both.
    low_inside, high_inside: bool `[K, 2]`, whether the predicted low or high side bounds the intersection.
    low_outside, high_outside: bool `[K, 2]`, whether it bounds the enclosing box.
    intersection, union: `[K, 1]`, areas.
    """

    offset: Tensor
    size: Tensor
    target_size: Tensor
    extent: Tensor
    overlap: Tensor
    enclosing: Tensor
    low_inside: Tensor
    high_inside: Tensor
    low_outside: Tensor
    high_outside: Tensor
    intersection: Tensor
    union: Tensor


def _geometry(boxes: Tensor, ground_truth: Tensor) -> _Geometry:
    low, high = cxcywh_to_xyxy(boxes).split(2, dim=1)
    target_low, target_high = cxcywh_to_xyxy(ground_truth).split(2, dim=1)
    overlap = torch.minimum(high, target_high) - torch.maximum(low, target_low)
    intersection = overlap.prod(dim=1, keepdim=True)
    areas = (high - low).prod(dim=1) + (target_high - target_low).prod(dim=1)
    return _Geometry(
        offset=ground_truth[:, :2] - boxes[:, :2],
        size=boxes[:, 2:],
        target_size=ground_truth[:, 2:],
        extent=high - low,
        overlap=overlap,
        enclosing=torch.maximum(high, target_high) - torch.minimum(low, target_low),
        low_inside=low > target_low,
        high_inside=high < target_high,
        low_outside=low < target_low,
        high_outside=high > target_high,
        intersection=intersection,
        union=areas[:, None] - intersection,
    )


def _for_center_and_size(low: Tensor, high: Tensor) -> Tensor:
    """Gradients for the low and high sides `[K, 2]` → for x, y, w, h `[K, 4]`; the true one for w, h is half of it."""
    return torch.cat((low + high, high - low), dim=1)


def _area_gradient(sides: Tensor, low: Tensor | bool, high: Tensor | bool) -> Tensor:
    """Gradients of the area of `sides` `[K, 2]` for the predicted (low, high) sides, `[2, K, 2]`.

    low, high: bool, whether the area is bounded by that predicted side; its gradient is 0 otherwise.
    """
    other_side = sides.flip(1)
    return torch.stack((-other_side * low, other_side * high))


def _intersection_gradient(geometry: _Geometry) -> Tensor:
    return _area_gradient(geometry.overlap, geometry.low_inside, geometry.high_inside)


def _union_gradient(geometry: _Geometry) -> Tensor:
    return _area_gradient(geometry.extent, True, True) - _intersection_gradient(geometry)


def _iou_gradient(geometry: _Geometry) -> Tensor:
    """Gradient of intersection / union."""
    union, intersection = geometry.union, geometry.intersection
    numerator = union * _intersection_gradient(geometry) - intersection * _union_gradient(geometry)
    return _for_center_and_size(*(numerator / union.square()).masked_fill(~(union > 0), 0.0))


def _giou_gradient(geometry: _Geometry) -> Tensor:
    """Gradient of union / area of the enclosing box."""
    area = geometry.enclosing.prod(dim=1, keepdim=True)
    area_gradient = _area_gradient(geometry.enclosing, geometry.low_outside, geometry.high_outside)
    numerator = area * _union_gradient(geometry) - geometry.union * area_gradient
    return _for_center_and_size(*(numerator / area.square()))


def _diou_gradient(geometry: _Geometry) -> Tensor:
    """Gradient of -(squared center distance / squared diagonal of the enclosing box), with Darknet's wrong sign."""
    distance = geometry.offset.square().sum(dim=1, keepdim=True)
    diagonal = geometry.enclosing.square().sum(dim=1, keepdim=True)
    low = geometry.low_outside.type_as(geometry.enclosing)
    high = geometry.high_outside.type_as(geometry.enclosing)
    center = 2 * geometry.offset * diagonal - 2 * geometry.enclosing * (high - low) * distance
    size = geometry.enclosing * (high + low) * distance
    return torch.cat((center, size), dim=1) / diagonal.square()


def _ciou_gradient(geometry: _Geometry) -> Tensor:
    """DIoU's, plus alpha x that of the aspect, which Darknet does not divide by the squared diagonal of the box."""
    predicted, expected = (size[:, :1] / size[:, 1:] for size in (geometry.size, geometry.target_size))
    difference = expected.atan() - predicted.atan()
    aspect = ASPECT * difference.square()
    alpha = aspect / (1 - geometry.intersection / geometry.union + aspect + ALPHA_EPSILON)
    width, height = geometry.size.split(1, dim=1)
    size = alpha * 2 * ASPECT * difference * torch.cat((height, -width), dim=1)
    return _diou_gradient(geometry) + torch.cat((torch.zeros_like(size), size), dim=1)
