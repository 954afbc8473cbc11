"""The log-average miss rate: by hand, and against the slow version."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import slow_ap
from tests.helpers import slow_metrics as reference
from tests.helpers.box_rows import (
    FAR,
    SQUARE,
    detection_rows,
    detections_of,
    extents,
    ground_truth_of,
    ground_truth_rows,
    thresholds,
)
from yolo.evaluate.metrics.miss_rate import log_average_miss_rate
from yolo.evaluate.metrics.voc import match_class


def rate(ground_truths, detections, images):
    return log_average_miss_rate(match_class(ground_truths, detections, 0, 0.5, 0.0), images)


def test_nine_points_by_hand():
    """10 images, one ground truth in each: 5 found, a false one, 3 more found.

    The false one makes .1 an image. The points .01, .0178, .0316 and .0562 lie below it, and miss
    half; .1 and the four above it miss 2 of 10.
    """
    ground_truths = ground_truth_of(*[(image, 0, SQUARE, False) for image in range(10)])
    found = [(image, 0, 0.9, SQUARE) for image in range(5)]
    later = [(image, 0, 0.7, SQUARE) for image in range(5, 8)]
    expected = math.exp((4 * math.log(0.5) + 5 * math.log(0.2)) / 9)
    assert rate(ground_truths, detections_of(*found, (0, 0, 0.8, FAR), *later), 10) == pytest.approx(expected)


def test_without_detections_the_miss_rate_is_one():
    ground_truths = ground_truth_of((0, 0, SQUARE, False))
    assert rate(ground_truths, detections_of(), 1) == 1
    # the FP is one per image: below that rate there is no detection, at it one TP
    found = detections_of((0, 0, 0.9, FAR), (0, 0, 0.8, SQUARE))
    assert rate(ground_truths, found, 1) == pytest.approx(1e-10 ** (1 / 9))


def test_detecting_everything_gives_the_least_miss_rate():
    assert rate(ground_truth_of((0, 0, SQUARE, False)), detections_of((0, 0, 0.9, SQUARE)), 1) == pytest.approx(1e-10)


def test_without_ground_truth_there_is_no_miss_rate():
    assert rate(ground_truth_of((0, 0, SQUARE, True)), detections_of((0, 0, 0.9, SQUARE)), 1) is None


@settings(max_examples=200, deadline=None)
@given(ground_truth_rows, detection_rows, thresholds, extents, st.sampled_from([1, 2, 10, 100]))
def test_the_miss_rate_equals_the_slow_version(ground_truths, detections, thresh, extent, images):
    ours = [(image, box, hard) for image, of, box, hard in ground_truths if of == 0]
    theirs = [(image, score, box) for image, of, score, box in detections if of == 0]
    match = match_class(ground_truth_of(*ground_truths), detections_of(*detections), 0, thresh, extent)
    to_find = sum(not hard for _, _, hard in ours)
    if to_find == 0:
        assert log_average_miss_rate(match, images) is None
        return
    marks = slow_ap.marks_of(ours, theirs, thresh, extent)
    expected = reference.miss_rate(marks, to_find, images)
    assert log_average_miss_rate(match, images) == pytest.approx(expected, rel=1e-9)
