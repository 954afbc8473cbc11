"""yolo.formats.label_detections: both orders of columns come back, and every bad row is named."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.detection_files import SIZES, detections_of, grouped, images_of, near_detections
from yolo.errors import DatasetError
from yolo.formats.label_detections import Columns, read_label_detections, write_label_detections

ROWS = {Columns.SCORE_FIRST: "1 .75 0.25 0.5 0.3 0.5", Columns.SCORE_LAST: "1 0.25 0.5 0.3 0.5 .75"}


@pytest.mark.parametrize("columns", Columns)
def test_a_row_is_read_in_both_orders(tmp_path, columns):
    (tmp_path / "a.txt").write_text(f"\n{ROWS[columns]}\r\n")
    found, without = read_label_detections(tmp_path, images_of(), columns)
    # by hand in 100 x 80: 25 -+ 15, 40 -+ 20
    assert grouped(found).tolist() == [[0, 1, 0.75, 10, 20, 40, 60]]
    assert without == ["c-d", "e.f"]


@pytest.mark.parametrize("columns", Columns)
def test_a_row_is_written_in_both_orders(tmp_path, columns):
    write_label_detections(tmp_path, images_of(), detections_of((0, 1, 0.75, 10, 20, 40, 60)), columns)
    words = ROWS[columns].replace(" .75", " 0.75")
    assert (tmp_path / "a.txt").read_text() == f"{words}\n"
    assert (tmp_path / "e.f.txt").read_text() == ""


@given(near_detections(), st.sampled_from([0.0, 1.0]), st.sampled_from(Columns))
@settings(max_examples=50, deadline=None)
def test_detections_are_read_back_to_a_billionth_of_the_image(detections, origin, columns):
    images = images_of(origin=origin)
    with tempfile.TemporaryDirectory() as folder:
        write_label_detections(folder, images, detections, columns)
        back, without = read_label_detections(folder, images, columns)
        assert len([*Path(folder).iterdir()]) == 3 and not without
    expected, found = grouped(detections), grouped(back)
    assert np.array_equal(found[:, :3], expected[:, :3])
    assert np.abs(found[:, 3:] - expected[:, 3:]).max(initial=0) <= 1e-9 * SIZES.max()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1 .5 .5 .5 .5", "found 5 columns, expected 6: class score cx cy w h"),
        ("1 .5 .5 .5 .5 .5 .5", "found 7 columns, expected 6: class score cx cy w h"),
        ("3 .5 .5 .5 .5 .5", "found class '3', expected 0 to 2"),
        ("-1 .5 .5 .5 .5 .5", "found class '-1', expected 0 to 2"),
        ("1.0 .5 .5 .5 .5 .5", "found class '1.0', expected 0 to 2"),
        ("1 nan .5 .5 .5 .5", "found '1 nan .5 .5 .5 .5', expected finite numbers: class score"),
        ("1 .5 .5 .5 1e999 .5", "found '1 .5 .5 .5 1e999 .5', expected finite numbers"),
        ("1 .5 .5 .5 1e308 .5", "found '1 .5 .5 .5 1e308 .5', expected finite numbers"),
        ("1 .5 .5 .5 x .5", "found '1 .5 .5 .5 x .5', expected finite numbers"),
        ("1 .5 .5 .5 1_0 .5", "found '1 .5 .5 .5 1_0 .5', expected finite numbers"),
        ("0 .9 320 240 100 80",
         "found '0 .9 320 240 100 80', expected class score cx cy w h, center and size in 0..1 of"),
        ("0 .9 .5 -2.1 .1 .1", "found '0 .9 .5 -2.1 .1 .1', expected class score cx cy w h, cen"),
        ("0 .9 .5 .5 .1 2.1", "found '0 .9 .5 .5 .1 2.1', expected class score cx cy w h, cente"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(tmp_path, row, message):
    (tmp_path / "a.txt").write_text(f"{ROWS[Columns.SCORE_FIRST]}\n{row}\n")
    with pytest.raises(DatasetError) as error:
        read_label_detections(tmp_path, images_of(), Columns.SCORE_FIRST)
    assert str(error.value).startswith(f"{tmp_path}/a.txt:2: {message}")


@pytest.mark.parametrize(
    ("columns", "box"), [(Columns.SCORE_FIRST, [50, 60, 50, 20]), (Columns.SCORE_LAST, [45, 20, 55, 60])]
)
def test_a_negative_height_and_a_negative_score_are_read_as_they_are(tmp_path, columns, box):
    row = "1 .5 .5 .5 0 -.5" if columns is Columns.SCORE_FIRST else "1 .5 .5 .1 .5 -.5"
    (tmp_path / "a.txt").write_text(row)
    found, _ = read_label_detections(tmp_path, images_of(), columns)
    assert found.boxes.tolist() == [pytest.approx(box)]  # by hand in 100 x 80
    assert found.scores.tolist() == [0.5 if columns is Columns.SCORE_FIRST else -0.5]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(" ", "\t").replace("\n", "  \t\n\n").encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    ],
)
def test_lines_are_read_in_every_encoding(tmp_path, encode):
    (tmp_path / "a.txt").write_bytes(encode("1 .75 0.25 0.5 0.3 0.5\n0 .5 0.25 0.5 0.3 0.5\n"))
    found, _ = read_label_detections(tmp_path, images_of(), Columns.SCORE_FIRST)
    assert found.scores.tolist() == [0.75, 0.5] and found.boxes.tolist() == [[10, 20, 40, 60]] * 2


def test_utf16_without_a_mark_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("1 .75 0.25 0.5 0.3 0.5\n".encode("utf-16-le"))
    with pytest.raises(DatasetError, match="a.txt: found UTF-16 without a byte order mark, expected UTF-8 text$"):
        read_label_detections(tmp_path, images_of(), Columns.SCORE_FIRST)


def test_files_in_folders_belong_to_the_images_in_theirs(tmp_path):
    images = replace(images_of(), files=("/d/day/1.jpg", "/d/night/1.jpg", "2.jpg"))
    for name in ("day/1.txt", "night/1.txt", "2.txt", "._2.txt", ".old/2.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name.startswith(".") else f"1 .{len(name)} .5 .5 .5 .5\n")
    found, without = read_label_detections(tmp_path, images, Columns.SCORE_FIRST)
    assert (found.image_index.tolist(), found.scores.tolist(), without) == ([0, 1, 2], [0.9, 0.11, 0.5], [])
    (tmp_path / "1.txt").write_text("")
    with pytest.raises(
        DatasetError, match="found image 1, which may be /d/day/1.jpg or /d/night/1.jpg, expected a name"
    ):
        read_label_detections(tmp_path, images, Columns.SCORE_FIRST)


def test_a_file_of_another_image_is_named(tmp_path):
    (tmp_path / "z.txt").write_text("")
    with pytest.raises(DatasetError, match="z.txt:1: found image z, expected a file of one of"):
        read_label_detections(tmp_path, images_of(), Columns.SCORE_FIRST)


def test_a_score_or_class_above_2_is_not_taken_for_a_pixel(tmp_path):
    (tmp_path / "a.txt").write_text("2 2 -2 0 2 3\n")
    found, _ = read_label_detections(tmp_path, images_of(), Columns.SCORE_LAST)
    assert (found.labels.tolist(), found.scores.tolist()) == ([2], [3])


def test_a_folder_without_any_label_file_is_an_error(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DatasetError, match=f"^{tmp_path}: found no .txt file, expected one of each"):
        read_label_detections(tmp_path, images_of(), Columns.SCORE_FIRST)
    (tmp_path / "a.txt").touch()  # one alone is enough, and may be empty
    found, without = read_label_detections(tmp_path, images_of(), Columns.SCORE_FIRST)
    assert (len(found.scores), without) == (0, ["c-d", "e.f"])
