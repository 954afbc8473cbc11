"""The images that are scored and their ground truth, read from files of any format.

Files of detections name images by their file names without folder and suffix, or by COCO's ids; they give boxes in
pixels or as fractions of the image. The functions here convert between these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from yolo.errors import DatasetError
from yolo.records import GroundTruth, ScoredBoxes

# Ours: no center or size of YOLOv2's 101,139 boxes on VOC2007 is above 1.14; pixels given by mistake are dozens.
LARGEST_FRACTION = 2.0

# Classes that Darknet's data/coco.names and the annotation files of COCO call differently.
COCO_ALIASES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}
OTHER_NAMES = {**COCO_ALIASES, **{coco: darknet for darknet, coco in COCO_ALIASES.items()}}
_Value = TypeVar("_Value")

FRACTIONS_EXPECTED = f"center and size in 0..1 of the image, no pixels (at most {LARGEST_FRACTION:g} either way)"


@dataclass(frozen=True)
class CocoIds:
    """COCO's ids of a ground truth's images and classes, in their order.

    images: `[I]`. categories: `[classes]`, None for a class that the COCO file does not have.
    """

    images: tuple[int, ...]
    categories: tuple[int | None, ...]


@dataclass(frozen=True)
class GroundTruthSet:
    """I images and their labeled boxes.

    names: the class names. files: `[I]`, the images' file names as the ground truth gives them. sizes: int64
    `[I, 2]`, (height, width), or None where the ground truth does not give them. ground_truth: boxes in pixels that
    begin at `origin`. origin: coordinate of the left edge of the first pixel: 0, or VOC_ORIGIN (1) if VOC's files are
    read or written. Detections that are read for this ground truth have the same origin. coco_ids: only of COCO's
    files. areas: float64 `[M]`, square pixels of the objects' outlines, only of COCO's files. source: the file or
    folder that the ground truth was read from, for messages.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    sizes: np.ndarray | None
    ground_truth: GroundTruth
    origin: float
    coco_ids: CocoIds | None = None
    areas: np.ndarray | None = None
    source: Path | None = None

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The images' names without folder and suffix."""
        return tuple(image_id_of(file) for file in self.files)

    @property
    def message_prefix(self) -> str:
        """The beginning of a message about this ground truth: `instances.json: `, or "" without a source."""
        return "" if self.source is None else f"{self.source}: "


def image_id_of(file_name: str) -> str:
    """Return an image's name without folder and suffix. Windows paths, as Darknet writes them there, are accepted."""
    return PurePosixPath(file_name.replace("\\", "/")).stem


@dataclass(frozen=True)
class ImageNames:
    """Images by the names that files of detections give them. by_stem: name without folder and suffix → positions."""

    files: tuple[str, ...]
    by_stem: Mapping[str, tuple[int, ...]]

    def find(self, name: str) -> tuple[int, ...]:
        """Return the positions of the images that `name` can mean: none, one, or several.

        A name may have folders, with slashes or backslashes, and a suffix. Of images with the same name in several
        folders, the result is the one with most of the last folders of `name`.
        """
        parts = _path_parts(name)
        last = parts[-1] if parts else ""
        found = self.by_stem.get(last) or self.by_stem.get(image_id_of(last)) or ()
        if len(found) < 2:
            return found
        ranks = [_similarity(parts, _path_parts(self.files[index])) for index in found]
        best = tuple(index for index, rank in zip(found, ranks, strict=True) if rank == max(ranks))
        return found if max(ranks) == NOTHING_IN_COMMON else best

    def position(self, name: str, found: str, expected: str) -> int:
        """Return the position of the one image that `name` means.

        Args:
            name: the name.
            found: the message about an unknown name up to `, expected`, such as `r.json: frame 1: found 'x.jpg'`.
            expected: the rest of that message.

        Raises:
            DatasetError: no image has this name, or several have.
        """
        positions = self.find(name)
        if not positions:
            raise DatasetError(f"{found}, expected {expected}")
        if len(positions) > 1:
            both = " or ".join(self.files[each] for each in positions[:2])
            raise DatasetError(f"{found}, which may be {both}, expected a name with its folder")
        return positions[0]


NOTHING_IN_COMMON = (0, False, False)  # the least `_similarity`


def image_names(files: Sequence[str]) -> ImageNames:
    """Return the images of these files for look-ups by name."""
    by_stem: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        by_stem.setdefault(image_id_of(file), []).append(index)
    return ImageNames(tuple(files), {stem: tuple(positions) for stem, positions in by_stem.items()})


def _path_parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _similarity(name: tuple[str, ...], file: tuple[str, ...]) -> tuple[int, bool, bool]:
    """Return how many of the last folders of two paths are equal, whether all are, and whether the suffixes are."""
    pairs = list(zip(reversed(name[:-1]), reversed(file[:-1]), strict=False))
    shared = next((at for at, (first, second) in enumerate(pairs) if first != second), len(pairs))
    return shared, name[:-1] == file[:-1], name[-1] == file[-1]


