"""COCO's JSON structures in memory, as pycocotools takes them: ground truth and results.

Boxes are (left, top, width, height) in pixels from 0.
"""

from typing import TypedDict

import numpy as np

from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet
from yolo.records import ScoredBoxes


class CocoAnnotation(TypedDict):
    """A labeled box."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float]
    area: float
    iscrowd: int


class CocoDataset(TypedDict):
    """Ground truth. images: id, height and width in pixels (0 where unknown), file_name. categories: id and name."""

    images: list[dict[str, int | str]]
    categories: list[dict[str, int | str]]
    annotations: list[CocoAnnotation]


class CocoResult(TypedDict):
    """A detection."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


def ids_from_one(ground_truth_set: GroundTruthSet) -> CocoIds:
    """Return ids for a ground truth that has none: images and classes counted from 1."""
    images, names = len(ground_truth_set.files), len(ground_truth_set.names)
    return CocoIds(tuple(range(1, images + 1)), tuple(range(1, names + 1)))


def coco_dataset(ground_truth_set: GroundTruthSet, ids: CocoIds) -> CocoDataset:
    """Return ground truth as COCO's structure.

    A difficult box becomes `iscrowd`, COCO's only way to exclude detections of it. `area` is the ground truth's
    where it has areas, and otherwise the box's, which is larger than the outline's area in COCO's own files.
    """
    ground_truth, origin = ground_truth_set.ground_truth, ground_truth_set.origin
    sizes = ground_truth_set.sizes
    if sizes is None:
        sizes = np.zeros((len(ground_truth_set.files), 2), np.int64)
    images = [
        {"id": image_id, "height": height, "width": width, "file_name": file}
        for image_id, (height, width), file in zip(ids.images, sizes.tolist(), ground_truth_set.files, strict=True)
    ]
    categories = [
        {"id": category_id, "name": name}
        for category_id, name in zip(ids.categories, ground_truth_set.names, strict=True)
    ]
    boxes = _left_top_width_height(ground_truth.boxes - origin)
    areas = boxes[:, 2] * boxes[:, 3] if ground_truth_set.areas is None else ground_truth_set.areas
    columns = (ground_truth.image_index, ground_truth.labels, boxes, areas, ground_truth.difficult)
    annotations = [
        {
            "id": number,  # from 1: pycocotools takes a match with 0 for no match
            "image_id": ids.images[index],
            "category_id": ids.categories[label],
            "bbox": box,
            "area": area,
            "iscrowd": int(difficult),
        }
        for number, (index, label, box, area, difficult) in enumerate(_rows(*columns), start=1)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def coco_results(detections: ScoredBoxes, origin: float, ids: CocoIds) -> list[CocoResult]:
    """Return detections as COCO's structure, in their order. origin: where their pixel coordinates begin."""
    boxes = _left_top_width_height(detections.boxes - origin)
    columns = (detections.image_index, detections.labels, boxes, detections.scores)
    return [
        {
            "image_id": ids.images[index],
            "category_id": ids.categories[label],
            "bbox": box,
            "score": score,
        }
        for index, label, box, score in _rows(*columns)
    ]


def _left_top_width_height(boxes: np.ndarray) -> np.ndarray:
    """Convert xyxy `[N, 4]` to left, top, width, height, in float64."""
    low, high = np.split(boxes.astype(np.float64), 2, axis=1)
    return np.concatenate((low, high - low), axis=1)


def _rows(*columns: np.ndarray) -> zip:
    """Return the rows of the columns as Python's own numbers, which json can write."""
    return zip(*(column.tolist() for column in columns), strict=True)
