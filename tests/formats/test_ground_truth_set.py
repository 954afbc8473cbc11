"""yolo.formats.ground_truth_set: ids of images, and boxes as fractions and as pixels; expected values by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.detection_files import detections_of, images_of
from yolo.errors import DatasetError
from yolo.formats.ground_truth_set import (
    GroundTruthSet,
    fractions_to_pixels,
    image_id_of,
    index_by_image_id,
    pixels_to_fractions,
)


def test_an_image_id_is_the_file_name_without_folder_and_suffix():
    names = ("a.jpg", "x/a.b.jpg", r"C:\data\a.png", "a", ".hidden")
    assert [image_id_of(name) for name in names] == ["a", "a.b", "a", "a", ".hidden"]


def test_two_images_of_the_same_id_are_an_error():
    assert index_by_image_id(images_of()) == {"a": 0, "c-d": 1, "e.f": 2}
    twice = GroundTruthSet((), ("train/1.jpg", "val/1.jpg"), None, images_of().ground_truth, 0.0)
    with pytest.raises(DatasetError, match=r"found train/1.jpg and val/1.jpg, expected images"):
        index_by_image_id(twice)
    with pytest.raises(DatasetError, match=r"^val/x.json: found train/1.jpg and val/1.jpg, exp"):
        index_by_image_id(replace(twice, source=Path("val/x.json")))


@pytest.mark.parametrize("origin", [0.0, 1.0])
def test_fractions_become_pixels_and_back(origin):
    images = images_of(origin=origin)
    # by hand in 500 x 375: 250 -+ 50, 75 -+ 75
    found = fractions_to_pixels(np.array([[0.5, 0.2, 0.2, 0.4]]), np.array([1]), images)
    assert found.tolist() == [[200 + origin, origin, 300 + origin, 150 + origin]]
    detections = detections_of((1, 0, 1, *found[0]))
    assert pixels_to_fractions(detections, images).tolist() == [[0.5, 0.2, 0.2, 0.4]]


def test_a_box_far_from_its_image_cannot_be_fractions():
    # by hand in 500 x 375: center 1100 / 500, 75 / 375, size 200 / 500, 150 / 375
    with pytest.raises(DatasetError, match=r"found a detection at 2.2 0.2 0.4 0.4 of b/c-d.jpg, exp"):
        pixels_to_fractions(detections_of((0, 0, 1, 0, 0, 9, 9), (1, 0, 1, 1000, 0, 1200, 150)), images_of())


def test_fractions_need_the_images_sizes():
    unknown = GroundTruthSet((), ("1.jpg",), None, images_of().ground_truth, 0.0)
    with pytest.raises(ValueError, match="need the images' sizes"):
        fractions_to_pixels(np.zeros((1, 4)), np.zeros(1, np.int64), unknown)
