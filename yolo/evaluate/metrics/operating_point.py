"""What a score threshold leaves of a detector: precision, recall, F1 and how well its hits fit."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from yolo.evaluate.metrics.average_precision import check_labels, judge_class
from yolo.records import GroundTruth, ScoredBoxes


@dataclass(frozen=True)
class OperatingPoint:
    """Detections with a score above a threshold, of one class or of all together.

    overlap: the sum of the hits' IoU. missed: ground truths, difficult ones not among them, without a hit.
    The four shares are None where they would divide by nothing.
    """

    true_positives: int
    false_positives: int
    missed: int
    overlap: float

    @property
    def precision(self) -> float | None:
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        return _share(self.true_positives, self.true_positives + self.missed)

    @property
    def f1(self) -> float | None:
        """2PR / (P + R), which is 2TP / (2TP + FP + FN): 0 where nothing of something is right."""
        twice = 2 * self.true_positives
        return _share(twice, twice + self.false_positives + self.missed)

    @property
    def hit_iou(self) -> float | None:
        """The mean IoU of the hits."""
        return _share(self.overlap, self.true_positives)

    @property
    def darknet_iou(self) -> float | None:
        """Darknet's "average IoU": false positives count as 0 (AlexeyAB validate_detector_map)."""
        return _share(self.overlap, self.true_positives + self.false_positives)


def operating_points(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
    score_thresh: float,
) -> tuple[OperatingPoint, ...]:
    """Each class at score > `score_thresh`, matched as `match_class` does.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    check_labels(ground_truth, detections, num_classes)
    kept = above(detections, score_thresh)
    points = []
    for label in range(num_classes):
        verdicts = judge_class(ground_truth, kept, label, iou_thresh, pixel_extent)
        hits = int(np.count_nonzero(verdicts.correct))
        ground_truths = np.count_nonzero((ground_truth.labels == label) & ~ground_truth.difficult)
        points.append(
            OperatingPoint(
                true_positives=hits,
                false_positives=int(np.count_nonzero(verdicts.counts)) - hits,
                missed=int(ground_truths) - hits,
                overlap=float(verdicts.overlap[verdicts.correct].sum()),
            )
        )
    return tuple(points)


def together(points: Iterable[OperatingPoint]) -> OperatingPoint:
    """All classes as one: their boxes counted together, not their shares averaged."""
    points = [*points]
    return OperatingPoint(
        true_positives=sum(point.true_positives for point in points),
        false_positives=sum(point.false_positives for point in points),
        missed=sum(point.missed for point in points),
        overlap=sum(point.overlap for point in points),
    )


def above(detections: ScoredBoxes, score_thresh: float) -> ScoredBoxes:
    """The detections with score > `score_thresh`, in their order; themselves where that is all."""
    kept = detections.scores > score_thresh
    if kept.all():
        return detections
    return ScoredBoxes(
        detections.image_index[kept],
        detections.labels[kept],
        detections.scores[kept],
        detections.boxes[kept],
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
