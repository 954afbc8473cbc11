"""yolo.detect.outputs.annotated: texts and colors of numbered objects."""

import numpy as np

from yolo.detect.draw import class_color
from yolo.detect.outputs.annotated import numbered_texts


def test_an_object_has_its_number_and_a_color_of_its_own():
    labels, tracks = np.array([1, 1, 0, 2]), np.array([4, 7, -1, 4])
    texts, colors = numbered_texts(labels, tracks, ["cat", "dog", "\u0001"])
    assert texts == ["dog 4", "dog 7", "cat", "#2 4"]
    assert colors[0] == colors[3] == class_color(4) and len({*colors}) == 3
