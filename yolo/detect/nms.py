"""Non-maximum suppression (NMS) for any number of boxes, with the result of comparing all pairs.

A few boxes are compared pair by pair. Of many boxes only the pairs that can overlap enough are compared. To find them,
the boxes are taken in blocks, best first; the area is cut into horizontal strips; and in each strip the left and right
sides are sorted.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo.boxes import paired_diou_with_exponent, paired_iou
from yolo.detect.pairs import pairs_in_parts

FEW_BOXES = 64  # boxes; up to this number, comparing all pairs takes less time than sorting the sides
FIRST_BLOCK, LARGEST_BLOCK = 1024, 8192  # boxes; NMS takes them in blocks that double in size
MOST_PAIRS = 2**17  # pairs of boxes compared at once: their arrays stay in the cache
MOST_STRIPS = 2000  # into which the area is cut; with more, places of millions of boxes would overflow
STRIP_HEIGHT = 2.0  # heights of a box, as a mean; a lower strip has fewer pairs, but boxes are in more of them
ROUNDING = 1e-5  # relative; far above the rounding errors of an IoU in float32


def nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    thresh: float,
    diou_exponent: float | None = None,
) -> Tensor:
    """Greedy NMS: keep a box unless a kept box of its class with a higher score overlaps it by more than `thresh`.

    Without `diou_exponent` the result in each class is that of torchvision.ops.nms, to the last bit; importing
    torchvision takes two seconds. Only pairs that can overlap enough are compared: those in one horizontal strip of the
    area, found by sorting their left sides.

    Args:
        boxes: `[N, 4]` xyxy. NMS runs on the CPU; from another device, boxes, scores and labels are copied.
        scores: `[N]`.
        labels: int64 `[N]`.
        thresh: 0..1.
        diou_exponent: Compare IoU - (d²/c²)^diou_exponent instead of the IoU: d is the distance of the centers,
            c the diagonal of the box around both.

    Returns:
        int64 indices of the kept boxes on their device, highest score first. Equal scores: lower label first, then
        lower index.
    """
    device = boxes.device
    boxes, scores, labels = boxes.cpu(), scores.cpu(), labels.cpu()
    order = torch.argsort(labels, stable=True)
    order = order[torch.argsort(scores[order], descending=True, stable=True)]
    if len(order) <= 1:
        return order.to(device)
    if len(order) <= FEW_BOXES:
        better, worse = np.triu_indices(len(order), 1)
        same = (labels[order][better] == labels[order][worse]).numpy()
        pairs = _over(boxes[order], better[same], worse[same], thresh, diou_exponent)
        return order[torch.from_numpy(~_covered(*pairs, len(order)))].to(device)
    sides = _sides(boxes[order], labels[order], thresh)
    suppressed = np.zeros(len(order), bool)
    kept = none = np.empty(0, np.int64)
    start, size = 0, FIRST_BLOCK
    while start < len(order):
        block = np.arange(start, min(start + size, len(order)))
        if len(kept):
            for _, worse in _overlapping(sides, kept, block, thresh, diou_exponent):
                suppressed[worse] = True
            block = block[~suppressed[block]]
        pairs = [(none, none), *_overlapping(sides, block, block, thresh, diou_exponent)]
        better, worse = (np.concatenate(each) for each in zip(*pairs, strict=True))
        suppressed[_covered(better, worse, len(order))] = True
        kept = np.concatenate((kept, block[~suppressed[block]]))
        start, size = start + size, min(2 * size, LARGEST_BLOCK)
    return order[torch.from_numpy(kept)].to(device)


class _Sides(NamedTuple):
    """N boxes, best first, with their sides for NMS: two boxes whose sides do not cross are both kept.

    The area is cut into horizontal strips. A box has one entry for each strip that it reaches, E entries in all; two
    boxes that cross have entries in a common strip.

    corners: `[N, 4]` xyxy. top, bottom: float64 `[N]`. right and bottom are moved inwards, see `_sides`.
    area, least: float64 `[N]`, the area of each box, and the area that another box must exceed to overlap it enough.
    Entries are sorted by class, strip and left side. box: int64 `[E]`, whose entry it is.
    begin, end: int64 `[E]`; the left sides of the entries from `begin` up to `end` are between the sides of this one.
    """

    corners: Tensor
    top: np.ndarray
    bottom: np.ndarray
    area: np.ndarray
    least: np.ndarray
    box: np.ndarray
    begin: np.ndarray
    end: np.ndarray


def _sides(boxes: Tensor, labels: Tensor, thresh: float) -> _Sides:
    """Sort the sides of boxes.

    An IoU above `thresh` needs a common width above `thresh` times either width, and a common height above `thresh`
    times either height. So right and bottom move inwards by that fraction of the width and height, and two areas may
    not differ by more than that factor. Areas are rounded to float32 as in the IoU, for tiny boxes.
    """
    low, high = boxes[:, :2].double().numpy(), boxes[:, 2:].double().numpy()
    with np.errstate(invalid="ignore"):  # infinite boxes, which overlap nothing
        high = high - thresh * (1 - ROUNDING) * (high - low)
    top, bottom = low[:, 1].copy(), high[:, 1].copy()
    first, count = _strips(top, bottom)
    box, place = _counted_up(count)
    x = np.unique(np.stack((low[:, 0], high[:, 0])), return_inverse=True)[1].reshape(2, -1)
    group = labels.numpy()[box] * (MOST_STRIPS + 1) + first[box] + place
    left, right = x[:, box] + group * 2 * len(boxes)
    order = np.argsort(left)
    lefts = left[order]
    begin, end = np.searchsorted(lefts, lefts), np.searchsorted(lefts, right[order])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).double().numpy()
    with np.errstate(invalid="ignore"):
        least = thresh * (1 - ROUNDING) * area
    return _Sides(boxes, top, bottom, area, least, box[order], begin, end)


def _strips(top: np.ndarray, bottom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for boxes the first strip that each reaches, and how many strips it reaches.

    A single block of boxes has a single strip: its pairs are few anyway.
    """
    alone = np.zeros(len(top), np.int64), np.ones(len(top), np.int64)
    finite = np.isfinite(top) & np.isfinite(bottom) & (bottom >= top)
    if len(top) <= FIRST_BLOCK or not finite.any():
        return alone
    base = top[finite].min()
    height = max(STRIP_HEIGHT * (bottom - top)[finite].mean(), np.ptp(top[finite]) / MOST_STRIPS)
    if not 0 < height < np.inf:  # all boxes are empty, or so large that their sum overflows
        return alone
    first, last = (
        np.where(finite, (side - base) / height, 0).clip(0, MOST_STRIPS).astype(np.int64) for side in (top, bottom)
    )
    return first, last - first + 1


