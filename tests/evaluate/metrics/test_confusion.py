"""The confusion matrix: its matching rule by hand, and against the slow version."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import slow_metrics as reference
from tests.helpers.box_rows import (
    CLASSES,
    FAR,
    SHIFTED,
    SQUARE,
    detection_rows,
    detections_of,
    extents,
    few_scores,
    ground_truth_of,
    ground_truth_rows,
    thresholds,
)
from yolo.evaluate.metrics import voc
from yolo.evaluate.metrics.confusion import confusion_matrix


def matrix(ground_truths, detections, classes=2):
    return confusion_matrix(ground_truths, detections, classes, 0.5, 0.0, 0.25).tolist()


def test_rows_are_ground_truth_and_columns_detections():
    ground_truths = ground_truth_of((0, 0, SQUARE, False), (1, 0, SQUARE, False), (2, 1, SQUARE, False))
    found = detections_of((0, 0, 0.9, SQUARE), (1, 1, 0.9, SQUARE), (2, 0, 0.3, FAR))
    assert matrix(ground_truths, found) == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_of_two_detections_the_one_with_the_higher_score_is_matched_of_any_class():
    ground_truths = ground_truth_of((0, 0, SQUARE, False))
    found = detections_of((0, 0, 0.5, SQUARE), (0, 1, 0.9, SHIFTED))
    assert matrix(ground_truths, found) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_a_detection_is_matched_to_the_next_best_free_ground_truth():
    ground_truths = ground_truth_of((0, 0, SQUARE, False), (0, 0, SHIFTED, False))
    found = detections_of((0, 0, 0.9, SQUARE), (0, 0, 0.8, SQUARE))
    assert matrix(ground_truths, found) == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_of_equally_good_ground_truths_its_own_class_comes_first():
    ground_truths = ground_truth_of((0, 0, SQUARE, False), (0, 1, SQUARE, False))
    assert matrix(ground_truths, detections_of((0, 1, 0.9, SQUARE))) == [
        [0, 0, 1],
        [0, 1, 0],
        [0, 0, 0],
    ]


def test_detections_on_difficult_ground_truths_do_not_count():
    ground_truths = ground_truth_of((0, 0, SQUARE, True))
    found = detections_of((0, 1, 0.9, SQUARE), (0, 0, 0.8, SQUARE), (0, 0, 0.7, FAR))
    assert matrix(ground_truths, found) == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_nothing_at_all():
    assert matrix(ground_truth_of(), detections_of()) == [[0] * 3] * 3
    assert matrix(ground_truth_of(), detections_of(), classes=0) == [[0]]


def test_a_label_of_no_class_is_an_error():
    with pytest.raises(ValueError, match="expected 0 to 1"):
        matrix(ground_truth_of((0, 2, SQUARE, False)), detections_of())


@settings(max_examples=300, deadline=None)
@given(ground_truth_rows, detection_rows, thresholds, extents, few_scores, st.sampled_from([1, 256]))
def test_the_matrix_equals_the_slow_version(ground_truths, detections, thresh, extent, score_thresh, crowded):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voc, "CROWDED", crowded)
        ours = confusion_matrix(
            ground_truth_of(*ground_truths),
            detections_of(*detections),
            CLASSES,
            thresh,
            extent,
            score_thresh,
        )
    assert ours.tolist() == reference.confusion(ground_truths, detections, CLASSES, thresh, extent, score_thresh)
    to_find = [sum(of == label and not hard for _, of, _, hard in ground_truths) for label in range(2)]
    assert ours[:-1].sum(axis=1).tolist() == to_find  # each ground truth is in one place of its row
