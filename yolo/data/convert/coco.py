"""Plan the conversion of COCO annotation files to files that Darknet trains on."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.data.convert.plan import (
    CLIPPED,
    MAX_OVERHANG,
    NO_AREA,
    OUTSIDE,
    SHARED,
    LabelRow,
    Plan,
    PlannedImage,
    like_names,
)
from yolo.data.convert.voc import Frame, frame_of, header_of
from yolo.data.image_header import turned_boxes
from yolo.data.parallel import in_threads
from yolo.errors import DatasetError
from yolo.files.image_names import Listing, find_image, list_images
from yolo.formats.coco_annotations import (
    BAD_IMAGE,
    NO_BOX,
    CocoFile,
    labels_of,
    no_size,
    order_of_categories,
    read_coco,
)
from yolo.formats.ground_truth_set import alias_remark, by_class_name
from yolo.formats.label_files import ROUNDING
from yolo.formats.voc_xml import TWICE
from yolo.records import Problem

log = logging.getLogger(__name__)
GROUP = "category that is no class"
OTHER_NAME = "image of another name"


@dataclass(frozen=True)
class CocoSet:
    """An annotation file and the folder of its images."""

    annotations: Path
    images: Path


def plan_coco(train: Sequence[CocoSet], valid: Sequence[CocoSet], names: Sequence[str] | None) -> Plan:
    """Read and check the annotation files.

    The plan leaves out every annotation or image with a problem. Without `names` the classes are the categories by
    rising id, without one that only groups the others; with them, the other categories are left out.

    Raises:
        DatasetError: A file is no COCO annotations, categories do not agree, or a name is no category.
        OSError: A file cannot be read.
    """
    files = {each.annotations: read_coco(each.annotations) for each in (*train, *valid)}
    for file in files.values():
        _require_boxes(file)
    group = None
    if names is None:
        names = order_of_categories(tuple(files.values()))
        group = _mere_group(files.values())
        names = tuple(name for name in names if name != group)
    _check_names(names, files.values())
    problems = [problem for file in files.values() for problem in file.problems]
    repairs = [*like_names(names), *(remark for file in files.values() for remark in file.remarks)]
    if group is not None:
        repairs.append(Problem(GROUP, f"{group!r}, the supercategory of all others, has no box"))
    known: dict[tuple[Path, str], PlannedImage] = {}
    lists = []
    for sets in (train, valid):
        images: dict[PlannedImage, None] = {}
        for each in sets:
            found, faults, unusual = _images(files[each.annotations], each.images, names)
            if each not in train or sets is train:  # only once
                problems += faults
                repairs += unusual
            for place, image in found:
                fault = _clash(image, place, known, images)
                if fault is None:
                    images[image] = None
                else:
                    problems.append(fault)
        lists.append(tuple(images))
    return Plan(*lists, tuple(names), tuple(problems), tuple(repairs))


def _require_boxes(file: CocoFile) -> None:
    """Raise DatasetError for a file of annotations that are all outlines or the like."""
    without = sum(problem.kind == NO_BOX for problem in file.problems)
    if without and not len(file.ids):
        expected = "expected left, top, width and height in each; export boxes, not only outlines or points"
        raise DatasetError(f"{file.path}: found no bbox in any of {without} annotations, {expected}")


def _mere_group(files: Iterable[CocoFile]) -> str | None:
    """Return the category that all files have as the supercategory of all others and none has as that of a box."""
    files = tuple(files)
    group = files[0].group
    if group is None or any(file.group != group for file in files):
        return None
    place = [tuple(file.categories.values()).index(group) for file in files]
    used = any((file.category_index == at).any() for file, at in zip(files, place, strict=True))
    return None if used else group


def _check_names(names: Sequence[str], files: Iterable[CocoFile]) -> None:
    categories = {name: name for file in files for name in file.categories.values()}
    known = by_class_name(categories)
    if remark := alias_remark(names, [*categories]):
        log.warning("%s: %s", ", ".join(str(file.path) for file in files), remark)
    for name in names:
        if name not in known:
            found = f"class {name!r} is none of the {len(categories)} categories of these files"
            raise DatasetError(f"{found}, such as {', '.join(sorted(categories)[:3])}")


def _clash(
    image: PlannedImage,
    place: str,
    known: dict[tuple[Path, str], PlannedImage],
    images: dict[PlannedImage, None],
) -> Problem | None:
    """Return why an image cannot have its label file: another image has it, or the same image with other boxes."""
    first = known.setdefault((image.folder, image.label_name), image)
    if image in images:
        return Problem(TWICE, f"{place}: {image.name} is listed again, expected it once")
    if first != image:
        other = first.name if first.name != image.name else "the same image with other boxes"
        what = f"{image.name} has the label file {image.label_name} of {other}"
        return Problem(SHARED, f"{place}: {what}, expected one of its own")
    return None


def _images(
    file: CocoFile, folder: Path, names: Sequence[str]
) -> tuple[list[tuple[str, PlannedImage]], list[Problem], list[Problem]]:
    """Return the images of a file in its order, each with its place in it; the problems and repairs of their boxes."""
    labels = labels_of(file, names)
    places, repairs = _places(file, folder)
    frames, problems = _frames(file, places)
    repairs += [Problem(frame.repair[0], f"{_place(file, at)}: {frame.repair[1]}")
                for at, frame in enumerate(frames) if frame and frame.repair]  # fmt: skip
    sizes = np.array([frame.size if frame else (1, 1) for frame in frames], np.float64).reshape(-1, 2)[:, ::-1]
    boxes = unit_boxes(file, sizes)
    is_used = (labels >= 0) & np.array([frame is not None for frame in frames], bool)[file.image_index]
    faults = {at: _fault(file, at, sizes) for at in _faulty(boxes) if is_used[at]}
    problems += [
        Problem(kind, f"{file.path}: {file.annotation_name(at)}: {what}") for at, (kind, what) in faults.items()
    ]
    over = {at for at in _over_border(file, boxes, sizes) if is_used[at] and at not in faults}
    repairs += [
        Problem(CLIPPED, f"{file.path}: {file.annotation_name(at)}: {_shown(file, at, sizes)}") for at in sorted(over)
    ]
    boxes[[*over]] = _clipped(boxes[[*over]])
    boxes = _turned(boxes, np.array([frame.orientation if frame else 1 for frame in frames])[file.image_index])
    by_image: list[list[LabelRow]] = [[] for _ in file.images]
    left_out, clipped = [0] * len(file.images), [0] * len(file.images)
    columns = (file.image_index, labels, file.crowd, boxes)
    for at, (image, label, crowd, box) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        if at in faults:
            left_out[image] += 1
        elif label >= 0:
            by_image[image].append(LabelRow(label, crowd, " ".join(map(repr, box))))
            clipped[image] += at in over
    found = []
    for at, (entry, frame, (home, name, is_there)) in enumerate(zip(file.images, frames, places, strict=True)):
        if frame is None:
            continue
        rows, key = tuple(by_image[at]), os.path.splitext(entry.file_name)[0]
        turned = len(rows) if frame.orientation != 1 else 0
        image = PlannedImage(home, name, name, is_there, rows, left_out[at], key, clipped[at], turned)
        found.append((_place(file, at), image))
    return found, problems, repairs


def _place(file: CocoFile, image: int) -> str:
    """Return what messages call an image of a file."""
    return f"{file.path}: image {file.images[image].image_id}"


def _places(file: CocoFile, folder: Path) -> tuple[list[tuple[Path, str, bool]], list[Problem]]:
    """Return the folder and name of each image, and whether it is there; and which were found under another name."""
    listings: dict[str, Listing | None] = {}

    def listing(inner: str) -> Listing | None:
        if inner not in listings:
            listings[inner] = list_images(folder / inner)
        return listings[inner]

    places, repairs = [], []
    for at, entry in enumerate(file.images):
        found = find_image(entry.file_name, listing)
        inner, _, name = (found or entry.file_name).rpartition("/")
        places.append((listings[inner].folder if listings.get(inner) else folder / inner, name, found is not None))
        if found not in (None, entry.file_name):
            repairs.append(Problem(OTHER_NAME, f"{_place(file, at)}: found {entry.file_name}, read as {found}"))
    return places, repairs


def _frames(file: CocoFile, places: Sequence[tuple[Path, str, bool]]) -> tuple[list[Frame | None], list[Problem]]:
    """Return the frame of each image's boxes, None where neither the file nor the image gives a size; the problems."""
    paths = [f"{home}/{name}" if is_there else None for home, name, is_there in places]
    headers = [*in_threads(header_of, paths)]
    farthest = np.zeros((len(file.images), 2))
    np.maximum.at(farthest, file.image_index, file.boxes[:, :2] + file.boxes[:, 2:])
    given = [*zip([(each.height, each.width) for each in file.images], farthest.tolist(), headers, strict=True)]
    frames = [frame_of(*each, False) for each in given]
    if any(frame and frame.scaled for frame in frames):
        frames = [frame_of(*each, True) for each in given]
    missing = [at for at, frame in enumerate(frames) if frame is None]
    return frames, [Problem(BAD_IMAGE, f"{_place(file, at)}: {no_size(file.images[at])}") for at in missing]


