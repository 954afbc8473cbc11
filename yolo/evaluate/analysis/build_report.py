"""Build the report of an evaluation: totals, classes, sizes, scores, errors and images."""

import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from yolo.evaluate.analysis import tide
from yolo.evaluate.analysis.images import image_reports
from yolo.evaluate.analysis.report import (
    COCO_SIZES,
    ERROR_KINDS,
    FORMAT,
    SIDES,
    About,
    AveragePrecisions,
    ClassReport,
    ErrorReport,
    Report,
    ReportRow,
    ScoreReport,
    SizeReport,
    Totals,
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
    score_order,
)
from yolo.evaluate.metrics.confusion import confusion_matrix
from yolo.evaluate.metrics.operating_point import OperatingPoint
from yolo.evaluate.metrics.voc import CONTINUOUS, mean_ap
from yolo.files.contents import sha256_of
from yolo.records import Evaluation

SHOWN_SCORE = 0.25  # AlexeyAB detector.c test_detector's default -thresh
HISTOGRAM_BINS = 20
PROGRAMS = ("torch", "numpy", "opencv-python", "pycocotools")  # whose versions the report has


def build_report(
    evaluation: Evaluation,
    paths: Sequence[str | Path],
    about: About,
    rows: Sequence[ReportRow],
    score_thresh: float = SHOWN_SCORE,
) -> Report:
    """Build the report of an evaluation.

    Args:
        evaluation: ground truth and detections, boxes in continuous image pixels.
        paths: the image files, in the order of the evaluation.
        about: the source of the evaluation.
        rows: the table of metrics.
        score_thresh: precision, recall, confusion and the images use detections with at least this score; the rest uses
            every detection.
    """
    detections = evaluation.detections
    evaluation = replace(evaluation, detections=detections.where(score_order(detections)))
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    classes = len(evaluation.names)
    errors = tide.find_errors(ground_truth, detections)
    shown = tide.errors_from_score(ground_truth, detections, errors, score_thresh)
    pairs = overlapping_pairs(ground_truth, detections, tide.FOREGROUND_IOU)
    pairs = same_class(ground_truth, detections, pairs)
    aps = _aps(evaluation, pairs)
    counts = errors.kind != tide.IGNORED
    counted = detections.scores[counts], errors.kind[counts] == tide.TRUE_POSITIVE
    ranked = tide.ranked_of(ground_truth, detections, errors, classes)
    return Report(
        format=FORMAT,
        about=about,
        names=tuple(evaluation.names),
        score_thresh=score_thresh,
        totals=_totals(evaluation, shown, score_thresh),
        metrics=tuple(rows),
        ap=_average_precisions(aps, classes),
        classes=_classes(evaluation, ranked, aps, shown, score_thresh),
        sizes=_sizes(evaluation, pairs, COCO_SIZES),
        sides=_sizes(evaluation, pairs, SIDES),
        scores=ScoreReport(*score_histogram(*counted, HISTOGRAM_BINS), calibration(*counted)),
        confusion=_confusion(evaluation, score_thresh),
        errors=_error_kinds(evaluation, errors, shown, score_thresh),
        images=image_reports(evaluation, paths, shown, score_thresh),
    )


def about_run(
    command: str, cfg: str | Path, weights: str | Path, data: str | Path, made: datetime, data_name: str = ""
) -> About:
    """Describe the source of an evaluation.

    Args:
        command: the command line.
        cfg: the cfg file.
        weights: the weights file; its SHA-256 is computed.
        data: the .data file or list.
        made: when, with the time zone.
        data_name: of the data set; "": the name of `data`.
    """
    return About(
        command=command,
        cfg=str(cfg),
        weights=str(weights),
        weights_sha256=sha256_of(weights),
        data=str(data),
        date=made.isoformat(sep=" ", timespec="seconds"),
        versions=(
            ("Python", platform.python_version()),
            *((name, version(name)) for name in PROGRAMS),
        ),
        data_name=data_name or Path(data).stem,
    )


def _ratios(kinds: np.ndarray, ground_truths: int) -> dict[str, float | int | None]:
    """Return the five common fields of Totals and ClassReport; kinds: str [N], of the detections."""
    true_positives, false_positives = (
        _count(kinds, tide.TRUE_POSITIVE),
        _count(kinds, *tide.FALSE_KINDS),
    )
    point = OperatingPoint(true_positives, false_positives, ground_truths - true_positives, 0.0)
    shared = ("true_positives", "false_positives", "precision", "recall", "f1")
    return {name: getattr(point, name) for name in shared}


