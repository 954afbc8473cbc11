"""yolo.detect.pairs: rows with the places of each."""

import numpy as np
import pytest

from yolo.detect.pairs import pairs_in_parts


@pytest.mark.parametrize(
    ("at_once", "lengths"),
    [(1, [2, 4]), (4, [2, 4]), (6, [6]), (100, [6])],  # a part begins with the row that reaches a multiple of at_once
)
def test_each_row_comes_with_its_places_and_no_row_is_divided(at_once, lengths):
    begin, count = np.array([7, 0, 4, 0, 9]), np.array([2, 0, 3, 0, 1])
    parts = list(pairs_in_parts(begin, count, at_once))
    rows, places = (np.concatenate(each).tolist() for each in zip(*parts, strict=True))
    assert [*zip(rows, places, strict=True)] == [(0, 7), (0, 8), (2, 4), (2, 5), (2, 6), (4, 9)]
    assert [len(part) for part, _ in parts] == lengths


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_without_places_give_no_part(rows):
    none = np.zeros(rows, np.int64)
    assert not list(pairs_in_parts(none, none, 10))
