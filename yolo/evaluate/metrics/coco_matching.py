"""Match as COCO does, each detection with the best ground truth still free, and average precision of 101 points.

The rules are pycocotools', whose numbers the tests hold these against, without its limit of 100 detections an image
and class. It is here, beside `coco.py`, as the errors behind a score can only be told from who was matched with whom.
"""

from dataclasses import dataclass

import numpy as np

from yolo.evaluate.metrics.average_precision import best_from, pairs_of_images
from yolo.records import GroundTruth, ScoredBoxes


@dataclass(frozen=True)
class Pairs:
    """Pairs of a detection and a ground truth of its image, whatever their classes.

    detection: int64 [P] and ground truth: int64 [P], positions; overlap: float64 [P], the IoU, or for a
    difficult ground truth the part of the detection that lies in it (COCO's measure against `iscrowd`).
    """

    detection: np.ndarray
    ground_truth: np.ndarray
    overlap: np.ndarray

    def where(self, chosen: np.ndarray) -> "Pairs":
        """The pairs that `chosen` (bool [P], or positions) names."""
        return Pairs(self.detection[chosen], self.ground_truth[chosen], self.overlap[chosen])


def overlapping(ground_truth: GroundTruth, detections: ScoredBoxes, least: float) -> Pairs:
    """All pairs of an image with an overlap of at least `least` (above 0), boxes continuous."""
    everyone = np.arange(len(ground_truth.labels)), np.arange(len(detections.scores))
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for found, partner in pairs_of_images(ground_truth, everyone[0], detections, everyone[1]):
        overlap = _overlap(
            detections.boxes[found], ground_truth.boxes[partner], ground_truth.difficult[partner]
        )
        parts.append(Pairs(found, partner, overlap).where(overlap >= least))
    return Pairs(
        *(
            np.concatenate([getattr(part, column) for part in parts])
            for column in ("detection", "ground_truth", "overlap")
        )
    )


