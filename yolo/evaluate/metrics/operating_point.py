"""Precision, recall, F1 and mean IoU of a detector at one score threshold."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from yolo.evaluate.metrics.voc import check_labels, match_detections
from yolo.records import GroundTruth, ScoredBoxes


class OperatingPoint(NamedTuple):
    """Counts of the detections with a score above a threshold, of one class or of all classes.

    iou_sum: the sum of the true positives' IoU. false_negatives: ground truths without a true positive, difficult ones
    not among them. The ratios are None where the divisor is 0.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    iou_sum: float

    @property
    def precision(self) -> float | None:
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """2PR / (P + R), computed as 2TP / (2TP + FP + FN), which is 0 without a true positive."""
        twice = 2 * self.true_positives
        return ratio(twice, twice + self.false_positives + self.false_negatives)

    @property
    def mean_iou(self) -> float | None:
        """The mean IoU of the true positives."""
        return ratio(self.iou_sum, self.true_positives)

    @property
    def darknet_iou(self) -> float | None:
        """Darknet's "average IoU": false positives count as 0 (AlexeyAB validate_detector_map)."""
        return ratio(self.iou_sum, self.true_positives + self.false_positives)


def operating_points(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
    score_thresh: float,
) -> tuple[OperatingPoint, ...]:
    """Return the operating point of each class, with the matches of `match_detections`.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        num_classes: the number of classes.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height of a box.
        score_thresh: detections need a score above this.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    check_labels(ground_truth, detections, num_classes)
    kept = above(detections, score_thresh)
    points = []
    for label in range(num_classes):
        matches = match_detections(ground_truth, kept, label, iou_thresh, pixel_extent)
        true_positives = int(np.count_nonzero(matches.true_positive))
        ground_truths = np.count_nonzero((ground_truth.labels == label) & ~ground_truth.difficult)
        points.append(
            OperatingPoint(
                true_positives=true_positives,
                false_positives=int(np.count_nonzero(matches.counts)) - true_positives,
                false_negatives=int(ground_truths) - true_positives,
                iou_sum=float(matches.iou[matches.true_positive].sum()),
            )
        )
    return tuple(points)


def combine_classes(points: Iterable[OperatingPoint]) -> OperatingPoint:
    """Return one operating point for all classes: counts are added, ratios are not averaged."""
    return OperatingPoint(*map(sum, zip((0, 0, 0, 0.0), *points, strict=True)))


def above(detections: ScoredBoxes, score_thresh: float) -> ScoredBoxes:
    """Return the detections with score > `score_thresh`, in their order; the same object if that is all of them."""
    kept = detections.scores > score_thresh
    return detections if kept.all() else detections.where(kept)


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, or None where `whole` is 0."""
    return part / whole if whole else None
