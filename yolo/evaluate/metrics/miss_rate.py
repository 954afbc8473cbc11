"""The log-average miss rate of pedestrian detection: the miss rate at few false positives per image.

Dollár, Wojek, Schiele, Perona: Pedestrian Detection: An Evaluation of the State of the Art (2012).
"""

import numpy as np

from yolo.evaluate.metrics.voc import ClassMatch

FALSE_POSITIVES_PER_IMAGE = np.logspace(-2, 0, 9)  # the paper's nine reference points
LEAST_MISS_RATE = 1e-10  # from the authors' toolbox: a miss rate of 0 has no logarithm


def log_average_miss_rate(match: ClassMatch, images: int) -> float | None:
    """Return the geometric mean of the miss rate at nine rates of false positives per image, in 0..1; 0 is best.

    Each rate uses the longest list of detections, by descending score, that has no more false positives per image. The
    miss rate is 1 where even the first detection is one too many. A list that ends before a rate is reached is used
    whole, as in the paper. Equal scores keep their order. The result is None without ground truth or without images.
    """
    if match.ground_truths == 0 or images == 0:
        return None
    miss_rate = 1.0 - np.cumsum(np.append(False, match.true_positive)) / match.ground_truths
    false_positives = np.cumsum(np.append(False, ~match.true_positive)) / images
    last = np.searchsorted(false_positives, FALSE_POSITIVES_PER_IMAGE, side="right") - 1
    return float(np.exp(np.log(np.maximum(miss_rate[last], LEAST_MISS_RATE)).mean()))
