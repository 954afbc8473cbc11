"""yolo.evaluate.analysis.tide: by hand, and against tests/helpers/slow_tide.py, which goes box by box."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers import slow_tide
from tests.helpers.scoring_scenes import CLASSES, found_of, ground_truth_of, scenes
from yolo.evaluate.analysis.tide import FALSE_POSITIVES, KINDS, cost_of_each, errors_from_score, find_errors, ranked_of
from yolo.evaluate.metrics.coco_matching import class_aps
from yolo.evaluate.metrics.voc import mean_ap


def kinds_of(ground_truths, found):
    return find_errors(ground_truth_of(ground_truths), found_of(found)).kind.tolist()


def costs_of(ground_truths, found):
    ground_truth, detections = ground_truth_of(ground_truths), found_of(found)
    errors = find_errors(ground_truth, detections)
    costs = cost_of_each(ground_truth, detections, errors, CLASSES)
    return {kind: each.cost for kind, each in costs.items()}


ONE = [(0, 0, (0, 0, 10, 10), False)]  # a ground truth of class 0, 10 x 10


def test_each_kind_by_hand():
    cases = {
        "right": (0, 0, 0.9, (0, 0, 10, 5)),  # IoU .5 exactly
        "localisation": (0, 0, 0.9, (0, 0, 10, 4)),  # .4
        "classification": (0, 1, 0.9, (0, 0, 10, 5)),
        "both": (0, 1, 0.9, (0, 0, 10, 4)),
        "background": (0, 0, 0.9, (0, 0, 3, 3)),  # .09
    }
    for kind, found in cases.items():
        assert kinds_of(ONE, [found]) == [kind]
    assert kinds_of(ONE, [(0, 0, 0.9, (0, 0, 10, 1))]) == ["localisation"]  # IoU .1 exactly
    assert kinds_of(ONE, [(1, 0, 0.9, (0, 0, 10, 10))]) == ["background"]  # another image


def test_the_second_on_a_ground_truth_is_a_duplicate_by_score_not_by_order():
    found = [(0, 0, 0.3, (0, 0, 10, 10)), (0, 0, 0.8, (0, 0, 10, 9))]
    assert kinds_of(ONE, found) == ["duplicate", "right"]


def test_a_ground_truth_with_a_localisation_or_classification_error_is_not_missed():
    for found in ((0, 0, 0.9, (0, 0, 10, 4)), (0, 1, 0.9, (0, 0, 10, 10))):
        errors = find_errors(ground_truth_of(ONE), found_of([found]))
        assert errors.missed.tolist() == [False] and errors.detected.tolist() == [False]
    both = find_errors(ground_truth_of(ONE), found_of([(0, 1, 0.9, (0, 0, 10, 4))]))
    assert both.missed.tolist() == [True]


def test_a_detection_on_a_difficult_ground_truth_does_not_count():
    hard = [(0, 0, (0, 0, 10, 10), True)]
    errors = find_errors(ground_truth_of(hard), found_of([(0, 0, 0.9, (0, 0, 10, 10))]))
    assert errors.kind.tolist() == ["uncounted"] and errors.missed.tolist() == [False]


def test_costs_by_hand():
    # two ground truths; the better detection is inexact, the other right: AP 51 of 101 points at precision 1/2
    ground_truths = [*ONE, (1, 0, (0, 0, 10, 10), False)]
    found = [(0, 0, 0.9, (0, 0, 10, 4)), (1, 0, 0.5, (0, 0, 10, 10))]
    costs = costs_of(ground_truths, found)
    base = 51 / 101 / 2
    assert costs["localisation"] == pytest.approx(1 - base)
    assert costs[FALSE_POSITIVES] == pytest.approx(51 / 101 - base)
    assert costs["missed"] == costs["background"] == costs["duplicate"] == 0


def test_a_class_that_is_never_detected_costs_its_full_ap():
    # cured of its misses the class has nothing left to find: 1 instead of 0, of two classes half
    ground_truths = [*ONE, (0, 1, (0, 0, 10, 10), False)]
    costs = costs_of(ground_truths, [(0, 0, 0.9, (0, 0, 10, 10)), (1, 0, 0.1, (0, 0, 1, 1))])
    assert costs["missed"] == pytest.approx(0.5)


def test_errors_from_a_score_on():
    ground_truths = [*ONE, (1, 0, (0, 0, 10, 10), False)]
    ground_truth, found = (
        ground_truth_of(ground_truths),
        found_of([(0, 0, 0.9, (0, 0, 9, 9)), (1, 0, 0.2, (0, 0, 9, 9))]),
    )
    errors = find_errors(ground_truth, found)
    assert errors.detected.tolist() == [True, True]
    assert errors_from_score(ground_truth, found, errors, 0.25).missed.tolist() == [False, True]
    assert errors_from_score(ground_truth, found, errors, 0.2).missed.tolist() == [False, False]


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_kinds_are_those_of_the_slow_version(scene):
    ground_truth, found = scene
    errors = find_errors(ground_truth, found)
    ground_truths, detections = slow_tide.sort_errors(ground_truth, found)
    kinds = [""] * len(detections)
    for each in detections:
        kinds[each["at"]] = each["kind"]
    assert errors.kind.tolist() == kinds
    assert errors.detected.tolist() == [each["found"] for each in ground_truths]
    assert errors.missed.tolist() == [each["missed"] for each in ground_truths]


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_costs_are_those_of_the_slow_version(scene):
    ground_truth, found = scene
    errors = find_errors(ground_truth, found)
    costs = cost_of_each(ground_truth, found, errors, CLASSES)
    expected = slow_tide.costs(ground_truth, found)
    before = mean_ap(class_aps(ranked_of(ground_truth, found, errors, CLASSES)))
    assert before == pytest.approx(expected.pop(None, None), abs=1e-12)
    assert {kind: each.fixed for kind, each in costs.items()} == pytest.approx(expected, abs=1e-12)
    for each in costs.values():
        assert each.cost == pytest.approx(each.fixed - before, abs=1e-12)


@given(scenes())
@settings(max_examples=100, deadline=None)
def test_errors_from_a_score_on_equal_those_of_fewer_detections(scene):
    ground_truth, found = scene
    shown = errors_from_score(ground_truth, found, find_errors(ground_truth, found), 0.3)
    kept = found.scores >= 0.3
    again = find_errors(
        ground_truth,
        type(found)(found.image_index[kept], found.labels[kept], found.scores[kept], found.boxes[kept]),
    )
    assert np.array_equal(shown.kind[kept], again.kind)
    assert np.array_equal(shown.detected, again.detected) and np.array_equal(shown.missed, again.missed)


def test_nothing_at_all():
    assert costs_of([], []) == {} and kinds_of([], []) == []
    assert costs_of([], [(0, 0, 0.9, (0, 0, 1, 1))]) == {}
    assert kinds_of([], [(0, 0, 0.9, (0, 0, 1, 1))]) == ["background"]
    assert set(costs_of(ONE, [])) > set(KINDS) and costs_of(ONE, [])["missed"] == 1
