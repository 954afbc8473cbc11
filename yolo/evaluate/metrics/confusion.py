"""The confusion matrix of ground truths and detections, with the background as one more class."""

import numpy as np

from yolo.evaluate.metrics.operating_point import above
from yolo.evaluate.metrics.voc import check_labels, image_pairs_with_iou
from yolo.records import GroundTruth, ScoredBoxes


def confusion_matrix(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
    score_thresh: float,
) -> np.ndarray:
    """Count for each class of ground truth which class it was detected as.

    The matching ignores classes. In order of descending score, each detection is matched to one ground truth of its
    image: the one with the largest IoU that no earlier detection was matched to; of equals one of its own class, then
    the first. So each ground truth is counted in one cell of its row. A detection without a match does not count
    if it overlaps a difficult ground truth (IoU > `iou_thresh`); otherwise it is counted in the background row.
    Difficult ground truths are in no row.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        num_classes: the number of classes.
        iou_thresh: a match needs an IoU above this.
        pixel_extent: added to each width and height of a box.
        score_thresh: detections need a score above this.

    Returns:
        int64 [classes + 1, classes + 1]: rows are ground truth, columns detections. The last row counts detections of
        background, the last column ground truths that were not detected.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    check_labels(ground_truth, detections, num_classes)
    kept = above(detections, score_thresh)
    order = np.argsort(-kept.scores, kind="stable")
    places, ground_truths, ious = _candidates(ground_truth, kept, order, iou_thresh, pixel_extent)
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    background = num_classes
    taken = ground_truth.difficult.copy()  # no detection is matched to a difficult one
    matched = np.zeros(len(order), dtype=bool)  # or ignored, because it overlaps a difficult one
    start = 0
    values, counts = np.unique(places, return_counts=True)
    for place, end in zip(values.tolist(), np.cumsum(counts).tolist(), strict=True):
        label = kept.labels[order[place]]
        candidates, iou = ground_truths[start:end], ious[start:end]
        start = end
        matched[place] = ground_truth.difficult[candidates].any()
        free = ~taken[candidates]
        if not free.any():
            continue
        candidates, iou = candidates[free], iou[free]
        best = candidates[iou == iou.max()]
        same_class = best[ground_truth.labels[best] == label]
        chosen = (same_class if len(same_class) else best)[0]
        taken[chosen] = matched[place] = True
        matrix[ground_truth.labels[chosen], label] += 1
    unmatched = kept.labels[order[~matched]]
    matrix[background, :num_classes] = np.bincount(unmatched, minlength=num_classes)
    undetected = ground_truth.labels[~taken]
    matrix[:num_classes, background] = np.bincount(undetected, minlength=num_classes)
    return matrix


def _candidates(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    order: np.ndarray,
    iou_thresh: float,
    pixel_extent: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs with IoU above the threshold: position in `order`, ground truth (both ascending), IoU."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    everything = np.arange(len(ground_truth.labels))
    for place, object_rows, iou in image_pairs_with_iou(ground_truth, everything, detections, order, pixel_extent):
        near = iou > iou_thresh
        parts.append((place[near], object_rows[near], iou[near]))
    places, ground_truths, ious = (np.concatenate(column) for column in zip(*parts, strict=True))
    ascending = np.lexsort((ground_truths, places))  # a crowded image has its pairs in several parts
    return places[ascending], ground_truths[ascending], ious[ascending]
