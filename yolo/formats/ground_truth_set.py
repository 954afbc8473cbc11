"""The pictures that are scored and their truth, as a record, whatever files they come from.

Files of detections name pictures by their names without folder and ending, or by COCO's numbers, and boxes by pixels
or shares of the picture; what leads from one to the other is here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from yolo.errors import DatasetError
from yolo.records import GroundTruth, ScoredBoxes

# Ours: of YOLOv2's 101,139 boxes on VOC2007 no centre or size is above 1.14; pixels taken for shares are dozens.
LARGEST_SHARE = 2.0

SHARE_WORDS = (
    f"centre and size in 0..1 of the picture, no pixels (at most {LARGEST_SHARE:g} either way)"
)


@dataclass(frozen=True)
class CocoNumbers:
    """COCO's ids: of each picture, and of each class, None where COCO's file has no such category."""

    pictures: tuple[int, ...]
    categories: tuple[int | None, ...]


@dataclass(frozen=True)
class GroundTruthSet:
    """I pictures and their labelled boxes.

    names: the classes. files: the pictures' file names, as the truth has them. sizes: int64 [I, 2], (height, width), or
    None where the truth does not say. origin: what boxes call the left edge of the first pixel, 0, or 1 as VOC's files
    do; detections that are read for this truth do the same. numbers, areas [M]: of COCO's files only. source: the file
    or folder that the truth was read from, for messages.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    sizes: np.ndarray | None
    truth: GroundTruth
    origin: float
    numbers: CocoNumbers | None = None
    areas: np.ndarray | None = None
    source: Path | None = None

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The pictures' names without folder and ending."""
        return tuple(stem(file) for file in self.files)

    @property
    def place(self) -> str:
        """How a message about this truth begins: `instances.json: `, or nothing where its source is not known."""
        return "" if self.source is None else f"{self.source}: "


def stem(file_name: str) -> str:
    """A picture's name without folder and ending; Darknet runs on Windows, too, and writes its paths."""
    return PurePosixPath(file_name.replace("\\", "/")).stem


def positions(pictures: GroundTruthSet) -> dict[str, int]:
    """Image id → position. Raises DatasetError where two pictures have the same id."""
    found: dict[str, int] = {}
    for at, image_id in enumerate(pictures.image_ids):
        first = found.setdefault(image_id, at)
        if first != at:
            both = f"{pictures.files[first]} and {pictures.files[at]}"
            expected = "pictures that differ in their names without folder and ending"
            raise DatasetError(f"{pictures.place}found {both}, expected {expected}")
    return found


def pixels(shares: np.ndarray, image_index: np.ndarray, pictures: GroundTruthSet) -> np.ndarray:
    """cxcywh in 0..1 of the pictures [N, 4] → xyxy [N, 4] in pixels that begin at `pictures.origin`."""
    centre, side = shares[:, :2], shares[:, 2:]
    corners = np.concatenate((centre - side / 2, centre + side / 2), axis=1)
    return corners * _sides(image_index, pictures) + pictures.origin


def shares(detections: ScoredBoxes, pictures: GroundTruthSet) -> np.ndarray:
    """The inverse of `pixels`: cxcywh [N, 4] in 0..1 of the pictures.

    Raises DatasetError for a box so far from its picture that it could not be read again.
    """
    low, high = np.split(detections.boxes - pictures.origin, 2, axis=1)
    boxes = np.concatenate(((low + high) / 2, high - low), axis=1)
    found = boxes / _sides(detections.image_index, pictures)
    far = np.flatnonzero((np.abs(found) > LARGEST_SHARE).any(axis=1))
    if far.size:
        file = pictures.files[detections.image_index[far[0]]]
        box = " ".join(f"{share:g}" for share in found[far[0]].tolist())
        what = f"a detection at {box} of {file}"
        raise DatasetError(f"{pictures.place}found {what}, expected {SHARE_WORDS}")
    return found


def is_share(numbers: Iterable[float]) -> bool:
    """Whether centre or size can be a share of the picture: pixels cannot, but in a picture of a few pixels."""
    return all(abs(number) <= LARGEST_SHARE for number in numbers)


def joined(
    image_index: Sequence[int],
    labels: Sequence[int],
    scores: Sequence[float],
    boxes: Sequence[Sequence[float]] | np.ndarray,
) -> ScoredBoxes:
    """Columns as arrays of the right kind and shape, also where there is nothing in them."""
    return ScoredBoxes(
        image_index=np.array(image_index, np.int64),
        labels=np.array(labels, np.int64),
        scores=np.array(scores, np.float64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
    )


def _sides(image_index: np.ndarray, pictures: GroundTruthSet) -> np.ndarray:
    if pictures.sizes is None:
        raise ValueError("shares of a picture need the pictures' sizes")
    height_width = pictures.sizes[image_index].astype(np.float64)
    return np.concatenate((height_width[:, ::-1], height_width[:, ::-1]), axis=1)
