"""An evaluation → everything that the report tells of it, as one dictionary that json can hold.

Numbers have all their digits; what does not exist (the AP of a class without a ground truth) is None.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from yolo.evaluate.analysis.images import image_findings
from yolo.evaluate.analysis.tide import (
    FALSE_KINDS,
    FALSE_NEGATIVES,
    FALSE_POSITIVES,
    FOREGROUND_IOU,
    KINDS,
    MISSED,
    RIGHT,
    UNCOUNTED,
    Errors,
    cost_of_each,
    find_errors,
    shown_errors,
    standing_of,
)
from yolo.evaluate.metrics.calibration import calibration, score_histogram
from yolo.evaluate.metrics.coco_matching import (
    ANY_AREA,
    IOU_THRESHOLDS,
    OverlappingPairs,
    RankedDetections,
    class_aps,
    class_curves,
    overlapping_pairs,
    rank_detections,
    same_class,
    sorted_by_score,
)
from yolo.evaluate.metrics.confusion import confusion_matrix
from yolo.evaluate.metrics.voc import mean_ap
from yolo.records import Evaluation, GroundTruth, ScoredBoxes

FORMAT = 1  # of report.json; another number where an older compare would read it wrongly

SHOWN_SCORE = 0.25  # AlexeyAB detector.c test_detector's usual -thresh: what a user sees

HISTOGRAM_BINS = 20

COCO_SIZES = (("small", 0, 32), ("medium", 32, 96), ("large", 96, None))  # side in pixels

SIDES = (
    ("8", 0, 8),
    ("16", 8, 16),
    ("32", 16, 32),
    ("64", 32, 64),
    ("96", 64, 96),
    ("128", 96, 128),
    ("192", 128, 192),
    ("256", 192, 256),
    ("384", 256, 384),
    ("512", 384, 512),
    ("more", 512, None),
)  # fmt: skip; finer steps, ours; the name is the upper end

CONTINUOUS = 0.0  # added to widths and heights: the boxes are no whole pixels


@dataclass(frozen=True)
class About:
    """Where an evaluation comes from. versions: name and version of what computed it; data: the .data file or list."""

    command: str
    cfg: str
    weights: str
    weights_sha256: str
    data: str
    date: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportRow:
    """A row of the table of metrics. value: a measure 0..1, a count, or None; conventions: what it rests on, in words.

    Any record with these three will do.
    """

    metric: str
    value: float | int | None
    conventions: str


def findings(
    evaluation: Evaluation,
    paths: Sequence[str | Path],
    about: About,
    rows: Sequence[ReportRow],
    score_thresh: float = SHOWN_SCORE,
) -> dict:
    """All that the page shows and `compare` needs. paths: of the images; rows: the table of metrics, as it is.

    Precision, recall, confusion and the images are at `score_thresh`; all else is over every detection.
    """
    evaluation = replace(evaluation, detections=sorted_by_score(evaluation.detections))
    ground_truth, found, classes = (
        evaluation.ground_truth,
        evaluation.detections,
        len(evaluation.names),
    )
    errors = find_errors(ground_truth, found)
    shown = shown_errors(ground_truth, found, errors, score_thresh)
    pairs = same_class(ground_truth, found, overlapping_pairs(ground_truth, found, FOREGROUND_IOU))
    aps = np.array([
        [_number(ap) for ap in class_aps(rank_detections(ground_truth, found, pairs, classes, thresh))]
        for thresh in IOU_THRESHOLDS
    ])  # fmt: skip
    counted = errors.kind != UNCOUNTED
    right = errors.kind == RIGHT
    stand = standing_of(ground_truth, found, errors, classes)
    return {
        "format": FORMAT,
        "about": asdict(about) | {"versions": [list(pair) for pair in about.versions]},
        "names": list(evaluation.names),
        "score_thresh": score_thresh,
        "totals": _totals(evaluation, shown, score_thresh),
        "metrics": [
            {"metric": row.metric, "value": row.value, "conventions": row.conventions}
            for row in rows
        ],
        "ap": _average_precisions(aps),
        "classes": _classes(evaluation, stand, aps, shown, score_thresh),
        "sizes": _sizes(evaluation, pairs, COCO_SIZES),
        "sides": _sizes(evaluation, pairs, SIDES),
        "scores": _scores(found.scores[counted], right[counted]),
        "confusion": _confusion(ground_truth, found, classes, score_thresh).tolist(),
        "errors": _error_kinds(evaluation, errors, shown, score_thresh),
        "pictures": image_findings(evaluation, paths, shown, score_thresh),
    }


def _confusion(
    ground_truth: GroundTruth, found: ScoredBoxes, classes: int, score_thresh: float
) -> np.ndarray:
    """At least both thresholds, as COCO has it and as the page says; the matrix is of what lies above them."""
    iou, score = np.nextafter((FOREGROUND_IOU, score_thresh), 0)
    return confusion_matrix(ground_truth, found, classes, iou, CONTINUOUS, score)


def _average_precisions(aps: np.ndarray) -> dict:
    """aps: float64 [IoU thresholds, classes], NaN where a class has no ground truth."""
    by_thresh = [mean_ap(_values(row)) for row in aps]
    return {
        "iou": IOU_THRESHOLDS.tolist(),
        "mean": by_thresh,
        "classes": [_values(column) for column in aps.T],
        "ap": mean_ap(by_thresh),
        "ap50": by_thresh[0],
        "ap75": by_thresh[5],
    }


def _totals(evaluation: Evaluation, shown: Errors, score_thresh: float) -> dict:
    ground_truth, scores = evaluation.ground_truth, evaluation.detections.scores
    visible = shown.kind[scores >= score_thresh]
    return {
        "pictures": len(evaluation.image_ids),
        "truths": int(np.count_nonzero(~ground_truth.difficult)),
        "difficult": int(np.count_nonzero(ground_truth.difficult)),
        "detections": len(scores),
        **_rates(
            int(np.count_nonzero(visible == RIGHT)),
            int(np.isin(visible, FALSE_KINDS).sum()),
            int(np.count_nonzero(~ground_truth.difficult)),
        ),
    }


def _rates(right: int, wrong: int, ground_truths: int) -> dict:
    precision = right / (right + wrong) if right + wrong else None
    recall = right / ground_truths if ground_truths else None
    f1 = 2 * right / (right + wrong + ground_truths) if right + wrong + ground_truths else None
    return {"right": right, "wrong": wrong, "precision": precision, "recall": recall, "f1": f1}


def _classes(
    evaluation: Evaluation,
    stand: RankedDetections,
    aps: np.ndarray,
    shown: Errors,
    score_thresh: float,
) -> list[dict]:
    """Of each class its numbers, its curve (precision at 101 recalls) and its errors that are seen."""
    ground_truth, found = evaluation.ground_truth, evaluation.detections
    visible = found.scores >= score_thresh
    classes = []
    for label, (name, curve) in enumerate(zip(evaluation.names, class_curves(stand), strict=True)):
        kinds = shown.kind[visible & (found.labels == label)]
        errors = {kind: int(np.count_nonzero(kinds == kind)) for kind in FALSE_KINDS}
        errors[MISSED] = int(np.count_nonzero(shown.missed & (ground_truth.labels == label)))
        ground_truths = int(stand.ground_truths[label])
        right = int(np.count_nonzero(kinds == RIGHT))
        wrong = int(np.isin(kinds, FALSE_KINDS).sum())
        classes.append(
            {
                "name": name,
                "truths": ground_truths,
                "detections": int(np.count_nonzero(found.labels == label)),
                "ap": mean_ap(_values(aps[:, label])),
                "ap50": _values(aps[:1, label])[0],
                "curve": None if curve is None else curve.tolist(),
                "errors": errors,
                **_rates(right, wrong, ground_truths),
            }
        )
    return classes


def _sizes(
    evaluation: Evaluation, pairs: OverlappingPairs, sizes: Sequence[tuple[str, int, int | None]]
) -> list[dict]:
    """COCO's AP over objects whose area lies between two squares; sizes: name, lower side, upper side in pixels."""
    ground_truth, classes = evaluation.ground_truth, len(evaluation.names)
    areas = (ground_truth.boxes[:, 2:] - ground_truth.boxes[:, :2]).prod(axis=1)[
        ~ground_truth.difficult
    ]
    rows = []
    for name, low, high in sizes:
        limits = low**2, ANY_AREA[1] if high is None else high**2
        count = int(np.count_nonzero((areas >= limits[0]) & (areas <= limits[1])))
        ap = _ap_of_size(evaluation, pairs, classes, limits) if count else None
        rows.append({"name": name, "from": low, "to": high, "truths": count, "ap": ap})
    return rows


