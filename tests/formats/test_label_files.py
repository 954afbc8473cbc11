"""yolo.formats.label_files: where both Darknets read label files from, lists, and each fault by file and line."""

from pathlib import Path

import numpy as np
import pytest

from yolo.errors import DatasetError
from yolo.formats.label_files import (
    MOST_LABEL_BYTES,
    label_candidates,
    label_files,
    labeled_boxes,
    read_entries,
    read_list,
    read_rows,
)


def labels(tmp_path, text, classes=3):
    path = tmp_path / "a.txt"
    path.write_text(text)
    rows, faults = read_rows(path, classes)
    return labeled_boxes(rows), faults


# ------------------------------------------------------------------------------------------ where they are


@pytest.mark.parametrize(
    ("image", "candidates"),
    [
        ("/d/JPEGImages/a.jpg", ["/d/labels/a.txt", "/d/JPEGImages/a.txt"]),  # both Darknets
        ("/d/images/train/a.png", ["/d/labels/train/a.txt", "/d/images/train/a.txt"]),
        ("raw/a.jpg", ["labels/a.txt", "raw/a.txt"]),  # pjreddie
        ("/d/obj/a.b.jpg", ["/d/obj/a.b.txt"]),  # AlexeyAB: beside the image
        ("/d/myimages/images.jpg", ["/d/myimages/images.txt"]),  # whole folder names only
        (
            "/images/x/images/a.jpg",
            ["/images/x/labels/a.txt", "/labels/x/images/a.txt", "/images/x/images/a.txt"],
        ),
    ],
)
def test_both_dialects_places_are_tried(image, candidates):
    assert [str(path) for path in label_candidates(Path(image))] == candidates


def test_the_candidates_that_exist_are_the_label_files(tmp_path):
    image = tmp_path / "images" / "a.jpg"
    image.parent.mkdir()
    assert [*label_files(image)] == []
    beside = image.with_suffix(".txt")
    beside.touch()
    assert [*label_files(image)] == [beside]
    (tmp_path / "labels" / "a.txt").mkdir(parents=True)  # a folder is no label file
    assert [*label_files(image)] == [beside]
    (tmp_path / "labels" / "a.txt").rmdir()
    (tmp_path / "labels" / "a.txt").touch()
    assert [*label_files(image)] == [tmp_path / "labels" / "a.txt", beside]


# ------------------------------------------------------------------------------------------ lists


def test_a_list_has_a_path_a_line_relative_to_here_or_to_itself(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "here.jpg").touch()
    (tmp_path / "set" / "there.jpg").touch()
    path = tmp_path / "set" / "list.txt"
    path.write_bytes("\ufeffhere.jpg\r\n\n  there.jpg \naway.jpg\n~nobody-of-this-name/x.jpg".encode())
    monkeypatch.chdir(tmp_path)
    found = read_list(path)
    assert found[0] == Path("here.jpg")
    assert found[1] == tmp_path / "set" / "there.jpg"
    assert found[2] == Path("away.jpg") and len(found) == 4
    assert [line for line, _ in read_entries(path)] == [1, 3, 4, 5]
    assert [image for _, image in read_entries(path)] == found


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\x89PNG\0\0\0\rIHDR"])
def test_an_empty_list_and_an_image_given_as_list_are_named(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="list.txt: found .*, expected .*one path a line"):
        read_list(path)


# ------------------------------------------------------------------------------------------ rows


def test_rows_become_labels_and_boxes(tmp_path):
    ground_truth, faults = labels(tmp_path, "\ufeff2 0.5 0.25 0.1 0.2\r\n\n 0\t.1 1 1e-1 1\n")
    assert faults == []
    assert ground_truth.labels.dtype == np.int64 and ground_truth.labels.tolist() == [2, 0]
    assert ground_truth.boxes.tolist() == [[0.5, 0.25, 0.1, 0.2], [0.1, 1, 0.1, 1]]


