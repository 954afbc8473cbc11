"""Every detection of one class in the order of a scorer: its outcome, and the precision and recall after it.

The outcomes are those of `match_detections`, VOC's rules. They are not computed a second time here.
"""

from dataclasses import dataclass

import numpy as np

from yolo.evaluate.metrics.voc import (
    NO_GROUND_TRUTH,
    ClassMatch,
    area_ap,
    best_ground_truth,
    match_detections,
    precision_recall,
    voc07_ap,
)
from yolo.records import GroundTruth, ScoredBoxes

TRUE_POSITIVE, TAKEN, TOO_FAR, NOTHING, IGNORED = range(5)  # outcomes
OUTCOME_NAMES = ("true positive", "taken", "IoU too small", "no object there", "difficult, does not count")

# A list of detections that ends above this score was cut: Darknet's own list for mAP ends at .005 (detector.c).
CUT_SCORE = 0.01
WORTH_A_WARNING = 0.005  # of average precision that the missing part of the curve could add


@dataclass(frozen=True)
class ClassWalk:
    """The N detections of one class by descending score, and the M ground truths of the class that count.

    rows: int64 `[N]`, positions in all detections. scores, iou: float64 `[N]`; iou: the largest with a ground truth of
    the class. ground_truth: int64 `[N]`, its position or NO_GROUND_TRUTH. outcome: int64 `[N]`. taken_by: int64 `[N]`,
    for TAKEN the place of the better detection, else NO_GROUND_TRUTH. other, other_iou: the ground truth of another
    class with the largest IoU, and that IoU. true_positives, false_positives: int64 `[N]`, so far. recall, precision:
    float64 `[N]`, so far; 0 before the first detection that counts. ground_truths: M. difficult: ground truths that do
    not count.
    """

    rows: np.ndarray
    scores: np.ndarray
    iou: np.ndarray
    ground_truth: np.ndarray
    outcome: np.ndarray
    taken_by: np.ndarray
    other: np.ndarray
    other_iou: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    ground_truths: int
    difficult: int

    @property
    def counted(self) -> np.ndarray:
        """Places of the detections that count, of which the curve is made."""
        return np.flatnonzero(self.outcome != IGNORED)

    def outcome_counts(self) -> dict[str, int]:
        """Return how many detections have each outcome, by OUTCOME_NAMES."""
        counts = np.bincount(self.outcome, minlength=len(OUTCOME_NAMES))
        return dict(zip(OUTCOME_NAMES, counts.tolist(), strict=True))


@dataclass(frozen=True)
class Unseen:
    """The part of a curve that is missing because the list of detections was cut at a score.

    lowest_score: of all detections. last_recall: where the curve ends. most_area, most_voc07: the average precisions if
    each further detection were a true positive, until every object is detected: the upper bounds for a longer list.
    cut: whether the list was cut, and it matters.
    """

    lowest_score: float
    last_recall: float
    most_area: float
    most_voc07: float
    cut: bool


@dataclass(frozen=True)
class Missed:
    """The ground truths of a class that were not detected, by the nearest detection of the class.

    untouched: no detection overlaps it. near: the IoU is too small. lost: the IoU is large enough, but the detection
    was assigned to another object with a larger IoU.
    """

    untouched: int
    near: int
    lost: int


def walk_class(
    ground_truth: GroundTruth, detections: ScoredBoxes, label: int, iou_thresh: float, pixel_extent: float
) -> ClassWalk:
    """Follow the detections of one class through VOC's matching.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        label: the class.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height, as `match_detections` takes it.
    """
    found = match_detections(ground_truth, detections, label, iou_thresh, pixel_extent)
    others = np.flatnonzero(ground_truth.labels != label)
    other_iou, other = best_ground_truth(ground_truth, others, detections, found.rows, pixel_extent)
    outcome = np.select(
        [found.true_positive, ~found.counts, found.iou > iou_thresh, found.iou > 0],
        [TRUE_POSITIVE, IGNORED, TAKEN, TOO_FAR],
        NOTHING,
    )
    of_class = ground_truth.labels == label
    objects = int(np.count_nonzero(of_class & ~ground_truth.difficult))
    true_positives = np.cumsum(found.true_positive)
    false_positives = np.cumsum(found.counts & ~found.true_positive)
    so_far = true_positives + false_positives
    return ClassWalk(
        rows=found.rows,
        scores=detections.scores[found.rows],
        iou=found.iou,
        ground_truth=found.ground_truth,
        outcome=outcome,
        taken_by=_taken_by(found.ground_truth, outcome),
        other=np.where(other_iou > 0, other, NO_GROUND_TRUTH),
        other_iou=other_iou,
        true_positives=true_positives,
        false_positives=false_positives,
        recall=true_positives / max(objects, 1),
        precision=true_positives / np.maximum(so_far, 1),
        ground_truths=objects,
        difficult=int(np.count_nonzero(of_class & ground_truth.difficult)),
    )


def unseen_part(walk: ClassWalk, lowest_score: float) -> Unseen:
    """Return the missing part of the curve; lowest_score: of the detections of all classes."""
    counted = walk.counted
    hits = walk.outcome[counted] == TRUE_POSITIVE
    missing = walk.ground_truths - int(hits.sum())
    marks = np.concatenate((hits, np.ones(missing, bool)))
    recall, precision = precision_recall(ClassMatch(np.zeros(len(marks)), marks, walk.ground_truths, len(marks)))
    now = area_ap(walk.recall[counted], walk.precision[counted])
    most = area_ap(recall, precision)
    return Unseen(
        lowest_score=lowest_score,
        last_recall=float(walk.recall[-1]) if len(walk.recall) else 0.0,
        most_area=most,
        most_voc07=voc07_ap(recall, precision),
        cut=lowest_score > CUT_SCORE and most - now > WORTH_A_WARNING,
    )


def missed_objects(
    walk: ClassWalk,
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    label: int,
    iou_thresh: float,
    pixel_extent: float,
) -> Missed:
    """Return why objects of a class were not detected.

    Args:
        walk: the result of `walk_class` for the other arguments.
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        label: the class.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height.
    """
    hit = walk.ground_truth[walk.outcome == TRUE_POSITIVE]
    rows = np.setdiff1d(np.flatnonzero((ground_truth.labels == label) & ~ground_truth.difficult), hit)
    # The same search with the two sides exchanged: for each object the best detection
    as_ground_truth = GroundTruth(
        detections.image_index, detections.labels, detections.boxes, np.zeros(len(detections.labels), bool)
    )
    as_detections = ScoredBoxes(
        ground_truth.image_index, ground_truth.labels, np.zeros(len(ground_truth.labels)), ground_truth.boxes
    )
    iou, _ = best_ground_truth(as_ground_truth, np.sort(walk.rows), as_detections, rows, pixel_extent)
    lost = int(np.count_nonzero(iou > iou_thresh))
    untouched = int(np.count_nonzero(iou == 0))
    return Missed(untouched, len(rows) - lost - untouched, lost)


def _taken_by(ground_truth: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Return for each TAKEN detection the place of the true positive on the same ground truth."""
    places = np.flatnonzero(outcome == TRUE_POSITIVE)
    taken = np.flatnonzero(outcome == TAKEN)
    by = np.full(len(ground_truth), NO_GROUND_TRUTH)
    order = np.argsort(ground_truth[places], kind="stable")
    by[taken] = places[order[np.searchsorted(ground_truth[places], ground_truth[taken], sorter=order)]]
    return by
