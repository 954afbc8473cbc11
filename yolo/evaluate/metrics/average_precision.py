"""Match detections to ground truth; from the matches precision, recall and average precision.

The rules are those of VOC's voc_eval (py-faster-rcnn; Darknet's reval_voc.py calls it), reproduced
and held against recorded results. Boxes are columns of numpy arrays, so millions of them are cheap.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from yolo.records import GroundTruth, ScoredBoxes

VOC_PIXEL_EXTENT = 1.0  # VOC boxes name their first and last pixel: the width is xmax - xmin + 1


VOC07_RECALLS = np.arange(11) * 0.1  # voc_eval's points: 3 * 0.1 is 0.30000000000000004, not 0.3

# Ours: so many detections, and pairs of a detection and a ground truth, are looked at at once, which takes
# some 30 MB whatever the number of detections
DETECTIONS_AT_ONCE = 2**16

PAIRS_AT_ONCE = 2**17


@dataclass(frozen=True)
class ClassMatch:
    """One class's detections after matching.

    scores: float64 [K], descending, of the K detections that count (those on difficult ground truth do
    not). correct: bool [K], the first detection of a ground truth. ground truths: boxes to be found, difficult
    ones not among them. detections: how many there were, K and those that do not count.
    """

    scores: np.ndarray
    correct: np.ndarray
    ground_truths: int
    detections: int


@dataclass(frozen=True)
class Verdicts:
    """What became of each detection of one class, by falling score; N detections of that class.

    rows: int64 [N], which of all detections. overlap: float64 [N], the largest IoU with a ground truth.
    counts: bool [N], false on difficult ground truth. correct: bool [N], the first detection of a ground truth.
    """

    rows: np.ndarray
    overlap: np.ndarray
    counts: np.ndarray
    correct: np.ndarray


@dataclass(frozen=True)
class ClassScore:
    """One class's curve and its two average precisions, None where there was nothing to find.

    recall, precision: float64 [K], after each detection of `match`.
    """

    match: ClassMatch
    recall: np.ndarray
    precision: np.ndarray
    voc07_ap: float | None
    area_ap: float | None


@dataclass(frozen=True)
class Counts:
    """What a score threshold leaves of one class: hits, false alarms, and ground truths not found."""

    true_positives: int
    false_positives: int
    missed: int


def score_classes(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
) -> tuple[ClassScore, ...]:
    """Score each class 0 .. num_classes - 1 by itself; `match_class` has the rules and arguments.

    A class without a (non-difficult) ground truth has no average precision: None, left out of `mean_ap`.
    voc_eval divides by zero there; AlexeyAB's `detector map` counts such a class as 0.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1, which would be left out of every class.
    """
    check_labels(ground_truth, detections, num_classes)
    return tuple(
        _class_score(match_class(ground_truth, detections, label, iou_thresh, pixel_extent))
        for label in range(num_classes)
    )


def match_class(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    label: int,
    iou_thresh: float,
    pixel_extent: float,
) -> ClassMatch:
    """Decide which detections of one class are correct (voc_eval).

    By falling score, each detection goes to the ground truth of its image with the largest IoU (the
    first of equals) and to no other. IoU not above `iou_thresh`: false. On a difficult ground truth: does
    not count. The first on its ground truth: correct. Later ones on it: false. Equal scores keep their
    order.

    `pixel_extent` is added to each width and height: VOC_PIXEL_EXTENT for VOC's pixels, 0 for
    continuous boxes.
    """
    verdicts = judge_class(ground_truth, detections, label, iou_thresh, pixel_extent)
    ours = ground_truth.labels == label
    return ClassMatch(
        scores=detections.scores[verdicts.rows[verdicts.counts]],
        correct=verdicts.correct[verdicts.counts],
        ground_truths=int(np.count_nonzero(~ground_truth.difficult[ours])),
        detections=len(verdicts.rows),
    )


def judge_class(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    label: int,
    iou_thresh: float,
    pixel_extent: float,
) -> Verdicts:
    """The same, detection by detection; `match_class` has the rules and arguments."""
    ours, theirs = (
        np.flatnonzero(ground_truth.labels == label),
        np.flatnonzero(detections.labels == label),
    )
    # As they lie, mostly image after image, which memory is quick at; only then by score
    overlap, best = best_ground_truth(ground_truth, ours, detections, theirs, pixel_extent)
    order = by_score(detections, theirs)
    theirs, overlap, best = theirs[order], overlap[order], best[order]
    hit = np.flatnonzero(overlap > iou_thresh)
    counts = np.ones(len(theirs), dtype=bool)
    counts[hit] = ~ground_truth.difficult[best[hit]]
    correct = np.zeros(len(theirs), dtype=bool)
    correct[first_of_each(hit, best)] = True
    return Verdicts(theirs, overlap, counts, correct & counts)


def check_labels(ground_truth: GroundTruth, detections: ScoredBoxes, num_classes: int) -> None:
    """Raise ValueError for a label outside 0 .. num_classes - 1."""
    for labels in (ground_truth.labels, detections.labels):
        if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
            raise ValueError(
                f"labels {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}"
            )


def by_score(detections: ScoredBoxes, theirs: np.ndarray) -> np.ndarray:
    """int64 [N]: the places in `theirs` by falling score, equal scores in their order."""
    return np.argsort(-detections.scores[theirs], kind="stable")


def first_of_each(hit: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Of `hit`, places in `best` in rising order, the first that has each value of `best`."""
    values = best[hit]
    if len(values) == 0:
        return hit
    first = np.full(values.max() - values.min() + 1, -1, dtype=np.int64)
    first[values[::-1] - values.min()] = hit[::-1]  # of several for one value the last one stays
    return first[first >= 0]


