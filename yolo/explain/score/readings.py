"""The average precision of a curve by every convention: VOC2007's 11 points, the area, Darknet's, COCO's 101 points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from yolo.evaluate.metrics import voc
from yolo.evaluate.metrics.coco import COUNTED
from yolo.evaluate.metrics.coco_matching import (
    IOU_THRESHOLDS,
    RECALLS,
    class_aps,
    curve_101,
    overlapping_pairs,
    rank_detections,
    same_class,
    score_order,
)
from yolo.evaluate.metrics.darknet import POINTS, darknet_map
from yolo.explain.score.walk import ClassWalk
from yolo.records import GroundTruth, ScoredBoxes

TENTHS = np.arange(11) / 10
COCO_IOU = float(IOU_THRESHOLDS[0])


@dataclass(frozen=True)
class Reading:
    """One convention.

    name: as in the table of `--metric all`. how: where the precision is read. read: this convention's mean over the
    page's curve, so that only the convention differs; None for a mean over several curves. own: the number of that
    scorer, with its own matching. matching: how its matching differs from that of the page.
    """

    name: str
    how: str
    read: float | None
    own: float | None
    matching: str


@dataclass(frozen=True)
class Curve:
    """Recall and precision after each detection, float64 `[K]`, as one family of scorers matches them."""

    name: str
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class Plateau:
    """A part of the curve where the best precision from there on stays the same. width: of recall."""

    start: float
    end: float
    precision: float

    @property
    def area(self) -> float:
        """Its part of the area under the curve."""
        return (self.end - self.start) * self.precision


@dataclass(frozen=True)
class Point:
    """One of the 11 points: the best precision from `recall` on, and the place of the detection that has it or None."""

    recall: float
    precision: float
    place: int | None


def readings_of(
    walk: ClassWalk, ground_truth: GroundTruth, detections: ScoredBoxes, label: int, iou_thresh: float
) -> tuple[list[Reading], list[Curve]]:
    """Return every convention's number for a class, and the curves that they read.

    Args:
        walk: of the class, by VOC's rules.
        ground_truth: all boxes, in continuous pixels.
        detections: all detections, in continuous pixels.
        label: the class.
        iou_thresh: of VOC's and Darknet's matches.
    """
    recall, precision = walk.recall[walk.counted], walk.precision[walk.counted]
    known = walk.ground_truths > 0
    of_class = _only(ground_truth, label), _only(detections, label)
    darknet = darknet_map(*of_class, 1, iou_thresh).classes[0]
    darknet_curve = Curve("Darknet", *voc.precision_recall(darknet.match))
    coco_ap, coco_ap50, coco_curve = coco_readings(*of_class)
    eleven = voc.voc07_ap(recall, precision) if known else None
    area = voc.area_ap(recall, precision) if known else None
    tenths = voc.ap_at(recall, precision, TENTHS) if known else None
    hundredths = voc.ap_at(recall, precision, RECALLS) if known else None
    reads = {0: area, 11: tenths, 101: hundredths}
    hows = {0: "the area under the steps", 11: "at 11 recalls: exact tenths", 101: "at 101 recalls: exact hundredths"}
    plain = "sides without + 1 pixel, difficult objects matched last, scores above .005"
    found = [
        Reading("VOC2007, 11 points", "at 11 recalls: tenths as floats", eleven, eleven, "this curve"),
        Reading("VOC2010, area", "the area under the steps", area, area, "this curve"),
        *(
            Reading(f"Darknet, -points {points}", hows[points], reads[points], darknet.ap[points], plain)
            for points in POINTS
        ),
        Reading(
            "COCO AP50",
            "at 101 recalls: hundredths",
            hundredths,
            coco_ap50,
            f"IoU of at least {COCO_IOU:g}, the best object that is still free, at most {COUNTED} boxes of an image",
        ),
        Reading(
            "COCO AP", "the mean of ten such curves", None, coco_ap, "the same, at IoU .50, .55 ... .95, and their mean"
        ),
    ]
    return found, [Curve("VOC", recall, precision), darknet_curve, coco_curve]


def coco_readings(ground_truth: GroundTruth, detections: ScoredBoxes) -> tuple[float | None, float | None, Curve]:
    """Return COCO's AP, its AP50 and the curve of the latter, for boxes of one class, whose label is 0.

    The numbers are those of pycocotools (the tests compare them), whose curve is not accessible.
    """
    kept = best_of_images(detections, COUNTED)
    pairs = same_class(ground_truth, kept, overlapping_pairs(ground_truth, kept, COCO_IOU))
    ranked = [rank_detections(ground_truth, kept, pairs, 1, float(thresh)) for thresh in IOU_THRESHOLDS]
    aps = [class_aps(each)[0] for each in ranked]
    first = ranked[0]
    objects = max(int(first.ground_truths[0]), 1)
    hits = np.cumsum(first.true_positive)
    curve = Curve("COCO at IoU .5", hits / objects, hits / np.arange(1, len(hits) + 1))
    return (None if aps[0] is None else float(np.mean(aps))), aps[0], curve


def best_of_images(detections: ScoredBoxes, most: int) -> ScoredBoxes:
    """Return the `most` detections with the highest scores of each image, all of one class."""
    order = score_order(detections)
    images = detections.image_index[order]
    by_image = np.argsort(images, kind="stable")
    starts = np.flatnonzero(np.diff(images[by_image], prepend=-1))
    lengths = np.diff(np.append(starts, len(images)))
    rank = np.empty(len(images), np.int64)
    rank[by_image] = np.arange(len(images)) - np.repeat(starts, lengths)
    return detections.where(np.sort(order[rank < most]))


def coco_points(curve: Curve, ground_truths: int) -> np.ndarray:
    """Return the best precision of COCO's curve from each of RECALLS on, `[101]`."""
    return curve_101(np.diff(curve.recall, prepend=0.0) > 0, max(ground_truths, 1))


