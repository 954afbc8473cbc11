"""Compare the boxes of a data set with the anchors of a network: responsible heads, small boxes, collisions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolo.data.anchors import MATCHED_IOU, HeadAnchors, best_anchors, fit_of, refit_heads
from yolo.errors import DatasetError
from yolo.explain.data_set.framing import framing_iou, grids_of_heads, lesson_grids, shape_iou_of

SAMPLE = 4000  # boxes for k-means: a second or two
SMALL, LARGE = 32.0, 96.0  # COCO's sizes: sides of a square in pixels, here of the network input
SIZE_NAMES = ("small: below 32 × 32", "medium", "large: from 96 × 96")
STEP = 32  # of network sizes; the strides of common networks divide it
WIDEST = 2.0  # times the present size


@dataclass(frozen=True)
class HeadCoverage:
    """Of a head: its layer, stride, anchors [(w, h)] and grid; objects it is responsible for; recall of these objects.

    recall: the part of them with an IoU above MATCHED_IOU with one of its anchors.
    """

    layer: int
    stride: float
    anchors: tuple[tuple[float, float], ...]
    rows: int
    columns: int
    objects: int
    recall: float | None


@dataclass(frozen=True)
class Fit:
    """Of some objects: how many, best possible recall at MATCHED_IOU, mean IoU with the best anchor."""

    name: str
    objects: int
    recall: float | None
    mean_iou: float | None


@dataclass(frozen=True)
class Smallness:
    """A network size (width, height), and the objects that are smaller there than a cell of the finest head, both ways;
    with_side: those with one side smaller."""

    width: int
    height: int
    objects: int
    with_side: int


@dataclass(frozen=True)
class Framing:
    """How many anchor boxes there are; the parts of the objects that they frame at IoU MATCHED_IOU: at the centers of
    cells, as SSD, and with the center free inside the cell, as YOLO."""

    name: str
    boxes: int
    at_centers: float
    by_shape: float


@dataclass(frozen=True)
class AnchorStudy:
    """size: (height, width) of the network input. whole: of all objects. by_class, by_size: parts of them.

    unassigned: objects whose best anchor belongs to no head. more: anchors above iou_thresh beside the best, a mean
    over the objects; None if iou_thresh is 1. kmeans: the fit of k-means' anchors, line: these for the cfg; None where
    there are too few different boxes. small: at the present size, then at larger ones. same_prediction: objects beyond
    the first that one anchor of one cell would have to predict; same_cell: objects whose center shares a cell of the
    finest head with another.
    """

    size: tuple[int, int]
    heads: tuple[HeadCoverage, ...]
    whole: Fit
    by_class: tuple[Fit, ...]
    by_size: tuple[Fit, ...]
    unassigned: int
    iou_thresh: float
    more: float | None
    kmeans: Fit | None
    line: str
    small: tuple[Smallness, ...]
    same_prediction: int
    same_cell: int
    framings: tuple[Framing, ...]


def study_anchors(
    heads: Sequence[HeadAnchors],
    size: tuple[int, int],
    boxes: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    iou_thresh: float,
    in_cells: bool,
    seed: int = 0,
) -> AnchorStudy:
    """Compare boxes with anchors.

    Args:
        heads: of the network, at least one.
        size: (height, width) of the network input.
        boxes: cxcywh in network-input pixels `[M, 4]`, at least one.
        images: of each box, int64 `[M]`.
        labels: of each box, int64 `[M]`.
        names: the classes.
        iou_thresh: of the cfg. Other anchors with a larger IoU learn an object too; 1: only the best.
        in_cells: the cfg holds anchors in cells, as a [region].
        seed: of k-means.
    """
    sides = boxes[:, 2:]
    used = np.concatenate([head.anchors[list(head.own)] for head in heads])
    best, _ = best_anchors(used, sides)
    owner, which = responsible_heads(heads, sides)
    area = sides.prod(axis=1)
    group = (area >= SMALL**2).astype(int) + (area >= LARGE**2)
    kmeans, line = _kmeans(heads, sides, in_cells, seed)
    return AnchorStudy(
        size=size,
        heads=tuple(_coverage(head, size, best_of(head, sides), owner == number) for number, head in enumerate(heads)),
        whole=fit_named("all", best),
        by_class=tuple(fit_named(name, best[labels == label]) for label, name in enumerate(names)),
        by_size=tuple(fit_named(name, best[group == number]) for number, name in enumerate(SIZE_NAMES)),
        unassigned=int((owner < 0).sum()),
        iou_thresh=iou_thresh,
        more=None if iou_thresh >= 1 else _above(used, sides, iou_thresh),
        kmeans=kmeans,
        line=line,
        small=tuple(smallness(sides, min(head.stride for head in heads), size)),
        same_prediction=same_predictions(heads, boxes, images, owner, which),
        same_cell=same_cells(min(head.stride for head in heads), boxes, images),
        framings=_framings(heads, size, boxes),
    )


def _framings(heads: Sequence[HeadAnchors], size: tuple[int, int], boxes: np.ndarray) -> tuple[Framing, ...]:
    """Compare the anchors of a cfg with the ones of SSD's lesson, each as boxes at the places of their cells."""
    grids_by_name = {
        "this cfg": grids_of_heads(heads, size),
        "a small SSD: grids of 4, 2, 1": lesson_grids(size),
    }
    return tuple(
        Framing(
            name,
            sum(grid.count for grid in grids),
            float((framing_iou(boxes, grids, size) > MATCHED_IOU).mean()),
            float((shape_iou_of(boxes, grids) > MATCHED_IOU).mean()),
        )
        for name, grids in grids_by_name.items()
    )