def _counted_up(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[2, 0, 3]` → rows `[0, 0, 2, 2, 2]` and places `[0, 1, 0, 1, 2]`."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)


def _overlapping(
    sides: _Sides,
    first: np.ndarray,
    second: np.ndarray,
    thresh: float,
    diou_exponent: float | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs, a box of `first` and one of `second`, that overlap by more than `thresh`: (better, worse)."""
    sweeps = ((first, second),) if first is second else ((first, second), (second, first))
    for one, other in sweeps:
        for a, b in _side_by_side(sides, one, other):
            similar = (sides.area[a] > sides.least[b]) & (sides.area[b] > sides.least[a])
            a, b = a[similar], b[similar]
            near = (sides.top[a] < sides.bottom[b]) & (sides.top[b] < sides.bottom[a]) & (a != b)
            a, b = a[near], b[near]
            yield _over(sides.corners, np.minimum(a, b), np.maximum(a, b), thresh, diou_exponent)


def _over(
    corners: Tensor, better: np.ndarray, worse: np.ndarray, thresh: float, diou_exponent: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the pairs of boxes (better, worse) that overlap by more than `thresh`."""
    pair = corners[better], corners[worse]
    if diou_exponent is None:
        over = paired_iou(*pair).double() > thresh  # torchvision compares in float64
    else:
        over = paired_diou_with_exponent(*pair, diou_exponent) > thresh
    return better[over.numpy()], worse[over.numpy()]


def _side_by_side(sides: _Sides, first: np.ndarray, second: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs of a box of `first` and one of `second` whose left side is between the sides of the first."""
    first = np.flatnonzero(_belongs(sides, first))
    among = _belongs(sides, second)
    before = np.concatenate(([0], np.cumsum(among)))  # how many of the second come before each entry
    second = np.flatnonzero(among)
    low = before[sides.begin[first]]
    counts = np.maximum(before[sides.end[first]] - low, 0)
    for rows, places in pairs_in_parts(low, counts, MOST_PAIRS):
        yield sides.box[first[rows]], sides.box[second[places]]


def _belongs(sides: _Sides, boxes: np.ndarray) -> np.ndarray:
    """Return bool `[E]`, which entries are those of some boxes."""
    chosen = np.zeros(len(sides.top), bool)
    chosen[boxes] = True
    return chosen[sides.box]


def _covered(better: np.ndarray, worse: np.ndarray, count: int) -> np.ndarray:
    """Return bool `[count]`, which boxes are suppressed, from the pairs that overlap.

    A box is kept if no undecided better box overlaps it. It suppresses its partners, which then suppress no box.
    """
    suppressed = np.zeros(count, bool)
    while len(better):
        undecided = np.zeros(count, bool)
        undecided[worse] = True
        suppressed[worse[~undecided[better]]] = True
        left = ~(suppressed[better] | suppressed[worse])
        better, worse = better[left], worse[left]
    return suppressed
