"""Find images that are equal or nearly equal, without comparing all pairs.

Two hashes of 64 bits that differ in at most 7 bits have, in one of their four parts of 16 bits, at most one different
bit. So it is enough to look up each part, and each part with one bit turned, among the parts of the others (multi-index
hashing, Norouzi, Punjani, Fleet 2012). The pairs that are found are compared by their sketches, then by their pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from yolo.data.images import ignore_remark, read_image
from yolo.data.parallel import in_threads
from yolo.detect.pairs import pairs_in_parts
from yolo.errors import DatasetError
from yolo.explain.data_set.fingerprints import Fingerprints

PARTS, PART_BITS = 4, 16
NEAR_BITS = 7  # 2 * PARTS - 1: more would need more than one turned bit
PLAIN_CONTRAST = 6.0  # standard deviation of a sketch in 0..255; the hash of a plainer image is its noise
SIMILAR_SKETCH, SIMILAR_PIXELS = 0.93, 0.85  # least correlation: docs/log.md has what copies and others reach
FINE_SIDE = 64  # pixels of the last comparison
PAIRS_AT_ONCE = 2**21
MOST_PAIRS = 200_000  # that are kept even if they do not join two groups
MOST_COMPARED = 4000  # pairs of pixels: half a minute; the rest is decided by the sketches


@dataclass(frozen=True)
class DuplicateGroup:
    """Equal or nearly equal images: positions, ascending. exact: all files have the same bytes."""

    members: tuple[int, ...]
    exact: bool


def duplicate_groups(fingerprints: Fingerprints, paths: Sequence[str]) -> list[DuplicateGroup]:
    """Return the groups of equal and nearly equal images, the largest first.

    Images of the same bytes are always a group. Plain images, whose sketch has less contrast than PLAIN_CONTRAST, are
    in no other group.
    """
    same = same_files(fingerprints)
    near = _confirmed(near_pairs_of(fingerprints), fingerprints, paths)
    links = np.concatenate((same, near))
    groups = _joined(links, len(fingerprints))
    contents = fingerprints.contents
    made = [DuplicateGroup(tuple(group.tolist()), bool((contents[group] == contents[group[0]]).all()))
            for group in groups]  # fmt: skip
    return sorted(made, key=lambda group: (-len(group.members), group.members[0]))


def same_files(fingerprints: Fingerprints) -> np.ndarray:
    """Return pairs of files with the same bytes, int64 `[P, 2]`: each with the one before it."""
    places = np.flatnonzero(fingerprints.readable)
    order = places[np.argsort(fingerprints.contents[places], kind="stable")]
    equal = fingerprints.contents[order[1:]] == fingerprints.contents[order[:-1]]
    return np.stack((order[:-1][equal], order[1:][equal]), axis=1)


def near_pairs_of(fingerprints: Fingerprints) -> np.ndarray:
    """Return pairs with similar hashes and sketches, int64 `[P, 2]`. One file represents each set of equal files.

    The frames of a film have millions of such pairs: after MOST_PAIRS only those that join two groups are kept.
    """
    contrast = np.concatenate(
        [part.std(axis=1) for part in np.array_split(fingerprints.sketches, len(fingerprints) // 4096 + 1)]
    )
    usable = np.flatnonzero(fingerprints.readable & (contrast >= PLAIN_CONTRAST))
    _, first = np.unique(fingerprints.contents[usable], return_index=True)
    usable = usable[np.sort(first)]
    parts, total, groups = [np.zeros((0, 2), np.int64)], 0, Components(len(fingerprints))
    for one, other in hash_pairs(fingerprints.hashes[usable]):
        pairs = np.stack((usable[one], usable[other]), axis=1)
        many = total > MOST_PAIRS
        if many:
            pairs = groups.apart(pairs)
        kept = pairs[sketch_correlation(fingerprints.sketches, pairs) >= SIMILAR_SKETCH]
        if many:
            kept = groups.one_each(kept)
        groups.join(kept)
        parts.append(kept)
        total += len(kept)
    pairs = np.concatenate(parts)
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)


def hash_pairs(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every pair of uint64 hashes `[N]` that differ in at most NEAR_BITS bits, in parts: two int64 `[P]`.

    A pair may come several times.
    """
    turns = [0, *(1 << bit for bit in range(PART_BITS))]
    for part in range(PARTS):
        values = ((hashes >> np.uint64(part * PART_BITS)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(values, kind="stable")
        starts = np.searchsorted(values[order], np.arange(2**PART_BITS + 1))
        for turn in turns:
            wanted = values ^ turn
            begin, count = starts[wanted], starts[wanted + 1] - starts[wanted]
            for one, places in pairs_in_parts(begin, count, PAIRS_AT_ONCE):
                other = order[places]
                once = one < other  # a pair is found from both sides
                one, other = one[once], other[once]
                near = _bits_apart(hashes[one], hashes[other]) <= NEAR_BITS
                if near.any():
                    yield one[near], other[near]


def sketch_correlation(sketches: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the sketches of each pair, float64 `[P]`."""
    result = np.zeros(len(pairs))
    for start in range(0, len(pairs), 2**14):
        part = pairs[start : start + 2**14]
        first, second = (sketches[part[:, side]].astype(np.float32) for side in (0, 1))
        result[start : start + 2**14] = correlation(first, second)
    return result


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation row by row, `[P, K]` twice → `[P]`; 0 where a row is constant."""
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    norm = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return np.divide((first * second).sum(axis=1), norm, out=np.zeros(len(first)), where=norm > 0)


def fine_pixels(path: str) -> np.ndarray | None:
    """Return an image as gray uint8 `[FINE_SIDE, FINE_SIDE]`; None if it cannot be read."""
    try:
        gray = read_image(path, 1, ignore_remark)[:, :, 0]
    except (DatasetError, OSError, ValueError):
        return None
    return cv2.resize(gray, (FINE_SIDE, FINE_SIDE), interpolation=cv2.INTER_AREA)


def pixel_correlation(first: np.ndarray | None, second: np.ndarray | None) -> float:
    """Return the correlation of the fine details of the `fine_pixels` of two images; 0 without one of them.

    The coarse part, of 8 x 8, is subtracted first, so that two images with equal light and other objects differ.
    """
    if first is None or second is None:
        return 0.0
    fine = []
    for small in (first.astype(np.float32), second.astype(np.float32)):
        fine.append((small - cv2.blur(small, (FINE_SIDE // 4, FINE_SIDE // 4))).ravel()[None])
    return float(correlation(*fine)[0])


def _confirmed(pairs: np.ndarray, fingerprints: Fingerprints, paths: Sequence[str]) -> np.ndarray:
    """Return the pairs whose pixels are similar; beyond MOST_COMPARED those whose sketches are most similar."""
    if len(pairs) > MOST_COMPARED:
        pairs = pairs[np.argsort(-sketch_correlation(fingerprints.sketches, pairs), kind="stable")]
    compared = pairs[:MOST_COMPARED]
    places = np.unique(compared).tolist()  # the images of a large group are in many pairs
    fine = dict(zip(places, in_threads(lambda place: fine_pixels(paths[place]), places), strict=True))
    similar = (pixel_correlation(fine[one], fine[other]) for one, other in compared.tolist())
    kept = np.fromiter((each >= SIMILAR_PIXELS for each in similar), bool, len(compared))
    return np.concatenate((compared[kept], pairs[MOST_COMPARED:]))


def _bits_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the number of different bits of uint64 numbers, `[P]`: sums of neighboring 1, 2 and 4 bits, then of bytes.

    NumPy has bitwise_count from 2.0 on only.
    """
    one, two, four, bytes_ = (np.uint64(each) for each in (1, 2, 4, 56))
    bits = first ^ second
    bits -= (bits >> one) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> two) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> four)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> bytes_


class Components:
    """Positions 0 to count - 1, joined by links to groups."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def roots(self) -> np.ndarray:
        """Return the same number for all places of a group, `[count]`."""
        while not np.array_equal(above := self._parent[self._parent], self._parent):
            self._parent = above
        return self._parent

    def apart(self, links: np.ndarray) -> np.ndarray:
        """Return the links, of `[Q, 2]`, whose ends are in different groups."""
        ends = self.roots()[links]
        return links[ends[:, 0] != ends[:, 1]]

    def one_each(self, links: np.ndarray) -> np.ndarray:
        """Return the first link, of `[Q, 2]`, between each two groups."""
        ends = np.sort(self.roots()[links], axis=1)
        return links[np.unique(ends, axis=0, return_index=True)[1]]

    def join(self, links: np.ndarray) -> None:
        """Join the ends of links `[P, 2]`."""
        for first, second in links.tolist():
            one, other = self._root(first), self._root(second)
            self._parent[max(one, other)] = min(one, other)

    def _root(self, place: int) -> int:
        while self._parent[place] != place:
            self._parent[place] = self._parent[self._parent[place]]
            place = int(self._parent[place])
        return place


def _joined(links: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the sets of positions that links `[P, 2]` join, each with at least two members."""
    groups = Components(count)
    groups.join(links)
    members = np.unique(links)
    roots = groups.roots()[members]
    order = np.argsort(roots, kind="stable")
    return np.split(members[order], np.flatnonzero(np.diff(roots[order])) + 1) if len(members) else []
