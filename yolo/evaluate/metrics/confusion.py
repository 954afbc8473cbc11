"""Which class was taken for which: a matrix of ground truths and detections, with the background as one more."""

import numpy as np

from yolo.evaluate.metrics.average_precision import check_labels, paired_images
from yolo.evaluate.metrics.operating_point import above
from yolo.records import GroundTruth, ScoredBoxes


def confusion_matrix(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
    score_thresh: float,
) -> np.ndarray:
    """int64 [classes + 1, classes + 1]: rows the ground truth, columns what it was detected as.

    The last row is the background, where detections found nothing; the last column what was missed.
    Matching asks for no class: by falling score, a detection with score > `score_thresh` takes, of
    the ground truths of its image with IoU > `iou_thresh` that none has taken yet, the one with the
    largest IoU; of equals one of its own class, then the first. So each ground truth is in one place of its
    row. A detection without such a ground truth that lies on a difficult one (IoU > `iou_thresh`) does not
    count; another is a detection of background. Difficult ground truths are in no row.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    check_labels(ground_truth, detections, num_classes)
    found = above(detections, score_thresh)
    order = np.argsort(-found.scores, kind="stable")
    owners, ground_truths, overlaps = _candidates(
        ground_truth, found, order, iou_thresh, pixel_extent
    )
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    background = num_classes
    taken = ground_truth.difficult.copy()  # none can take a difficult one
    matched = np.zeros(len(order), dtype=bool)  # or excused by a difficult one
    start = 0
    for place, end in zip(*_runs(owners), strict=True):
        label = found.labels[order[place]]
        mine, iou = ground_truths[start:end], overlaps[start:end]
        start = end
        matched[place] = ground_truth.difficult[mine].any()
        free = ~taken[mine]
        if not free.any():
            continue
        mine, iou = mine[free], iou[free]
        best = mine[iou == iou.max()]
        own = best[ground_truth.labels[best] == label]
        chosen = (own if len(own) else best)[0]
        taken[chosen] = matched[place] = True
        matrix[ground_truth.labels[chosen], label] += 1
    stray = found.labels[order[~matched]]
    matrix[background, :num_classes] = np.bincount(stray, minlength=num_classes)
    missed = ground_truth.labels[~taken]
    matrix[:num_classes, background] = np.bincount(missed, minlength=num_classes)
    return matrix


def _candidates(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    order: np.ndarray,
    iou_thresh: float,
    pixel_extent: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs with IoU above the threshold: (place in `order`, rising; ground truth, rising; IoU)."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    everything = np.arange(len(ground_truth.labels))
    for place, pair_ground_truth, iou in paired_images(
        ground_truth, everything, detections, order, pixel_extent
    ):
        near = iou > iou_thresh
        parts.append((place[near], pair_ground_truth[near], iou[near]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _runs(owners: np.ndarray) -> tuple[list[int], list[int]]:
    """Of rising numbers, each once, and where it ends."""
    ends = np.flatnonzero(np.diff(owners, append=-1)) + 1
    return owners[ends - 1].tolist(), ends.tolist()
