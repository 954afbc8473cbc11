"""Box formats and overlaps: pure functions on tensors `[..., 4]` in any frame.

`cxcywh` is (center x, center y, width, height), `xyxy` is (x1, y1, x2, y2). Functions called `paired_*` compare row by
row, `[N, 4]` with `[N, 4]` to `[N]`, or all pairs by broadcasting. The overlap with an empty box is 0. torchvision.ops
has similar functions, but its IoU of two empty boxes is 0/0, and its DIoU and CIoU add an epsilon that Darknet does
not have.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

PairedOverlap = Callable[[Tensor, Tensor], Tensor]  # xyxy [..., 4] twice → overlaps [...]
BOX_DIOU_EXPONENT = 0.6  # AlexeyAB box.c box_diou: IoU - (d2 / c2) ** 0.6


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """`[..., 4]` cxcywh → `[..., 4]` xyxy."""
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((center - half, center + half), dim=-1)


def shape_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of all pairs of (width, height) with the same center, `[N, 2]`, `[M, 2]` → `[N, M]`."""
    intersection = torch.minimum(first[:, None], second[None, :]).prod(dim=-1)
    union = first.prod(dim=-1)[:, None] + second.prod(dim=-1)[None, :] - intersection
    return _ratio(intersection, union)


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU row by row, xyxy `[..., 4]` → `[...]`."""
    intersection, union = _intersection_and_union(first, second)
    return _ratio(intersection, union)


def paired_giou(first: Tensor, second: Tensor) -> Tensor:
    """Return the generalized IoU, xyxy → `[...]` in -1..1: IoU - (C - U) / C (Rezatofighi et al. 2019, equation 1)."""
    intersection, union = _intersection_and_union(first, second)
    hull = _enclosing(first, second).prod(dim=-1)
    return _ratio(intersection, union) - _ratio(hull - union, hull)


def paired_diou(first: Tensor, second: Tensor) -> Tensor:
    """Return the distance IoU, xyxy → `[...]`: IoU - d² / c² (Zheng et al. 2020, equation 7)."""
    diagonal = _enclosing(first, second).square().sum(dim=-1)
    return paired_iou(first, second) - _ratio(_center_distance(first, second), diagonal)


def paired_diou_with_exponent(first: Tensor, second: Tensor, exponent: float) -> Tensor:
    """Return IoU - (d² / c²) ** exponent, row by row, xyxy → `[...]`: d between centers, c the enclosing diagonal.

    This is what Darknet's greedynms (exponent 0.6) and diounms (exponent beta_nms) compare with the threshold:
    AlexeyAB box.c, box_diou and box_diounms.
    """
    distance, diagonal = _center_distance(first, second), _enclosing(first, second).square().sum(-1)
    return paired_iou(first, second) - _ratio(distance, diagonal).pow(exponent)


def paired_ciou(first: Tensor, second: Tensor) -> Tensor:
    """Return the complete IoU, xyxy → `[...]`: DIoU - alpha·v (Zheng et al. 2020, equations 8 to 11).

    alpha is a constant in the gradient.
    """
    overlap = paired_iou(first, second)
    first_size, second_size = first[..., 2:] - first[..., :2], second[..., 2:] - second[..., :2]
    difference = torch.atan2(second_size[..., 0], second_size[..., 1]) - torch.atan2(
        first_size[..., 0], first_size[..., 1]
    )
    aspect = (4 / math.pi**2) * difference.square()
    with torch.no_grad():
        alpha = _ratio(aspect, 1 - overlap + aspect)
    return paired_diou(first, second) - alpha * aspect


def _intersection_and_union(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    return intersection, _area(first) + _area(second) - intersection


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)


def _enclosing(first: Tensor, second: Tensor) -> Tensor:
    """Return (width, height) of the smallest box around both."""
    low = torch.minimum(first[..., :2], second[..., :2])
    high = torch.maximum(first[..., 2:], second[..., 2:])
    return high - low


def _center_distance(first: Tensor, second: Tensor) -> Tensor:
    offset = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    return offset.square().sum(dim=-1)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator; 0 with gradient 0 where the denominator is 0."""
    empty = denominator == 0
    return (numerator / denominator.masked_fill(empty, 1.0)).masked_fill(empty, 0.0)
