"""What went right and wrong in each picture, and how much mAP each picture's errors cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolo.evaluate.analysis.tide import RIGHT, UNCOUNTED, Errors
from yolo.evaluate.metrics.coco_matching import by_score, curve_101
from yolo.records import Evaluation, ScoredBoxes

FOUND, LOST, EXCUSED, DIFFICULT = "found", "missed", "excused", "difficult"


def picture_findings(
    evaluation: Evaluation, paths: Sequence[str | Path], shown: Errors, score_thresh: float
) -> list[dict]:
    """One dictionary a picture, in order: its truths and its detections from `score_thresh` on, each with what became
    of it.

    A truth is found, missed, difficult, or excused: not found, but some detection of it is a classification or
    localisation error. wrong: how many errors there are; cost: mAP at IoU 0.5 gained if just these false alarms were
    gone and these missed or excused truths were found, with a score above all others.
    """
    truth, found = evaluation.truth, evaluation.detections
    visible = np.flatnonzero(found.scores >= score_thresh)
    visible = visible[np.argsort(-found.scores[visible], kind="stable")]
    truths_of = _grouped(np.arange(len(truth.labels)), truth.image_index, len(paths))
    found_of = _grouped(visible, found.image_index[visible], len(paths))
    outcome = np.select(
        (truth.difficult, shown.found, shown.missed), (DIFFICULT, FOUND, LOST), EXCUSED
    )
    costs = _costs(evaluation, shown, score_thresh, truths_of, found_of)
    pictures = []
    for index, path in enumerate(paths):
        truths, detections = truths_of[index], found_of[index]
        false = sum(_is_false(shown.kind[row]) for row in detections)
        height, width = evaluation.sizes[index].tolist()
        pictures.append(
            {
                "id": evaluation.image_ids[index],
                "path": str(path),
                "height": height,
                "width": width,
                "wrong": false + int(np.count_nonzero(shown.missed[truths])),
                "cost": costs[index],
                "truths": [
                    {
                        "class": int(truth.labels[row]),
                        "box": truth.boxes[row].tolist(),
                        "outcome": str(outcome[row]),
                    }
                    for row in truths
                ],
                "detections": _detections(found, shown, detections, truths),
            }
        )
    return pictures


def _detections(
    found: ScoredBoxes, shown: Errors, rows: np.ndarray, truths: np.ndarray
) -> list[dict]:
    """truth: which of the picture's truths was found or is meant, None for background."""
    position = {int(row): place for place, row in enumerate(truths)}
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
    truths_of: list[np.ndarray],
    found_of: list[np.ndarray],
) -> list[float]:
    """mAP that curing each picture alone would gain; 0.0 where it has no error, or where no class has a truth."""
    truth, found, classes = evaluation.truth, evaluation.detections, len(evaluation.names)
    totals = np.bincount(truth.labels[~truth.difficult], minlength=classes)
    measured = max(np.count_nonzero(totals), 1)
    order = by_score(found)
    order = order[shown.kind[order] != UNCOUNTED]
    rows_of = [order[found.labels[order] == label] for label in range(classes)]
    right_of = [shown.kind[rows] == RIGHT for rows in rows_of]
    base = [
        curve_101(right, int(total)).mean() if total else 0.0
        for right, total in zip(right_of, totals, strict=True)
    ]
    lost = ~(shown.found | truth.difficult)
    replaced = np.where(
        shown.kind == RIGHT, found.scores < score_thresh, found.scores >= score_thresh
    )
    costs = []
    for index, (truths, visible) in enumerate(zip(truths_of, found_of, strict=True)):
        unfound = np.bincount(truth.labels[truths[lost[truths]]], minlength=classes)
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


def _grouped(rows: np.ndarray, pictures: np.ndarray, count: int) -> list[np.ndarray]:
    """`rows` [N], in their order, of each of `count` pictures; pictures: [N], whose each row is."""
    order = np.argsort(pictures, kind="stable")
    ends = np.searchsorted(pictures[order], np.arange(1, count))
    return np.split(rows[order], ends) if count else []