def best_partner(pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` detections its largest overlap [N], 0 without one, and whose [N], -1.

    The first ground truth of equals.
    """
    overlap, best = np.zeros(count), np.full(count, -1)
    order = np.lexsort((-pairs.ground_truth, pairs.overlap))  # what is written last stays
    overlap[pairs.detection[order]] = pairs.overlap[order]
    best[pairs.detection[order]] = pairs.ground_truth[order]
    return overlap, best


def _overlap(boxes: np.ndarray, ground_truths: np.ndarray, difficult: np.ndarray) -> np.ndarray:
    """Row by row, xyxy [P, 4] each → [P]; 0 where there is no area to divide by."""
    low, high = (
        np.maximum(boxes[:, :2], ground_truths[:, :2]),
        np.minimum(boxes[:, 2:], ground_truths[:, 2:]),
    )
    shared = np.maximum(high - low, 0.0).prod(axis=1)
    own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    whole = np.where(
        difficult, own, own + (ground_truths[:, 2:] - ground_truths[:, :2]).prod(axis=1) - shared
    )
    return np.divide(shared, whole, out=np.zeros_like(whole), where=whole > 0)


RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' recThrs

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # pycocotools' iouThrs

ANY_AREA = (0.0, np.inf)

NONE = -1


@dataclass(frozen=True)
class Standing:
    """What average precision is made of, detections by falling score.

    labels: int64 [K] and correct: bool [K], of the detections that count; ground truths: int64 [classes], how many there are
    to be found.
    """

    labels: np.ndarray
    correct: np.ndarray
    ground_truths: np.ndarray


def by_score(detections: ScoredBoxes) -> np.ndarray:
    """Positions by falling score; of equal scores the earlier image first, then the order given."""
    scores, images = detections.scores, detections.image_index
    falls = scores[1:] < scores[:-1]
    if np.all(falls | ((scores[1:] == scores[:-1]) & (images[1:] >= images[:-1]))):
        return np.arange(len(scores))  # the many who ask after the first need not sort again
    return np.lexsort((images, -scores))


def sorted_by_score(detections: ScoredBoxes) -> ScoredBoxes:
    """The same detections in that order."""
    order = by_score(detections)
    return ScoredBoxes(
        detections.image_index[order],
        detections.labels[order],
        detections.scores[order],
        detections.boxes[order],
    )


def same_class(ground_truth: GroundTruth, detections: ScoredBoxes, pairs: Pairs) -> Pairs:
    """The pairs whose detection and ground truth have one class."""
    return pairs.where(
        ground_truth.labels[pairs.ground_truth] == detections.labels[pairs.detection]
    )


def match_free(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    pairs: Pairs,
    iou_thresh: float,
    ignored: np.ndarray,
) -> np.ndarray:
    """Whom each detection found: int64 [N], a position in `ground truth` or NONE (COCOeval.evaluateImg).

    `pairs`: of one class each (`same_class`). By falling score, a detection gets the free ground truth with the largest
    overlap, at least `iou_thresh`, the last of equals; one of `ignored` (bool [M], difficult ones among them) only
    where there is no other. A difficult ground truth stays free.
    """
    pairs = pairs.where(pairs.overlap >= iou_thresh)
    rank = np.empty(len(detections.scores), np.int64)
    rank[by_score(detections)] = np.arange(len(rank))
    order = np.lexsort(
        (-pairs.ground_truth, -pairs.overlap, ignored[pairs.ground_truth], rank[pairs.detection])
    )
    given = [NONE] * len(rank)
    free, stays_free = [True] * len(ignored), ground_truth.difficult.tolist()
    columns = pairs.detection[order].tolist(), pairs.ground_truth[order].tolist()
    for detection, found in zip(*columns, strict=True):
        if given[detection] == NONE and free[found]:
            given[detection] = found
            free[found] = stays_free[found]
    return np.array(given, np.int64)


def standing(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    pairs: Pairs,
    classes: int,
    iou_thresh: float,
    areas: tuple[float, float] = ANY_AREA,
) -> Standing:
    """The detections matched, those of objects of `areas` (square pixels, both ends among them) counted.

    Ground truths of another size, or difficult, are neither to be found nor wrong to be found; nor does a detection of
    another size count that found nothing. `pairs` as in `match_free`.
    """
    ignored = ground_truth.difficult | ~_within(ground_truth.boxes, areas)
    given = match_free(ground_truth, detections, pairs, iou_thresh, ignored)
    found = given != NONE
    counts = np.where(found, ~ignored[given] if len(ignored) else False, True)
    counts &= found | _within(detections.boxes, areas)
    order = by_score(detections)
    order = order[counts[order]]
    ground_truths = np.bincount(ground_truth.labels[~ignored], minlength=classes)
    return Standing(detections.labels[order], found[order], ground_truths)


def class_curves(stand: Standing) -> list[np.ndarray | None]:
    """Of each class the best precision from each of RECALLS on, float64 [101]; None where nothing is to be found."""
    return [
        curve_101(stand.correct[stand.labels == label], int(ground_truths))
        if ground_truths
        else None
        for label, ground_truths in enumerate(stand.ground_truths.tolist())
    ]


def class_aps(stand: Standing) -> list[float | None]:
    """Of each class the mean over its curve (COCOeval.accumulate)."""
    return [None if curve is None else float(curve.mean()) for curve in class_curves(stand)]


def curve_101(correct: np.ndarray, ground_truths: int) -> np.ndarray:
    """One class's precision at RECALLS; correct: bool [K] by falling score; ground truths: at least 1."""
    found = np.cumsum(correct)
    return best_from(found / ground_truths, found / np.arange(1, len(found) + 1), RECALLS)


def _within(boxes: np.ndarray, areas: tuple[float, float]) -> np.ndarray:
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return (area >= areas[0]) & (area <= areas[1])
