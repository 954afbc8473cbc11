"""PASCAL VOC's metric: match detections to ground truth, then compute precision, recall and average precision.

The rules are those of VOC's voc_eval (py-faster-rcnn; Darknet's reval_voc.py calls it). The tests compare the results
with recorded ones. Boxes are columns of NumPy arrays, so that millions of them are scored quickly.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from yolo.detect.pairs import pairs_in_parts
from yolo.evaluate.metrics.near_pairs import near_pairs
from yolo.records import UNKNOWN_SIZE, VOC_ORIGIN, Evaluation, GroundTruth, ScoredBoxes

IOU_THRESH = 0.5
VOC_PIXEL_EXTENT = 1.0  # VOC boxes name their first and last pixel: the width is xmax - xmin + 1
CONTINUOUS = 0.0  # added to the sides of boxes in continuous pixels, as in box.c box_iou
VOC07_RECALLS = np.arange(11) * 0.1  # voc_eval's points: 3 * 0.1 is 0.30000000000000004, not 0.3

# Limits of the memory (our choice): about 30 MB, for any number of detections
DETECTIONS_AT_ONCE = 2**16
PAIRS_AT_ONCE = 2**17
NO_GROUND_TRUTH = -1  # a detection that overlaps no ground truth
CROWDED = 256  # ground truths of an image; from there on sorting takes less time than comparing all pairs (our choice)


@dataclass(frozen=True)
class ClassMatch:
    """The matched detections of one class.

    scores: float64 [K], descending, of the K detections that count. A detection matched to a difficult ground truth
    does not count. true_positive: bool [K], the first detection of a ground truth. ground_truths: the number of
    ground truths that are not difficult. detections: the number of all detections, counted or not.
    """

    scores: np.ndarray
    true_positive: np.ndarray
    ground_truths: int
    detections: int


@dataclass(frozen=True)
class DetectionMatches:
    """The match of each of the N detections of one class, in order of descending score.

    rows: int64 [N], positions in all detections. iou: float64 [N], the largest IoU with a ground truth.
    ground_truth: int64 [N], the position of that ground truth, or NO_GROUND_TRUTH where the IoU is 0. counts: bool [N],
    false for a detection matched to a difficult ground truth. true_positive: bool [N].
    """

    rows: np.ndarray
    iou: np.ndarray
    ground_truth: np.ndarray
    counts: np.ndarray
    true_positive: np.ndarray


@dataclass(frozen=True)
class ClassScore:
    """The precision-recall curve of one class and its two average precisions, None without ground truth.

    recall, precision: float64 [K], after each detection of `match`.
    """

    match: ClassMatch
    recall: np.ndarray
    precision: np.ndarray
    voc07_ap: float | None
    area_ap: float | None


def voc_scores(evaluation: Evaluation, iou_thresh: float = IOU_THRESH) -> tuple[ClassScore, ...]:
    """Score each class by VOC's rules, in VOC's pixels."""
    return score_classes(
        ground_truth_in_voc_pixels(evaluation),
        detections_in_voc_pixels(evaluation),
        len(evaluation.names),
        iou_thresh,
        VOC_PIXEL_EXTENT,
    )


def ground_truth_in_voc_pixels(evaluation: Evaluation) -> GroundTruth:
    """Return the ground truth in VOC's pixels. Darknet's labels were made from them by subtracting 1 (voc_label.py)."""
    ground_truth = evaluation.ground_truth
    return replace(ground_truth, boxes=ground_truth.boxes + VOC_ORIGIN)


def detections_in_voc_pixels(evaluation: Evaluation) -> ScoredBoxes:
    """Return the detections as Darknet writes them into comp4 files: in VOC's pixels, clamped to the image."""
    detections = evaluation.detections
    boxes = voc_pixels(detections.boxes, evaluation.sizes[detections.image_index])
    return replace(detections, boxes=boxes)


