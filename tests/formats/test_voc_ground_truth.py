"""yolo.formats.voc_results: VOC's truth under other names, comp4 files under other truth."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers.detection_files import (
    any_detections,
    detections_of,
    grouped,
    pictures_of,
    some_truth,
)
from yolo.errors import DatasetError
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.formats.voc_results import read_comp4, write_comp4
from yolo.formats.voc_xml import voc_truth, with_sizes


def xml(*objects, size=(80, 100)):
    """XML of objects (name, xmin, ymin, xmax, ymax) in a picture of (height, width)."""
    text = f"<annotation><size><height>{size[0]}</height><width>{size[1]}</width></size>"
    for name, x1, y1, x2, y2 in objects:
        text += (
            f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        )
    return text + "</annotation>"


@pytest.fixture
def annotations(tmp_path):
    (tmp_path / "1.xml").write_text(xml(("eel", 1, 2, 3, 4)))
    (tmp_path / "2.xml").write_text(xml(("cat", 5, 6, 7, 8), size=(9, 7)))
    return tmp_path


def test_the_classes_are_those_of_the_annotations_and_more(annotations):
    found = voc_truth(annotations, ("1", "2"), more_names=("dog", "cat"))
    assert (found.names, found.truth.labels.tolist()) == (("cat", "dog", "eel"), [2, 0])
    assert (found.image_ids, found.origin, found.sizes) == (("1", "2"), 1, None)
    assert found.truth.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_given_names_give_the_numbers(annotations):
    found = voc_truth(annotations, ("1", "2"), ("eel", "emu", "cat"), more_names=("dog",))
    assert (found.names, found.truth.labels.tolist()) == (("eel", "emu", "cat"), [0, 2])
    with pytest.raises(DatasetError, match="2.xml: found class 'cat', expected one of the names"):
        voc_truth(annotations, ("1", "2"), ("eel", "emu"))


def test_sizes_are_read_when_they_are_needed(annotations):
    found = with_sizes(voc_truth(annotations, ("1", "2")), annotations)
    assert found.sizes.tolist() == [[80, 100], [9, 7]]
    (annotations / "2.xml").write_text("<annotation/>")
    with pytest.raises(DatasetError, match="2.xml: found size 0 x 0, expected the picture's"):
        with_sizes(voc_truth(annotations, ("1", "2")), annotations)


def test_a_picture_in_a_folder_is_refused(annotations):
    with pytest.raises(DatasetError, match="found picture ../1, expected a name without folder"):
        voc_truth(annotations, ("../1",))


def test_a_picture_of_more_pixels_than_can_be_is_named(annotations):
    path = annotations / "2.xml"
    path.write_text(path.read_text().replace("<width>7<", "<width>1e30<"))
    with pytest.raises(DatasetError, match="2.xml: found size 1000.* x 9, expected the picture's"):
        with_sizes(voc_truth(annotations, ("1", "2")), annotations)


@given(any_detections())
@settings(max_examples=50, deadline=None)
def test_detections_come_back_to_the_last_bit(detections):
    pictures = pictures_of(origin=1.0)
    with tempfile.TemporaryDirectory() as folder:
        write_comp4(folder, pictures, detections)
        back = read_comp4(folder, pictures)
    assert np.array_equal(grouped(back), grouped(detections))


def test_a_class_with_truth_needs_a_file_and_one_without_truth_none(tmp_path):
    pictures = pictures_of(some_truth(1.0), origin=1.0)
    write_comp4(tmp_path, pictures, detections_of((0, 0, 0.5, 1, 1, 2, 2)))
    (tmp_path / "comp4_det_test_eel.txt").unlink()
    assert len(read_comp4(tmp_path, pictures).scores) == 1
    (tmp_path / "comp4_det_test_dog.txt").unlink()
    with pytest.raises(DatasetError, match="no comp4_det_test_<class>.txt found for dog"):
        read_comp4(tmp_path, pictures)


def test_results_of_an_unknown_class_are_named(tmp_path):
    (tmp_path / "comp4_det_test_emu.txt").touch()
    with pytest.raises(DatasetError, match="found results of class 'emu', expected one of the 3"):
        read_comp4(tmp_path, pictures_of(origin=1.0))


@pytest.mark.parametrize(
    ("names", "files", "message"),
    [
        (("a/b",), ("x.jpg",), "found class 'a/b', expected one that can be part of"),
        (("a",), ("x y.jpg",), "found picture 'x y', expected a name without blanks"),
        (("a",), ("1/x.jpg", "2/x.png"), "found 1/x.jpg and 2/x.png, expected pictures that"),
    ],
)
def test_what_comp4_files_cannot_hold_is_refused(tmp_path, names, files, message):
    pictures = GroundTruthSet(names, files, None, pictures_of().truth, 1.0)
    with pytest.raises(DatasetError, match=message):
        write_comp4(tmp_path, pictures, detections_of())
    with pytest.raises(DatasetError, match=f"^t.json: {message}"):
        write_comp4(tmp_path, replace(pictures, source=Path("t.json")), detections_of())
    assert not [*tmp_path.iterdir()]


def test_boxes_that_begin_at_0_are_a_mistake(tmp_path):
    for call in (lambda: write_comp4(tmp_path, pictures_of(), detections_of()),
                 lambda: read_comp4(tmp_path, pictures_of())):  # fmt: skip
        with pytest.raises(ValueError, match="boxes from 0.0, expected VOC's pixels from 1.0"):
            call()
