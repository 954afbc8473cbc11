"""An Evaluation in VOC's pixels and in COCO's json: what VOC's and COCO's rules make of it."""

from yolo.evaluate.average_precision import (
    VOC_PIXEL_EXTENT,
    ClassScore,
    GroundTruth,
    ScoredBoxes,
    score_classes,
)
from yolo.evaluate.coco import CocoScore, coco_dataset, coco_results, score_coco
from yolo.evaluate.evaluation import Evaluation
from yolo.evaluate.voc import VOC_ORIGIN, voc_pixels

IOU_THRESH = 0.5


def voc_scores(evaluation: Evaluation, iou_thresh: float = IOU_THRESH) -> list[ClassScore]:
    """Each class by VOC's rules, in VOC's pixels."""
    return score_classes(
        voc_truth(evaluation),
        voc_detections(evaluation),
        len(evaluation.names),
        iou_thresh,
        VOC_PIXEL_EXTENT,
    )


def voc_truth(evaluation: Evaluation) -> GroundTruth:
    """The truth in VOC's pixels: labels came from there by taking 1 off (voc_label.py)."""
    truth = evaluation.truth
    return GroundTruth(truth.image_index, truth.labels, truth.boxes + VOC_ORIGIN, truth.difficult)


def voc_detections(evaluation: Evaluation) -> ScoredBoxes:
    """The detections as Darknet writes them into comp4 files: VOC's pixels, clamped to the picture."""
    found = evaluation.detections
    boxes = voc_pixels(found.boxes, evaluation.sizes[found.image_index])
    return ScoredBoxes(found.image_index, found.labels, found.scores, boxes)


def coco_score(evaluation: Evaluation) -> CocoScore:
    """The twelve COCO numbers, by pycocotools, on the labels' boxes."""
    image_ids = range(len(evaluation.image_ids))
    categories = range(1, len(evaluation.names) + 1)
    dataset = coco_dataset(
        evaluation.truth, evaluation.sizes, evaluation.names, image_ids, categories
    )
    return score_coco(dataset, coco_results(evaluation.detections, image_ids, categories))
