"""What went right and wrong in each image, and how much mAP each image's errors cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolo.evaluate.analysis.tide import RIGHT, UNCOUNTED, Errors
from yolo.evaluate.metrics.coco_matching import curve_101, score_order
from yolo.records import Evaluation, ScoredBoxes

FOUND, LOST, EXCUSED, DIFFICULT = "found", "missed", "excused", "difficult"


def image_findings(
    evaluation: Evaluation, paths: Sequence[str | Path], shown: Errors, score_thresh: float
) -> list[dict]:
    """One dictionary an image, in order: its ground truths and its detections from `score_thresh` on, each with what became
    of it.

    A ground truth is found, missed, difficult, or excused: not found, but some detection of it is a classification or
    localization error. wrong: how many errors there are; cost: mAP at IoU 0.5 gained if just these false alarms were
    gone and these missed or excused ground truths were found, with a score above all others.
    """
    ground_truth, found = evaluation.ground_truth, evaluation.detections
    visible = np.flatnonzero(found.scores >= score_thresh)
    visible = visible[np.argsort(-found.scores[visible], kind="stable")]
    ground_truths_of = _grouped(
        np.arange(len(ground_truth.labels)), ground_truth.image_index, len(paths)
    )
    found_of = _grouped(visible, found.image_index[visible], len(paths))
    outcome = np.select(
        (ground_truth.difficult, shown.found, shown.missed), (DIFFICULT, FOUND, LOST), EXCUSED
    )
    costs = _costs(evaluation, shown, score_thresh, ground_truths_of, found_of)
    images = []
    for index, path in enumerate(paths):
        ground_truths, detections = ground_truths_of[index], found_of[index]
        false = sum(_is_false(shown.kind[row]) for row in detections)
        height, width = evaluation.sizes[index].tolist()
        images.append(
            {
                "id": evaluation.image_ids[index],
                "path": str(path),
                "height": height,
                "width": width,
                "wrong": false + int(np.count_nonzero(shown.missed[ground_truths])),
                "cost": costs[index],
                "truths": [
                    {
                        "class": int(ground_truth.labels[row]),
                        "box": ground_truth.boxes[row].tolist(),
                        "outcome": str(outcome[row]),
                    }
                    for row in ground_truths
                ],
                "detections": _detections(found, shown, detections, ground_truths),
            }
        )
    return images


def _detections(
    found: ScoredBoxes, shown: Errors, rows: np.ndarray, ground_truths: np.ndarray
) -> list[dict]:
    """ground truth: which of the image's ground truths was found or is meant, None for background."""
    position = {int(row): place for place, row in enumerate(ground_truths)}
    return [
        {
            "class": int(found.labels[row]),
            "box": found.boxes[row].tolist(),
            "score": float(found.scores[row]),
            "kind": str(shown.kind[row]),
            "truth": position.get(int(shown.partner[row])),
        }
        for row in rows
    ]


def _costs(
    evaluation: Evaluation,
    shown: Errors,
    score_thresh: float,
    ground_truths_of: list[np.ndarray],
    found_of: list[np.ndarray],
) -> list[float]:
    """mAP that curing each image alone would gain; 0.0 where it has no error, or where no class has a ground truth."""
    ground_truth, found, classes = (
        evaluation.ground_truth,
        evaluation.detections,
        len(evaluation.names),
    )
    totals = np.bincount(ground_truth.labels[~ground_truth.difficult], minlength=classes)
    measured = max(np.count_nonzero(totals), 1)
    order = score_order(found)
    order = order[shown.kind[order] != UNCOUNTED]
    rows_of = [order[found.labels[order] == label] for label in range(classes)]
    right_of = [shown.kind[rows] == RIGHT for rows in rows_of]
    base = [
        curve_101(right, int(total)).mean() if total else 0.0
        for right, total in zip(right_of, totals, strict=True)
    ]
    lost = ~(shown.found | ground_truth.difficult)
    replaced = np.where(
        shown.kind == RIGHT, found.scores < score_thresh, found.scores >= score_thresh
    )
    costs = []
    for index, (ground_truths, visible) in enumerate(zip(ground_truths_of, found_of, strict=True)):
        unfound = np.bincount(
            ground_truth.labels[ground_truths[lost[ground_truths]]], minlength=classes
        )
        false = [row for row in visible if _is_false(shown.kind[row])]
        gained = 0.0
        for label in {*np.flatnonzero(unfound).tolist(), *found.labels[false].tolist()}:
            if totals[label]:
                rows = rows_of[label]
                kept = ~((found.image_index[rows] == index) & replaced[rows])
                correct = np.append(np.ones(unfound[label], bool), right_of[label][kept])
                gained += float(curve_101(correct, int(totals[label])).mean()) - base[label]
        costs.append(float(gained / measured))
    return costs


def _is_false(kind: str) -> bool:
    return kind not in (RIGHT, UNCOUNTED)


def _grouped(rows: np.ndarray, images: np.ndarray, count: int) -> list[np.ndarray]:
    """`rows` [N], in their order, of each of `count` images; images: [N], whose each row is."""
    order = np.argsort(images, kind="stable")
    ends = np.searchsorted(images[order], np.arange(1, count))
    return np.split(rows[order], ends) if count else []
