"""The log-average miss rate of pedestrian detection: what is missed at few false positives an image.

Dollár, Wojek, Schiele, Perona: Pedestrian Detection: An Evaluation of the State of the Art (2012).
"""

import numpy as np

from yolo.evaluate.metrics.average_precision import ClassMatch

FALSE_POSITIVES = np.logspace(-2, 0, 9)  # an image: the paper's nine reference points

LEAST_MISS_RATE = 1e-10  # of the authors' toolbox: a miss rate of 0 has no logarithm


def log_average_miss_rate(match: ClassMatch, images: int) -> float | None:
    """The geometric mean of the miss rate at nine rates of false positives an image, 0..1, 0 best.

    At each the miss rate is that of the longest list of detections, by falling score, which has no
    more false positives an image; 1 where even the first detection is one too many. A list that
    ends before a point is taken there as it ends, as in the paper. Equal scores keep their order.
    None where there is nothing to find or no image.
    """
    if match.ground_truths == 0 or images == 0:
        return None
    missed = 1.0 - np.cumsum(np.append(False, match.correct)) / match.ground_truths
    false_positives = np.cumsum(np.append(False, ~match.correct)) / images
    last = np.searchsorted(false_positives, FALSE_POSITIVES, side="right") - 1
    return float(np.exp(np.log(np.maximum(missed[last], LEAST_MISS_RATE)).mean()))
