"""The images that are scored and their ground truth, as a record, whatever files they come from.

Files of detections name images by their names without folder and ending, or by COCO's numbers, and boxes by pixels
or shares of the image; what leads from one to the other is here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from yolo.errors import DatasetError
from yolo.records import GroundTruth, ScoredBoxes

# Ours: of YOLOv2's 101,139 boxes on VOC2007 no center or size is above 1.14; pixels taken for shares are dozens.
LARGEST_SHARE = 2.0

SHARE_WORDS = (
    f"center and size in 0..1 of the image, no pixels (at most {LARGEST_SHARE:g} either way)"
)


@dataclass(frozen=True)
class CocoNumbers:
    """COCO's ids: of each image, and of each class, None where COCO's file has no such category."""

    images: tuple[int, ...]
    categories: tuple[int | None, ...]


@dataclass(frozen=True)
class GroundTruthSet:
    """I images and their labeled boxes.

    names: the classes. files: the images' file names, as the ground truth has them. sizes: int64 [I, 2], (height, width), or
    None where the ground truth does not say. origin: what boxes call the left edge of the first pixel, 0, or 1 as VOC's files
    do; detections that are read for this ground truth do the same. numbers, areas [M]: of COCO's files only. source: the file
    or folder that the ground truth was read from, for messages.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    sizes: np.ndarray | None
    ground_truth: GroundTruth
    origin: float
    numbers: CocoNumbers | None = None
    areas: np.ndarray | None = None
    source: Path | None = None

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The images' names without folder and ending."""
        return tuple(stem(file) for file in self.files)

    @property
    def place(self) -> str:
        """How a message about this ground truth begins: `instances.json: `, or nothing where its source is not known."""
        return "" if self.source is None else f"{self.source}: "


def stem(file_name: str) -> str:
    """An image's name without folder and ending; Darknet runs on Windows, too, and writes its paths."""
    return PurePosixPath(file_name.replace("\\", "/")).stem


def positions(images: GroundTruthSet) -> dict[str, int]:
    """Image id → position. Raises DatasetError where two images have the same id."""
    found: dict[str, int] = {}
    for at, image_id in enumerate(images.image_ids):
        first = found.setdefault(image_id, at)
        if first != at:
            both = f"{images.files[first]} and {images.files[at]}"
            expected = "images that differ in their names without folder and ending"
            raise DatasetError(f"{images.place}found {both}, expected {expected}")
    return found


def pixels(shares: np.ndarray, image_index: np.ndarray, images: GroundTruthSet) -> np.ndarray:
    """cxcywh in 0..1 of the images [N, 4] → xyxy [N, 4] in pixels that begin at `images.origin`."""
    center, side = shares[:, :2], shares[:, 2:]
    corners = np.concatenate((center - side / 2, center + side / 2), axis=1)
    return corners * _sides(image_index, images) + images.origin


def shares(detections: ScoredBoxes, images: GroundTruthSet) -> np.ndarray:
    """The inverse of `pixels`: cxcywh [N, 4] in 0..1 of the images.

    Raises DatasetError for a box so far from its image that it could not be read again.
    """
    low, high = np.split(detections.boxes - images.origin, 2, axis=1)
    boxes = np.concatenate(((low + high) / 2, high - low), axis=1)
    found = boxes / _sides(detections.image_index, images)
    far = np.flatnonzero((np.abs(found) > LARGEST_SHARE).any(axis=1))
    if far.size:
        file = images.files[detections.image_index[far[0]]]
        box = " ".join(f"{share:g}" for share in found[far[0]].tolist())
        what = f"a detection at {box} of {file}"
        raise DatasetError(f"{images.place}found {what}, expected {SHARE_WORDS}")
    return found


def is_share(numbers: Iterable[float]) -> bool:
    """Whether center or size can be a share of the image: pixels cannot, but in an image of a few pixels."""
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


def _sides(image_index: np.ndarray, images: GroundTruthSet) -> np.ndarray:
    if images.sizes is None:
        raise ValueError("shares of an image need the images' sizes")
    height_width = images.sizes[image_index].astype(np.float64)
    return np.concatenate((height_width[:, ::-1], height_width[:, ::-1]), axis=1)
