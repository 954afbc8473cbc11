"""mAP as AlexeyAB's `darknet detector map` computes it (src/detector.c validate_detector_map).

It differs from VOC's: no pixel is added, difficult boxes are looked at last, a class without ground truth
counts as 0, and precision, recall and average IoU at a threshold have rules of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from yolo.evaluate.metrics.average_precision import (
    ClassMatch,
    ap_at,
    area_ap,
    best_ground_truth,
    by_score,
    check_labels,
    first_of_each,
    precision_recall,
)
from yolo.evaluate.metrics.operating_point import OperatingPoint, above, together
from yolo.records import GroundTruth, ScoredBoxes

MAP_SCORE_THRESH = 0.005  # thresh

MAP_NMS_THRESH = 0.45  # nms

MAP_IOU_THRESH = 0.5  # -iou_thresh, unless given

COUNTED_THRESH = 0.25  # -thresh, unless given: of precision, recall, F1 and average IoU

POINTS = (0, 11, 101)  # what -points takes: the area under the curve, or so many recalls

NO_EXTENT = 0.0  # box.c box_iou: continuous boxes


@dataclass(frozen=True)
class DarknetClass:
    """One class. ap: by points; 0 where there is nothing to find or nothing was found."""

    match: ClassMatch
    ap: Mapping[int, float]
    counted: OperatingPoint


@dataclass(frozen=True)
class DarknetMap:
    """What `detector map` prints: its classes, mAP by points, and all classes at the threshold."""

    classes: tuple[DarknetClass, ...]
    mean_ap: Mapping[int, float | None]
    counted: OperatingPoint


def darknet_map(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float = MAP_IOU_THRESH,
    counted_thresh: float = COUNTED_THRESH,
) -> DarknetMap:
    """Score detections, after a suppression of MAP_NMS_THRESH a class, by Darknet's rules.

    Boxes may be in any continuous frame: an IoU is the same in pixels as in Darknet's 0..1 (which
    computes it in float32, so that the two may part where it is the threshold to seven digits).
    Scores up to MAP_SCORE_THRESH are left out. `ground truth.difficult` are the labels of the `difficult`
    list. Without that list Darknet knows no difficult boxes: give a ground truth that has none.

    Differs where Darknet's result is undefined: without any detection it reads before its array;
    here each AP is 0. mean_ap is None without a class.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    check_labels(ground_truth, detections, num_classes)
    found = above(detections, MAP_SCORE_THRESH)
    classes = tuple(
        _class(ground_truth, found, label, iou_thresh, counted_thresh)
        for label in range(num_classes)
    )
    return DarknetMap(
        classes=classes,
        mean_ap={
            points: float(np.mean([each.ap[points] for each in classes])) if classes else None
            for points in POINTS
        },
        counted=together(each.counted for each in classes),
    )


def _class(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    label: int,
    iou_thresh: float,
    counted_thresh: float,
) -> DarknetClass:
    """Match one class, and walk down its curve.

    A detection goes to the not difficult ground truth of its image with the largest IoU above the
    threshold. Where there is none, but a difficult one with IoU above it, it is taken off the curve;
    yet it stays a false positive of the counts at `counted_thresh`. Of two on one ground truth the counts
    take the one with the higher score; Darknet takes the first of its array, which is the same
    one unless a box has several classes above MAP_SCORE_THRESH.
    """
    ours = ground_truth.labels == label
    to_find = np.flatnonzero(ours & ~ground_truth.difficult)
    difficult = np.flatnonzero(ours & ground_truth.difficult)
    theirs = np.flatnonzero(detections.labels == label)
    overlap, best = best_ground_truth(ground_truth, to_find, detections, theirs, NO_EXTENT)
    beside, _ = best_ground_truth(ground_truth, difficult, detections, theirs, NO_EXTENT)
    order = by_score(detections, theirs)
    theirs, overlap, best, beside = theirs[order], overlap[order], best[order], beside[order]
    hit = overlap > iou_thresh
    counts = hit | ~(beside > iou_thresh)
    correct = np.zeros(len(theirs), dtype=bool)
    correct[first_of_each(np.flatnonzero(hit), best)] = True
    scores = detections.scores[theirs]
    match = ClassMatch(scores[counts], correct[counts], len(to_find), len(theirs))
    sure = scores > counted_thresh
    hits = int(np.count_nonzero(correct & sure))
    counted = OperatingPoint(
        true_positives=hits,
        false_positives=int(np.count_nonzero(sure)) - hits,
        missed=len(to_find) - hits,
        overlap=float(overlap[correct & sure].sum()),
    )
    return DarknetClass(match, _average_precisions(match), counted)


def _average_precisions(match: ClassMatch) -> dict[int, float]:
    """AP by points.

    The walk of -points 0 from the last rank back to the first, each recall step times the best
    precision from there on, is `area_ap`; that of old versions leaves out the step of the very
    first rank. The recalls of 11 and 101 points are exact tenths and hundredths.
    """
    if match.ground_truths == 0:  # its recall stays 0 and so does its precision
        return dict.fromkeys(POINTS, 0.0)
    recall, precision = precision_recall(match)
    aps = {0: area_ap(recall, precision)}
    for points in POINTS[1:]:
        aps[points] = ap_at(recall, precision, np.arange(points) / (points - 1))
    return aps
