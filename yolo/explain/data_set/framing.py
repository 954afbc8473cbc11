"""Count the objects that anchors at the cells of grids can frame, as in SSD.

A lesson of fast.ai does this for 189 anchors: 9 shapes at each cell of grids of 4 x 4, 2 x 2 and 1 x 1. If no anchor
box overlaps an object by an IoU of .5, SSD matches it only by its rule for the best anchor. YOLO moves the center
inside its cell, so only the shapes count. Both numbers are computed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolo.data.anchors import HeadAnchors, best_anchors

# fast.ai, "Practical deep learning for coders" part 2, 2018, lesson 9
LESSON_GRIDS, LESSON_ZOOMS = (4, 2, 1), (0.7, 1.0, 1.3)
LESSON_RATIOS = ((1.0, 1.0), (1.0, 0.5), (0.5, 1.0))


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors `[A, 2]` (width, height) at the centers of cells; rows, columns: of the grid.

    All in pixels of a network input that the grid covers.
    """

    anchors: np.ndarray
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """How many anchor boxes there are."""
        return len(self.anchors) * self.rows * self.columns


def framing_iou(boxes: np.ndarray, grids: Sequence[AnchorGrid], size: tuple[int, int]) -> np.ndarray:
    """Return for each object the largest IoU with an anchor box at the center of a cell, float64 `[M]`.

    Of anchor boxes with one shape, the one at the nearest center has the largest IoU, because the overlap falls with
    the distance of the centers. So each shape is tried once.

    Args:
        boxes: cxcywh in pixels of the network input `[M, 4]`.
        grids: the anchors of each grid.
        size: (height, width) of the network input.
    """
    best = np.zeros(len(boxes))
    areas = boxes[:, 2:].prod(axis=1)
    for grid in grids:
        cell = np.array([size[1] / grid.columns, size[0] / grid.rows])
        last = np.array([grid.columns, grid.rows]) - 1
        centers = (np.floor(boxes[:, :2] / cell).clip(0, last) + 0.5) * cell
        distance = np.abs(boxes[:, :2] - centers)
        for anchor in grid.anchors:
            reach = (boxes[:, 2:] + anchor) / 2 - distance
            shared = np.minimum(reach, np.minimum(boxes[:, 2:], anchor)).clip(min=0).prod(axis=1)
            best = np.maximum(best, shared / (areas + anchor.prod() - shared))
    return best


def shape_iou_of(boxes: np.ndarray, grids: Sequence[AnchorGrid]) -> np.ndarray:
    """Return for each object the largest IoU with an anchor of the same center, float64 `[M]`: what YOLO can reach."""
    return best_anchors(np.concatenate([grid.anchors for grid in grids]), boxes[:, 2:])[0]


def lesson_grids(size: tuple[int, int]) -> list[AnchorGrid]:
    """Return the 189 anchors of the lesson for a network input of `size` (height, width): shapes relative to cells."""
    height, width = size
    shapes = np.array([(zoom * x, zoom * y) for zoom in LESSON_ZOOMS for x, y in LESSON_RATIOS])
    return [AnchorGrid(shapes * (width / side, height / side), side, side) for side in LESSON_GRIDS]


def grids_of_heads(heads: Sequence[HeadAnchors], size: tuple[int, int]) -> list[AnchorGrid]:
    """Return the anchors of a network's heads at the cells of their grids; size: (height, width) of the input."""
    return [
        AnchorGrid(head.anchors[list(head.own)], round(size[0] / head.stride), round(size[1] / head.stride))
        for head in heads
    ]