def unit_boxes(file: CocoFile, sizes: np.ndarray) -> np.ndarray:
    """Return (cx, cy, w, h) `[M, 4]`, 0..1 of the image. COCO counts pixels from 0, so no box is moved or clipped.

    sizes: (width, height) of each image, `[I, 2]`.
    """
    side = sizes[file.image_index]
    corner, extent = file.boxes[:, :2], file.boxes[:, 2:]
    return np.concatenate(((corner + extent / 2) / side, extent / side), axis=1)


def _turned(boxes: np.ndarray, orientations: np.ndarray) -> np.ndarray:
    """Return boxes cxcywh `[M, 4]` in 0..1 of the stored pixels in 0..1 of the image that EXIF's orientation makes."""
    for orientation in {*orientations.tolist()} - {1}:
        which = orientations == orientation
        center, half = boxes[which, :2], boxes[which, 2:] / 2
        corners = turned_boxes(np.concatenate((center - half, center + half), axis=1), (1, 1), orientation)
        low, high = corners[:, :2], corners[:, 2:]
        boxes[which] = np.concatenate(((low + high) / 2, high - low), axis=1)
    return boxes


def _faulty(boxes: np.ndarray) -> list[int]:
    """Return the boxes that have no area, or whose center is outside the image (see `read_rows`)."""
    center, extent = boxes[:, :2], boxes[:, 2:]
    inside = (center > 0).all(1) & (center <= 1).all(1)
    return np.flatnonzero(~(inside & (extent > 0).all(1))).tolist()


