"""Whether a score can be believed: of the detections with a score of .8, are 80 % right?"""

from dataclasses import dataclass

import numpy as np

BINS = 10  # Guo et al. 2017, "On Calibration of Modern Neural Networks", use 10 to 15


@dataclass(frozen=True)
class Reliability:
    """Detections in BINS equal steps of score, 0..1.

    count: int64 [BINS]; score and precision: the means of each bin, None where it is empty. error: the expected
    calibration error, the mean distance of a detection's bin from score = precision; None without a detection.
    """

    count: tuple[int, ...]
    score: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    error: float | None


def reliability(scores: np.ndarray, correct: np.ndarray) -> Reliability:
    """Bins of detections with `scores` float64 [N] in 0..1, of which `correct` bool [N] are right."""
    place = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)  # a score of 1 is in the last
    count = np.bincount(place, minlength=BINS)
    held = np.maximum(count, 1)
    score = np.bincount(place, weights=scores, minlength=BINS) / held
    precision = np.bincount(place, weights=correct, minlength=BINS) / held
    error = float(np.sum(count * np.abs(score - precision)) / len(scores)) if len(scores) else None
    return Reliability(
        tuple(count.tolist()), _filled(score, count), _filled(precision, count), error
    )


def score_histogram(
    scores: np.ndarray, correct: np.ndarray, bins: int
) -> tuple[list[int], list[int]]:
    """How many right and how many wrong detections there are in each of `bins` equal steps of score, 0..1."""
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    right, wrong = place[correct], place[~correct]
    return np.bincount(right, minlength=bins).tolist(), np.bincount(wrong, minlength=bins).tolist()


def _filled(values: np.ndarray, count: np.ndarray) -> tuple[float | None, ...]:
    return tuple(
        value if held else None for value, held in zip(values.tolist(), count.tolist(), strict=True)
    )
