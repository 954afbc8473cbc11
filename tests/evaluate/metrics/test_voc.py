"""Matching and average precision: by hand, and against tests/helpers/slow_ap.py."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import slow_ap as reference
from tests.helpers.box_rows import (
    FAR,
    SHIFTED,
    SQUARE,
    detection_rows,
    detections_of,
    extents,
    ground_truth_of,
    ground_truth_rows,
    thresholds,
)
from yolo.evaluate.metrics.voc import (
    VOC07_RECALLS,
    VOC_PIXEL_EXTENT,
    ClassMatch,
    area_ap,
    match_class,
    mean_ap,
    precision_recall,
    score_classes,
    voc07_ap,
)


def marks(ground_truth, detections, iou_thresh=0.5, pixel_extent=0.0) -> list[bool]:
    return match_class(ground_truth, detections, 0, iou_thresh, pixel_extent).true_positive.tolist()


def test_a_second_detection_of_a_ground_truth_is_a_false_positive():
    ground_truth = ground_truth_of((0, 0, SQUARE, False))
    # the better fit comes second by score: it is the false one
    assert marks(ground_truth, detections_of((0, 0, 0.9, SHIFTED), (0, 0, 0.8, SQUARE))) == [
        True,
        False,
    ]


def test_a_detection_does_not_fall_back_to_its_second_best_ground_truth():
    ground_truth = ground_truth_of((0, 0, SQUARE, False), (0, 0, SHIFTED, False))
    both = detections_of((0, 0, 0.9, SQUARE), (0, 0, 0.8, SQUARE))
    assert marks(ground_truth, both) == [True, False]


def test_of_equally_good_ground_truths_the_first_is_taken():
    ground_truth = ground_truth_of((0, 0, SQUARE, True), (0, 0, SQUARE, False))
    match = match_class(ground_truth, detections_of((0, 0, 0.9, SQUARE)), 0, 0.5, 0.0)
    assert match.true_positive.tolist() == []  # the first is difficult: the detection does not count


def test_detections_on_a_difficult_ground_truth_do_not_count():
    ground_truth = ground_truth_of((0, 0, SQUARE, True), (0, 0, FAR, False))
    detections = detections_of((0, 0, 0.9, SQUARE), (0, 0, 0.8, SHIFTED), (0, 0, 0.7, FAR))
    match = match_class(ground_truth, detections, 0, 0.5, 0.0)
    assert match.true_positive.tolist() == [True]
    assert match.scores.tolist() == [0.7]
    assert (match.ground_truths, match.detections) == (1, 3)


def test_an_iou_exactly_at_the_threshold_is_a_false_positive():
    ground_truth = ground_truth_of((0, 0, (0, 0, 2, 1), False))
    half = detections_of((0, 0, 0.9, (0, 0, 1, 1)))  # IoU exactly 1/2
    assert marks(ground_truth, half, iou_thresh=0.5) == [False]
    assert marks(ground_truth, half, iou_thresh=0.4999) == [True]


def test_voc_pixels_include_the_last_one():
    ground_truth = ground_truth_of((0, 0, (1, 1, 2, 1), False))  # two pixels
    one_pixel = detections_of((0, 0, 0.9, (1, 1, 1, 1)))
    assert marks(ground_truth, one_pixel, 0.49, VOC_PIXEL_EXTENT) == [True]  # IoU 1/2
    assert marks(ground_truth, one_pixel, 0.49, 0.0) == [False]  # both boxes empty: no overlap


def test_detections_match_only_their_image_and_class():
    ground_truth = ground_truth_of((0, 0, SQUARE, False), (1, 1, SQUARE, False))
    assert marks(ground_truth, detections_of((1, 0, 0.9, SQUARE), (7, 0, 0.8, SQUARE))) == [
        False,
        False,
    ]


def test_equal_scores_keep_the_order_in_which_they_are_given():
    ground_truth = ground_truth_of((0, 0, SQUARE, False))
    rows = [(0, 0, 0.5, FAR)] * 20 + [(0, 0, 0.5, SQUARE)] + [(0, 0, 0.5, FAR)] * 20
    assert np.flatnonzero(marks(ground_truth, detections_of(*rows))).tolist() == [20]


def test_precision_and_recall_by_hand():
    match = ClassMatch(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4, 3)
    recall, precision = precision_recall(match)
    assert recall.tolist() == [0.25, 0.25, 0.5]
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])


def test_eleven_points_by_hand():
    # recalls 0 to 0.5 see precision 1 beyond them, 0.6 to 1 see 2/3
    ap = voc07_ap(np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3]))
    assert ap == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_area_by_hand():
    # false, found, found of four: the first step of recall sees the better precision of the second
    ap = area_ap(np.array([0.0, 0.25, 0.5]), np.array([0.0, 0.5, 2 / 3]))
    assert ap == pytest.approx(0.25 * 2 / 3 + 0.25 * 2 / 3)


def test_the_eleven_recalls_are_those_of_voc_eval():
    assert VOC07_RECALLS.tolist() == np.arange(0.0, 1.1, 0.1).tolist()  # voc_eval's expression
    # three of ten found: 3/10 lies below the float 3 * 0.1, so three points count, not four
    assert voc07_ap(np.array([0.1, 0.2, 0.3]), np.ones(3)) == pytest.approx(3 / 11)


def test_no_detections_score_zero_and_no_ground_truth_scores_nothing():
    ground_truth = ground_truth_of((0, 0, SQUARE, False), (0, 2, SQUARE, True))
    detections = detections_of((0, 1, 0.9, SQUARE))
    found, stray, difficult = score_classes(ground_truth, detections, 3, 0.5, 0.0)
    assert (found.voc07_ap, found.area_ap) == (0.0, 0.0)
    assert (stray.voc07_ap, stray.area_ap, stray.match.detections) == (None, None, 1)
    assert (difficult.voc07_ap, difficult.area_ap, difficult.match.ground_truths) == (None, None, 0)
    empty = score_classes(ground_truth_of(), detections_of(), 1, 0.5, 0.0)
    assert empty[0].area_ap is None


def test_the_mean_leaves_out_classes_without_ground_truth():
    assert mean_ap([0.5, None, 1.0]) == 0.75
    assert mean_ap([None]) is None


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_of_no_class_is_an_error(label):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        score_classes(ground_truth_of(), detections_of((0, label, 0.5, SQUARE)), 2, 0.5, 0.0)


@settings(max_examples=300, deadline=None)
@given(
    ground_truth_rows,
    detection_rows,
    thresholds,
    extents,
    st.sampled_from([(1, 1), (3, 4), (2**16, 2**17)]),
    st.sampled_from([1, 3, 256]),
)
def test_scores_equal_the_definition(ground_truths, detections, iou_thresh, extent, at_once, crowded):
    """at_once: of detections and of pairs; where they are cut into parts, and how pairs are found, is all the same."""
    module = "yolo.evaluate.metrics.voc"
    with (
        patch(f"{module}.DETECTIONS_AT_ONCE", at_once[0]),
        patch(f"{module}.PAIRS_AT_ONCE", at_once[1]),
        patch(f"{module}.CROWDED", crowded),
    ):
        scores = score_classes(ground_truth_of(*ground_truths), detections_of(*detections), 2, iou_thresh, extent)
    for label, score in enumerate(scores):
        ours = [(image, box, hard) for image, of, box, hard in ground_truths if of == label]
        theirs = [(image, value, box) for image, of, value, box in detections if of == label]
        expected = reference.marks_of(ours, theirs, iou_thresh, extent)
        assert score.match.true_positive.tolist() == [mark for mark in expected if mark is not None]
        to_find = sum(not hard for _, _, hard in ours)
        assert (score.match.ground_truths, score.match.detections) == (to_find, len(theirs))
        if to_find == 0:
            assert score.voc07_ap is None and score.area_ap is None
        else:
            points = reference.curve(expected, to_find)
            assert score.voc07_ap == pytest.approx(reference.voc07(points), abs=1e-12)
            assert score.area_ap == pytest.approx(reference.area(points), abs=1e-12)


def voc_eval_marks(ground_truths, detections, thresh):
    """Return which detections of one image and class are true positives, by the formula of voc_eval as it stands.

    It has no guard: an inverted box may have a negative area, and the union may be 0 (0 / 0 is NaN, never above).
    """
    boxes, taken, marks = np.array(ground_truths, float).reshape(-1, 4), set(), []
    for _, box in sorted(detections, key=lambda each: -each[0]):
        best, at = -np.inf, None
        if len(boxes):
            width = np.maximum(np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0]) + 1.0, 0.0)
            height = np.maximum(np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1]) + 1.0, 0.0)
            areas = (boxes[:, 2] - boxes[:, 0] + 1.0) * (boxes[:, 3] - boxes[:, 1] + 1.0)
            union = (box[2] - box[0] + 1.0) * (box[3] - box[1] + 1.0) + areas - width * height
            with np.errstate(invalid="ignore", divide="ignore"):
                overlaps = width * height / union
            best, at = np.max(overlaps), int(np.argmax(overlaps))
        found = bool(best > thresh)
        marks.append(found and at not in taken)
        taken |= {at} if found else set()
    return marks


corner = st.integers(-8, 8).map(lambda each: each / 4)
any_box = st.tuples(corner, corner, corner, corner)  # inverted as often as not
labeled_box = any_box.map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)


@settings(max_examples=300, deadline=None)
@given(st.lists(labeled_box, max_size=4), st.lists(any_box, max_size=6), st.sampled_from([0.1, 0.5]))
def test_inverted_boxes_are_scored_as_voc_eval_does(ground_truths, boxes, thresh):
    rows = [(1 - at / 8, box) for at, box in enumerate(boxes)]
    ground_truth = ground_truth_of(*((0, 0, box, False) for box in ground_truths))
    found = detections_of(*((0, 0, score, box) for score, box in rows))
    assert marks(ground_truth, found, thresh, VOC_PIXEL_EXTENT) == voc_eval_marks(ground_truths, rows, thresh)


def test_an_inverted_box_by_hand():
    """x2 is half a pixel left of x1: with the last pixel counted the box is half a pixel wide, and can be right."""
    ground_truth = ground_truth_of((0, 0, (3, 3, 3, 3), False))
    assert marks(ground_truth, detections_of((0, 0, 0.9, (3.5, 3, 3, 3))), 0.4, VOC_PIXEL_EXTENT) == [True]  # 1/2 of 1
    assert marks(ground_truth, detections_of((0, 0, 0.9, (5, 3, 3, 3))), 0.4, VOC_PIXEL_EXTENT) == [False]  # union 0
    assert marks(ground_truth, detections_of((0, 0, 0.9, (9, 9, 3, 3))), 0.4, VOC_PIXEL_EXTENT) == [False]