def precision_recall(match: ClassMatch) -> tuple[np.ndarray, np.ndarray]:
    """(recall [K], precision [K]) after each detection; recall 0 where there is nothing to find."""
    found = np.cumsum(match.correct, dtype=np.float64)
    recall = found / max(match.ground_truths, 1)
    precision = found / np.arange(1, len(found) + 1)
    return recall, precision


def voc07_ap(recall: np.ndarray, precision: np.ndarray) -> float:
    """VOC2007's average precision: the mean of the best precision from each of 11 recalls on.

    The recalls are voc_eval's (VOC07_RECALLS), so a recall of exactly 3/10, 6/10 or 7/10 lies below
    its point. AlexeyAB's `-points 11` uses the exact tenths; the two differ only where such a
    recall is a step.
    """
    return ap_at(recall, precision, VOC07_RECALLS)


def ap_at(recall: np.ndarray, precision: np.ndarray, recalls: np.ndarray) -> float:
    """The mean of the best precision from each of `recalls` on; 0 beyond the last recall."""
    return float(best_from(recall, precision, recalls).mean())


def best_from(recall: np.ndarray, precision: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """[R]: the best precision from each of `recalls` on; 0 beyond the last recall."""
    best_beyond = np.append(_envelope(precision), 0.0)
    return best_beyond[np.searchsorted(recall, recalls, side="left")]


def area_ap(recall: np.ndarray, precision: np.ndarray) -> float:
    """VOC2010's average precision: recall steps times the best precision from there on."""
    return float(np.sum(np.diff(recall, prepend=0.0) * _envelope(precision)))


def mean_ap(values: Iterable[float | None]) -> float | None:
    """The mean over the classes that have an average precision; None where no class has one."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def counts_at(match: ClassMatch, score_thresh: float) -> Counts:
    """What remains of a match when only detections with score > `score_thresh` are kept."""
    kept = match.correct[match.scores > score_thresh]
    hits = int(np.count_nonzero(kept))
    return Counts(hits, len(kept) - hits, match.ground_truths - hits)


def _class_score(match: ClassMatch) -> ClassScore:
    recall, precision = precision_recall(match)
    if match.ground_truths == 0:
        return ClassScore(match, recall, precision, None, None)
    return ClassScore(
        match, recall, precision, voc07_ap(recall, precision), area_ap(recall, precision)
    )


def _envelope(precision: np.ndarray) -> np.ndarray:
    """[K]: the best precision here or later."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def best_ground_truth(
    ground_truth: GroundTruth,
    ours: np.ndarray,
    detections: ScoredBoxes,
    theirs: np.ndarray,
    pixel_extent: float,
) -> tuple[np.ndarray, np.ndarray]:
    """For each detection of `theirs` the largest IoU [N] with a ground truth of its image, and which [N].

    ours, theirs: int64, which ground truths and detections take part. Of equals the first of `ours` is
    taken. Where the image has none of them: IoU 0 and ground truth 0, whatever that is.
    """
    overlap, best = np.zeros(len(theirs)), np.zeros(len(theirs), dtype=np.int64)
    for place, pair_ground_truth, pair_iou in paired_images(
        ground_truth, ours, detections, theirs, pixel_extent
    ):
        new = np.diff(place, prepend=-1) > 0  # a detection's first pair
        start = np.flatnonzero(new)
        largest = np.maximum.reduceat(pair_iou, start)
        tops = np.flatnonzero(pair_iou == largest[np.cumsum(new) - 1])
        first_tops = tops[np.diff(place[tops], prepend=-1) > 0]
        overlap[place[start]], best[place[start]] = largest, pair_ground_truth[first_tops]
    return overlap, best


