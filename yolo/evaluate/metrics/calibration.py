"""Calibration of scores: of the detections with a score of 0.8, are 80 % true positives?"""

from dataclasses import dataclass

import numpy as np

BINS = 10  # Guo et al. 2017, "On Calibration of Modern Neural Networks", use 10 to 15


@dataclass(frozen=True)
class Calibration:
    """Detections in BINS equal bins of score, 0..1.

    count: detections of each bin. score, precision: their means in each bin, None where it is empty. error: the
    expected calibration error, which is the mean of |score - precision| over detections; None without a detection.
    """

    count: tuple[int, ...]
    score: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    error: float | None


def calibration(scores: np.ndarray, true_positive: np.ndarray) -> Calibration:
    """Compute the calibration of detections with `scores` float64 [N] in 0..1 and `true_positive` bool [N]."""
    place = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)  # the last bin includes 1
    count = np.bincount(place, minlength=BINS)
    divisor = np.maximum(count, 1)
    score = np.bincount(place, weights=scores, minlength=BINS) / divisor
    precision = np.bincount(place, weights=true_positive, minlength=BINS) / divisor
    error = float(np.sum(count * np.abs(score - precision)) / len(scores)) if len(scores) else None
    return Calibration(tuple(count.tolist()), _none_if_empty(score, count), _none_if_empty(precision, count), error)


def score_histogram(
    scores: np.ndarray, true_positive: np.ndarray, bins: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count true positives and false positives in each of `bins` equal bins of score, 0..1."""
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    return tuple(
        tuple(np.bincount(place[chosen], minlength=bins).tolist()) for chosen in (true_positive, ~true_positive)
    )


def _none_if_empty(values: np.ndarray, count: np.ndarray) -> tuple[float | None, ...]:
    return tuple(value if number else None for value, number in zip(values.tolist(), count.tolist(), strict=True))
