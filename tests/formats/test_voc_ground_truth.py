"""yolo.formats.voc_results: VOC's ground truth under other names, comp4 files under other ground truth."""

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
    images_of,
    some_ground_truth,
)
from yolo.errors import DatasetError
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.formats.voc_results import read_comp4, write_comp4
from yolo.formats.voc_xml import voc_ground_truth, with_sizes


def xml(*objects, size=(80, 100)):
    """XML of objects (name, xmin, ymin, xmax, ymax) in an image of (height, width)."""
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
    found = voc_ground_truth(annotations, ("1", "2"), more_names=("dog", "cat"))
    assert (found.names, found.ground_truth.labels.tolist()) == (("cat", "dog", "eel"), [2, 0])
    assert (found.image_ids, found.origin, found.sizes) == (("1", "2"), 1, None)
    assert found.ground_truth.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_given_names_give_the_numbers(annotations):
    found = voc_ground_truth(annotations, ("1", "2"), ("eel", "emu", "cat"), more_names=("dog",))
    assert (found.names, found.ground_truth.labels.tolist()) == (("eel", "emu", "cat"), [0, 2])
    with pytest.raises(DatasetError, match="2.xml: found class 'cat', expected one of the names"):
        voc_ground_truth(annotations, ("1", "2"), ("eel", "emu"))


def test_sizes_are_read_when_they_are_needed(annotations):
    found = with_sizes(voc_ground_truth(annotations, ("1", "2")), annotations)
    assert found.sizes.tolist() == [[80, 100], [9, 7]]
    (annotations / "2.xml").write_text("<annotation/>")
    with pytest.raises(DatasetError, match="2.xml: found size 0 x 0, expected the image's"):
        with_sizes(voc_ground_truth(annotations, ("1", "2")), annotations)


def test_an_image_in_a_folder_is_refused(annotations):
    with pytest.raises(DatasetError, match="found image ../1, expected a name without folder"):
        voc_ground_truth(annotations, ("../1",))


def test_an_image_of_more_pixels_than_can_be_is_named(annotations):
    path = annotations / "2.xml"
    path.write_text(path.read_text().replace("<width>7<", "<width>1e30<"))
    with pytest.raises(DatasetError, match="2.xml: found size 1000.* x 9, expected the image's"):
        with_sizes(voc_ground_truth(annotations, ("1", "2")), annotations)


@given(any_detections())
@settings(max_examples=50, deadline=None)
def test_detections_come_back_to_the_last_bit(detections):
    images = images_of(origin=1.0)
    with tempfile.TemporaryDirectory() as folder:
        write_comp4(folder, images, detections)
        back = read_comp4(folder, images)
    assert np.array_equal(grouped(back), grouped(detections))


def test_a_class_with_ground_truth_needs_a_file_and_one_without_ground_truth_none(tmp_path):
    images = images_of(some_ground_truth(1.0), origin=1.0)
    write_comp4(tmp_path, images, detections_of((0, 0, 0.5, 1, 1, 2, 2)))
    (tmp_path / "comp4_det_test_eel.txt").unlink()
    assert len(read_comp4(tmp_path, images).scores) == 1
    (tmp_path / "comp4_det_test_dog.txt").unlink()
    with pytest.raises(DatasetError, match="no comp4_det_test_<class>.txt found for dog"):
        read_comp4(tmp_path, images)


def test_results_of_an_unknown_class_are_named(tmp_path):
    (tmp_path / "comp4_det_test_emu.txt").touch()
    with pytest.raises(DatasetError, match="found results of class 'emu', expected one of the 3"):
        read_comp4(tmp_path, images_of(origin=1.0))


@pytest.mark.parametrize(
    ("names", "files", "message"),
    [
        (("a/b",), ("x.jpg",), "found class 'a/b', expected one that can be part of"),
        (("a",), ("x y.jpg",), "found image 'x y', expected a name without blanks"),
        (("a",), ("1/x.jpg", "2/x.png"), "found 1/x.jpg and 2/x.png, expected images that"),
    ],
)
def test_what_comp4_files_cannot_hold_is_refused(tmp_path, names, files, message):
    images = GroundTruthSet(names, files, None, images_of().ground_truth, 1.0)
    with pytest.raises(DatasetError, match=message):
        write_comp4(tmp_path, images, detections_of())
    with pytest.raises(DatasetError, match=f"^t.json: {message}"):
        write_comp4(tmp_path, replace(images, source=Path("t.json")), detections_of())
    assert not [*tmp_path.iterdir()]


def test_boxes_that_begin_at_0_are_a_mistake(tmp_path):
    for call in (lambda: write_comp4(tmp_path, images_of(), detections_of()),
                 lambda: read_comp4(tmp_path, images_of())):  # fmt: skip
        with pytest.raises(ValueError, match="boxes from 0.0, expected VOC's pixels from 1.0"):
            call()