def _over_border(file: CocoFile, boxes: np.ndarray, sizes: np.ndarray) -> list[int]:
    """Return the boxes that reach more than MAX_OVERHANG pixels over the border, or are larger than their image."""
    low, high = file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:] - sizes[file.image_index]
    overhang = np.maximum(-low, high).max(axis=1, initial=-np.inf)
    return np.flatnonzero((overhang > MAX_OVERHANG) | (boxes[:, 2:] > 1 + ROUNDING).any(axis=1)).tolist()


def _clipped(boxes: np.ndarray) -> np.ndarray:
    """Return the part of each box, cxcywh `[N, 4]`, that is inside 0..1."""
    low = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, 0)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:] / 2, 1)
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def _shown(file: CocoFile, at: int, sizes: np.ndarray) -> str:
    left, top, width, height = file.boxes[at].tolist()
    image = file.image_index[at]
    size = " x ".join(f"{side:g}" for side in sizes[image].tolist())
    return f"bbox {left:g}, {top:g}, {width:g}, {height:g} in {file.images[image].file_name} of {size}"


def _fault(file: CocoFile, at: int, sizes: np.ndarray) -> tuple[str, str]:
    box, _, place = _shown(file, at, sizes).partition(" in ")
    if min(file.boxes[at, 2:]) <= 0:
        return NO_AREA, f"{box} has no width or no height"
    return OUTSIDE, f"{box} has its center outside {place}"