def voc_pixels(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Convert xyxy `[N, 4]` in continuous image pixels from 0 to VOC's pixels, as Darknet writes them.

    All four numbers grow by 1 and are clamped to the image (examples/detector.c, print_detector_detections). A box
    that is wholly outside, which Darknet writes inverted, becomes a box of one pixel on the border. sizes: `[N, 2]`,
    (height, width) of each box's image; with UNKNOWN_SIZE nothing is clamped.
    """
    width_height = np.asarray(sizes, dtype=np.float64)[:, ::-1]
    known = width_height != UNKNOWN_SIZE
    low = np.where(known, VOC_ORIGIN, -np.inf)
    high = np.where(known, width_height, np.inf)
    moved = np.asarray(boxes, dtype=np.float64) + VOC_ORIGIN
    return np.clip(moved, np.tile(low, 2), np.tile(high, 2))


def score_classes(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
) -> tuple[ClassScore, ...]:
    """Score each class 0 .. num_classes - 1 by itself.

    A class without ground truth (difficult ones aside) has no average precision: the value is None and `mean_ap` leaves
    it out. voc_eval divides by zero there; AlexeyAB's `detector map` counts such a class as 0.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        num_classes: the number of classes.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height: VOC_PIXEL_EXTENT for VOC's pixels, 0 for continuous boxes.

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
    """Match the detections of one class and keep those that count, by the rules of `match_detections`.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        label: the class.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height: VOC_PIXEL_EXTENT for VOC's pixels, 0 for continuous boxes.
    """
    matches = match_detections(ground_truth, detections, label, iou_thresh, pixel_extent)
    of_class = ground_truth.labels == label
    return ClassMatch(
        scores=detections.scores[matches.rows[matches.counts]],
        true_positive=matches.true_positive[matches.counts],
        ground_truths=int(np.count_nonzero(~ground_truth.difficult[of_class])),
        detections=len(matches.rows),
    )


def match_detections(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    label: int,
    iou_thresh: float,
    pixel_extent: float,
) -> DetectionMatches:
    """Match each detection of one class (voc_eval).

    In order of descending score, each detection is assigned the ground truth of its image and class with the largest
    IoU, the first of equals, and no other. If the IoU is not above `iou_thresh`, it is a false positive. If the ground
    truth is difficult, the detection does not count. The first detection of a ground truth is a true positive, later
    ones are false positives. Equal scores keep their order.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        label: the class.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height: VOC_PIXEL_EXTENT for VOC's pixels, 0 for continuous boxes.
    """
    ground_truth_rows = np.flatnonzero(ground_truth.labels == label)
    rows = np.flatnonzero(detections.labels == label)
    # Overlaps are computed in the order of the arrays, mostly image after image, for fast memory access
    iou, best = best_ground_truth(ground_truth, ground_truth_rows, detections, rows, pixel_extent)
    order = np.argsort(-detections.scores[rows], kind="stable")
    rows, iou, best = rows[order], iou[order], best[order]
    matched = np.flatnonzero(iou > iou_thresh)
    counts = np.ones(len(rows), dtype=bool)
    counts[matched] = ~ground_truth.difficult[best[matched]]
    first = np.zeros(len(rows), dtype=bool)
    first[first_of_each(matched, best)] = True
    return DetectionMatches(rows, iou, np.where(iou > 0, best, NO_GROUND_TRUTH), counts, first & counts)


def check_labels(ground_truth: GroundTruth, detections: ScoredBoxes, num_classes: int) -> None:
    """Raise ValueError for a label outside 0 .. num_classes - 1."""
    for labels in (ground_truth.labels, detections.labels):
        if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
            raise ValueError(f"labels {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")


def first_of_each(matched: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return, of `matched` (ascending positions in `best`), the first position of each value of `best`."""
    values = best[matched]
    if len(values) == 0:
        return matched
    first = np.full(values.max() - values.min() + 1, -1, dtype=np.int64)
    first[values[::-1] - values.min()] = matched[::-1]  # the last assignment to an index wins
    return first[first >= 0]


def precision_recall(match: ClassMatch) -> tuple[np.ndarray, np.ndarray]:
    """Return (recall [K], precision [K]) after each detection; recall is 0 without ground truth."""
    true_positives = np.cumsum(match.true_positive, dtype=np.float64)
    recall = true_positives / max(match.ground_truths, 1)
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    return recall, precision


def voc07_ap(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return VOC2007's average precision: the mean of the best precision from each of 11 recalls on.

    The recalls are voc_eval's (VOC07_RECALLS), so a recall of exactly 3/10, 6/10 or 7/10 is below its point.
    AlexeyAB's `-points 11` uses the exact tenths; the two differ only where such a recall is a step.
    """
    return ap_at(recall, precision, VOC07_RECALLS)


def ap_at(recall: np.ndarray, precision: np.ndarray, recalls: np.ndarray) -> float:
    """Return the mean of the best precision from each of `recalls` on; 0 beyond the last recall."""
    return float(best_from(recall, precision, recalls).mean())


def best_from(recall: np.ndarray, precision: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Return [R]: the best precision from each of `recalls` on; 0 beyond the last recall."""
    best_beyond = np.append(_envelope(precision), 0.0)
    return best_beyond[np.searchsorted(recall, recalls, side="left")]


def area_ap(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return VOC2010's average precision: recall steps times the best precision from there on."""
    return float(np.sum(np.diff(recall, prepend=0.0) * _envelope(precision)))


def mean_ap(values: Iterable[float | None]) -> float | None:
    """Return the mean over the classes that have an average precision; None where no class has one."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _class_score(match: ClassMatch) -> ClassScore:
    recall, precision = precision_recall(match)
    aps = (None, None)
    if match.ground_truths:
        aps = voc07_ap(recall, precision), area_ap(recall, precision)
    return ClassScore(match, recall, precision, *aps)


def _envelope(precision: np.ndarray) -> np.ndarray:
    """Return [K]: the best precision here or later."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def best_ground_truth(
    ground_truth: GroundTruth,
    ground_truth_rows: np.ndarray,
    detections: ScoredBoxes,
    rows: np.ndarray,
    pixel_extent: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each detection the ground truth of its image with the largest IoU, the first of equals.

    Args:
        ground_truth: boxes in the frame of the detections.
        ground_truth_rows: int64, positions of the ground truths that take part, ascending.
        detections: in any order.
        rows: int64 [N], positions of the detections that take part.
        pixel_extent: added to each width and height.

    Returns:
        The IoU, float64 [N], and the position of the ground truth, int64 [N]. Where the IoU is 0 the position has no
        meaning.
    """
    iou, best = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    for place, paired, pair_iou in image_pairs_with_iou(
        ground_truth, ground_truth_rows, detections, rows, pixel_extent
    ):
        new = np.diff(place, prepend=-1) > 0  # the first pair of a detection
        start = np.flatnonzero(new)
        largest = np.maximum.reduceat(pair_iou, start)
        tops = np.flatnonzero(pair_iou == largest[np.cumsum(new) - 1])
        first = paired[tops[np.diff(place[tops], prepend=-1) > 0]]
        found = place[start]
        # Other pairs of these detections may have been in earlier parts
        better = (largest > iou[found]) | ((largest == iou[found]) & (first < best[found]))
        iou[found[better]], best[found[better]] = largest[better], first[better]
    return iou, best


def image_pairs_with_iou(
    ground_truth: GroundTruth,
    ground_truth_rows: np.ndarray,
    detections: ScoredBoxes,
    rows: np.ndarray,
    pixel_extent: float,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the parts of `image_pairs`, each with the IoU of its pairs.

    Args:
        ground_truth: boxes in the frame of the detections.
        ground_truth_rows: int64, positions of the ground truths that take part, ascending.
        detections: in any order.
        rows: int64 [N], positions of the detections that take part.
        pixel_extent: added to each width and height.

    Yields:
        place of the detection in `rows` and position of the ground truth, int64 [P] each, and their IoU, float64 [P].
    """
    for place, paired in image_pairs(ground_truth, ground_truth_rows, detections, rows, pixel_extent):
        boxes = detections.boxes[rows[place]]
        yield place, paired, iou_of_pairs(boxes, ground_truth.boxes[paired], pixel_extent)


def image_pairs(
    ground_truth: GroundTruth,
    ground_truth_rows: np.ndarray,
    detections: ScoredBoxes,
    rows: np.ndarray,
    pixel_extent: float,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every pair of a detection and a ground truth of its image that overlap, once, in parts of limited size.

    For images with fewer than CROWDED ground truths, all pairs are yielded, also those that do not overlap. Instead of
    a loop over images, each detection is repeated once for each ground truth of its image.

    Args:
        ground_truth: the labeled boxes.
        ground_truth_rows: int64, positions of the ground truths that take part, ascending.
        detections: in any order.
        rows: int64, positions of the detections that take part.
        pixel_extent: added to each width and height.

    Yields:
        Two arrays int64 [P], P above 0: positions in `rows`, ascending, and positions of ground truths, ascending for
        each detection. The pairs of a detection may be in several parts.
    """
    ground_truth_rows = ground_truth_rows[np.argsort(ground_truth.image_index[ground_truth_rows], kind="stable")]
    images = ground_truth.image_index[ground_truth_rows]
    crowded = images[CROWDED - 1 :][images[CROWDED - 1 :] == images[: len(images[CROWDED - 1 :])]]
    crowded = np.unique(crowded)
    if len(crowded):
        yield from _crowded_pairs(ground_truth, ground_truth_rows, detections, rows, crowded, pixel_extent)
        ground_truth_rows = ground_truth_rows[~np.isin(images, crowded)]
        images = ground_truth.image_index[ground_truth_rows]
    for first in range(0, len(rows), DETECTIONS_AT_ONCE):
        wanted = detections.image_index[rows[first : first + DETECTIONS_AT_ONCE]]
        begin = np.searchsorted(images, wanted, side="left")
        count = np.searchsorted(images, wanted, side="right") - begin
        for paired, places in pairs_in_parts(begin, count, PAIRS_AT_ONCE):
            yield first + paired, ground_truth_rows[places]


def _crowded_pairs(
    ground_truth: GroundTruth,
    ground_truth_rows: np.ndarray,
    detections: ScoredBoxes,
    rows: np.ndarray,
    crowded: np.ndarray,
    pixel_extent: float,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `image_pairs` of the images `crowded`, by `near_pairs`. ground_truth_rows: image after image."""
    images = ground_truth.image_index[ground_truth_rows]
    places = np.argsort(detections.image_index[rows], kind="stable")
    of_places = detections.image_index[rows[places]]
    for image in crowded:
        ground_truths = ground_truth_rows[np.searchsorted(images, image) : np.searchsorted(images, image, side="right")]
        found = places[np.searchsorted(of_places, image) : np.searchsorted(of_places, image, side="right")]
        boxes = detections.boxes[rows[found]]
        for one, other in near_pairs(boxes, ground_truth.boxes[ground_truths], pixel_extent, PAIRS_AT_ONCE):
            if len(one):
                yield found[one], ground_truths[other]


def iou_of_pairs(
    boxes: np.ndarray, ground_truth_boxes: np.ndarray, pixel_extent: float, crowd: np.ndarray | None = None
) -> np.ndarray:
    """Compute the IoU row by row; 0 where the union is empty or not a number.

    Args:
        boxes: float64 [P, 4] xyxy.
        ground_truth_boxes: float64 [P, 4] xyxy.
        pixel_extent: added to each width and height.
        crowd: bool [P], rows whose intersection is divided by the area of the first box alone, as COCO does for
            `iscrowd`.

    Returns:
        float64 [P].
    """
    low = np.maximum(boxes[:, :2], ground_truth_boxes[:, :2])
    high = np.minimum(boxes[:, 2:], ground_truth_boxes[:, 2:])
    intersection = np.maximum(high - low + pixel_extent, 0.0).prod(axis=1)
    area = _area(boxes, pixel_extent)
    union = area + _area(ground_truth_boxes, pixel_extent) - intersection
    if crowd is not None:
        union = np.where(crowd, area, union)
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def _area(boxes: np.ndarray, pixel_extent: float) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2] + pixel_extent).prod(axis=1)
