"""Precision, recall, F1 and IoU at a threshold: by hand, and against the slow version."""

import pytest
from hypothesis import given, settings

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
from yolo.evaluate.metrics.operating_point import OperatingPoint, combine_classes, operating_points


def test_the_ratios_by_hand():
    point = OperatingPoint(true_positives=3, false_positives=1, false_negatives=2, iou_sum=2.4)
    assert (point.precision, point.recall) == (3 / 4, 3 / 5)
    assert point.f1 == pytest.approx(2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))
    assert point.mean_iou == pytest.approx(0.8)
    assert point.darknet_iou == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("counts", "ratios"),
    [
        ((0, 0, 0), (None, None, None, None)),
        ((0, 0, 2), (None, 0, 0, None)),
        ((0, 2, 0), (0, None, 0, None)),
        ((0, 2, 2), (0, 0, 0, None)),
    ],
)
def test_a_ratio_with_divisor_zero_is_none(counts, ratios):
    point = OperatingPoint(*counts, iou_sum=0.0)
    assert (point.precision, point.recall, point.f1, point.mean_iou) == ratios


def test_difficult_boxes_are_neither_false_negatives_nor_false_positives():
    ground_truths = ground_truth_of((0, 0, SQUARE, True), (0, 0, FAR, True), (1, 0, SQUARE, False))
    found = detections_of((0, 0, 0.9, SQUARE), (1, 0, 0.8, SHIFTED), (1, 0, 0.7, SQUARE))
    (point,) = operating_points(ground_truths, found, 1, 0.5, 0.0, 0.25)
    assert (point.true_positives, point.false_positives, point.false_negatives) == (1, 1, 0)
    assert point.iou_sum == pytest.approx(90 / 110)  # of the true positive, though a later detection has a larger IoU


def test_combined_classes_add_counts_and_do_not_average_ratios():
    every = combine_classes([OperatingPoint(1, 0, 0, 0.9), OperatingPoint(1, 3, 4, 0.7)])
    assert every == OperatingPoint(2, 3, 4, pytest.approx(1.6))
    assert combine_classes([]).precision is None


def test_a_label_of_no_class_is_an_error():
    with pytest.raises(ValueError, match="expected 0 to 0"):
        operating_points(ground_truth_of(), detections_of((0, 1, 0.5, SQUARE)), 1, 0.5, 0.0, 0.25)


@settings(max_examples=300, deadline=None)
@given(ground_truth_rows, detection_rows, thresholds, extents, few_scores)
def test_counts_equal_the_slow_version(ground_truths, detections, thresh, extent, score_thresh):
    points = operating_points(
        ground_truth_of(*ground_truths),
        detections_of(*detections),
        CLASSES,
        thresh,
        extent,
        score_thresh,
    )
    expected = reference.counts(ground_truths, detections, CLASSES, thresh, extent, score_thresh)
    for point, (right, wrong, missed, overlap) in zip(points, expected, strict=True):
        assert (point.true_positives, point.false_positives, point.false_negatives) == (
            right, wrong, missed,
        )  # fmt: skip
        assert point.iou_sum == pytest.approx(overlap, abs=1e-12)
