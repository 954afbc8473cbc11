"""yolo.data.convert.notes: lines by hand."""

from pathlib import Path

import pytest

from yolo.data.convert.notes import (
    SPLIT_HINT,
    columns,
    missing,
    named,
    notes,
    plan_table,
    require_any_image,
    require_usable,
)
from yolo.data.convert.plan import LabelRow, Plan, PlannedImage
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


def test_notes_list_what_was_left_out_what_is_missing_and_what_is_in_both():
    assert notes(Plan((HERE,), (GONE[0],), (), ()), Path("out")) == ["images not there: 1 (a/0.jpg)"]
    assert missing([HERE, GONE[0], GONE[0]]) == [GONE[0]]
    assert notes(Plan((HERE, GONE[0]), (HERE,), (), tuple(PROBLEMS)), Path("out")) == [
        "left out: 3 x k, 1 x other; all in out/problems.txt",
        "  m1",
        "  m2",
        "  m3",
        "images not there: 1 (a/0.jpg)",
        "images in both train and valid: 1; their score is too high",
    ]


def test_notes_list_what_was_repaired_and_what_follows_from_no_valid_list():
    repairs = (Problem("size", "m1"), Problem("cut", "m2"), Problem("size", "m3"))
    assert notes(Plan((HERE,), (), (), (), repairs), Path("out")) == [
        "repaired or unusual: 2 x size, 1 x cut; all in out/repairs.txt",
        "  size: m1",
        "  cut: m2",
        f"no valid list: training computes no score and keeps no best weights; {SPLIT_HINT}",
    ]


def test_a_table_has_a_column_for_each_list_that_is_there_and_rows_for_what_was_changed():
    rows = (LabelRow(0, False, "b"), LabelRow(0, True, "b"))
    changed = PlannedImage(Path("a"), "x.jpg", "x.jpg", True, rows, 3, "x", clipped=1, turned=2)
    table = plan_table(Plan((changed, HERE), (), ("cat",), ()), "difficult, besides")
    assert [line.rsplit(maxsplit=1) for line in table.splitlines()] == [
        ["train"], ["images", "2"], ["cat", "1"], ["objects", "1"], ["difficult, besides", "1"], ["left out", "3"],
        ["clipped", "1"], ["turned", "2"],
    ]  # fmt: skip


def test_a_list_none_of_whose_images_is_there_stops_where_their_folder_is(tmp_path):
    gone = GONE[0]._replace(folder=tmp_path)
    with pytest.raises(DatasetError, match=f"found none of the 1 image in {tmp_path}, .* expected {tmp_path}/0.jpg or"):
        require_any_image(Plan((HERE,), (gone,), (), ()))
    require_any_image(Plan((HERE,), (gone._replace(folder=tmp_path / "nowhere"),), (), ()))
