"""Which class was taken for which: the confusion matrix of a detector."""

import numpy as np

from yolo.evaluate.average_precision import GroundTruth, ScoredBoxes
from yolo.evaluate.free_match import NONE, match_free
from yolo.evaluate.overlaps import overlapping


def confusion_matrix(
    truth: GroundTruth,
    detections: ScoredBoxes,
    classes: int,
    score_thresh: float,
    iou_thresh: float,
) -> np.ndarray:
    """int64 [classes + 1, classes + 1]: rows what it was, columns what it was taken for, background last.

    Detections with a score of at least `score_thresh`, by falling score, whatever their class: each gets the free
    truth of its picture with the largest IoU, at least `iou_thresh`. Without one it was background; a truth that
    nobody got was taken for background. Difficult truths, and detections that find one, are left out.
    """
    pairs = overlapping(truth, detections, iou_thresh)
    shown = detections.scores >= score_thresh
    pairs = pairs.where(shown[pairs.detection])
    given = match_free(truth, detections, pairs, iou_thresh, truth.difficult)
    found = given != NONE
    labels = np.append(truth.labels, classes)  # the last one for NONE
    plain = ~np.append(truth.difficult, False)[given]
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    kept = shown & plain
    np.add.at(matrix, (labels[given[kept]], detections.labels[kept]), 1)
    unfound = ~truth.difficult
    unfound[given[found]] = False
    matrix[:classes, classes] = np.bincount(truth.labels[unfound], minlength=classes)
    return matrix
