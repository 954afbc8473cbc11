"""The outcome of each box in each image, and the mAP that the errors of each image cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolo.evaluate.analysis.report import (
    DETECTED,
    DIFFICULT,
    UNDETECTED,
    WITH_ERROR,
    ImageDetection,
    ImageGroundTruth,
    ImageReport,
)
from yolo.evaluate.analysis.tide import FALSE_KINDS, IGNORED, TRUE_POSITIVE, Errors
from yolo.evaluate.metrics.coco_matching import curve_101, score_order
from yolo.records import Evaluation, ScoredBoxes


def image_reports(
    evaluation: Evaluation, paths: Sequence[str | Path], shown: Errors, score_thresh: float
) -> tuple[ImageReport, ...]:
    """Report the ground truths and the detections of each image, with the outcome of each.

    A ground truth is detected, undetected, difficult, or has only detections with a classification or localization
    error. The cost of an image is the mAP at IoU 0.5 gained if its false positives did not exist and its ground truths
    without a true positive were detected with a score above all others.

    Args:
        evaluation: I images.
        paths: the I image files.
        shown: the errors from `score_thresh` on.
        score_thresh: the least score of the detections.
    """
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    visible = np.flatnonzero(detections.scores >= score_thresh)
    visible = visible[np.argsort(-detections.scores[visible], kind="stable")]
    ground_truths_of = _grouped(np.arange(len(ground_truth.labels)), ground_truth.image_index, len(paths))
    detections_of = _grouped(visible, detections.image_index[visible], len(paths))
    outcome = np.select(
        (ground_truth.difficult, shown.detected, shown.missed),
        (DIFFICULT, DETECTED, UNDETECTED),
        WITH_ERROR,
    )
    costs = _costs(evaluation, shown, score_thresh, ground_truths_of, detections_of)
    images = []
    for index, path in enumerate(paths):
        ground_truths, rows = ground_truths_of[index], detections_of[index]
        false_positives = np.isin(shown.kind[rows], FALSE_KINDS)
        height, width = evaluation.sizes[index].tolist()
        images.append(
            ImageReport(
                id=evaluation.image_ids[index],
                path=str(path),
                height=height,
                width=width,
                errors=int(np.count_nonzero(false_positives)) + int(np.count_nonzero(shown.missed[ground_truths])),
                cost=costs[index],
                ground_truths=tuple(
                    ImageGroundTruth(
                        label=int(ground_truth.labels[row]),
                        box=tuple(ground_truth.boxes[row].tolist()),
                        outcome=str(outcome[row]),
                    )
                    for row in ground_truths
                ),
                detections=_detections(detections, shown, rows, ground_truths),
            )
        )
    return tuple(images)


def _detections(
    detections: ScoredBoxes, shown: Errors, rows: np.ndarray, ground_truths: np.ndarray
) -> tuple[ImageDetection, ...]:
    position = {int(row): place for place, row in enumerate(ground_truths)}
    return tuple(
        ImageDetection(
            label=int(detections.labels[row]),
            box=tuple(detections.boxes[row].tolist()),
            score=float(detections.scores[row]),
            kind=str(shown.kind[row]),
            ground_truth=position.get(int(shown.partner[row])),
        )
        for row in rows
    )


def _costs(
    evaluation: Evaluation,
    shown: Errors,
    score_thresh: float,
    ground_truths_of: list[np.ndarray],
    detections_of: list[np.ndarray],
) -> list[float]:
    """Return the mAP gained by fixing each image alone; 0.0 without an error, or where no class has ground truth."""
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    classes = len(evaluation.names)
    totals = np.bincount(ground_truth.labels[~ground_truth.difficult], minlength=classes)
    measured = max(np.count_nonzero(totals), 1)
    order = score_order(detections)
    order = order[shown.kind[order] != IGNORED]
    rows_of = [order[detections.labels[order] == label] for label in range(classes)]
    true_positive_of = [shown.kind[rows] == TRUE_POSITIVE for rows in rows_of]
    base = [
        curve_101(true_positive, int(total)).mean() if total else 0.0
        for true_positive, total in zip(true_positive_of, totals, strict=True)
    ]
    undetected = ~(shown.detected | ground_truth.difficult)
    replaced = np.where(
        shown.kind == TRUE_POSITIVE,
        detections.scores < score_thresh,
        detections.scores >= score_thresh,
    )
    costs = []
    for index, (ground_truths, visible) in enumerate(zip(ground_truths_of, detections_of, strict=True)):
        added = np.bincount(ground_truth.labels[ground_truths[undetected[ground_truths]]], minlength=classes)
        false_positives = visible[np.isin(shown.kind[visible], FALSE_KINDS)]
        labels = detections.labels[false_positives].tolist()
        gained = 0.0
        for label in {*np.flatnonzero(added).tolist(), *labels}:
            if totals[label]:
                rows = rows_of[label]
                kept = ~((detections.image_index[rows] == index) & replaced[rows])
                fixed = np.append(np.ones(added[label], bool), true_positive_of[label][kept])
                gained += float(curve_101(fixed, int(totals[label])).mean()) - base[label]
        costs.append(float(gained / measured))
    return costs


def _grouped(rows: np.ndarray, images: np.ndarray, count: int) -> list[np.ndarray]:
    """Split `rows` [N] by image, in their order; images: int64 [N], the image of each row; count: of images."""
    order = np.argsort(images, kind="stable")
    ends = np.searchsorted(images[order], np.arange(1, count))
    return np.split(rows[order], ends) if count else []
