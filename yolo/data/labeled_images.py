"""The checked images of a list, in a few arrays: a list of 118,000 images with 860,000 boxes takes 50 MB.

One Python object for each image, box and path would take ten times as much, and every loading process would copy it:
a forked process copies the pages of all objects whose reference counts it changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.formats.label_files import label_candidates
from yolo.records import LabeledBoxes, Size

NO_FILE = -1  # instead of the position of a label file among its candidates
COORDINATES = 4


@dataclass(frozen=True)
class LabeledImage:
    """A readable image, its size (height, width) and its ground truth. difficult: boxes that evaluation ignores.

    labels: the label file, one of the image's `label_candidates`; lines: the number of the line of each ground-truth
    box.
    """

    path: Path
    size: Size
    ground_truth: LabeledBoxes
    difficult: LabeledBoxes
    labels: Path | None = None
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts as the bytes of all, uint8, and the place int64 `[N]` where each ends."""

    content: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start, end = _bounds(self.ends, index)
        return self.content[start:end].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class BoxTable:
    """The M boxes of N images, image by image.

    ends: int64 `[N]`, the place where the boxes of each image end; labels: int64 `[M]`; boxes: float64 `[M, 4]` cxcywh
    in 0..1 of the image; lines: int64 `[M]`, of the label file.
    """

    ends: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    lines: np.ndarray

    def of(self, index: int) -> LabeledBoxes:
        """Return the boxes of one image."""
        start, end = _bounds(self.ends, index)
        return LabeledBoxes(self.labels[start:end], self.boxes[start:end])

    def image_index(self) -> np.ndarray:
        """Return the image of each box, int64 `[M]`."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=0))


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """A sequence of `LabeledImage`; each one is made on access.

    paths: of the images; sizes: int64 `[N, 2]`, (height, width); label_places: int64 `[N]`, position of the label file
    among `label_candidates`, or NO_FILE; ground_truth, difficult: the boxes.
    """

    paths: Texts
    sizes: np.ndarray
    label_places: np.ndarray
    ground_truth: BoxTable
    difficult: BoxTable

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | slice) -> LabeledImage | LabeledImages:
        """Return one image, or those of a slice."""
        if isinstance(index, slice):
            return packed(self[each] for each in range(*index.indices(len(self))))
        index = range(len(self))[index]  # from the end, too; raises IndexError
        path = Path(self.paths[index])
        place = int(self.label_places[index])
        start, end = _bounds(self.ground_truth.ends, index)
        return LabeledImage(
            path=path,
            size=tuple(self.sizes[index].tolist()),
            ground_truth=self.ground_truth.of(index),
            difficult=self.difficult.of(index),
            labels=None if place == NO_FILE else label_candidates(path)[place],
            lines=tuple(self.ground_truth.lines[start:end].tolist()),
        )

    def __iter__(self) -> Iterator[LabeledImage]:
        return (self[index] for index in range(len(self)))


def image_boxes(labeled: LabeledBoxes, size: tuple[int, int] | np.ndarray) -> np.ndarray:
    """Convert labels cxcywh 0..1 `[M, 4]` to xyxy in pixels.

    size: (height, width) of the image, or int64 `[2, M]`, those of each box's image.
    """
    center, side = labeled.boxes[:, :2], labeled.boxes[:, 2:]
    corners = np.concatenate((center - side / 2, center + side / 2), axis=1)
    height, width = size
    return corners * np.stack(np.broadcast_arrays(width, height, width, height), axis=-1)


def packed(images: Iterable[LabeledImage] | LabeledImages) -> LabeledImages:
    """Return the same images as arrays."""
    if isinstance(images, LabeledImages):
        return images
    packing = ImagePacking()
    for image in images:
        packing.add(image)
    return packing.finish()


class TextPacking:
    """Collects `Texts`."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._ends = array("q")

    def add(self, text: str) -> None:
        self._content += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._content))

    def finish(self) -> Texts:
        return Texts(np.frombuffer(self._content, np.uint8), _numbers(self._ends))


class ImagePacking:
    """Collects `LabeledImages`, image by image, in arrays that grow."""

    def __init__(self) -> None:
        self._paths = TextPacking()
        self._sizes = array("q")
        self._places = array("q")
        self._boxes, self._difficult = _BoxPacking(), _BoxPacking()

    def add(self, image: LabeledImage) -> None:
        place = NO_FILE if image.labels is None else label_candidates(image.path).index(image.labels)
        self._paths.add(str(image.path))
        self._sizes.extend(image.size)
        self._places.append(place)
        self._boxes.add(image.ground_truth, image.lines)
        self._difficult.add(image.difficult, ())

    def finish(self) -> LabeledImages:
        return LabeledImages(
            paths=self._paths.finish(),
            sizes=_numbers(self._sizes).reshape(-1, 2),
            label_places=_numbers(self._places),
            ground_truth=self._boxes.finish(),
            difficult=self._difficult.finish(),
        )


class _BoxPacking:
    def __init__(self) -> None:
        self._ends, self._labels, self._lines = array("q"), array("q"), array("q")
        self._boxes = array("d")

    def add(self, boxes: LabeledBoxes, lines: tuple[int, ...]) -> None:
        self._labels.frombytes(np.asarray(boxes.labels, np.int64).tobytes())
        self._boxes.frombytes(np.asarray(boxes.boxes, np.float64).tobytes())
        self._lines.extend(lines or [0] * len(boxes.labels))
        self._ends.append(len(self._labels))

    def finish(self) -> BoxTable:
        boxes = np.frombuffer(self._boxes, np.float64).reshape(-1, COORDINATES)
        return BoxTable(_numbers(self._ends), _numbers(self._labels), boxes, _numbers(self._lines))


def _numbers(values: array) -> np.ndarray:
    return np.frombuffer(values, np.int64)


def _bounds(ends: np.ndarray, index: int) -> tuple[int, int]:
    return int(ends[index - 1]) if index else 0, int(ends[index])