def responsible_heads(heads: Sequence[HeadAnchors], sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each box the number of the head that is responsible and the anchor, int64 `[M]`; -1 without a head.

    The best of all anchors decides (yolo_layer.c forward_yolo_layer); heads may have anchors of their own.
    """
    owner, which = np.full(len(sides), -1), np.zeros(len(sides), np.int64)
    for number, head in enumerate(heads):
        _, best = best_anchors(head.anchors, sides)
        mine = np.isin(best, head.own) & (owner < 0)
        owner[mine], which[mine] = number, best[mine]
    return owner, which


def best_of(head: HeadAnchors, sides: np.ndarray) -> np.ndarray:
    """Return the largest IoU of each box with an anchor of the head itself, `[M]`."""
    return best_anchors(head.anchors[list(head.own)], sides)[0]


def fit_named(name: str, overlaps: np.ndarray) -> Fit:
    """Return the fit of objects by their IoU with the best anchor `[M]`."""
    if not len(overlaps):
        return Fit(name, 0, None, None)
    return Fit(name, len(overlaps), float((overlaps > MATCHED_IOU).mean()), float(overlaps.mean()))


def smallness(sides: np.ndarray, stride: float, size: tuple[int, int]) -> list[Smallness]:
    """Return how many boxes are smaller than a cell, at the network's size and at larger ones.

    Args:
        sides: (width, height) at the present size `[M, 2]`.
        stride: of the finest head.
        size: the present (height, width).
    """
    height, width = size
    found = []
    for wide in range(width, int(width * WIDEST) + 1, STEP):
        tall = round(height * wide / width / STEP) * STEP if wide > width else height
        below = sides * (wide / width, tall / height) < stride
        found.append(Smallness(wide, tall, int(below.all(axis=1).sum()), int(below.any(axis=1).sum())))
    return found


def same_predictions(
    heads: Sequence[HeadAnchors], boxes: np.ndarray, images: np.ndarray, owner: np.ndarray, which: np.ndarray
) -> int:
    """Return how many objects have the image, head, anchor and cell of an earlier object: one prediction, two targets.

    Images are taken without augmentation, which moves objects to other cells.

    Args:
        heads: of the network.
        boxes: cxcywh in network-input pixels `[M, 4]`.
        images: of each box, int64 `[M]`.
        owner, which: the responsible head and anchor of each box, int64 `[M]`, from `responsible_heads`.
    """
    strides = np.array([head.stride for head in heads])[owner]
    cells = np.floor(boxes[:, :2] / strides[:, None]).astype(np.int64)
    keys = np.column_stack((images, owner, which, cells))[owner >= 0]
    return len(keys) - len(np.unique(keys, axis=0))


def same_cells(stride: float, boxes: np.ndarray, images: np.ndarray) -> int:
    """Return how many objects have their center in a cell with another object's."""
    keys = np.column_stack((images, np.floor(boxes[:, :2] / stride).astype(np.int64)))
    counts = np.unique(keys, axis=0, return_counts=True)[1]
    return int(counts[counts > 1].sum())


def _coverage(head: HeadAnchors, size: tuple[int, int], overlaps: np.ndarray, mine: np.ndarray) -> HeadCoverage:
    own = tuple((float(width), float(height)) for width, height in head.anchors[list(head.own)])
    recall = float((overlaps[mine] > MATCHED_IOU).mean()) if mine.any() else None
    rows, columns = round(size[0] / head.stride), round(size[1] / head.stride)
    return HeadCoverage(head.layer, head.stride, own, rows, columns, int(mine.sum()), recall)


def _above(anchors: np.ndarray, sides: np.ndarray, thresh: float) -> float:
    """Return how many anchors beside the best one have an IoU above `thresh`, a mean over the boxes."""
    more = sum((best_anchors(anchor[None], sides)[0] > thresh).astype(int) for anchor in anchors)
    return float(np.maximum(more - 1, 0).mean())


def _kmeans(heads: Sequence[HeadAnchors], sides: np.ndarray, in_cells: bool, seed: int) -> tuple[Fit | None, str]:
    sample = np.random.default_rng(seed).permutation(sides[(sides >= 1).all(axis=1)])[:SAMPLE]
    try:
        new, line = refit_heads(heads, sample, in_cells, seed)
    except DatasetError:  # fewer different boxes than anchors
        return None, ""
    fit = fit_of(new, sides)
    return Fit("k-means", len(sides), fit.recall, fit.mean_iou), line
