"""Everything that the page shows about the average precision of one class, from the boxes of a scored set."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.evaluate.metrics.table import average_precisions
from yolo.evaluate.metrics.voc import VOC_PIXEL_EXTENT, mean_ap, score_classes
from yolo.explain.score.readings import (
    Curve,
    Plateau,
    Point,
    Reading,
    coco_points,
    eleven_points,
    plateaus_of,
    readings_of,
)
from yolo.explain.score.walk import ClassWalk, Missed, Unseen, missed_objects, unseen_part, walk_class
from yolo.records import GroundTruth, ScoredBoxes

SHOWN_NAMES = 5  # in a message


@dataclass(frozen=True)
class ScoredSet:
    """Ground truth and detections in both frames that the scorers use.

    names: the classes. files: the images' files, which may be missing. folders: where else they may be.
    voc_ground_truth, voc_detections: in VOC's pixels, as `score_classes` takes them with VOC_PIXEL_EXTENT.
    ground_truth, detections: the same boxes in the same order, in continuous pixels that begin at 0.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    folders: tuple[Path, ...]
    voc_ground_truth: GroundTruth
    voc_detections: ScoredBoxes
    ground_truth: GroundTruth
    detections: ScoredBoxes


@dataclass(frozen=True)
class ClassAp:
    """The average precisions of a class by VOC's rules, None without ground truth."""

    name: str
    ground_truths: int
    detections: int
    voc07: float | None
    area: float | None


@dataclass(frozen=True)
class WalkedScore:
    """One class, from its sorted detections to its average precision, and all classes to their mean.

    label: the class. iou_thresh: of VOC's and Darknet's matches. hundred: COCO's 101 precisions. classes: of all.
    mean_voc07, mean_area: the means over the classes that have an average precision.
    """

    name: str
    label: int
    iou_thresh: float
    walk: ClassWalk
    readings: tuple[Reading, ...]
    curves: tuple[Curve, ...]
    points: tuple[Point, ...]
    plateaus: tuple[Plateau, ...]
    hundred: np.ndarray
    unseen: Unseen
    missed: Missed
    classes: tuple[ClassAp, ...]
    mean_voc07: float | None
    mean_area: float | None


def class_number(name: str, names: Sequence[str]) -> int:
    """Return the number of a class. Raises DatasetError if there is none of this name."""
    if name in names:
        return list(names).index(name)
    close = get_close_matches(name, names, n=SHOWN_NAMES, cutoff=0.5) or list(names)[:SHOWN_NAMES]
    more = ", ..." if len(names) > len(close) else ""
    raise DatasetError(f"--explain: found the class {name!r}, expected one of {', '.join(close)}{more}")


def walked_score(scored: ScoredSet, label: int, iou_thresh: float) -> WalkedScore:
    """Follow a class from its detections to its average precision by every convention."""
    ground_truth, detections = scored.voc_ground_truth, scored.voc_detections
    arguments = ground_truth, detections, label, iou_thresh, VOC_PIXEL_EXTENT
    walk = walk_class(*arguments)
    readings, curves = readings_of(walk, scored.ground_truth, scored.detections, label, iou_thresh)
    scores = score_classes(ground_truth, detections, len(scored.names), iou_thresh, VOC_PIXEL_EXTENT)
    lowest = float(detections.scores.min()) if len(detections.scores) else 0.0
    return WalkedScore(
        name=scored.names[label],
        label=label,
        iou_thresh=iou_thresh,
        walk=walk,
        readings=tuple(readings),
        curves=tuple(curves),
        points=tuple(eleven_points(walk)),
        plateaus=tuple(plateaus_of(walk)),
        hundred=coco_points(curves[-1], walk.ground_truths),
        unseen=unseen_part(walk, lowest),
        missed=missed_objects(walk, *arguments),
        classes=tuple(
            ClassAp(name, each.match.ground_truths, each.match.detections, each.voc07_ap, each.area_ap)
            for name, each in zip(scored.names, scores, strict=True)
        ),
        mean_voc07=mean_ap(average_precisions(scores, "voc07")),
        mean_area=mean_ap(average_precisions(scores, "area")),
    )
