"""yolo.data.labeled_images: the arrays return the records that were packed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo.data.labeled_images import LabeledImage, packed
from yolo.formats.label_files import label_candidates
from yolo.records import LabeledBoxes

NAMES = st.sampled_from(["a.png", "images/b.jpg", "/x/images/raw/ü ö.jpg", "JPEGImages/\udce4.jpg", "noend"])


@st.composite
def boxes(draw):
    count = draw(st.integers(0, 3))
    numbers = draw(st.lists(st.floats(0, 1), min_size=5 * count, max_size=5 * count))
    table = np.array(numbers).reshape(count, 5)
    return LabeledBoxes((table[:, 0] * 9).astype(np.int64), table[:, 1:])


@st.composite
def images(draw):
    path, ground_truth = Path(draw(NAMES)), draw(boxes())
    return LabeledImage(
        path=path,
        size=(draw(st.integers(1, 9999)), draw(st.integers(1, 9999))),
        ground_truth=ground_truth,
        difficult=draw(boxes()),
        labels=draw(st.sampled_from([None, *label_candidates(path)])),
        lines=tuple(range(3, 3 + len(ground_truth.labels))),
    )


def plain(image):
    parts = (image.ground_truth, image.difficult)
    return (
        image.path, image.size, image.labels, image.lines,
        *((each.labels.tolist(), each.boxes.tolist(), each.labels.dtype, each.boxes.shape) for each in parts),
    )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(images(), max_size=5), st.slices(5))
def test_packed_images_are_the_same_sequence(listed, some):
    together = packed(listed)
    assert len(together) == len(listed)
    assert [*map(plain, together)] == [*map(plain, listed)]
    assert [*map(plain, together[some])] == [*map(plain, listed[some])]
    assert [plain(together[-1 - at]) for at in range(len(listed))] == [*map(plain, reversed(listed))]
    assert packed(together) is together
    with pytest.raises(IndexError):
        together[len(listed)]


@settings(max_examples=20, deadline=None)
@given(st.lists(images(), max_size=4))
def test_each_of_all_boxes_has_the_number_of_its_image(listed):
    table = packed(listed).ground_truth
    assert table.image_index().tolist() == [
        index for index, image in enumerate(listed) for _ in image.ground_truth.labels
    ]
    assert table.labels.tolist() == [label for image in listed for label in image.ground_truth.labels]