def _ap_of_size(
    evaluation: Evaluation, pairs: OverlappingPairs, classes: int, areas: tuple[float, float]
) -> float | None:
    ground_truth, found = evaluation.ground_truth, evaluation.detections
    return mean_ap(
        mean_ap(class_aps(rank_detections(ground_truth, found, pairs, classes, thresh, areas)))
        for thresh in IOU_THRESHOLDS
    )


def _scores(scores: np.ndarray, right: np.ndarray) -> dict:
    """Histogram and calibration of the detections that count."""
    of_right, of_wrong = score_histogram(scores, right, HISTOGRAM_BINS)
    bins = calibration(scores, right)
    record = {
        "count": list(bins.count),
        "score": list(bins.score),
        "precision": list(bins.precision),
        "error": bins.error,
    }
    return {"right": list(of_right), "wrong": list(of_wrong), "calibration": record}


def _error_kinds(
    evaluation: Evaluation, errors: Errors, shown: Errors, score_thresh: float
) -> list[dict]:
    """Each kind of error: how many of all, how many seen from `score_thresh` on, and its cost, None without ground truth."""
    ground_truth, found = evaluation.ground_truth, evaluation.detections
    costs = {
        each.kind: each for each in cost_of_each(ground_truth, found, errors, len(evaluation.names))
    }
    visible = shown.kind[found.scores >= score_thresh]
    numbers = {
        kind: (int((errors.kind == kind).sum()), int((visible == kind).sum()))
        for kind in FALSE_KINDS
    }
    numbers[MISSED] = int(errors.missed.sum()), int(shown.missed.sum())
    plain = ~ground_truth.difficult
    numbers[FALSE_POSITIVES] = (
        int(np.isin(errors.kind, FALSE_KINDS).sum()), int(np.isin(visible, FALSE_KINDS).sum()),
    )  # fmt: skip
    numbers[FALSE_NEGATIVES] = int((plain & ~errors.found).sum()), int((plain & ~shown.found).sum())
    return [
        {
            "kind": kind,
            "count": numbers[kind][0],
            "shown": numbers[kind][1],
            "cured": costs[kind].cured if kind in costs else None,
            "cost": costs[kind].cost if kind in costs else None,
        }
        for kind in (*KINDS, FALSE_POSITIVES, FALSE_NEGATIVES)
    ]


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _values(numbers: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in numbers]
