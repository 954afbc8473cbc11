"""Every metric of an Evaluation at once: VOC's, Darknet's, COCO's, and those at one score threshold."""

from dataclasses import dataclass

import numpy as np

from yolo.evaluate.metrics.coco import CocoScore
from yolo.evaluate.metrics.confusion import confusion_matrix
from yolo.evaluate.metrics.darknet import DarknetMap, darknet_map
from yolo.evaluate.metrics.miss_rate import log_average_miss_rate
from yolo.evaluate.metrics.operating_point import OperatingPoint, operating_points
from yolo.evaluate.metrics.voc import (
    VOC_PIXEL_EXTENT,
    ClassScore,
    detections_in_voc_pixels,
    ground_truth_in_voc_pixels,
    voc_scores,
)
from yolo.records import Evaluation


@dataclass(frozen=True)
class AllMetrics:
    """The metrics of an Evaluation by every convention; tuples have one entry per class.

    iou_thresh: of all metrics but COCO's. score_thresh: of `points` and `confusion`. darknet: with the difficult boxes
    as Darknet's `difficult` list; darknet_plain: without that list. points, confusion, miss_rates: matched in VOC's
    pixels, as `voc` is; `confusion` has the background as one more class.
    """

    names: tuple[str, ...]
    iou_thresh: float
    score_thresh: float
    voc: tuple[ClassScore, ...]
    darknet: DarknetMap
    darknet_plain: DarknetMap
    coco: CocoScore
    points: tuple[OperatingPoint, ...]
    confusion: np.ndarray
    miss_rates: tuple[float | None, ...]


def all_metrics(evaluation: Evaluation, coco: CocoScore, iou_thresh: float, score_thresh: float) -> AllMetrics:
    """Score an Evaluation by every convention.

    Args:
        evaluation: ground truth and detections.
        coco: the `coco_score` of the evaluation, or the score of the COCO files that it was read from.
        iou_thresh: of all metrics but COCO's.
        score_thresh: of the metrics at one threshold.

    Raises:
        ValueError: a label that is not a position in `evaluation.names`.
    """
    classes = len(evaluation.names)
    voc = voc_scores(evaluation, iou_thresh)
    in_voc_pixels = (
        ground_truth_in_voc_pixels(evaluation),
        detections_in_voc_pixels(evaluation),
        classes,
        iou_thresh,
        VOC_PIXEL_EXTENT,
        score_thresh,
    )
    ground_truth, detections = evaluation.ground_truth, evaluation.detections
    plain = ground_truth.where(~ground_truth.difficult)
    return AllMetrics(
        names=evaluation.names,
        iou_thresh=iou_thresh,
        score_thresh=score_thresh,
        voc=voc,
        darknet=darknet_map(ground_truth, detections, classes, iou_thresh, score_thresh),
        darknet_plain=darknet_map(plain, detections, classes, iou_thresh, score_thresh),
        coco=coco,
        points=operating_points(*in_voc_pixels),
        confusion=confusion_matrix(*in_voc_pixels),
        miss_rates=tuple(log_average_miss_rate(score.match, len(evaluation.image_ids)) for score in voc),
    )
