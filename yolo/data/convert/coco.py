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
from yolo.errors import DatasetError
from yolo.formats.coco_annotations import CocoFile, labels_of, order_of_categories, read_coco
from yolo.formats.ground_truth_set import alias_remark, by_class_name
from yolo.formats.label_files import ROUNDING
from yolo.formats.voc_xml import TWICE
from yolo.records import Problem

log = logging.getLogger(__name__)
GROUP = "category that is no class"


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
    group = None
    if names is None:
        names = order_of_categories(tuple(files.values()))
        group = _mere_group(files.values())
        names = tuple(name for name in names if name != group)
    _check_names(names, files.values())
    problems = [problem for file in files.values() for problem in file.problems]
    repairs = like_names(names)
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
    boxes = unit_boxes(file)
    faults = {at: _fault(file, at) for at in _faulty(boxes) if labels[at] >= 0}
    problems = [Problem(kind, f"{file.path}: annotation {file.ids[at]}: {what}") for at, (kind, what) in faults.items()]
    over = {at for at in _over_border(file, boxes) if labels[at] >= 0 and at not in faults}
    repairs = [Problem(CLIPPED, f"{file.path}: annotation {file.ids[at]}: {_shown(file, at)}") for at in sorted(over)]
    boxes[[*over]] = _clipped(boxes[[*over]])
    columns = (file.image_index, labels, file.crowd, boxes)
    objects = zip(*(column.tolist() for column in columns), strict=True)
    by_image: list[list[LabelRow]] = [[] for _ in file.images]
    left_out, clipped = [0] * len(file.images), [0] * len(file.images)
    for at, (image, label, crowd, box) in enumerate(objects):
        if at in faults:
            left_out[image] += 1
        elif label >= 0:
            by_image[image].append(LabelRow(label, crowd, " ".join(map(repr, box))))
            clipped[image] += at in over
    there: dict[str, tuple[Path, frozenset[str]]] = {}
    found = []
    for at, entry in enumerate(file.images):
        inner, _, name = entry.file_name.rpartition("/")
        if inner not in there:
            there[inner] = folder / inner, _names_in(folder / inner)
        home, names_there = there[inner]
        rows, is_there, key = tuple(by_image[at]), name in names_there, os.path.splitext(entry.file_name)[0]
        image = PlannedImage(home, name, name, is_there, rows, left_out[at], key, clipped[at])
        found.append((f"{file.path}: image {entry.image_id}", image))
    return found, problems, repairs


def unit_boxes(file: CocoFile) -> np.ndarray:
    """Return (cx, cy, w, h) `[M, 4]`, 0..1 of the image. COCO counts pixels from 0, so no box is moved or clipped."""
    sizes = np.array([(each.width, each.height) for each in file.images], np.float64)
    side = sizes.reshape(-1, 2)[file.image_index]
    corner, extent = file.boxes[:, :2], file.boxes[:, 2:]
    return np.concatenate(((corner + extent / 2) / side, extent / side), axis=1)


def _faulty(boxes: np.ndarray) -> list[int]:
    """Return the boxes that have no area, or whose center is outside the image (see `read_rows`)."""
    center, extent = boxes[:, :2], boxes[:, 2:]
    inside = (center > 0).all(1) & (center <= 1).all(1)
    return np.flatnonzero(~(inside & (extent > 0).all(1))).tolist()


def _over_border(file: CocoFile, boxes: np.ndarray) -> list[int]:
    """Return the boxes that reach more than MAX_OVERHANG pixels over the border, or are larger than their image."""
    sizes = np.array([(each.width, each.height) for each in file.images]).reshape(-1, 2)
    low, high = file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:] - sizes[file.image_index]
    overhang = np.maximum(-low, high).max(axis=1, initial=-np.inf)
    return np.flatnonzero((overhang > MAX_OVERHANG) | (boxes[:, 2:] > 1 + ROUNDING).any(axis=1)).tolist()


def _clipped(boxes: np.ndarray) -> np.ndarray:
    """Return the part of each box, cxcywh `[N, 4]`, that is inside 0..1."""
    low = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, 0)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:] / 2, 1)
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def _shown(file: CocoFile, at: int) -> str:
    left, top, width, height = file.boxes[at].tolist()
    image = file.images[file.image_index[at]]
    return f"bbox {left:g}, {top:g}, {width:g}, {height:g} in {image.file_name} of {image.width} x {image.height}"


def _fault(file: CocoFile, at: int) -> tuple[str, str]:
    box, _, place = _shown(file, at).partition(" in ")
    if min(file.boxes[at, 2:]) <= 0:
        return NO_AREA, f"{box} has no width or no height"
    return OUTSIDE, f"{box} has its center outside {place}"


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
