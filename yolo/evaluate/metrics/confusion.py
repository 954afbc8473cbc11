"""Which class was taken for which: a matrix of truths and detections, with the background as one more."""

import numpy as np

from yolo.evaluate.metrics.average_precision import check_labels, paired_pictures
from yolo.evaluate.metrics.operating_point import above
from yolo.records import GroundTruth, ScoredBoxes


def confusion_matrix(
    truth: GroundTruth,
    detections: ScoredBoxes,
    num_classes: int,
    iou_thresh: float,
    pixel_extent: float,
    score_thresh: float,
) -> np.ndarray:
    """int64 [classes + 1, classes + 1]: rows the truth, columns what it was detected as.

    The last row is the background, where detections found nothing; the last column what was missed.
    Matching asks for no class: by falling score, a detection with score > `score_thresh` takes, of
    the truths of its picture with IoU > `iou_thresh` that none has taken yet, the one with the
    largest IoU; of equals one of its own class, then the first. So each truth is in one place of its
    row. A detection without such a truth that lies on a difficult one (IoU > `iou_thresh`) does not
    count; another is a detection of background. Difficult truths are in no row.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.
    """
    check_labels(truth, detections, num_classes)
    found = above(detections, score_thresh)
    order = np.argsort(-found.scores, kind="stable")
    owners, truths, overlaps = _candidates(truth, found, order, iou_thresh, pixel_extent)
    matrix = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    background = num_classes
    taken = truth.difficult.copy()  # none can take a difficult one
    matched = np.zeros(len(order), dtype=bool)  # or excused by a difficult one
    start = 0
    for place, end in zip(*_runs(owners), strict=True):
        label = found.labels[order[place]]
        mine, iou = truths[start:end], overlaps[start:end]
        start = end
        matched[place] = truth.difficult[mine].any()
        free = ~taken[mine]
        if not free.any():
            continue
        mine, iou = mine[free], iou[free]
        best = mine[iou == iou.max()]
        own = best[truth.labels[best] == label]
        chosen = (own if len(own) else best)[0]
        taken[chosen] = matched[place] = True
        matrix[truth.labels[chosen], label] += 1
    stray = found.labels[order[~matched]]
    matrix[background, :num_classes] = np.bincount(stray, minlength=num_classes)
    missed = truth.labels[~taken]
    matrix[:num_classes, background] = np.bincount(missed, minlength=num_classes)
    return matrix


def _candidates(
    truth: GroundTruth,
    detections: ScoredBoxes,
    order: np.ndarray,
    iou_thresh: float,
    pixel_extent: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs with IoU above the threshold: (place in `order`, rising; truth, rising; IoU)."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    everything = np.arange(len(truth.labels))
    for place, pair_truth, iou in paired_pictures(
        truth, everything, detections, order, pixel_extent
    ):
        near = iou > iou_thresh
        parts.append((place[near], pair_truth[near], iou[near]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _runs(owners: np.ndarray) -> tuple[list[int], list[int]]:
    """Of rising numbers, each once, and where it ends."""
    ends = np.flatnonzero(np.diff(owners, append=-1)) + 1
    return owners[ends - 1].tolist(), ends.tolist()
