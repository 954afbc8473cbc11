"""Anchors against a data set: how well they fit its boxes, and which would fit better (k-means by IoU).

Only widths and heights count, as in Darknet's choice of the anchor that answers for a ground truth (yolo_layer.c).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from yolo.data.check import SMALLEST_SIDE, LabeledImage
from yolo.errors import DatasetError
from yolo.letterbox import Placement

MATCHED_IOU = 0.5  # the overlap that VOC and `detector map` ask of a detection

MOST_ROUNDS = 1000  # AlexeyAB matrix.c do_kmeans; means are not what lessens this distance, so that it may go round


PIXEL_DIGITS, CELL_DIGITS = (
    0,
    4,
)  # detector.c calc_anchors: behind the point, of pixels and of a [region]'s cells

BEGINNINGS = 10  # ours: the best of so many; Darknet's result depends on its one random beginning


@dataclass(frozen=True)
class HeadAnchors:
    """What a head's ground truths are assigned by: layer, its index; anchors `[T, 2]` (width, height) in network-input
    pixels, of all heads; own: which of them this head predicts; stride: network-input pixels a cell."""

    layer: int
    anchors: np.ndarray
    own: tuple[int, ...]
    stride: float


@dataclass(frozen=True)
class AnchorFit:
    """How a network's anchors fit boxes.

    recall: share of boxes that some head's anchor overlaps by more than MATCHED_IOU; mean_iou: mean overlap with the
    best one; shares: a head: share of boxes that it answers for; nobody: share of boxes whose best anchor no head has.
    """

    recall: float
    mean_iou: float
    shares: tuple[float, ...]
    nobody: float


def box_sizes(
    images: Iterable[LabeledImage],
    size: tuple[int, int],
    placed: Callable[[tuple[int, int], tuple[int, int]], Placement],
) -> np.ndarray:
    """(width, height) of all boxes in pixels of a network input of `size` (height, width), float64 `[M, 2]`.

    Boxes of less than a pixel are left out, as training leaves them out (check.py tiny_boxes).
    placed: `letterbox.stretched` or `letterbox.letterboxed`, as the run sees its images.
    """
    sizes = [np.zeros((0, 2))]
    for image in images:
        height, width = placed(image.size, size).content
        sizes.append(image.ground_truth.boxes[:, 2:] * (width, height))
    boxes = np.concatenate(sizes)
    return boxes[(boxes >= SMALLEST_SIDE).all(axis=1)]


def best_anchors(anchors: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest IoU of each box `[M, 2]` with an anchor `[T, 2]` on one center, and which that is, both `[M]`.

    Of equally good anchors it is the first, as in Darknet.
    """
    best, which = np.full(len(boxes), -1.0), np.zeros(len(boxes), np.int64)
    areas = boxes.prod(axis=1)
    for number, anchor in enumerate(anchors):
        intersection = np.minimum(boxes, anchor).prod(axis=1)
        overlap = intersection / (areas + anchor.prod() - intersection)
        better = overlap > best
        best[better], which[better] = overlap[better], number
    return best, which


def best_possible_recall(anchors: np.ndarray, boxes: np.ndarray, iou: float = MATCHED_IOU) -> float:
    """Share of the boxes `[M, 2]` that some anchor `[T, 2]` overlaps by more than `iou`, on one center."""
    return float((best_anchors(anchors, boxes)[0] > iou).mean())


def fit_of(heads: Sequence[HeadAnchors], boxes: np.ndarray) -> AnchorFit:
    """How well the heads' anchors fit boxes `[M, 2]`, of which there is at least one."""
    used = np.concatenate([head.anchors[list(head.own)] for head in heads])
    answered = np.array(
        [np.isin(best_anchors(head.anchors, boxes)[1], head.own) for head in heads]
    )  # [heads, M]
    return AnchorFit(
        recall=best_possible_recall(used, boxes),
        mean_iou=float(best_anchors(used, boxes)[0].mean()),
        shares=tuple(float(share) for share in answered.mean(axis=1)),
        nobody=float(1 - answered.any(axis=0).mean()),
    )


def kmeans_anchors(
    boxes: np.ndarray, count: int, seed: int = 0, beginnings: int = BEGINNINGS
) -> np.ndarray:
    """`count` anchors `[count, 2]` for boxes `[M, 2]`, from small to large area.

    K-means with the distance 1 - IoU, as AlexeyAB's `detector calc_anchors` (detector.c calc_anchors, matrix.c
    do_kmeans), from so many beginnings, drawn by `seed`; the result of the largest mean IoU is taken.
    Raises DatasetError when there are fewer different boxes than anchors.
    """
    different = np.unique(boxes, axis=0)
    if len(different) < count:
        raise DatasetError(
            f"found {len(different)} different sizes of boxes, expected at least {count} for as many anchors"
        )
    rng = np.random.default_rng(seed)
    tried = [
        _kmeans(boxes, different[rng.permutation(len(different))[:count]])
        for _ in range(beginnings)
    ]
    best = max(tried, key=lambda anchors: best_anchors(anchors, boxes)[0].mean())
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def masks_by_size(counts: Sequence[int], strides: Sequence[float]) -> list[tuple[int, ...]]:
    """Which anchors, sorted by area, each head takes: the head of the smallest stride the smallest ones.

    counts: how many a head takes; strides: network-input pixels a cell.
    """
    masks: list[tuple[int, ...]] = [()] * len(counts)
    start = 0
    for head in sorted(range(len(counts)), key=lambda head: strides[head]):
        masks[head] = tuple(range(start, start + counts[head]))
        start += counts[head]
    return masks


def rounded_anchors(anchors: np.ndarray, digits: int) -> np.ndarray:
    """As they will stand in the cfg, PIXEL_DIGITS or CELL_DIGITS behind the point, none of them 0."""
    return np.maximum(np.round(anchors, digits), 10.0**-digits)


def anchors_line(anchors: np.ndarray, digits: int) -> str:
    """ "w,h,  w,h ..." for a cfg, as calc_anchors prints them."""
    return ",  ".join(f"{width:.{digits}f},{height:.{digits}f}" for width, height in anchors)


def _kmeans(boxes: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Centers after k-means from these; one that no box is nearest to stays where it was."""
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