def _totals(evaluation: Evaluation, shown: tide.Errors, score_thresh: float) -> Totals:
    difficult, scores = evaluation.ground_truth.difficult, evaluation.detections.scores
    visible = shown.kind[scores >= score_thresh]
    ground_truths = int(np.count_nonzero(~difficult))
    return Totals(
        images=len(evaluation.image_ids),
        ground_truths=ground_truths,
        difficult=int(np.count_nonzero(difficult)),
        detections=len(scores),
        **_ratios(visible, ground_truths),
    )


def _average_precisions(aps: Sequence[Sequence[float | None]], classes: int) -> AveragePrecisions:
    """aps: of each IoU threshold the AP of each class."""
    by_thresh = tuple(mean_ap(values) for values in aps)
    return AveragePrecisions(
        iou=tuple(IOU_THRESHOLDS.tolist()),
        mean=by_thresh,
        classes=tuple(tuple(values[label] for values in aps) for label in range(classes)),
        ap=mean_ap(by_thresh),
        ap50=by_thresh[0],
        ap75=by_thresh[5],
    )


def _classes(
    evaluation: Evaluation,
    ranked: RankedDetections,
    aps: Sequence[Sequence[float | None]],
    shown: tide.Errors,
    score_thresh: float,
) -> tuple[ClassReport, ...]:
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    visible = detections.scores >= score_thresh
    classes = []
    for label, (name, curve) in enumerate(zip(evaluation.names, class_curves(ranked), strict=True)):
        kinds = shown.kind[visible & (detections.labels == label)]
        errors = {kind: _count(kinds, kind) for kind in tide.FALSE_KINDS}
        errors[tide.MISSED] = int(np.count_nonzero(shown.missed & (ground_truth.labels == label)))
        ground_truths = int(ranked.ground_truths[label])
        classes.append(
            ClassReport(
                name=name,
                ground_truths=ground_truths,
                detections=int(np.count_nonzero(detections.labels == label)),
                ap=mean_ap(values[label] for values in aps),
                ap50=aps[0][label],
                curve=None if curve is None else tuple(curve.tolist()),
                errors=errors,
                **_ratios(kinds, ground_truths),
            )
        )
    return tuple(classes)


def _sizes(
    evaluation: Evaluation, pairs: OverlappingPairs, sizes: Sequence[tuple[str, int, int | None]]
) -> tuple[SizeReport, ...]:
    """sizes: name, lower and upper side in pixels."""
    boxes = evaluation.ground_truth.boxes[~evaluation.ground_truth.difficult]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    rows = []
    for name, low, high in sizes:
        limits = low**2, ANY_AREA[1] if high is None else high**2
        count = int(np.count_nonzero((areas >= limits[0]) & (areas <= limits[1])))
        ap = mean_ap(map(mean_ap, _aps(evaluation, pairs, limits))) if count else None
        rows.append(SizeReport(name, low, high, count, ap))
    return tuple(rows)


def _aps(
    evaluation: Evaluation, pairs: OverlappingPairs, areas: tuple[float, float] = ANY_AREA
) -> list[list[float | None]]:
    """Return at each IoU threshold the AP of each class, for ground truths with an area in a range."""
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    classes = len(evaluation.names)
    return [
        class_aps(rank_detections(ground_truth, detections, pairs, classes, thresh, areas)) for thresh in IOU_THRESHOLDS
    ]


def _confusion(evaluation: Evaluation, score_thresh: float) -> tuple[tuple[int, ...], ...]:
    """Use values of at least both thresholds, as COCO does; `confusion_matrix` uses values above its thresholds."""
    iou, score = np.nextafter((tide.FOREGROUND_IOU, score_thresh), 0)
    matrix = confusion_matrix(
        evaluation.ground_truth,
        evaluation.detections,
        len(evaluation.names),
        iou,
        CONTINUOUS,
        score,
    )
    return tuple(tuple(row) for row in matrix.tolist())


def _error_kinds(
    evaluation: Evaluation, errors: tide.Errors, shown: tide.Errors, score_thresh: float
) -> tuple[ErrorReport, ...]:
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    costs = tide.cost_of_each(ground_truth, detections, errors, len(evaluation.names))
    visible = shown.kind[detections.scores >= score_thresh]
    members = {kind: (kind,) for kind in tide.FALSE_KINDS}
    members[tide.FALSE_POSITIVES] = tide.FALSE_KINDS
    numbers = {name: (_count(errors.kind, *kinds), _count(visible, *kinds)) for name, kinds in members.items()}
    numbers[tide.MISSED] = int(errors.missed.sum()), int(shown.missed.sum())
    plain = ~ground_truth.difficult
    numbers[tide.FALSE_NEGATIVES] = tuple(int((plain & ~each.detected).sum()) for each in (errors, shown))
    return tuple(ErrorReport(kind, *numbers[kind], *costs.get(kind, (None, None))) for kind in ERROR_KINDS)


def _count(found: np.ndarray, *kinds: str) -> int:
    return int(np.isin(found, kinds).sum())
