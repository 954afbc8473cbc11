"""Convert the output tensors of an exported file to predictions, for each layout."""

from collections.abc import Callable

import torch
from torch import Tensor

from yolo.deploy.metadata import FileDescription, rebuild_heads
from yolo.records import Predictions

Read = Callable[[FileDescription, list[Tensor], int], Predictions]


def read_outputs(description: FileDescription, outputs: list[Tensor], batch: int) -> Predictions:
    """Return the predictions in the outputs of an exported file.

    Args:
        description: Of the file.
        outputs: In the order of the file.
        batch: How many images they are of.

    Returns:
        Predictions. If a layout holds only scores, they are the class probabilities, and objectness is 1.
    """
    return READERS[description.layout](description, outputs, batch)


def _raw(description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    parts = [head.decode(raw) for head, raw in zip(rebuild_heads(description), outputs, strict=True)]
    return Predictions(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)))


def _yolo(_description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    (rows,) = outputs
    return Predictions(rows[..., :4], rows[..., 4], rows[..., 5:])


def _yolov5(description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    (rows,) = outputs
    return Predictions(rows[..., :4] / _pixels(description, rows), rows[..., 4], rows[..., 5:])


def _opencv(_description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    rows = torch.cat([each if each.ndim == 3 else each[None] for each in outputs], dim=1)
    return _scored(rows[..., :4], rows[..., 5:])


def _ultralytics(description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    rows = outputs[0].transpose(1, 2)
    return _scored(rows[..., :4] / _pixels(description, rows), rows[..., 4:])


def _deepstream(description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    (rows,) = outputs
    scores = _one_hot(rows[..., 5], rows[..., 4], len(description.names))
    return _scored(_centers(rows[..., :4]) / _pixels(description, rows), scores)


def _hank(_description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    boxes, scores = outputs
    return _scored(_centers(boxes[:, :, 0]), scores)


def _tensorrt(description: FileDescription, outputs: list[Tensor], _batch: int) -> Predictions:
    boxes, scores = outputs
    return _scored(_centers(boxes) / _pixels(description, boxes), scores)


def _nms(description: FileDescription, outputs: list[Tensor], batch: int) -> Predictions:
    """Return as many predictions per image as the fullest one has; the rest is empty boxes with score 0."""
    (rows,) = outputs
    by_image = [rows[rows[:, 0] == index] for index in range(batch)]
    most = max(map(len, by_image), default=0)
    padded = torch.stack([torch.cat((each, each.new_zeros(most - len(each), 7))) for each in by_image])
    scores = _one_hot(padded[..., 5], padded[..., 6], len(description.names))
    return _scored(_centers(padded[..., 1:5]) / _pixels(description, rows), scores)


READERS: dict[str, Read] = {
    "raw": _raw,
    "yolo": _yolo,
    "opencv": _opencv,
    "ultralytics": _ultralytics,
    "frigate": _ultralytics,
    "yolov5": _yolov5,
    "deepstream": _deepstream,
    "hank": _hank,
    "nms": _nms,
    "tensorrt": _tensorrt,
}


def _scored(boxes: Tensor, scores: Tensor) -> Predictions:
    return Predictions(boxes, torch.ones_like(scores[..., 0]), scores)


def _one_hot(labels: Tensor, scores: Tensor, classes: int) -> Tensor:
    """Return scores `[..., classes]` that are 0 but for the label's."""
    empty = scores.new_zeros(*scores.shape, classes)
    return empty.scatter(-1, labels.long()[..., None], scores[..., None])


def _centers(corners: Tensor) -> Tensor:
    """`[..., 4]` xyxy → cxcywh."""
    low, high = corners[..., :2], corners[..., 2:]
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def _pixels(description: FileDescription, like: Tensor) -> Tensor:
    height, width = description.size
    return like.new_tensor([width, height] * 2)
