"""yolo.data.convert.notes: lines by hand."""

from pathlib import Path

import pytest

from yolo.data.convert.notes import columns, missing, named, notes, require_usable
from yolo.data.convert.plan import Plan, PlannedImage
from yolo.errors import DatasetError
from yolo.records import Problem


def image(name, is_there):
    return PlannedImage(Path("a"), name, name, is_there, (), 0)


HERE = image("here.jpg", True)
GONE = [image(f"{number}.jpg", False) for number in range(5)]
PROBLEMS = [Problem("k", "m1"), Problem("k", "m2"), Problem("other", "m3"), Problem("k", "m4")]


def test_columns_end_below_each_other():
    assert columns([("", "train", "valid"), ("cat", 7, 12)]) == ("       train    valid\ncat        7       12")


def test_a_few_of_many_are_named():
    assert named(GONE[:2]) == "a/0.jpg, a/1.jpg"
    assert named(GONE) == "a/0.jpg, a/1.jpg, a/2.jpg, ..."
    with pytest.raises(DatasetError, match=r"nothing was written: m1; m2; m3; \.\.\.\. Correct"):
        require_usable(Plan((HERE,), (), (), tuple(PROBLEMS)), ())


def test_notes_tell_what_was_left_out_what_is_missing_and_what_is_in_both():
    assert notes(Plan((HERE,), (), (), ()), Path("out")) == []
    assert missing([HERE, GONE[0], GONE[0]]) == [GONE[0]]
    assert notes(Plan((HERE, GONE[0]), (HERE,), (), tuple(PROBLEMS)), Path("out")) == [
        "left out: 3 x k, 1 x other; all in out/problems.txt",
        "  m1",
        "  m2",
        "  m3",
        "images not there: 1 (a/0.jpg)",
        "images in both train and valid: 1; their score is too high",
    ]
