"""yolo.evaluate.metrics.coco_matching against pycocotools, and by hand where pycocotools gives no answer."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers.scoring_scenes import CLASSES, IMAGES, NAMES, SIDE, found_of, ground_truth_of, scenes
from yolo.evaluate.metrics.coco import coco_structures, score_coco
from yolo.evaluate.metrics.coco_matching import (
    IOU_THRESHOLDS,
    class_aps,
    curve_101,
    overlapping_pairs,
    rank_detections,
    same_class,
    score_order,
)
from yolo.evaluate.metrics.voc import mean_ap
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.records import ScoredBoxes


def coco_of(ground_truth, found, scale=1):
    sizes = np.array([(SIDE * scale, SIDE * scale)] * IMAGES)
    files = tuple(map(str, range(IMAGES)))
    ground_truth_set = GroundTruthSet(NAMES, files, sizes, ground_truth, 0.0)
    return score_coco(*coco_structures(ground_truth_set, found))


def means(ground_truth, found, areas):
    pairs = same_class(ground_truth, found, overlapping_pairs(ground_truth, found, 0.5))
    return mean_ap(
        mean_ap(class_aps(rank_detections(ground_truth, found, pairs, CLASSES, thresh, areas)))
        for thresh in IOU_THRESHOLDS
    )


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_ap_of_every_size_is_pycocotools(scene):
    # 11 times as large, the sides of 1 to 12 lie on both sides of COCO's 32 and 96
    ground_truth = type(scene[0])(*scene[0].__dict__.values())
    ground_truth = ground_truth_of(
        [(p, c, b * 11, d) for p, c, b, d in zip(*ground_truth.__dict__.values(), strict=True)]
    )
    found = found_of([(p, c, s, b * 11) for p, c, s, b in zip(*scene[1].__dict__.values(), strict=True)])
    score = coco_of(ground_truth, found, 11)
    areas = {
        "ap": (0, 1e10),
        "ap_small": (0, 1024),
        "ap_medium": (1024, 9216),
        "ap_large": (9216, 1e10),
    }
    for key, limits in areas.items():
        expected = getattr(score, key)
        assert means(ground_truth, found, limits) == pytest.approx(expected, abs=1e-9), key


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_ap_of_every_class_is_pycocotools(scene):
    ground_truth, found = scene
    pairs = same_class(ground_truth, found, overlapping_pairs(ground_truth, found, 0.5))
    by_thresh = [class_aps(rank_detections(ground_truth, found, pairs, CLASSES, t)) for t in IOU_THRESHOLDS]
    expected = coco_of(ground_truth, found).class_ap
    for values, number in zip(zip(*by_thresh, strict=True), expected, strict=True):
        assert mean_ap(values) == pytest.approx(number, abs=1e-9)


def test_of_equal_scores_the_earlier_image_is_first_in_any_order():
    images, scores = np.array([1, 0, 1, 0]), np.array([0.5, 0.5, 0.9, 0.5])
    shuffled = ScoredBoxes(images, images, scores, np.zeros((4, 4)))
    assert score_order(shuffled).tolist() == [2, 1, 3, 0]
    in_order = shuffled.where(score_order(shuffled))
    assert in_order.scores.tolist() == [0.9, 0.5, 0.5, 0.5] and in_order.image_index.tolist() == [
        1,
        0,
        0,
        1,
    ]
    assert score_order(in_order).tolist() == [0, 1, 2, 3]
    later_first = ScoredBoxes(images[:2], images[:2], scores[:2], np.zeros((2, 4)))
    assert score_order(later_first).tolist() == [1, 0]


def test_the_curve_by_hand():
    # right, wrong, right of 4: recall .25 at 1, .5 at 2/3, then nothing
    curve = curve_101(np.array([True, False, True]), 4)
    assert curve[:26].tolist() == [1.0] * 26
    assert curve[26:51] == pytest.approx(2 / 3) and curve[51:].tolist() == [0.0] * 50


def test_more_than_a_hundred_of_a_class_in_an_image_all_count():
    # pycocotools would drop the last one, the only right one
    ground_truth = ground_truth_of([(0, 0, (0, 0, 4, 4), False)])
    wrong = [(0, 0, 0.9, (6, 6, 8, 8))] * 100
    found = found_of([*wrong, (0, 0, 0.1, (0, 0, 4, 4))])
    assert means(ground_truth, found, (0, 1e10)) == pytest.approx(1 / 101)
    assert coco_of(ground_truth, found).ap == 0
