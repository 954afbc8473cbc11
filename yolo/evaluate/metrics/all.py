"""Every metric of an Evaluation at once: VOC's, Darknet's, COCO's, and what one threshold leaves."""

from dataclasses import dataclass, replace

import numpy as np

from yolo.evaluate.metrics.average_precision import VOC_PIXEL_EXTENT, ClassScore
from yolo.evaluate.metrics.coco import CocoScore
from yolo.evaluate.metrics.confusion import confusion_matrix
from yolo.evaluate.metrics.darknet import DarknetMap, darknet_map
from yolo.evaluate.metrics.miss_rate import log_average_miss_rate
from yolo.evaluate.metrics.operating_point import OperatingPoint, operating_points
from yolo.evaluate.metrics.voc import voc_detections, voc_ground_truth, voc_scores
from yolo.records import Evaluation


@dataclass(frozen=True)
class AllMetrics:
    """What an Evaluation scores, by every convention; lists have one entry a class.

    iou_thresh: of all but COCO's. score_thresh: of the counts. darknet: with difficult boxes as its
    `difficult` list; darknet_plain: without that list. counted, confusion, miss_rates: matched in
    VOC's pixels, as voc is; confusion has the background as one more class.
    """

    names: tuple[str, ...]
    iou_thresh: float
    score_thresh: float
    voc: tuple[ClassScore, ...]
    darknet: DarknetMap
    darknet_plain: DarknetMap
    coco: CocoScore
    counted: tuple[OperatingPoint, ...]
    confusion: np.ndarray
    miss_rates: tuple[float | None, ...]


def all_metrics(
    evaluation: Evaluation, coco: CocoScore, iou_thresh: float, score_thresh: float
) -> AllMetrics:
    """Score an Evaluation by every convention; coco: its `coco_score`, or that of the COCO files it comes from.

    Raises:
        ValueError: a label that is none of the names'.
    """
    classes = len(evaluation.names)
    voc = tuple(voc_scores(evaluation, iou_thresh))
    in_voc = (voc_ground_truth(evaluation), voc_detections(evaluation), classes, iou_thresh)
    ground_truth, found = evaluation.ground_truth, evaluation.detections
    easy = ~ground_truth.difficult
    plain = replace(
        ground_truth,
        image_index=ground_truth.image_index[easy],
        labels=ground_truth.labels[easy],
        boxes=ground_truth.boxes[easy],
        difficult=ground_truth.difficult[easy],
    )
    return AllMetrics(
        names=evaluation.names,
        iou_thresh=iou_thresh,
        score_thresh=score_thresh,
        voc=voc,
        darknet=darknet_map(ground_truth, found, classes, iou_thresh, score_thresh),
        darknet_plain=darknet_map(plain, found, classes, iou_thresh, score_thresh),
        coco=coco,
        counted=operating_points(*in_voc, VOC_PIXEL_EXTENT, score_thresh),
        confusion=confusion_matrix(*in_voc, VOC_PIXEL_EXTENT, score_thresh),
        miss_rates=tuple(
            log_average_miss_rate(each.match, len(evaluation.image_ids)) for each in voc
        ),
    )
