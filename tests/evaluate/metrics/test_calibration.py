"""yolo.evaluate.metrics.calibration by hand."""

import numpy as np
import pytest

from yolo.evaluate.metrics.calibration import calibration, score_histogram


def test_bins_and_error_by_hand():
    scores = np.array([0.05, 0.1, 0.16, 0.95, 1.0])
    true = np.array([False, True, False, True, True])
    found = calibration(scores, true)
    assert found.count == (1, 2, 0, 0, 0, 0, 0, 0, 0, 2)
    assert found.score[0] == 0.05 and found.score[1] == pytest.approx(0.13)
    assert found.precision[1] == 0.5 and found.precision[9] == 1 and found.precision[2] is None
    # (1 x |.05 - 0| + 2 x |.13 - .5| + 2 x |.975 - 1|) / 5
    assert found.error == pytest.approx((0.05 + 0.74 + 0.05) / 5)


def test_without_a_detection_there_is_no_error():
    found = calibration(np.zeros(0), np.zeros(0, bool))
    assert found.error is None and set(found.score) == {None} and sum(found.count) == 0


def test_the_histogram_separates_true_from_false_positives_and_includes_both_ends():
    true, false = score_histogram(np.array([0.0, 0.49, 0.5, 1.0]), np.array([True, True, False, True]), 2)
    assert true == (2, 1) and false == (0, 1)
