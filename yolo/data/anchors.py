"""How well anchors fit the boxes of a data set, and better anchors by k-means.

Only widths and heights count, as in Darknet's choice of the anchor that is responsible for a box (yolo_layer.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from yolo.data.augment.geometry import SMALLEST_SIDE
from yolo.data.check import box_sides
from yolo.data.labeled_images import LabeledImage, packed
from yolo.errors import DatasetError, counted
from yolo.records import Size

if TYPE_CHECKING:
    from yolo.letterbox import Placement

MATCHED_IOU = 0.5  # the IoU that VOC and `detector map` require of a detection

# AlexeyAB matrix.c do_kmeans; the mean does not minimize 1 - IoU, so it may not converge.
MOST_ROUNDS = 1000

# Decimals of anchors in pixels, and in cells for a [region] (detector.c calc_anchors).
PIXEL_DIGITS, CELL_DIGITS = 0, 4

# Ours: random starts, of which the best is taken; Darknet's result depends on its only one.
STARTS = 10


@dataclass(frozen=True)
class HeadAnchors:
    """The anchors by which a head's boxes are assigned.

    layer: index of the head; anchors: `[T, 2]` (width, height) in network-input pixels, of all heads;
    own: which of them this head predicts; stride: network-input pixels per cell.
    """

    layer: int
    anchors: np.ndarray
    own: tuple[int, ...]
    stride: float


@dataclass(frozen=True)
class AnchorFit:
    """How well the anchors of a network fit boxes.

    recall: fraction of the boxes with an IoU above MATCHED_IOU with an anchor of a head; mean_iou: mean IoU with the
    best one; fractions: for each head, of the boxes it is responsible for; unassigned: fraction of the boxes whose
    best anchor belongs to no head.
    """

    recall: float
    mean_iou: float
    fractions: tuple[float, ...]
    unassigned: float


def box_sizes(images: Iterable[LabeledImage], size: Size, placed: Callable[[Size, Size], Placement]) -> np.ndarray:
    """Return (width, height) of all boxes in pixels of a network input of `size` (height, width), float64 `[M, 2]`.

    Boxes of less than a pixel are left out, as in training (see check.tiny_boxes).
    placed: `letterbox.stretched` or `letterbox.letterboxed`.
    """
    boxes = box_sides(packed(images), size, placed)
    return boxes[(boxes >= SMALLEST_SIDE).all(axis=1)]


def best_anchors(anchors: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest IoU of each box `[M, 2]` with an anchor `[T, 2]` of the same center, and its index: `[M]`.

    Of equally good anchors the first is taken, as in Darknet.
    """
    best, which = np.full(len(boxes), -1.0), np.zeros(len(boxes), np.int64)
    areas = boxes.prod(axis=1)
    for number, anchor in enumerate(anchors):
        intersection = np.minimum(boxes, anchor).prod(axis=1)
        overlap = intersection / (areas + anchor.prod() - intersection)
        better = overlap > best
        best[better], which[better] = overlap[better], number
    return best, which


def fit_of(heads: Sequence[HeadAnchors], boxes: np.ndarray) -> AnchorFit:
    """Return how well the heads' anchors fit boxes `[M, 2]`, at least one."""
    used = np.concatenate([head.anchors[list(head.own)] for head in heads])
    responsible = np.array([np.isin(best_anchors(head.anchors, boxes)[1], head.own) for head in heads])  # [heads, M]
    overlap, _ = best_anchors(used, boxes)
    return AnchorFit(
        recall=float((overlap > MATCHED_IOU).mean()),
        mean_iou=float(overlap.mean()),
        fractions=tuple(float(each) for each in responsible.mean(axis=1)),
        unassigned=float(1 - responsible.any(axis=0).mean()),
    )


def kmeans_anchors(boxes: np.ndarray, count: int, seed: int = 0, starts: int = STARTS) -> np.ndarray:
    """Find anchors by k-means with the distance 1 - IoU.

    Source: AlexeyAB's `detector calc_anchors` (detector.c calc_anchors, matrix.c do_kmeans).

    Args:
        boxes: `[M, 2]` (width, height).
        count: Number of anchors.
        seed: Of the random starts.
        starts: Number of random starts; the result with the largest mean IoU is taken.

    Returns:
        `[count, 2]`, by rising area.

    Raises:
        DatasetError: There are fewer different boxes than anchors.
    """
    different = np.unique(boxes, axis=0)
    if len(different) < count:
        raise DatasetError(
            f"found {counted(len(different), 'different size')} of boxes, expected at least {count} for as many anchors"
        )
    rng = np.random.default_rng(seed)
    tried = [_kmeans(boxes, different[rng.permutation(len(different))[:count]]) for _ in range(starts)]
    best = max(tried, key=lambda anchors: best_anchors(anchors, boxes)[0].mean())
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def refit_heads(
    heads: Sequence[HeadAnchors], boxes: np.ndarray, in_cells: bool, seed: int = 0
) -> tuple[list[HeadAnchors], str]:
    """Return the heads with anchors by k-means on boxes, small ones on the finest grid, and the anchors for the cfg.

    Args:
        heads: of one network.
        boxes: (width, height) in network-input pixels `[M, 2]`.
        in_cells: the cfg holds anchors in cells, as those of a [region], and not in pixels.
        seed: of the starts of k-means.

    Raises:
        DatasetError: as `kmeans_anchors` does.
    """
    counts = [len(head.own) for head in heads]
    masks = masks_by_size(counts, [head.stride for head in heads])
    unit, digits = (heads[0].stride, CELL_DIGITS) if in_cells else (1.0, PIXEL_DIGITS)
    found = rounded_anchors(kmeans_anchors(boxes, sum(counts), seed) / unit, digits)
    new = [replace(head, anchors=found * unit, own=mask) for head, mask in zip(heads, masks, strict=True)]
    return new, anchors_line(found, digits)


def masks_by_size(counts: Sequence[int], strides: Sequence[float]) -> list[tuple[int, ...]]:
    """Return the mask of each head for anchors sorted by area: smaller anchors go to heads of smaller stride.

    counts: number of anchors of each head; strides: network-input pixels per cell.
    """
    masks: list[tuple[int, ...]] = [()] * len(counts)
    start = 0
    for head in sorted(range(len(counts)), key=lambda head: strides[head]):
        masks[head] = tuple(range(start, start + counts[head]))
        start += counts[head]
    return masks


def rounded_anchors(anchors: np.ndarray, digits: int) -> np.ndarray:
    """Round anchors as the cfg holds them, to PIXEL_DIGITS or CELL_DIGITS decimals; none becomes 0."""
    return np.maximum(np.round(anchors, digits), 10.0**-digits)


def anchors_line(anchors: np.ndarray, digits: int) -> str:
    """Return "w,h,  w,h ..." for a cfg, as calc_anchors prints them."""
    return ",  ".join(f"{width:.{digits}f},{height:.{digits}f}" for width, height in anchors)


def _kmeans(boxes: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the centers after k-means; a center without boxes keeps its value."""
    before = np.full(len(boxes), -1)
    for _ in range(MOST_ROUNDS):
        _, nearest = best_anchors(centers, boxes)
        if (nearest == before).all():
            break
        before = nearest
        counts = np.bincount(nearest, minlength=len(centers))
        sums = [np.bincount(nearest, side, len(centers)) for side in boxes.T]
        means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
        centers = np.where(counts[:, None] > 0, means, centers)
    return centers