def test_an_empty_file_has_no_objects(tmp_path):
    ground_truth, faults = labels(tmp_path, "")
    assert ground_truth.labels.shape == (0,) and ground_truth.boxes.shape == (0, 4) and faults == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("0 .5 .5 .1", "found 4 columns, expected 5"),
        ("0 .5 .5 .1 .1 .9", "found 6 columns, expected 5"),
        ("cat .5 .5 .1 .1", "found 'cat .5 .5 .1 .1', expected numbers"),
        ("0 .5 .5 .1 x", "expected numbers"),
        ("3 .5 .5 .1 .1", "found class 3, expected 0 to 2"),
        ("-1 .5 .5 .1 .1", "found class -1, expected 0 to 2"),
        ("1.0 .5 .5 .1 .1", "found class 1.0, expected 0 to 2"),
        ("0 nan .5 .1 .1", "expected finite numbers"),
        ("0 .5 .5 inf .1", "expected finite numbers"),
        ("0 1.01 .5 .1 .1", "found center 1.01 .5, expected it inside the image"),
        ("0 .5 0 .1 .1", "found center .5 0, expected it inside the image"),
        ("0 .5 -.2 .1 .1", "found center .5 -.2, expected it inside the image"),
        ("0 320 240 64 48", "found center 320 240, expected it inside the image"),
        ("0 .5 .5 0 .1", "found size 0 .1, expected it above 0 and at most 1"),
        ("0 .5 .5 .1 -.1", "found size .1 -.1, expected it above 0"),
        ("0 1e308 .5 .1 .1", "found center 1e308 .5, expected it inside the image"),
        ("0 .5 .5 1e308 1e999", "expected finite numbers"),
        ("0 .5 .5 .1_0 .1", "expected numbers"),
        ("0 .5 .5 .1 .\u0661", "expected numbers"),  # an Arabic digit, which Python's float takes
        ("0" * 90 + ".5 .5 .5 .1 .1", "found class 000"),
        ("9" * 30 + " .5 .5 .1 .1", "expected 0 to 2"),
        ("0 .5 .5 1.01 .1", "found size 1.01 .1, expected it above 0 and at most 1"),
    ],
)
def test_every_fault_is_named_with_file_and_line_and_the_good_rows_stay(tmp_path, row, fault):
    ground_truth, faults = labels(tmp_path, f"0 .5 .5 .1 .1\n\n{row}\n1 .5 .5 .2 .2\n")
    assert len(faults) == 1
    assert faults[0].startswith(f"{tmp_path}/a.txt:3: ") and fault in faults[0]
    assert ground_truth.labels.tolist() == [0, 1]


def test_printed_digits_may_make_a_box_a_little_too_large(tmp_path):
    ground_truth, faults = labels(tmp_path, "0 .5 .5 1.0005 1.000001\n")
    assert faults == [] and ground_truth.boxes.tolist() == [[0.5, 0.5, 1, 1]]


def test_a_very_long_row_is_shown_short(tmp_path):
    _, faults = labels(tmp_path, "x" * 5000)
    assert len(faults[0]) < 300


def test_rows_have_their_line_numbers_with_any_line_endings(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf0 .5 .5 .1 .1  \r\n\r\n   \r\nbad\r\n2 .5 .5 .2 .2\t")
    rows, faults = read_rows(path, classes=3)
    assert rows == [(1, (0, 0.5, 0.5, 0.1, 0.1)), (5, (2, 0.5, 0.5, 0.2, 0.2))]
    assert len(faults) == 1 and faults[0].startswith(f"{path}:4: found 'bad'")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (bytes(range(256)) * 100, "found zero bytes, expected plain text"),
        ("0 .5 .5 .1 .1\n".encode("utf-16"), "found zero bytes, expected plain text (not UTF-16)"),
        (b"0 .5 .5 .1 .1\n" * (MOST_LABEL_BYTES // 14 + 1), "found more than 3145728 bytes"),
    ],
)
def test_a_file_that_is_not_a_label_file_has_no_rows_and_one_fault(tmp_path, content, fault):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    rows, faults = read_rows(path, 3)
    assert rows == [] and len(faults) == 1
    assert faults[0].startswith(f"{path}:1: ") and fault in faults[0]


def test_a_file_full_of_faults_is_read_quickly(tmp_path):
    ground_truth, faults = labels(tmp_path, "x\n" * 500_000)
    assert len(ground_truth.labels) == 0 and len(faults) == 500_000


def test_a_list_in_utf16_is_read_with_a_mark_and_named_without(tmp_path, caplog):
    path = tmp_path / "list.txt"
    path.write_bytes("a.jpg\r\nfür.jpg\r\n".encode("utf-16"))
    assert read_list(path) == [Path("a.jpg"), Path("für.jpg")]
    assert caplog.messages == [f"{path}: found UTF-16, read as such; Darknet reads UTF-8 only"]
    path.write_bytes("a.jpg\r\n".encode("utf-16-le"))
    with pytest.raises(DatasetError, match=r"list.txt: found zero bytes \(UTF-16 without a byte order mark"):
        read_list(path)
