"""Detections and truths of the same picture side by side: every pair that overlaps, and how much."""

from dataclasses import dataclass

import numpy as np

from yolo.evaluate.average_precision import GroundTruth, ScoredBoxes, pairs_of_pictures


@dataclass(frozen=True)
class Pairs:
    """Pairs of a detection and a truth of its picture, whatever their classes.

    detection: int64 [P] and truth: int64 [P], positions; overlap: float64 [P], the IoU, or for a
    difficult truth the part of the detection that lies in it (COCO's measure against `iscrowd`).
    """

    detection: np.ndarray
    truth: np.ndarray
    overlap: np.ndarray

    def where(self, chosen: np.ndarray) -> "Pairs":
        """The pairs that `chosen` (bool [P], or positions) names."""
        return Pairs(self.detection[chosen], self.truth[chosen], self.overlap[chosen])


def overlapping(truth: GroundTruth, detections: ScoredBoxes, least: float) -> Pairs:
    """All pairs of a picture with an overlap of at least `least` (above 0), boxes continuous."""
    everyone = np.arange(len(truth.labels)), np.arange(len(detections.scores))
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for found, partner in pairs_of_pictures(truth, everyone[0], detections, everyone[1]):
        overlap = _overlap(detections.boxes[found], truth.boxes[partner], truth.difficult[partner])
        parts.append(Pairs(found, partner, overlap).where(overlap >= least))
    return Pairs(
        *(
            np.concatenate([getattr(part, column) for part in parts])
            for column in ("detection", "truth", "overlap")
        )
    )


def best_partner(pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` detections its largest overlap [N], 0 without one, and whose [N], -1.

    The first truth of equals.
    """
    overlap, best = np.zeros(count), np.full(count, -1)
    order = np.lexsort((-pairs.truth, pairs.overlap))  # what is written last stays
    overlap[pairs.detection[order]] = pairs.overlap[order]
    best[pairs.detection[order]] = pairs.truth[order]
    return overlap, best


def _overlap(boxes: np.ndarray, truths: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """Row by row, xyxy [P, 4] each → [P]; 0 where there is no area to divide by."""
    low, high = np.maximum(boxes[:, :2], truths[:, :2]), np.minimum(boxes[:, 2:], truths[:, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=1)
    own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    whole = np.where(difficult, own, own + (truths[:, 2:] - truths[:, :2]).prod(axis=1) - shared)
    return np.divide(shared, whole, out=np.zeros_like(whole), where=whole > 0)
