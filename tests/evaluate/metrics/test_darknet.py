"""Darknet's mAP: its own rules by hand, and against tests/helpers/slow_metrics.py."""

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
    ground_truth_of,
    ground_truth_rows,
    thresholds,
)
from yolo.evaluate.metrics.darknet import POINTS, darknet_map
from yolo.evaluate.metrics.voc import score_classes


def test_a_class_without_ground_truth_counts_as_zero():
    result = darknet_map(ground_truth_of((0, 0, SQUARE, False)), detections_of((0, 0, 0.9, SQUARE)), 4)
    assert [each.ap for each in result.classes[1:]] == [dict.fromkeys(POINTS, 0.0)] * 3
    assert result.mean_ap == dict.fromkeys(POINTS, 0.25)  # voc_eval's mean would be 1


def test_points_by_hand():
    """TP, FP, TP of three ground truths: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    ground_truths = ground_truth_of(*[(image, 0, SQUARE, False) for image in range(3)])
    found = detections_of((0, 0, 0.9, SQUARE), (0, 0, 0.8, FAR), (1, 0, 0.7, SQUARE))
    ap = darknet_map(ground_truths, found, 1).classes[0].ap
    assert ap[0] == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert ap[11] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)  # 0 .. .3; .4 .. .6
    assert ap[101] == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)  # 0 .. .33; .34 .. .66


def test_the_eleven_recalls_are_exact_tenths():
    """3 of 10 found is a recall of .3: Darknet's fourth point sees it, voc_eval's 3 * .1 does not."""
    ground_truths = ground_truth_of(*[(image, 0, SQUARE, False) for image in range(10)])
    found = detections_of(*[(image, 0, 0.9, SQUARE) for image in range(3)])
    assert darknet_map(ground_truths, found, 1).classes[0].ap[11] == pytest.approx(4 / 11)
    assert score_classes(ground_truths, found, 1, 0.5, 0.0)[0].voc07_ap == pytest.approx(3 / 11)


def test_no_pixel_is_added_to_the_boxes():
    ground_truths = ground_truth_of((0, 0, (8, 8, 24, 24), False))
    half = detections_of((0, 0, 0.9, (8, 8, 16, 24)))  # IoU exactly 1/2; 9/17 with the last pixel
    assert darknet_map(ground_truths, half, 1).mean_ap[0] == 0
    assert darknet_map(ground_truths, half, 1, iou_thresh=0.499).mean_ap[0] == 1


def test_a_detection_is_ignored_on_a_difficult_box_only_without_another_match():
    """SHIFTED fits the difficult box best, and the other one too: VOC leaves it out, Darknet counts it."""
    ground_truths = ground_truth_of((0, 0, SHIFTED, True), (0, 0, SQUARE, False))
    found = detections_of((0, 0, 0.9, SHIFTED))
    assert darknet_map(ground_truths, found, 1).classes[0].ap[0] == 1
    assert score_classes(ground_truths, found, 1, 0.5, 0.0)[0].match.true_positive.tolist() == []


def test_an_ignored_detection_is_still_a_false_positive_of_the_counts():
    ground_truths = ground_truth_of((0, 0, SQUARE, True), (0, 0, FAR, False))
    result = darknet_map(ground_truths, detections_of((0, 0, 0.9, SQUARE), (0, 0, 0.8, FAR)), 1)
    assert result.mean_ap[0] == 1
    counted = result.point
    assert (counted.true_positives, counted.false_positives, counted.false_negatives) == (1, 1, 0)
    assert (counted.mean_iou, counted.darknet_iou) == (1, 0.5)


def test_a_detection_is_ignored_only_above_the_iou_threshold():
    ground_truths = ground_truth_of((0, 0, (0, 0, 2, 1), True), (0, 0, FAR, False))
    found = detections_of((0, 0, 0.9, (0, 0, 1, 1)), (0, 0, 0.8, FAR))  # IoU exactly 1/2
    assert darknet_map(ground_truths, found, 1).mean_ap[0] == 0.5
    assert darknet_map(ground_truths, found, 1, iou_thresh=0.499).mean_ap[0] == 1


def test_scores_up_to_the_threshold_are_left_out():
    ground_truths = ground_truth_of((0, 0, SQUARE, False))
    assert darknet_map(ground_truths, detections_of((0, 0, 0.005, SQUARE)), 1).mean_ap[0] == 0
    assert darknet_map(ground_truths, detections_of((0, 0, 0.0051, SQUARE)), 1).mean_ap[0] == 1


def test_counts_are_strictly_above_their_threshold():
    ground_truths = ground_truth_of((0, 0, SQUARE, False))
    at = darknet_map(ground_truths, detections_of((0, 0, 0.25, SQUARE)), 1).point
    assert (at.true_positives, at.false_negatives, at.precision, at.recall) == (0, 1, None, 0)
    above = darknet_map(ground_truths, detections_of((0, 0, 0.26, SQUARE)), 1).point
    assert (above.true_positives, above.false_negatives, above.f1) == (1, 0, 1)


def test_nothing_at_all_has_no_numbers_that_do_not_exist():
    nothing = darknet_map(ground_truth_of(), detections_of(), 0)
    assert nothing.mean_ap == dict.fromkeys(POINTS) and nothing.point.f1 is None
    assert darknet_map(ground_truth_of(), detections_of(), 2).mean_ap == dict.fromkeys(POINTS, 0.0)


def test_a_label_of_no_class_is_an_error():
    with pytest.raises(ValueError, match="labels 0 to 2, expected 0 to 1"):
        darknet_map(ground_truth_of((0, 0, SQUARE, False), (0, 2, SQUARE, False)), detections_of(), 2)


@settings(max_examples=300, deadline=None)
@given(ground_truth_rows, detection_rows, thresholds, st.sampled_from([0.1, 0.25]))
def test_every_number_equals_the_slow_version(ground_truths, detections, thresh, counted_thresh):
    ours = darknet_map(ground_truth_of(*ground_truths), detections_of(*detections), CLASSES, thresh, counted_thresh)
    aps, means, counts = reference.darknet(ground_truths, detections, CLASSES, thresh, counted_thresh)
    for points in POINTS:
        assert [each.ap[points] for each in ours.classes] == pytest.approx(aps[points], abs=1e-12)
        assert ours.mean_ap[points] == pytest.approx(means[points], abs=1e-12)
    for each, (right, wrong, missed, overlap) in zip(ours.classes, counts, strict=True):
        counted = each.point
        assert (counted.true_positives, counted.false_positives) == (right, wrong)
        assert counted.false_negatives == missed
        assert counted.iou_sum == pytest.approx(overlap, abs=1e-12)
    assert ours.point.true_positives == sum(right for right, *_ in counts)
