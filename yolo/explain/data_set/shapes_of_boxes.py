"""Count all boxes by size, shape and place, for charts."""

from dataclasses import dataclass

import numpy as np

SIZE_BINS = 44  # of width and of height, equally wide on a logarithmic axis
RATIO_EDGES = np.linspace(-3, 3, 25)  # log2 of width / height: from 1:8 to 8:1
SIDE_STEPS = 4  # bins of the size histogram for each factor of 2
PLACES = 24  # cells across and down of the heat map


@dataclass(frozen=True)
class BoxShapes:
    """low, high: (least, largest) side in network-input pixels, the ends of both axes of `density`.

    density: int64 `[SIZE_BINS, SIZE_BINS]`, boxes by log height (row) and log width. ratios: int64 `[24]`, boxes by
    log2(width / height), the ends hold all beyond. side_edges, sides: pixels `[K + 1]` and boxes `[K]` by square root
    of the area. places: int64 `[PLACES, PLACES]`, centers of boxes by row and column of the image. median: (width,
    height).
    """

    low: float
    high: float
    density: np.ndarray
    ratios: np.ndarray
    side_edges: np.ndarray
    sides: np.ndarray
    places: np.ndarray
    median: tuple[float, float]


def shapes_of_boxes(sides: np.ndarray, boxes: np.ndarray) -> BoxShapes:
    """Count boxes by size, shape and place.

    Args:
        sides: (width, height) in network-input pixels `[M, 2]`, at least one.
        boxes: the same, cxcywh in 0..1 of the image `[M, 4]`.
    """
    kept = np.maximum(sides, 0.5)
    low, high = 2.0 ** np.floor(np.log2(kept.min())), 2.0 ** np.ceil(np.log2(kept.max() * 1.001))
    logs = (np.log2(kept) - np.log2(low)) / (np.log2(high) - np.log2(low))
    column, row = (logs * SIZE_BINS).astype(int).clip(0, SIZE_BINS - 1).T
    density = np.bincount(row * SIZE_BINS + column, minlength=SIZE_BINS**2).reshape(SIZE_BINS, SIZE_BINS)
    ratio = np.log2(kept[:, 0] / kept[:, 1]).clip(RATIO_EDGES[0], RATIO_EDGES[-1])
    root = np.sqrt(kept.prod(axis=1))
    first, last = np.floor(np.log2(root.min())), np.ceil(np.log2(root.max() * 1.001))
    edges = 2.0 ** np.arange(first, last + 0.5 / SIDE_STEPS, 1 / SIDE_STEPS)
    across, down = (boxes[:, :2] * PLACES).astype(int).clip(0, PLACES - 1).T
    return BoxShapes(
        low=float(low),
        high=float(high),
        density=density,
        ratios=np.histogram(ratio, RATIO_EDGES)[0],
        side_edges=edges,
        sides=np.histogram(root, edges)[0],
        places=np.bincount(down * PLACES + across, minlength=PLACES**2).reshape(PLACES, PLACES),
        median=tuple(np.median(kept, axis=0).tolist()),
    )