def paired_images(
    ground_truth: GroundTruth,
    ours: np.ndarray,
    detections: ScoredBoxes,
    theirs: np.ndarray,
    pixel_extent: float,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The pairs of `pairs_of_images` with the IoU of each, [P], beside them."""
    for place, pair_ground_truth in pairs_of_images(ground_truth, ours, detections, theirs):
        boxes = detections.boxes[theirs[place]]
        yield (
            place,
            pair_ground_truth,
            paired_iou(boxes, ground_truth.boxes[pair_ground_truth], pixel_extent),
        )


def pairs_of_images(
    ground_truth: GroundTruth, ours: np.ndarray, detections: ScoredBoxes, theirs: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of a detection and a ground truth of its image, part by part, detections kept together.

    Each part: (place in `theirs`, rising; ground truth, in the order of `ours`), [P] each, at least 1.
    Instead of looping over images, every detection is repeated once a ground truth of its image.
    """
    ours = ours[np.argsort(ground_truth.image_index[ours], kind="stable")]
    images = ground_truth.image_index[ours]
    for first in range(0, len(theirs), DETECTIONS_AT_ONCE):
        wanted = detections.image_index[theirs[first : first + DETECTIONS_AT_ONCE]]
        begin = np.searchsorted(images, wanted, side="left")
        count = np.searchsorted(images, wanted, side="right") - begin
        paired = np.flatnonzero(count)
        ends = np.cumsum(count[paired])
        cuts = np.arange(PAIRS_AT_ONCE, ends[-1] if len(ends) else 0, PAIRS_AT_ONCE)
        for part in np.split(paired, np.unique(np.searchsorted(ends, cuts))):
            if len(part) == 0:
                continue
            end = np.cumsum(count[part])
            pair_ground_truth = np.arange(end[-1]) + np.repeat(
                begin[part] - end + count[part], count[part]
            )
            yield first + np.repeat(part, count[part]), ours[pair_ground_truth]


def paired_iou(first: np.ndarray, second: np.ndarray, pixel_extent: float) -> np.ndarray:
    """IoU row by row, xyxy [P, 4], [P, 4] → [P]; 0 where the union is empty or not a number."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, 2:], second[:, 2:])
    intersection = np.maximum(high - low + pixel_extent, 0.0).prod(axis=1)
    union = _area(first, pixel_extent) + _area(second, pixel_extent) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _area(boxes: np.ndarray, pixel_extent: float) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2] + pixel_extent).prod(axis=1)
