"""mAP as AlexeyAB's `darknet detector map` computes it (src/detector.c validate_detector_map).

It differs from VOC's: no pixel is added to widths and heights, difficult boxes are matched last, a class without ground
truth counts as 0, and precision, recall and average IoU at a threshold have rules of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from yolo.defaults import COUNTED_THRESH
from yolo.evaluate.metrics import voc
from yolo.evaluate.metrics.operating_point import OperatingPoint, above, combine_classes
from yolo.records import GroundTruth, ScoredBoxes

MAP_SCORE_THRESH = 0.005  # thresh
MAP_NMS_THRESH = 0.45  # nms
MAP_IOU_THRESH = 0.5  # default of -iou_thresh

# Values of -points: 0 is the area under the curve, others the number of recalls
POINTS = (0, 11, 101)


@dataclass(frozen=True)
class DarknetClass:
    """The score of one class. ap: average precision by POINTS; 0 without ground truth or detections.

    match: the detections that the curve is made of.
    """

    ap: Mapping[int, float]
    point: OperatingPoint
    match: voc.ClassMatch


@dataclass(frozen=True)
class DarknetMap:
    """The numbers that `detector map` prints: its classes, mAP by POINTS, and all classes at the score threshold."""

    classes: tuple[DarknetClass, ...]
    mean_ap: Mapping[int, float | None]
    point: OperatingPoint


def darknet_map(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float = MAP_IOU_THRESH,
    counted_thresh: float = COUNTED_THRESH,
) -> DarknetMap:
    """Score detections by Darknet's rules.

    Boxes may be in any continuous frame: an IoU is the same in pixels as in Darknet's 0..1. Darknet computes it in
    float32, so the two can differ where the IoU equals the threshold to seven digits. Without any detection Darknet
    reads before its array; here each AP is then 0.

    Args:
        ground_truth: `difficult` marks the labels of Darknet's `difficult` list. Without that list Darknet has no
            difficult boxes: pass a ground truth without them.
        detections: after NMS per class with MAP_NMS_THRESH. Scores up to MAP_SCORE_THRESH are left out.
        num_classes: the number of classes.
        iou_thresh: a match needs an IoU above this.
        counted_thresh: precision, recall, F1 and average IoU use scores above this.

    Returns:
        The score; its mean_ap values are None without a class.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    voc.check_labels(ground_truth, detections, num_classes)
    kept = above(detections, MAP_SCORE_THRESH)
    classes = tuple(_class(ground_truth, kept, label, iou_thresh, counted_thresh) for label in range(num_classes))
    return DarknetMap(
        classes=classes,
        mean_ap={
            points: float(np.mean([each.ap[points] for each in classes])) if classes else None for points in POINTS
        },
        point=combine_classes(each.point for each in classes),
    )


def _class(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    label: int,
    iou_thresh: float,
    counted_thresh: float,
) -> DarknetClass:
    """Match one class and compute its average precision.

    A detection is assigned the ground truth of its image with the largest IoU above the threshold that is not
    difficult. If only a difficult ground truth is above the threshold, the detection is removed from the curve, but it
    is a false positive in the counts at `counted_thresh`. Of two detections of one ground truth, the counts here use
    the one with the higher score. Darknet uses the first of its array, which is the same one unless a box has several
    classes above MAP_SCORE_THRESH.
    """
    of_class = ground_truth.labels == label
    plain = np.flatnonzero(of_class & ~ground_truth.difficult)
    difficult = np.flatnonzero(of_class & ground_truth.difficult)
    rows = np.flatnonzero(detections.labels == label)
    iou, best = voc.best_ground_truth(ground_truth, plain, detections, rows, voc.CONTINUOUS)
    difficult_iou, _ = voc.best_ground_truth(ground_truth, difficult, detections, rows, voc.CONTINUOUS)
    order = np.argsort(-detections.scores[rows], kind="stable")
    rows, iou, best, difficult_iou = rows[order], iou[order], best[order], difficult_iou[order]
    matched = iou > iou_thresh
    counts = matched | ~(difficult_iou > iou_thresh)
    true_positive = np.zeros(len(rows), dtype=bool)
    true_positive[voc.first_of_each(np.flatnonzero(matched), best)] = True
    scores = detections.scores[rows]
    match = voc.ClassMatch(scores[counts], true_positive[counts], len(plain), len(rows))
    confident = scores > counted_thresh
    true_positives = int(np.count_nonzero(true_positive & confident))
    point = OperatingPoint(
        true_positives=true_positives,
        false_positives=int(np.count_nonzero(confident)) - true_positives,
        false_negatives=len(plain) - true_positives,
        iou_sum=float(iou[true_positive & confident].sum()),
    )
    return DarknetClass(_ap_by_points(match), point, match)


def _ap_by_points(match: voc.ClassMatch) -> dict[int, float]:
    """Return the average precision by POINTS.

    `-points 0` adds, from the last rank to the first, each recall step times the best precision from there on, which is
    `area_ap`. Old versions leave out the step of the very first rank. The recalls of 11 and 101 points are
    exact tenths and hundredths.
    """
    if match.ground_truths == 0:  # Darknet's recall stays 0, and so does its precision
        return dict.fromkeys(POINTS, 0.0)
    recall, precision = voc.precision_recall(match)
    aps = {0: voc.area_ap(recall, precision)}
    for points in POINTS[1:]:
        aps[points] = voc.ap_at(recall, precision, np.arange(points) / (points - 1))
    return aps
