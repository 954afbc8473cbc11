"""Find pairs of boxes of one image whose sides cross, without comparing every box with every other.

The image is divided into strips of about the height of a box. In each strip the left sides are sorted. With boxes of a
limited number of neighbors the time grows as N log N; if all boxes overlap, it grows with the number of pairs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from yolo.detect.pairs import pairs_in_parts

SLACK = 2.0  # times the extent: more than an overlap needs, so that rounding loses no pair


class _Entries(NamedTuple):
    """Boxes once for each strip that they touch. box: position. first: the first strip of the box. left, right: int64,
    sides as places in their sorted order, strip after strip."""

    box: np.ndarray
    strip: np.ndarray
    first: np.ndarray
    left: np.ndarray
    right: np.ndarray


def near_pairs(
    boxes: np.ndarray, others: np.ndarray, pixel_extent: float, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each pair of a box and another that can have an IoU above 0, once, in parts.

    Args:
        boxes: float64 `[N, 4]` xyxy. Inverted boxes and those that are not finite overlap nothing.
        others: float64 `[M, 4]` xyxy.
        pixel_extent: added to each width and height.
        at_once: about how many pairs are compared at once, which bounds the memory.

    Yields:
        Two arrays int64 `[P]`, positions in `boxes`, ascending, and in `others`, ascending for each box.
    """
    sides = np.concatenate((boxes, others))
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = sides[:, :2], sides[:, 2:] + SLACK * pixel_extent
        usable = np.isfinite(sides).all(axis=1) & (high >= low).all(axis=1)
    x = np.unique(np.concatenate((low[:, 0], high[:, 0])), return_inverse=True)[1].reshape(2, -1)
    strips = _strips(low[:, 1], high[:, 1], usable)
    place = np.arange(len(sides))
    ours, theirs = (
        _entries(np.flatnonzero(usable & chosen), x, strips) for chosen in (place < len(boxes), place >= len(boxes))
    )
    for one, other, strict in ((ours, theirs, False), (theirs, ours, True)):
        for a, b in _side_by_side(one, other, strict, at_once):
            once = one.strip[a] == np.maximum(one.first[a], other.first[b])  # both may touch other strips too
            pair = one.box[a[once]], other.box[b[once]]
            near = (low[pair[0], 1] <= high[pair[1], 1]) & (low[pair[1], 1] <= high[pair[0], 1])
            mine, its = (each[near] for each in (pair if one is ours else pair[::-1]))
            order = np.lexsort((its, mine))
            yield mine[order], its[order] - len(boxes)


def _strips(top: np.ndarray, bottom: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return int64 `[2, N]`, the first and last strip of each box; strips are as high as the mean box."""
    strips = np.zeros((2, len(top)), dtype=np.int64)
    if usable.any():
        with np.errstate(over="ignore"):
            start, end = top[usable].min(), bottom[usable].max()
            height = max((bottom[usable] - top[usable]).mean(), (end - start) / len(top))  # no more strips than boxes
        if 0 < height < np.inf:
            strips[:, usable] = (np.stack((top[usable], bottom[usable])) - start) // height
    return strips


def _entries(boxes: np.ndarray, x: np.ndarray, strips: np.ndarray) -> _Entries:
    first, last = strips[:, boxes]
    count = last - first + 1
    box = np.repeat(boxes, count)
    strip = np.arange(len(box)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    left, right = x[:, box] + strip * x.size
    order = np.argsort(left, kind="stable")
    return _Entries(*(each[order] for each in (box, strip, strips[0, box], left, right)))


def _side_by_side(
    one: _Entries, other: _Entries, strict: bool, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return the entries of `one` with those of `other` whose left side is between the sides of the first.

    strict: without those of the same left side.
    """
    begin = np.searchsorted(other.left, one.left, side="right" if strict else "left")
    count = np.maximum(np.searchsorted(other.left, one.right, side="right") - begin, 0)
    return pairs_in_parts(begin, count, at_once)
