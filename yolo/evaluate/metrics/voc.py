"""An Evaluation in VOC's pixels and in COCO's json: what VOC's and COCO's rules make of it."""

from yolo.evaluate.metrics.average_precision import VOC_PIXEL_EXTENT, ClassScore, score_classes
from yolo.formats.voc_xml import VOC_ORIGIN, voc_pixels
from yolo.records import Evaluation, GroundTruth, ScoredBoxes

IOU_THRESH = 0.5


def voc_scores(evaluation: Evaluation, iou_thresh: float = IOU_THRESH) -> list[ClassScore]:
    """Each class by VOC's rules, in VOC's pixels."""
    return score_classes(
        voc_ground_truth(evaluation),
        voc_detections(evaluation),
        len(evaluation.names),
        iou_thresh,
        VOC_PIXEL_EXTENT,
    )


def voc_ground_truth(evaluation: Evaluation) -> GroundTruth:
    """The ground truth in VOC's pixels: labels came from there by taking 1 off (voc_label.py)."""
    ground_truth = evaluation.ground_truth
    return GroundTruth(
        ground_truth.image_index,
        ground_truth.labels,
        ground_truth.boxes + VOC_ORIGIN,
        ground_truth.difficult,
    )


def voc_detections(evaluation: Evaluation) -> ScoredBoxes:
    """The detections as Darknet writes them into comp4 files: VOC's pixels, clamped to the image."""
    found = evaluation.detections
    boxes = voc_pixels(found.boxes, evaluation.sizes[found.image_index])
    return ScoredBoxes(found.image_index, found.labels, found.scores, boxes)
