"""A network and a data set → scored detections beside the ground truth."""

from collections.abc import Sequence

import numpy as np

from yolo.console import progress
from yolo.data.check import LabeledImage
from yolo.data.dataset import EvaluationImages, evaluation_loader
from yolo.data.workers import prepared
from yolo.detect.detector import Detector
from yolo.records import Detections, Evaluation, GroundTruth, LabeledBoxes, ScoredBoxes


def evaluate(
    detector: Detector, images: Sequence[LabeledImage], batch: int, workers: int
) -> Evaluation:
    """Run `detector` over the images, `batch` at a time; progress is shown on a terminal.

    Raises DatasetError for an image that has gone bad since it was checked.
    """
    found = detections_of(detector, images, batch, workers)
    return evaluation_of(detector.names, images, found)


def detections_of(
    detector: Detector, images: Sequence[LabeledImage], batch: int, workers: int
) -> list[Detections]:
    """What `detector` finds in each image, in order. Raises DatasetError as `evaluate` does."""
    size = detector.network.input.height, detector.network.input.width
    channels = detector.network.input.channels
    dataset = EvaluationImages(images, size, channels, detector.placement)
    loader = evaluation_loader(dataset, batch, workers)
    found = []
    for inputs, placements in progress(prepared(loader), "evaluating", len(loader)):
        found += detector.detect(inputs, placements)
    return found


def evaluation_of(
    names: Sequence[str], images: Sequence[LabeledImage], found: Sequence[Detections]
) -> Evaluation:
    """Ground truth and detections of the images side by side; found: one entry an image."""
    detections = ScoredBoxes(
        image_index=np.repeat(np.arange(len(found)), [len(each) for each in found]),
        labels=_joined([each.labels.numpy() for each in found], np.int64, ()),
        scores=_joined([each.scores.numpy() for each in found], np.float64, ()),
        boxes=_joined([each.boxes.numpy() for each in found], np.float64, (4,)),
    )
    return Evaluation(
        names=tuple(names),
        image_ids=tuple(image.path.stem for image in images),
        sizes=np.array([image.size for image in images], np.int64).reshape(-1, 2),
        ground_truth=ground_truth_of_images(images),
        detections=detections,
    )


def ground_truth_of_images(images: Sequence[LabeledImage]) -> GroundTruth:
    """The labels of the images, the difficult ones marked, in continuous image pixels."""
    image_index, labels, boxes, difficult = [], [], [], []
    for index, image in enumerate(images):
        for ground_truth, hard in ((image.ground_truth, False), (image.difficult, True)):
            count = len(ground_truth.labels)
            image_index.append(np.full(count, index, np.int64))
            labels.append(ground_truth.labels)
            boxes.append(image_boxes(ground_truth, image.size))
            difficult.append(np.full(count, hard))
    return GroundTruth(
        image_index=_joined(image_index, np.int64, ()),
        labels=_joined(labels, np.int64, ()),
        boxes=_joined(boxes, np.float64, (4,)),
        difficult=_joined(difficult, bool, ()),
    )


def image_boxes(ground_truth: LabeledBoxes, size: tuple[int, int]) -> np.ndarray:
    """Labels cxcywh 0..1 `[M, 4]` → xyxy in pixels of an image of (height, width)."""
    center, side = ground_truth.boxes[:, :2], ground_truth.boxes[:, 2:]
    corners = np.concatenate((center - side / 2, center + side / 2), axis=1)
    return corners * (size[1], size[0], size[1], size[0])


def _joined(parts: list[np.ndarray], dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Concatenated, with a shape also where there is nothing to concatenate."""
    return np.concatenate([np.zeros((0, *shape), dtype), *parts]).astype(dtype)
