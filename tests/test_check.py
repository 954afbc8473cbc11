"""yolo.data.check: everything wrong with a data set is named and counted before training."""

import pytest
from tiny import FOUR_PICTURES, label_lines

from yolo.data.check import (
    BAD_LABEL,
    BROKEN_PICTURE,
    MISSING_LABELS,
    MISSING_PICTURE,
    check_list,
    objects_per_class,
    problem_lines,
)
from yolo.data.voc import Problem
from yolo.errors import DatasetError


def check(drawn, **how):
    return check_list(drawn.folder / "list.txt", **{"classes": 2, "channels": 3} | how)


def label_file(drawn, index):
    return drawn.folder / "labels" / f"p{index}.txt"


def test_a_good_set_comes_in_list_order_with_sizes_and_truth(four):
    checked = check(four)
    assert checked.problems == ()
    assert [picture.path for picture in checked.pictures] == list(four.pictures)
    assert {picture.size for picture in checked.pictures} == {(48, 64)}
    assert checked.pictures[1].truth.labels.tolist() == [1, 0]
    assert checked.pictures[0].truth.boxes.tolist() == [[16 / 64, 16 / 48, 16 / 64, 16 / 48]]
    assert objects_per_class(checked.pictures, 3) == [3, 3, 0]
    assert all(len(picture.difficult.labels) == 0 for picture in checked.pictures)


def test_each_fault_is_counted_by_kind_and_named(four):
    four.pictures[0].unlink()
    whole = four.pictures[1].read_bytes()
    four.pictures[1].write_bytes(whole[: len(whole) // 2])
    label_file(four, 2).unlink()
    label_file(four, 3).write_text("0 .5 .5 .1 .1\n7 .5 .5 .1 .1\n0 2 2 .1 .1\n")
    checked = check(four)
    assert [problem.kind for problem in checked.problems] == [
        MISSING_PICTURE, BROKEN_PICTURE, MISSING_LABELS, BAD_LABEL, BAD_LABEL,
    ]  # fmt: skip
    messages = [problem.message for problem in checked.problems]
    assert messages[0] == f"{four.pictures[0]}: no such file"
    assert messages[1].startswith(f"{four.pictures[1]}: found")
    assert f"{four.folder}/labels/p2.txt, {four.folder}/images/p2.txt" in messages[2]
    assert messages[3].startswith(f"{label_file(four, 3)}:2: found class 7")
    assert messages[4].startswith(f"{label_file(four, 3)}:3: found centre")
    # What can be used stays: the picture without labels has no objects, the other keeps its good row.
    assert [picture.path for picture in checked.pictures] == list(four.pictures[2:])
    assert [len(picture.truth.labels) for picture in checked.pictures] == [0, 1]


def test_a_folder_an_empty_file_and_a_text_in_the_list_are_broken_pictures(four):
    four.pictures[0].unlink()
    four.pictures[0].mkdir()
    four.pictures[1].write_bytes(b"")
    four.pictures[2].write_text("not a picture\n")
    checked = check(four)
    assert [problem.kind for problem in checked.problems] == [BROKEN_PICTURE] * 3
    assert len(checked.pictures) == 1


def test_difficult_boxes_come_from_the_parallel_list(four):
    aside = four.folder / "difficult"
    (aside / "labels").mkdir(parents=True)
    for index in range(4):
        (aside / "labels" / f"p{index}.txt").touch()
    (aside / "labels" / "p1.txt").write_text(label_lines(FOUR_PICTURES[0]))
    listed = four.folder / "difficult.txt"
    listed.write_text("".join(f"{aside}/images/p{index}.png\n" for index in range(4)))
    checked = check(four, difficult=listed)
    assert [len(picture.difficult.labels) for picture in checked.pictures] == [0, 1, 0, 0]
    assert checked.problems == ()
    (aside / "labels" / "p0.txt").unlink()
    (aside / "labels" / "p2.txt").write_text("7 .5 .5 .1 .1\n")
    missing, wrong = check(four, difficult=listed).problems
    assert (missing.kind, wrong.kind) == (MISSING_LABELS, BAD_LABEL)
    listed.write_text(f"{aside}/images/p0.png\n")
    with pytest.raises(DatasetError, match="difficult.txt: found 1 entries, expected 4 as in"):
        check(four, difficult=listed)


def test_problem_lines_show_the_first_of_each_kind():
    problems = [Problem("a", f"{n}") for n in range(5)] + [Problem("b", "x")]
    assert list(problem_lines(problems)) == [
        "5 x a", "  0", "  1", "  2", "  ... and 2 more", "1 x b", "  x",
    ]  # fmt: skip
    assert list(problem_lines([])) == []
