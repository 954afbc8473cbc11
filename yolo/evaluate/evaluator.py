"""A network and a data set → scored detections beside the truth."""

from collections.abc import Sequence

import numpy as np

from yolo.data.check import LabelledPicture
from yolo.data.dataset import EvaluationPictures, evaluation_loader
from yolo.data.workers import prepared
from yolo.detect.detector import Detector
from yolo.progress import progress
from yolo.records import Detections, Evaluation, GroundTruth, LabeledBoxes, ScoredBoxes


def evaluate(
    detector: Detector, pictures: Sequence[LabelledPicture], batch: int, workers: int
) -> Evaluation:
    """Run `detector` over the pictures, `batch` at a time; progress is shown on a terminal.

    Raises DatasetError for a picture that has gone bad since it was checked.
    """
    found = detections_of(detector, pictures, batch, workers)
    return evaluation_of(detector.names, pictures, found)


def detections_of(
    detector: Detector, pictures: Sequence[LabelledPicture], batch: int, workers: int
) -> list[Detections]:
    """What `detector` finds in each picture, in order. Raises DatasetError as `evaluate` does."""
    size = detector.network.input.height, detector.network.input.width
    channels = detector.network.input.channels
    dataset = EvaluationPictures(pictures, size, channels, detector.placement)
    loader = evaluation_loader(dataset, batch, workers)
    found = []
    for inputs, placements in progress(prepared(loader), "evaluating", len(loader)):
        found += detector.detect(inputs, placements)
    return found


def evaluation_of(
    names: Sequence[str], pictures: Sequence[LabelledPicture], found: Sequence[Detections]
) -> Evaluation:
    """Truth and detections of the pictures side by side; found: one entry a picture."""
    detections = ScoredBoxes(
        image_index=np.repeat(np.arange(len(found)), [len(each) for each in found]),
        labels=_joined([each.labels.numpy() for each in found], np.int64, ()),
        scores=_joined([each.scores.numpy() for each in found], np.float64, ()),
        boxes=_joined([each.boxes.numpy() for each in found], np.float64, (4,)),
    )
    return Evaluation(
        names=tuple(names),
        image_ids=tuple(picture.path.stem for picture in pictures),
        sizes=np.array([picture.size for picture in pictures], np.int64).reshape(-1, 2),
        truth=ground_truth(pictures),
        detections=detections,
    )


def ground_truth(pictures: Sequence[LabelledPicture]) -> GroundTruth:
    """The labels of the pictures, the difficult ones marked, in continuous picture pixels."""
    image_index, labels, boxes, difficult = [], [], [], []
    for index, picture in enumerate(pictures):
        for truth, hard in ((picture.truth, False), (picture.difficult, True)):
            count = len(truth.labels)
            image_index.append(np.full(count, index, np.int64))
            labels.append(truth.labels)
            boxes.append(picture_boxes(truth, picture.size))
            difficult.append(np.full(count, hard))
    return GroundTruth(
        image_index=_joined(image_index, np.int64, ()),
        labels=_joined(labels, np.int64, ()),
        boxes=_joined(boxes, np.float64, (4,)),
        difficult=_joined(difficult, bool, ()),
    )


def picture_boxes(truth: LabeledBoxes, size: tuple[int, int]) -> np.ndarray:
    """Labels cxcywh 0..1 `[M, 4]` → xyxy in pixels of a picture of (height, width)."""
    centre, side = truth.boxes[:, :2], truth.boxes[:, 2:]
    corners = np.concatenate((centre - side / 2, centre + side / 2), axis=1)
    return corners * (size[1], size[0], size[1], size[0])


def _joined(parts: list[np.ndarray], dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Concatenated, with a shape also where there is nothing to concatenate."""
    return np.concatenate([np.zeros((0, *shape), dtype), *parts]).astype(dtype)
