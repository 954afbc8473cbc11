"""Make pairs of positions, in parts of bounded memory, for comparisons of many boxes or hashes with each other."""

from collections.abc import Iterator

import numpy as np


def pairs_in_parts(begin: np.ndarray, count: np.ndarray, at_once: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each row with each of its places `begin`, `begin + 1` and so on, `count` of them.

    Args:
        begin, count: int64 `[N]`, of each row.
        at_once: about how many pairs there are in a part; the pairs of a row are all in one.

    Yields:
        Two arrays int64 `[P]`, P above 0: rows, ascending, and places, ascending for each row.
    """
    rows = np.flatnonzero(count)
    ends = np.cumsum(count[rows])
    cuts = np.searchsorted(ends, np.arange(at_once, ends[-1] if len(ends) else 0, at_once))
    for part in np.split(rows, np.unique(cuts)):
        if len(part):
            lengths = count[part]
            last = np.cumsum(lengths)
            yield np.repeat(part, lengths), np.arange(last[-1]) + np.repeat(begin[part] - last + lengths, lengths)
