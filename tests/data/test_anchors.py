"""yolo.data.anchors: overlaps and fractions by hand; k-means against conditions of its result, and a slow version."""

from pathlib import Path

import numpy as np
import pytest

from yolo.data.anchors import (
    CELL_DIGITS,
    PIXEL_DIGITS,
    HeadAnchors,
    anchors_line,
    best_anchors,
    box_sizes,
    fit_of,
    kmeans_anchors,
    masks_by_size,
    rounded_anchors,
)
from yolo.data.labeled_images import LabeledImage
from yolo.errors import DatasetError
from yolo.letterbox import letterboxed, stretched
from yolo.records import LabeledBoxes


def image(size, sides):
    boxes = np.array([[0.5, 0.5, *side] for side in sides], float).reshape(-1, 4)
    ground_truth = LabeledBoxes(np.zeros(len(boxes), np.int64), boxes)
    return LabeledImage(Path("a.png"), size, ground_truth, ground_truth)


def drawn_boxes(count=300, seed=1):
    return np.exp(np.random.default_rng(seed).normal(4, 0.7, (count, 2)))


def slow_overlap(first, second):
    """IoU of two boxes on one center, step by step."""
    width, height = min(first[0], second[0]), min(first[1], second[1])
    return width * height / (first[0] * first[1] + second[0] * second[1] - width * height)


# ------------------------------------------------------------------------------------------------- the boxes' sizes


def test_sizes_are_those_that_the_network_sees():
    images = [
        image((48, 64), [(0.5, 0.25)]),
        image((100, 100), []),
        image((20, 10), [(1, 1)]),
    ]
    # by hand: half of 32, a quarter of 24; all of 32 x 24
    assert box_sizes(images, (24, 32), stretched).tolist() == [[16, 6], [32, 24]]
    # by hand: 64 x 48 fits exactly; 10 x 20 becomes 12 x 24
    assert box_sizes(images, (24, 32), letterboxed).tolist() == [[16, 6], [12, 24]]


def test_boxes_of_less_than_a_pixel_do_not_count_and_none_is_an_empty_array():
    images = [image((48, 64), [(0.03, 0.5), (0.04, 0.05)])]
    assert box_sizes(images, (24, 32), stretched).tolist() == [[1.28, pytest.approx(1.2)]]
    assert box_sizes([], (24, 32), stretched).shape == (0, 2)


# ----------------------------------------------------------------------------------------------------------- the fit


def test_the_best_anchor_is_that_of_the_largest_overlap_the_first_of_equals():
    anchors, boxes = drawn_boxes(7, seed=2), drawn_boxes(50)
    best, which = best_anchors(np.concatenate((anchors, anchors)), boxes)
    for box, overlap, number in zip(boxes, best, which, strict=True):
        overlaps = [slow_overlap(box, anchor) for anchor in anchors]
        assert number == overlaps.index(max(overlaps))
        assert overlap == pytest.approx(max(overlaps), rel=1e-12)


def test_recall_counts_boxes_above_the_overlap_not_at_it():
    anchors = np.array([[10.0, 10.0]])
    # by hand: overlaps 1, 0.5 exactly, 0.6, 0.25
    boxes = np.array([[10.0, 10.0], [20.0, 10.0], [10.0, 6.0], [5.0, 5.0]])
    assert fit_of([HeadAnchors(0, anchors, (0,), 32.0)], boxes).recall == 0.5


def test_each_head_is_responsible_for_the_boxes_of_its_anchors_and_none_for_some():
    """yolov3-tiny's masks 3,4,5 and 1,2,3: two heads have the same anchor, and no head has anchor 0."""
    anchors = np.array([[10.0, 10.0], [20.0, 20.0], [40.0, 40.0], [80.0, 80.0]])
    heads = [HeadAnchors(7, anchors, (2, 3), 32.0), HeadAnchors(9, anchors, (1, 2), 16.0)]
    boxes = np.array([[10.0, 10.0], [20.0, 20.0], [40.0, 40.0], [80.0, 80.0], [80.0, 20.0]])
    fit = fit_of(heads, boxes)
    # by hand: 80 x 20 overlaps 20 x 20 by 400 / 1600, 40 x 40 by 800 / 2400, 80 x 80 by 1600 / 6400
    assert fit.fractions == (3 / 5, 3 / 5) and fit.unassigned == pytest.approx(1 / 5)
    # by hand: 10 x 10 overlaps the smallest anchor in use by 100 / 400; two boxes of five stay below .5
    assert fit.recall == 3 / 5
    assert fit.mean_iou == pytest.approx((0.25 + 1 + 1 + 1 + 1 / 3) / 5)


