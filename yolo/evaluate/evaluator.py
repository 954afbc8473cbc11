"""Run a detector on a data set and join its detections with the ground truth."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import DataLoader

from yolo.console.progress import progress
from yolo.data.dataset import EvaluationImages, evaluation_loader
from yolo.data.labeled_images import LabeledImage, image_boxes, packed
from yolo.data.workers import prepared
from yolo.detect.detector import Detector
from yolo.records import Detections, Evaluation, GroundTruth, LabeledBoxes, ScoredBoxes


def detections_of(detector: Detector, images: Sequence[LabeledImage], batch: int, workers: int) -> list[Detections]:
    """Run a detector on images; progress is shown on a terminal.

    Args:
        detector: with its thresholds.
        images: the images, checked before.
        batch: images at a time.
        workers: processes that read images.

    Returns:
        The detections of each image, in order.

    Raises:
        DatasetError: an image can no longer be read.
    """
    loader = placed_loader(detector, images, batch, workers)
    detections = []
    for inputs, placements in progress(prepared(loader), "evaluating", len(loader)):
        detections += detector.detect(inputs, placements)
    return detections


def placed_loader(detector: Detector, images: Sequence[LabeledImage], batch: int, workers: int) -> DataLoader:
    """Return a loader of images in order, as a detector places them, like `evaluation_loader`.

    Args:
        detector: the size and channels of its network, and its placement.
        images: checked.
        batch: images at a time.
        workers: processes that read images.
    """
    network = detector.network.input
    dataset = EvaluationImages(images, (network.height, network.width), network.channels, detector.placement)
    return evaluation_loader(dataset, batch, workers)


def evaluation_of(names: Sequence[str], images: Sequence[LabeledImage], detections: Sequence[Detections]) -> Evaluation:
    """Join the ground truth and the detections of images; `detections` has one entry per image."""
    counts = [len(each) for each in detections]
    return Evaluation(
        names=tuple(names),
        image_ids=tuple(image.path.stem for image in images),
        sizes=np.array([image.size for image in images], np.int64).reshape(-1, 2),
        ground_truth=ground_truth_of_images(images),
        detections=ScoredBoxes(
            image_index=np.repeat(np.arange(len(counts)), counts),
            labels=_joined([each.labels.numpy() for each in detections], np.int64, ()),
            scores=_joined([each.scores.numpy() for each in detections], np.float64, ()),
            boxes=_joined([each.boxes.numpy() for each in detections], np.float64, (4,)),
        ),
    )


def ground_truth_of_images(images: Sequence[LabeledImage]) -> GroundTruth:
    """Return the labels of images in continuous image pixels; those of `image.difficult` are marked as difficult."""
    images = packed(images)
    tables = (images.ground_truth, images.difficult)
    image_index = np.concatenate([table.image_index() for table in tables])
    labeled = LabeledBoxes(
        np.concatenate([table.labels for table in tables]), np.concatenate([table.boxes for table in tables])
    )
    ground_truth = GroundTruth(
        image_index=image_index,
        labels=labeled.labels,
        boxes=image_boxes(labeled, images.sizes[image_index].T),
        difficult=np.repeat([False, True], [len(table.labels) for table in tables]),
    )
    return ground_truth.where(np.argsort(image_index, kind="stable"))


def _joined(parts: list[np.ndarray], dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Concatenate; without parts, the result is an empty array of the same kind."""
    return np.concatenate([np.zeros((0, *shape), dtype), *parts]).astype(dtype)