def by_class_name(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return values by class name, and by the other name of a class that has two (COCO_ALIASES)."""
    others = {OTHER_NAMES[name]: value for name, value in values.items() if name in OTHER_NAMES}
    return {**others, **values}


def labels_by_name(names: Sequence[str]) -> dict[str, int]:
    """Return class name → position in `names`; a class of COCO_ALIASES is found by both of its names."""
    return by_class_name({name: label for label, name in enumerate(names)})


def alias_remark(found: Iterable[str], names: Sequence[str]) -> str:
    """Return which classes `found` are among `names` by their other names, for a remark; "" if there are none."""
    known = {*names}
    others = [name for name in dict.fromkeys(found) if name not in known and OTHER_NAMES.get(name) in known]
    read = ", ".join(f"{name} as {OTHER_NAMES[name]}" for name in others)
    return f"read {read} (Darknet's and COCO's names of the same classes)" if others else ""


def inverted_boxes(boxes: np.ndarray) -> np.ndarray:
    """Return the rows of xyxy `[N, 4]` whose right is left of their left, or bottom above top."""
    return np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))


def index_by_image_id(ground_truth_set: GroundTruthSet) -> dict[str, int]:
    """Return image id → index. Raise DatasetError if two images have the same id."""
    files, index_of = ground_truth_set.files, {}
    for index, image_id in enumerate(ground_truth_set.image_ids):
        first = index_of.setdefault(image_id, index)
        if first != index:
            found = f"{ground_truth_set.message_prefix}found {files[first]} and {files[index]}"
            expected = "images that differ in their names without folder and suffix"
            raise DatasetError(f"{found}, expected {expected}")
    return index_of


def fractions_to_pixels(boxes: np.ndarray, image_index: np.ndarray, ground_truth_set: GroundTruthSet) -> np.ndarray:
    """Convert cxcywh `[N, 4]`, fractions of the images `image_index` `[N]`, to xyxy `[N, 4]` from the set's origin."""
    center, side = boxes[:, :2], boxes[:, 2:]
    corners = np.concatenate((center - side / 2, center + side / 2), axis=1)
    return corners * _box_sides(image_index, ground_truth_set) + ground_truth_set.origin


def pixels_to_fractions(detections: ScoredBoxes, ground_truth_set: GroundTruthSet) -> np.ndarray:
    """Return the detections' boxes as cxcywh `[N, 4]`, fractions of their images.

    Raises:
        DatasetError: a box is so far from its image that `are_fractions` would reject it.
    """
    sides = _box_sides(detections.image_index, ground_truth_set)
    fractions = fractions_of_image(detections.boxes - ground_truth_set.origin, sides)
    far = np.flatnonzero((np.abs(fractions) > LARGEST_FRACTION).any(axis=1))
    if far.size:
        file = ground_truth_set.files[detections.image_index[far[0]]]
        box = " ".join(f"{number:g}" for number in fractions[far[0]].tolist())
        found = f"{ground_truth_set.message_prefix}found a detection at {box} of {file}"
        raise DatasetError(f"{found}, expected {FRACTIONS_EXPECTED}")
    return fractions


def fractions_of_image(boxes: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Convert xyxy `[N, 4]` in pixels from 0 to cxcywh; sides: (width, height, width, height), `[4]` or `[N, 4]`."""
    low, high = np.split(boxes, 2, axis=1)
    return np.concatenate(((low + high) / 2, high - low), axis=1) / sides


def are_fractions(numbers: Iterable[float]) -> bool:
    """Return whether center and size can be fractions of an image; pixels are larger, except in tiny images."""
    return all(abs(number) <= LARGEST_FRACTION for number in numbers)


def scored_boxes(
    image_index: Sequence[int] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    boxes: Sequence[Sequence[float]] | np.ndarray,
) -> ScoredBoxes:
    """Return N detections as arrays of the right type and shape, also for N = 0.

    Args:
        image_index: `[N]`, positions in the set of images.
        labels: `[N]`, class indices.
        scores: `[N]`.
        boxes: `[N, 4]` xyxy in pixels.
    """
    return ScoredBoxes(
        image_index=np.array(image_index, np.int64),
        labels=np.array(labels, np.int64),
        scores=np.array(scores, np.float64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
    )


def _box_sides(image_index: np.ndarray, ground_truth_set: GroundTruthSet) -> np.ndarray:
    """Return (width, height, width, height) `[N, 4]` of the images."""
    if ground_truth_set.sizes is None:
        raise ValueError("fractions of an image need the images' sizes")
    height_width = ground_truth_set.sizes[image_index].astype(np.float64)
    return np.tile(height_width[:, ::-1], 2)