# ----------------------------------------------------------------------------------------------------------- k-means


def test_separate_heaps_give_their_means_in_order_of_area():
    heaps = [np.array([[100.0, 50.0], [104, 54], [96, 46]]), np.array([[10.0, 10.0], [11, 12]]),
             np.array([[30.0, 90.0]] * 3 + [[30, 94]])]  # fmt: skip
    found = kmeans_anchors(np.concatenate(heaps), 3)
    assert found == pytest.approx(np.array([[10.5, 11], [30, 91], [100, 50]]))


def test_one_anchor_is_the_mean_of_all():
    boxes = drawn_boxes()
    assert kmeans_anchors(boxes, 1)[0] == pytest.approx(boxes.mean(axis=0))


def test_every_anchor_is_the_mean_of_the_boxes_that_it_is_nearest_to():
    """What k-means ends with, by a slow version of both halves of its round."""
    boxes = drawn_boxes()
    found = kmeans_anchors(boxes, 5)
    nearest = [max(range(5), key=lambda n: slow_overlap(box, found[n])) for box in boxes]
    for number, anchor in enumerate(found):
        own = [box for box, which in zip(boxes, nearest, strict=True) if which == number]
        assert anchor == pytest.approx(np.mean(own, axis=0))
    areas = found.prod(axis=1)
    assert (areas[:-1] <= areas[1:]).all()


def test_more_starts_find_no_worse_and_the_seed_decides():
    boxes = drawn_boxes(1000, seed=3)
    fits = [best_anchors(kmeans_anchors(boxes, 6, starts=n), boxes)[0].mean() for n in (1, 4, 12)]
    assert fits == sorted(fits) and fits[0] < fits[-1]
    assert (kmeans_anchors(boxes, 6, seed=4) == kmeans_anchors(boxes, 6, seed=4)).all()
    assert (kmeans_anchors(boxes, 6, seed=4) != kmeans_anchors(boxes, 6, seed=5)).any()


@pytest.mark.parametrize("seed", [1383, 1617, 1624])
def test_an_anchor_that_loses_all_its_boxes_stays_where_it_was(seed):
    """Of 3000 drawn sets these are among the seven in which that happens; every anchor stays among the boxes."""
    boxes = np.round(np.exp(np.random.default_rng(seed).normal(3, 1, (12, 2)))) + 1
    found = kmeans_anchors(boxes, 6, starts=1)
    assert (found >= boxes.min(axis=0)).all() and (found <= boxes.max(axis=0)).all()


def test_as_many_anchors_as_different_boxes_are_these_and_more_are_refused():
    boxes = np.array([[10.0, 20.0]] * 50 + [[12, 20], [30, 5]])
    assert kmeans_anchors(boxes, 3).tolist() == [[30, 5], [10, 20], [12, 20]]
    with pytest.raises(DatasetError, match="found 3 different sizes of boxes, expected at least 4"):
        kmeans_anchors(boxes, 4)
    with pytest.raises(DatasetError, match="found 0 different"):
        kmeans_anchors(np.zeros((0, 2)), 1)


# -------------------------------------------------------------------------------------------------- lines for the cfg


def test_small_anchors_go_to_the_head_of_the_finest_grid():
    assert masks_by_size([3, 3, 3], [32, 16, 8]) == [(6, 7, 8), (3, 4, 5), (0, 1, 2)]  # yolov3.cfg
    assert masks_by_size([3, 3, 3], [8, 16, 32]) == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]  # yolov4.cfg
    assert masks_by_size([2, 4], [32, 16]) == [(4, 5), (0, 1, 2, 3)]
    assert masks_by_size([5], [32]) == [(0, 1, 2, 3, 4)]


def test_the_line_is_what_a_cfg_takes():
    anchors = np.array([[0.2, 13.4], [116.0, 89.5], [0.00001, 1.32214]])
    # numpy rounds halves to the even neighbor, as printf does
    pixels = rounded_anchors(anchors[:2], PIXEL_DIGITS)
    assert anchors_line(pixels, PIXEL_DIGITS) == "1,13,  116,90"
    cells = rounded_anchors(anchors[1:], CELL_DIGITS)
    assert anchors_line(cells, CELL_DIGITS) == "116.0000,89.5000,  0.0001,1.3221"
