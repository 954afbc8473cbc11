"""yolo.data.check: everything wrong with a data set is named and counted before training; expectations by hand."""

from functools import partial

import pytest

from tests.helpers.tiny_data import FOUR_IMAGES, label_lines
from yolo.data import check as module
from yolo.data.check import (
    BAD_LABEL,
    BOX_TWICE,
    BROKEN_IMAGE,
    EMPTY_LABELS,
    HANDLING,
    IN_BOTH_LISTS,
    LISTED_TWICE,
    MISSING_IMAGE,
    MISSING_LABELS,
    OVER_BORDER,
    TINY_BOX,
    TWO_LABEL_FILES,
    UNREADABLE_LABELS,
    UNSEEN_IN_TRAIN,
    check_list,
    in_both_lists,
    objects_per_class,
    problem_lines,
    stopping,
    tiny_boxes,
    unseen_classes,
)
from yolo.errors import DatasetError
from yolo.letterbox import letterboxed, stretched
from yolo.records import Problem


def check(drawn, **how):
    return check_list(drawn.folder / "list.txt", **{"classes": 2, "channels": 3} | how)


def label_file(drawn, index):
    return drawn.folder / "labels" / f"p{index}.txt"


def test_a_good_set_comes_in_list_order_with_sizes_and_ground_truth(four):
    checked = check(four)
    assert checked.problems == ()
    assert [image.path for image in checked.images] == list(four.images)
    assert {image.size for image in checked.images} == {(48, 64)}
    assert checked.images[1].ground_truth.labels.tolist() == [1, 0]
    assert checked.images[0].ground_truth.boxes.tolist() == [[16 / 64, 16 / 48, 16 / 64, 16 / 48]]
    assert objects_per_class(checked.images, 3) == [3, 3, 0]
    assert all(len(image.difficult.labels) == 0 for image in checked.images)


