"""COCO's matching, each detection with the best ground truth that is still free, and its average precision.

The rules are those of pycocotools, whose numbers the tests compare with these, without its limit of 100 detections per
image and class. This exists beside `coco.py` because the analysis of errors needs the ground truth that each detection
was matched to.
"""

from dataclasses import dataclass

import numpy as np

from yolo.evaluate.metrics.voc import CONTINUOUS, best_from, image_pairs, iou_of_pairs
from yolo.records import GroundTruth, ScoredBoxes

RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' recThrs
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' iouThrs
ANY_AREA = (0.0, np.inf)
NONE = -1  # no ground truth


@dataclass(frozen=True)
class OverlappingPairs:
    """Pairs of a detection and a ground truth of the same image, of any classes.

    detection, ground_truth: int64 [P], positions. overlap: float64 [P], the IoU, or for a difficult ground truth the
    part of the detection's area inside it (COCO's measure for `iscrowd`).
    """

    detection: np.ndarray
    ground_truth: np.ndarray
    overlap: np.ndarray

    def where(self, chosen: np.ndarray) -> "OverlappingPairs":
        """Return the pairs selected by `chosen`, bool [P] or positions."""
        return OverlappingPairs(*(column[chosen] for column in vars(self).values()))


@dataclass(frozen=True)
class RankedDetections:
    """The input of average precision: the K detections that count, in order of descending score.

    labels: int64 [K]. true_positive: bool [K]. ground_truths: int64 [classes], the number of ground truths that count.
    """

    labels: np.ndarray
    true_positive: np.ndarray
    ground_truths: np.ndarray


def overlapping_pairs(ground_truth: GroundTruth, detections: ScoredBoxes, least: float) -> OverlappingPairs:
    """Return all pairs of an image with an overlap of at least `least` (above 0); boxes are continuous."""
    ground_truth_rows, rows = np.arange(len(ground_truth.labels)), np.arange(len(detections.scores))
    parts = [OverlappingPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for detection, object_row in image_pairs(ground_truth, ground_truth_rows, detections, rows, CONTINUOUS):
        overlap = iou_of_pairs(
            detections.boxes[detection],
            ground_truth.boxes[object_row],
            CONTINUOUS,
            crowd=ground_truth.difficult[object_row],
        )
        parts.append(OverlappingPairs(detection, object_row, overlap).where(overlap >= least))
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return OverlappingPairs(*map(np.concatenate, columns))


def best_partner(pairs: OverlappingPairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of `count` detections its largest overlap [N] and the ground truth [N], the first of equals.

    Without a pair the overlap is 0 and the ground truth NONE.
    """
    overlap, best = np.zeros(count), np.full(count, NONE)
    order = np.lexsort((-pairs.ground_truth, pairs.overlap))  # the last assignment wins
    overlap[pairs.detection[order]] = pairs.overlap[order]
    best[pairs.detection[order]] = pairs.ground_truth[order]
    return overlap, best


def score_order(detections: ScoredBoxes) -> np.ndarray:
    """Return positions by descending score; of equal scores the earlier image first, then the given order."""
    scores, images = detections.scores, detections.image_index
    falls = scores[1:] < scores[:-1]
    if np.all(falls | ((scores[1:] == scores[:-1]) & (images[1:] >= images[:-1]))):
        return np.arange(len(scores))  # already in order, which is frequent
    return np.lexsort((images, -scores))


def same_class(ground_truth: GroundTruth, detections: ScoredBoxes, pairs: OverlappingPairs) -> OverlappingPairs:
    """Return the pairs whose detection and ground truth have the same class."""
    return pairs.where(ground_truth.labels[pairs.ground_truth] == detections.labels[pairs.detection])


def match_free(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    pairs: OverlappingPairs,
    iou_thresh: float,
    ignored: np.ndarray,
) -> np.ndarray:
    """Match each detection to a free ground truth (COCOeval.evaluateImg).

    In order of descending score, a detection is matched to the free ground truth with the largest overlap, the last of
    equals. An ignored ground truth is used only where there is no other. A difficult ground truth stays free.

    Args:
        ground_truth: M labeled boxes.
        detections: N detections.
        pairs: the pairs of one class each (`same_class`).
        iou_thresh: the least overlap of a match.
        ignored: bool [M], ground truths that do not count; difficult ones are among them.

    Returns:
        int64 [N], a position in `ground_truth` or NONE.
    """
    pairs = pairs.where(pairs.overlap >= iou_thresh)
    rank = np.empty(len(detections.scores), np.int64)
    rank[score_order(detections)] = np.arange(len(rank))
    order = np.lexsort((-pairs.ground_truth, -pairs.overlap, ignored[pairs.ground_truth], rank[pairs.detection]))
    match = [NONE] * len(rank)
    free, stays_free = [True] * len(ignored), ground_truth.difficult.tolist()
    columns = pairs.detection[order].tolist(), pairs.ground_truth[order].tolist()
    for detection, object_row in zip(*columns, strict=True):
        if match[detection] == NONE and free[object_row]:
            match[detection] = object_row
            free[object_row] = stays_free[object_row]
    return np.array(match, np.int64)


def rank_detections(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    pairs: OverlappingPairs,
    classes: int,
    iou_thresh: float,
    areas: tuple[float, float] = ANY_AREA,
) -> RankedDetections:
    """Match the detections and rank those that count.

    A ground truth that is difficult or of another size does not count, nor does a detection matched to it, nor an
    unmatched detection of another size.

    Args:
        ground_truth: the labeled boxes.
        detections: in any order.
        pairs: the pairs of one class each (`same_class`).
        classes: the number of classes.
        iou_thresh: the least overlap of a match.
        areas: the range of areas that count, in square pixels, both ends included.
    """
    ignored = ground_truth.difficult | ~_within(ground_truth.boxes, areas)
    match = match_free(ground_truth, detections, pairs, iou_thresh, ignored)
    matched = match != NONE
    counts = np.where(matched, ~ignored[match] if len(ignored) else False, True)
    counts &= matched | _within(detections.boxes, areas)
    order = score_order(detections)
    order = order[counts[order]]
    ground_truths = np.bincount(ground_truth.labels[~ignored], minlength=classes)
    return RankedDetections(detections.labels[order], matched[order], ground_truths)


def class_curves(ranked: RankedDetections) -> list[np.ndarray | None]:
    """Return for each class the best precision from each of RECALLS on, float64 [101]; None without ground truth."""
    return [
        curve_101(ranked.true_positive[ranked.labels == label], int(ground_truths)) if ground_truths else None
        for label, ground_truths in enumerate(ranked.ground_truths.tolist())
    ]


def class_aps(ranked: RankedDetections) -> list[float | None]:
    """Return for each class the mean of its curve (COCOeval.accumulate)."""
    return [None if curve is None else float(curve.mean()) for curve in class_curves(ranked)]


def curve_101(true_positive: np.ndarray, ground_truths: int) -> np.ndarray:
    """Return the precision of one class at RECALLS.

    `true_positive`: bool [K], by descending score; `ground_truths`: their number, at least 1.
    """
    true_positives = np.cumsum(true_positive)
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    return best_from(true_positives / ground_truths, precision, RECALLS)


def _within(boxes: np.ndarray, areas: tuple[float, float]) -> np.ndarray:
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return (area >= areas[0]) & (area <= areas[1])
