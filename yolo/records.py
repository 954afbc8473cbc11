"""Records that more than one folder uses: predictions, detections, targets, ground truth, evaluations.

Boxes are `xyxy` (left, top, right, bottom) or `cxcywh` (center x, center y, width, height); sizes are (height, width).
torch is imported for type checkers only, so that commands that score files start without it.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from yolo.extras import import_extra

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Size = tuple[int, int]  # (height, width) in pixels
MOST_SHOWN = 5  # detections in one line of text
VOC_ORIGIN = 1.0  # where VOC's pixel coordinates begin; all others begin at 0
UNKNOWN_SIZE = 0  # height or width of an image whose size its files do not give


@dataclass(frozen=True)
class LabeledBoxes:
    """The M labeled boxes of one image.

    labels: int64 `[M]`, class indices. boxes: float64 `[M, 4]` cxcywh, as fractions 0..1 of the image.
    """

    labels: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Problem:
    """An entry of a data set that cannot be used.

    kind: one of the constants of the module that finds it, the same text for all problems of a kind.
    message: one line with the file, what was found and what was expected.
    """

    kind: str
    message: str


@dataclass(frozen=True, repr=False)
class Detections:
    """The N detections in one image; N may be 0.

    boxes: float32 `[N, 4]` xyxy, in the frame that the function that makes them names; a `Detector` gives image
    pixels. scores: float32 `[N]`, descending. labels: int64 `[N]`, class indices. names: of the classes, if they
    are known; a `Detector` gives its own.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | np.integer | slice | Sequence[int] | Tensor) -> Detections:
        """Return some of the detections, in the order of `index`: a number, a slice, indices or a mask.

        Raises TypeError for a number that is not whole, and IndexError for a detection that is not there.
        """
        if np.ndim(index) == 0 and not isinstance(index, slice):  # an int, or NumPy's or PyTorch's
            index = operator.index(index)
            if not -len(self) <= index < len(self):
                raise IndexError(f"found detection {index}, expected one of {len(self)}")
            index = [index]
        return Detections(self.boxes[index], self.scores[index], self.labels[index], self.names)

    def __repr__(self) -> str:
        """One line: how many, and name (without names the label), score and box of the first ones."""
        columns = (self.labels.tolist(), self.scores.tolist(), self.boxes.tolist())
        shown = list(zip(*columns, strict=True))[:MOST_SHOWN]
        rows = [
            f"{self.names[label] if self.names else label} {score:.2f} [{' '.join(f'{v:.0f}' for v in box)}]"
            for label, score, box in shown
        ]
        rows += ["..."] if len(self) > MOST_SHOWN else []
        return f"Detections({len(self)}{': ' if rows else ''}{', '.join(rows)})"

    def to_dict(self, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return plain numbers that json can write: class_id, name, score and box (xyxy) of each detection.

        names: of the classes; default: its own, or the labels.
        """
        names = self._shown_names(names)
        columns = (self.labels.tolist(), self.scores.tolist(), self.boxes.tolist())
        return [
            {"class_id": label, "name": names[label], "score": score, "box": box}
            for label, score, box in zip(*columns, strict=True)
        ]

    def draw(self, image: object, names: Sequence[str] | None = None, color: str = "rgb") -> np.ndarray:
        """Return a copy of an image as uint8 `[H, W, 3]`, with the boxes, names and scores.

        image: an array of this kind, or a path, bytes or an image of Pillow, read as `Detector` reads it. names: as for
        `to_dict`. color: order of the channels of an array, and of the result: "rgb" or "bgr".
        """
        drawing = import_module("yolo.detect.draw")  # by name: this module is below all others
        parts = (part.cpu().numpy() for part in (self.boxes, self.scores, self.labels))
        drawn = drawing.draw_detections(_pixels(image, color), *parts, self._shown_names(names))
        return drawn if color.lower() == "rgb" else np.ascontiguousarray(drawn[..., ::-1])

    def crop(self, image: object) -> list[np.ndarray]:
        """Return the pixels of each box, cut to the image `[H, W, C]`; a box outside of it has none.

        image: as for `draw`; the pixels of an array keep the order of their channels.
        """
        image = _pixels(image)
        height, width = image.shape[:2]
        low = self.boxes[:, :2].floor().clamp(min=0).int().tolist()
        high = self.boxes[:, 2:].ceil().int().tolist()
        return [
            image[y1 : max(y1, min(y2, height)), x1 : max(x1, min(x2, width))].copy()
            for (x1, y1), (x2, y2) in zip(low, high, strict=True)
        ]

    def to_supervision(self) -> Any:
        """Return a supervision.Detections (the package `supervision`, extra `track`), with `class_name` as its data."""
        supervision = import_extra("supervision", "track", "Detections.to_supervision")
        parts = (part.cpu().numpy() for part in (self.boxes, self.scores, self.labels))
        boxes, scores, labels = parts
        names = {"class_name": np.array([self.names[label] for label in labels], str)} if self.names else {}
        return supervision.Detections(xyxy=boxes, confidence=scores, class_id=labels, data=names)

    def _shown_names(self, names: Sequence[str] | None) -> Sequence[str]:
        """Return the names that were given, else its own, else the numbers up to its highest label."""
        return names or self.names or [str(label) for label in range(1 + max(self.labels.tolist(), default=0))]


def _pixels(image: object, color: str = "rgb") -> np.ndarray:
    """Return the pixels of an image as a `Detector` of RGB images reads them."""
    return import_module("yolo.detect.inputs").image_pixels(image, 3, color)


@dataclass(frozen=True)
class GroundTruth:
    """M labeled boxes in a set of images.

    image_index: int64 `[M]`, positions in the set of images. labels: int64 `[M]`, class indices. boxes: float64
    `[M, 4]` xyxy, in the frame that the owner of this record names. difficult: bool `[M]`; a detection of a difficult
    box is neither a true nor a false positive, and no detection of it is no false negative.
    """

    image_index: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray

    def where(self, chosen: np.ndarray) -> GroundTruth:
        """Return the boxes selected by `chosen`, bool `[M]` or positions."""
        return GroundTruth(*(column[chosen] for column in vars(self).values()))


@dataclass(frozen=True)
class ScoredBoxes:
    """N detections in a set of images, in any order, in the frame of the ground truth that they are scored with.

    image_index: int64 `[N]`, positions in the set of images. labels: int64 `[N]`, class indices. scores: float64
    `[N]`. boxes: float64 `[N, 4]` xyxy.
    """

    image_index: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray

    def where(self, chosen: np.ndarray) -> ScoredBoxes:
        """Return the detections selected by `chosen`, bool `[N]` or positions."""
        return ScoredBoxes(*(column[chosen] for column in vars(self).values()))


@dataclass(frozen=True)
class Evaluation:
    """Ground truth and detections of I images. All boxes are xyxy in continuous image pixels that begin at 0.

    names: the class names. image_ids: `[I]`, the images' names without folder and suffix. sizes: int64 `[I, 2]`,
    (height, width) of each image, or UNKNOWN_SIZE.
    """

    names: tuple[str, ...]
    image_ids: tuple[str, ...]
    sizes: np.ndarray
    ground_truth: GroundTruth
    detections: ScoredBoxes


class Predictions(NamedTuple):
    """All predictions of a network for B images, before any threshold.

    boxes: float32 `[B, P, 4]` cxcywh relative to the network input, 0..1 (a box may reach outside).
    objectness: float32 `[B, P]`. class_probs: float32 `[B, P, classes]`.
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
    def targets(self) -> Targets | Tensor: ...


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
    """The M labeled boxes of a batch of B images, in label-file order.

    image_index: int64 `[M]`, 0..B-1. labels: int64 `[M]`, class indices. boxes: float32 `[M, 4]` cxcywh, as
    fractions 0..1 of the network input.
    """

    image_index: Tensor
    labels: Tensor
    boxes: Tensor

    def to(self, device: torch.device | str) -> Targets:
        """Return the same targets on another device."""
        return Targets(*(tensor.to(device, non_blocking=True) for tensor in self))