def test_each_fault_is_counted_by_kind_and_named(four):
    four.images[0].unlink()
    whole = four.images[1].read_bytes()
    four.images[1].write_bytes(whole[: len(whole) // 2])
    label_file(four, 2).unlink()
    label_file(four, 3).write_text("0 .5 .5 .1 .1\n7 .5 .5 .1 .1\n0 2 2 .1 .1\n")
    checked = check(four)
    assert [problem.kind for problem in checked.problems] == [
        MISSING_IMAGE, BROKEN_IMAGE, MISSING_LABELS, BAD_LABEL, BAD_LABEL,
    ]  # fmt: skip
    messages = [problem.message for problem in checked.problems]
    looked = f"looked for {four.images[0]}"
    assert messages[0] == f"{four.folder}/list.txt:1: {four.images[0]}: no such file; {looked}"
    assert messages[1].startswith(f"{four.images[1]}: found")
    assert f"{four.folder}/labels/p2.txt, {four.folder}/images/p2.txt" in messages[2]
    assert messages[3].startswith(f"{label_file(four, 3)}:2: found class 7")
    assert messages[4].startswith(f"{label_file(four, 3)}:3: found center")
    # What can be used stays: the image without labels has no objects, the other keeps its good row.
    assert [image.path for image in checked.images] == list(four.images[2:])
    assert [len(image.ground_truth.labels) for image in checked.images] == [0, 1]


def test_a_folder_an_empty_file_and_a_text_in_the_list_are_broken_images(four):
    four.images[0].unlink()
    four.images[0].mkdir()
    four.images[1].write_bytes(b"")
    four.images[2].write_text("not an image\n")
    checked = check(four)
    assert [problem.kind for problem in checked.problems] == [BROKEN_IMAGE] * 3
    assert len(checked.images) == 1


def test_difficult_boxes_come_from_the_parallel_list(four):
    aside = four.folder / "difficult"
    (aside / "labels").mkdir(parents=True)
    for index in range(4):
        (aside / "labels" / f"p{index}.txt").touch()
    (aside / "labels" / "p1.txt").write_text(label_lines(FOUR_IMAGES[0]))
    listed = four.folder / "difficult.txt"
    listed.write_text("".join(f"{aside}/images/p{index}.png\n" for index in range(4)))
    checked = check(four, difficult=listed)
    assert [len(image.difficult.labels) for image in checked.images] == [0, 1, 0, 0]
    assert checked.problems == ()
    (aside / "labels" / "p0.txt").unlink()
    (aside / "labels" / "p2.txt").write_text("7 .5 .5 .1 .1\n")
    missing, wrong = check(four, difficult=listed).problems
    assert (missing.kind, wrong.kind) == (MISSING_LABELS, BAD_LABEL)
    listed.write_text(f"{aside}/images/p0.png\n")
    with pytest.raises(DatasetError, match="difficult.txt: found 1 line, expected 4 as in"):
        check(four, difficult=listed)


def test_problem_lines_show_the_first_of_each_kind():
    problems = [Problem("a", f"{n}") for n in range(5)] + [Problem("b", "x")]
    assert list(problem_lines(problems)) == [
        "5 x a", "  0", "  1", "  2", "  ... and 2 more", "1 x b", "  x",
    ]  # fmt: skip
    assert list(problem_lines([])) == []


# ---------------------------------------------------------------------------------------------------------- warnings


def warnings_of(drawn):
    checked = check(drawn)
    assert checked.problems == () and len(checked.images) >= 4  # nothing is left out for a remark
    return [(warning.kind, warning.message) for warning in checked.warnings]


def test_a_good_set_gives_no_remark(four):
    assert warnings_of(four) == []


def test_an_image_listed_twice_is_named_by_both_lines_and_kept(four):
    listed = four.folder / "list.txt"
    other_words = four.folder / "labels" / ".." / "images" / "p1.png"
    listed.write_text(listed.read_text() + f"\n{other_words}\n")
    assert warnings_of(four) == [(LISTED_TWICE, f"{listed}:6: found {other_words} again, first in line 2")]
    assert len(check(four).images) == 5


def test_odd_boxes_are_named_by_line_and_kept(four):
    rows = [
        "0 .5 .5 .2 .2",
        "1 .5 .5 .2 .2",
        "",
        "0 0.50 .5 .2 .2",
        "1 .95 .5 .2 .1",
        "1 .95 .5 .1009 .1",
        "1 .05 .5 .2 .1",
        "1 .5 .05 .1 .22",
        "1 .5 .95 .1 .24",
    ]
    label_file(four, 0).write_text("\r\n".join(rows))
    path = label_file(four, 0)
    # by hand: .95 + .2 / 2 is .05 beyond the border; .95 + .1009 / 2 is .00045 beyond it, which printed digits may be
    assert warnings_of(four) == [
        (BOX_TWICE, f"{path}:4: found the box of line 1"),
        (OVER_BORDER, f"{path}:5: found 0.05 of a side outside, expected all inside"),
        (OVER_BORDER, f"{path}:7: found 0.05 of a side outside, expected all inside"),
        (OVER_BORDER, f"{path}:8: found 0.06 of a side outside, expected all inside"),
        (OVER_BORDER, f"{path}:9: found 0.07 of a side outside, expected all inside"),
    ]
    assert len(check(four).images[0].ground_truth.labels) == 8


def test_images_without_objects_differ_from_those_without_a_file_or_with_faults(four):
    label_file(four, 0).write_bytes(b"\xef\xbb\xbf \r\n")
    label_file(four, 1).unlink()
    label_file(four, 2).write_text("7 .5 .5 .1 .1")
    checked = check(four)
    assert [problem.kind for problem in checked.problems] == [MISSING_LABELS, BAD_LABEL]
    assert checked.warnings == (Problem(EMPTY_LABELS, f"{label_file(four, 0)}:1: found no row"),)


def test_two_label_files_that_differ_are_named_as_each_darknet_reads_another_one(four):
    """pjreddie's reads labels/p0.txt, AlexeyAB's images/p0.txt."""
    beside = four.images[0].with_suffix(".txt")
    beside.write_bytes(label_file(four, 0).read_bytes())
    assert warnings_of(four) == []
    beside.write_text("")
    message = f"{label_file(four, 0)}:1: found {beside} too, with other content"
    assert warnings_of(four) == [(TWO_LABEL_FILES, message)]
    assert len(check(four).images[0].ground_truth.labels) == 1


def test_empty_files_of_difficult_boxes_are_no_remark(four):
    aside = four.folder / "difficult"
    (aside / "labels").mkdir(parents=True)
    for index in range(4):
        (aside / "labels" / f"p{index}.txt").touch()
    listed = four.folder / "difficult.txt"
    listed.write_text("".join(f"{aside}/images/p{index}.png\n" for index in range(4)))
    assert check(four, difficult=listed).warnings == ()


def test_labels_that_cannot_be_read_leave_the_image_out(four):
    label_file(four, 0).unlink()
    label_file(four, 0).symlink_to("/proc/self/mem")  # a file that opens and fails to read
    checked = check(four)
    assert [problem.kind for problem in checked.problems] == [UNREADABLE_LABELS]
    assert checked.problems[0].message == f"{label_file(four, 0)}: Input/output error"
    assert len(checked.images) == 3 and stopping(checked.problems) == list(checked.problems)


def test_boxes_below_a_pixel_of_the_network_input_are_named(four):
    """Images are 64 x 48; by hand: .04 of 32 and .05 of 24 pixels are 1.28 and 1.2, .03 of 32 are 0.96."""
    rows = "0 .5 .5 .5 .5\n\n0 .5 .5 .03 .5\n0 .5 .5 .04 .05\n"
    label_file(four, 0).write_text(rows)
    images = check(four).images
    tiny = partial(tiny_boxes, images)
    assert tiny((24, 32), stretched) == [
        Problem(
            TINY_BOX,
            f"{label_file(four, 0)}:3: found a box of 0.96 x 12 pixels of 32 x 24, expected 1 x 1",
        )
    ]
    # letterboxed into 32 x 12 the image is 16 x 12: .04 of 16 and .05 of 12 are 0.64 and 0.6
    assert [each.message.split(": ")[0] for each in tiny((12, 32), letterboxed)] == [
        f"{label_file(four, 0)}:3", f"{label_file(four, 0)}:4",
    ]  # fmt: skip
    assert tiny((48, 64), stretched) == []


def test_classes_without_an_object_are_named(four):
    images = check(four).images
    assert unseen_classes(images, ["red", "green"], UNSEEN_IN_TRAIN) == []
    assert unseen_classes(images, ["red", "green", "blue"], UNSEEN_IN_TRAIN) == [
        Problem(UNSEEN_IN_TRAIN, "class 2, blue: found no object in 4 images")
    ]


def test_images_in_both_lists_are_named_for_every_form_of_their_paths(four, monkeypatch):
    train = check(four).images
    valid = four.folder / "valid.txt"
    valid.write_text("images/p2.png\n")
    monkeypatch.chdir(four.folder)
    images = check_list(valid, 2, 3).images
    message = "images/p2.png: found in train and in valid"
    assert in_both_lists(train, images) == [Problem(IN_BOTH_LISTS, message)]
    assert in_both_lists(train[:2], images) == []


def test_every_kind_of_problem_has_its_consequence():
    named = {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    assert named == set(HANDLING)
    stops = [handling.stops for handling in HANDLING.values()]
    assert set(list(HANDLING)[: sum(stops)]) == {MISSING_IMAGE, BROKEN_IMAGE, UNREADABLE_LABELS, BAD_LABEL}
    assert all(stops[: sum(stops)])


def test_backslashes_of_a_list_are_read_where_the_image_is_there_and_named_where_not(four, caplog):
    (four.folder / "list.txt").write_text("images\\p0.png\nimages/p1.png\nC:\\x\\p2.png\n")
    checked = check(four)
    assert [image.path for image in checked.images] == list(four.images[:2])
    (problem,) = checked.problems
    assert problem.kind == MISSING_IMAGE
    assert problem.message.startswith(f"{four.folder}/list.txt:3: C:\\x\\p2.png: no such file; looked for ")
    assert problem.message.endswith(
        "; a backslash does not separate folders here, with / instead it is not there either"
    )
    found = "found a backslash; backslashes are read as / if only then the file exists"
    assert caplog.messages == [f"{four.folder}/list.txt:1: {found}"]


def test_images_whose_names_are_no_utf8_are_checked(four):
    name = four.folder / "images" / b"caf\xe9.png".decode(errors="surrogateescape")
    four.images[0].rename(name)
    label_file(four, 0).rename(label_file(four, 0).with_name(name.with_suffix(".txt").name))
    (four.folder / "list.txt").write_bytes(b"images/caf\xe9.png\n")
    checked = check(four)
    assert not checked.problems and [image.path for image in checked.images] == [name]
    assert len(checked.images[0].ground_truth.labels)
