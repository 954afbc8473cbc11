"""Records that cross the borders of folders: predictions, detections, targets, ground truth, evaluations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class LabeledBoxes:
    """An image's labeled boxes: labels int64 `[M]`; boxes float64 `[M, 4]` cxcywh, 0..1 of the image."""

    labels: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Something that cannot become a label: its kind, and one line with file, found, expected."""

    kind: str
    message: str


@dataclass(frozen=True)
class Detections:
    """What was found in one image: boxes float32 `[N, 4]` xyxy, scores `[N]` descending, labels int64 `[N]`.

    N may be 0. The frame of the boxes is said by the function that makes them; a Detector's are image pixels.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class GroundTruth:
    """Labeled boxes of a set of images, in any one frame.

    image_index: int64 [M], which image. labels: int64 [M], which class. boxes: float64 [M, 4]
    xyxy. difficult: bool [M], neither to be found nor wrong to be found.
    """

    image_index: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True)
class ScoredBoxes:
    """Detections in a set of images, in the frame of the ground truth, in any order.

    image_index: int64 [N]. labels: int64 [N]. scores: float64 [N]. boxes: float64 [N, 4] xyxy.
    """

    image_index: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Ground truth and detections of a set of images, boxes xyxy in continuous image pixels.

    sizes: int64 `[I, 2]`, (height, width) of each image; image_ids: the images' names without folder and ending.
    """

    names: tuple[str, ...]
    image_ids: tuple[str, ...]
    sizes: np.ndarray
    ground_truth: GroundTruth
    detections: ScoredBoxes


class Predictions(NamedTuple):
    """What a network sees, before any threshold.

    boxes: float32 `[B, P, 4]` cxcywh relative to the network input, 0..1 (a box may reach outside);
    objectness: float32 `[B, P]`; class_probs: float32 `[B, P, classes]`.
    P runs head by head, then anchor, row, column.
    """

    boxes: Tensor
    objectness: Tensor
    class_probs: Tensor


class LossResult(Protocol):
    """What every loss returns. total: scalar with a gradient, the loss of an image; scalars: values to log, by name."""

    @property
    def total(self) -> Tensor: ...

    def scalars(self) -> Mapping[str, Tensor | float]: ...


class TrainingBatch(Protocol):
    """A mini-batch. images: uint8 `[B, C, H, W]` RGB; targets: boxes, or float32 `[B, classes]` for a classifier."""

    @property
    def images(self) -> Tensor: ...

    @property
    def targets(self) -> "Targets | Tensor": ...


class WeightsHeader(NamedTuple):
    """The header of a .weights file. seen: images trained on so far."""

    major: int
    minor: int
    revision: int
    seen: int


class WeightsFormat(NamedTuple):
    """What differs between .weights files of one network.

    version: (major, minor, revision) of the header; order: "alexeyab" or "pjreddie", the Darknet in whose order the
    tensors of a [batchnorm] are stored.
    """

    version: tuple[int, int, int]
    order: str


class Targets(NamedTuple):
    """M labeled boxes of the B images of a batch, in label-file order.

    image_index: int64 `[M]`, which image; labels: int64 `[M]`; boxes: float32 `[M, 4]` cxcywh, 0..1 of the
    network input.
    """

    image_index: Tensor
    labels: Tensor
    boxes: Tensor

    def to(self, device: torch.device | str) -> "Targets":
        """The same on another device."""
        return Targets(*(tensor.to(device, non_blocking=True) for tensor in self))