def eleven_points(walk: ClassWalk) -> list[Point]:
    """Return VOC2007's 11 points: at each the best precision from there on, which detection has it, or 0 and None."""
    counted = walk.counted
    recall, precision = walk.recall[counted], walk.precision[counted]
    points = []
    for wanted, best in zip(voc.VOC07_RECALLS, voc.best_from(recall, precision, voc.VOC07_RECALLS), strict=True):
        first = int(np.searchsorted(recall, wanted, side="left"))
        place = int(counted[first + int(np.argmax(precision[first:]))]) if first < len(recall) else None
        points.append(Point(float(wanted), float(best), place))
    return points


def plateaus_of(walk: ClassWalk) -> list[Plateau]:
    """Return the parts of the envelope, whose areas add up to the area under the curve."""
    counted = walk.counted
    recall = walk.recall[counted]
    envelope = np.maximum.accumulate(walk.precision[counted][::-1])[::-1]
    edges = np.flatnonzero(np.diff(envelope, prepend=-1.0))
    ends = np.append(edges[1:] - 1, len(envelope) - 1) if len(envelope) else edges
    parts, before = [], 0.0
    for end in ends:
        if recall[end] > before:
            parts.append(Plateau(before, float(recall[end]), float(envelope[end])))
            before = float(recall[end])
    return parts


def lowest_and_highest(readings: Sequence[Reading]) -> tuple[Reading, Reading] | None:
    """Return the lowest and the highest convention at one IoU threshold; None without a number."""
    known = [each for each in readings if each.own is not None and each.read is not None]
    return (min(known, key=lambda each: each.own), max(known, key=lambda each: each.own)) if known else None


def _only(boxes: GroundTruth | ScoredBoxes, label: int) -> GroundTruth | ScoredBoxes:
    """Return the boxes of one class, as class 0."""
    kept = boxes.where(boxes.labels == label)
    return replace(kept, labels=np.zeros_like(kept.labels))
