"""Labels that are probably mistakes, and counts of lists, by hand."""

import numpy as np
import pytest

from yolo.data.labeled_images import LabeledImage, packed
from yolo.explain.data_set.counting import count_list, shifted_classes
from yolo.explain.data_set.odd_labels import doubled_labels, unusual_sizes
from yolo.explain.data_set.shapes_of_boxes import PLACES, SIZE_BINS, shapes_of_boxes
from yolo.records import LabeledBoxes

NAMES = ("ant", "bee")
NO_BOXES = LabeledBoxes(np.zeros(0, np.int64), np.zeros((0, 4)))


def images_of(*images, size=(100, 200)):
    """Images of rows (class, cx, cy, w, h)."""
    made = []
    for number, rows in enumerate(images):
        table = np.array(rows, float).reshape(-1, 5)
        made.append(LabeledImage(f"{number}.jpg", size, LabeledBoxes(table[:, 0].astype(int), table[:, 1:]), NO_BOXES))
    return packed(made)


def test_two_boxes_on_one_object_are_found_in_their_image_only():
    box = (0.5, 0.5, 0.2, 0.2)
    images = images_of(
        [(0, *box)],
        [(1, 0.2, 0.2, 0.1, 0.1), (0, *box), (0, 0.51, 0.5, 0.2, 0.2)],  # 19/21 of each other
        [(0, *box), (1, *box)],
        [(0, *box), (0, 0.55, 0.5, 0.2, 0.2)],  # neighbors: 15/25
    )
    found = doubled_labels(images.ground_truth, NAMES)
    assert [(each.image, each.boxes, each.what) for each in found] == [
        (2, (0, 1), "ant and bee on one object, IoU 1.00"),
        (1, (1, 2), "two boxes of ant, IoU 0.90"),
    ]


def test_a_box_of_another_size_than_its_class_is_unusual():
    usual = [[(0, 0.5, 0.5, 0.1 + 0.001 * number, 0.2)] for number in range(30)]
    images = images_of(*usual, [(0, 0.5, 0.5, 0.4, 0.6), (1, 0.5, 0.5, 0.01, 0.01)])
    (odd,) = unusual_sizes(images.ground_truth, images.sizes, NAMES)  # of bee there is only one
    assert (odd.image, odd.boxes) == (30, (0,))
    assert odd.what == "ant of 80 × 60 pixels: 10 times larger than the median"  # 0.24 / (0.1145 * 0.2)


def test_counts_by_hand():
    images = images_of([(0, 0.5, 0.5, 0.1, 0.1)] * 2, [], [(0, 0.5, 0.5, 0.1, 0.1), (1, 0.2, 0.2, 0.1, 0.1)])
    counts = count_list("train", images, 3)
    assert (counts.images, counts.objects, counts.empty, counts.most) == (3, 4, 1, 2)
    assert counts.class_objects == (3, 1, 0) and counts.class_images == (2, 1, 0)
    assert counts.per_image[:4] == (1, 0, 2, 0) and sum(counts.per_image) == 3
    assert counts.sizes == (((200, 100), 3),) and counts.largest == (200, 100)


@pytest.mark.parametrize(("valid", "shifted"), [((90, 10), []), ((70, 30), [1])])
def test_a_class_shifts_beyond_chance_only(valid, shifted):
    def counts(name, numbers):
        boxes = [(label, 0.5, 0.5, 0.1, 0.1) for label, number in enumerate(numbers) for _ in range(number)]
        return count_list(name, images_of(boxes), 2)

    found = shifted_classes(counts("train", (900, 100)), counts("valid", valid))
    assert [label for label, _, _ in found] == shifted
    if shifted:
        assert found[0][1:] == (0.1, 0.3)
    assert shifted_classes(counts("train", (3, 1)), counts("valid", (1, 1))) == []  # a few objects prove nothing


def test_every_box_is_counted_once_in_every_image():
    rng = np.random.default_rng(0)
    boxes = np.concatenate((rng.random((500, 2)), np.exp(rng.normal(-2, 1, (500, 2)))), axis=1)
    boxes[0, :2] = 1, 1
    shapes = shapes_of_boxes(boxes[:, 2:] * 416, boxes)
    for counts in (shapes.density, shapes.ratios, shapes.sides, shapes.places):
        assert counts.sum() == 500
    one = shapes_of_boxes(np.array([(16, 32)]), np.array([(0.99, 0.01, 0.1, 0.2)]))
    assert (one.low, one.high, one.median) == (16, 64, (16, 32))
    assert one.density[SIZE_BINS // 2, 0] == 1  # rows are heights
    assert one.places[0, PLACES - 1] == 1
