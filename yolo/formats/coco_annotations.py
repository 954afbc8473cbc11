"""Read COCO's annotation file (instances_*.json), use it as ground truth, and write ground truth as such a file.

A faulty image or annotation is a `Problem` that names it. A file without the three lists, or with categories that are
uncertain, is an error. What programs write besides COCO's own form is read as meant: numbers and ids as texts ("12") or
with a decimal point (640.0), null for a field that is not known, annotations without an id or with the id of another.
"""

import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import unquote

import numpy as np

from yolo.errors import DatasetError
from yolo.files.writing import write_text
from yolo.formats.coco_structures import coco_dataset
from yolo.formats.ground_truth_set import (
    CocoIds,
    GroundTruthSet,
    alias_remark,
    by_class_name,
    image_id_of,
    image_names,
    labels_by_name,
)
from yolo.formats.json_file import is_finite_number, read_json, shown
from yolo.formats.plain_text import parse_number
from yolo.records import GroundTruth, Problem

log = logging.getLogger(__name__)
HEAVY_KEYS = ("segmentation", "keypoints")  # not needed here
LISTS = ("images", "categories", "annotations")
LARGEST_ID = 2**63 - 1  # int64
LONGEST_NAME = 255  # bytes of a file's or folder's name: NAME_MAX of Linux, the most of any system
NO_ID = -(2**62)  # ours: annotation N of the list, from 1, has the id NO_ID + N if it has none of its own
MOST_ENTRIES = 2**40  # ours: of a list
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # of an image that a program read from a server
BAD_IMAGE = "unusable image entry"
BAD_ANNOTATION = "unusable annotation"
ID_TWICE = "id given twice"
UNKNOWN_IMAGE = "annotation of an image that the file does not have"
UNKNOWN_CATEGORY = "annotation of a category that the file does not have"
NO_BOX = "annotation without a box"
OWN_ID = "annotation without an id of its own"
ENTRY_KINDS = (BAD_IMAGE, BAD_ANNOTATION, ID_TWICE, UNKNOWN_IMAGE, UNKNOWN_CATEGORY)


@dataclass(frozen=True)
class CocoImage:
    """An entry of `images`. file_name: relative to the image folder, inside it. width, height: pixels, 0: unknown."""

    image_id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoFile:
    """The usable entries of an annotation file: I images and M annotations in the file's order.

    categories: id → name, ascending by id. group: the category that is the supercategory of all others, if any.
    ids: int64 `[M]`, the annotations' ids. image_index: int64 `[M]`, positions in `images`. category_index: int64
    `[M]`, positions in `categories`. boxes: float64 `[M, 4]` left, top, width, height in pixels from 0. crowd: bool
    `[M]`. areas: float64 `[M]`, square pixels: of the outlines where the file gives them, of the boxes elsewhere.
    problems: one for each entry that is not usable. remarks: one for each annotation that has no id, or the id of
    another; its id here is NO_ID + its place.
    """

    path: Path
    images: tuple[CocoImage, ...]
    categories: dict[int, str]
    group: str | None
    ids: np.ndarray
    image_index: np.ndarray
    category_index: np.ndarray
    boxes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    problems: tuple[Problem, ...]
    remarks: tuple[Problem, ...] = ()

    def annotation_name(self, index: int) -> str:
        """Return what messages call an annotation: by its id, or by its place in the list."""
        number = int(self.ids[index])
        place = number - NO_ID
        return f"annotation entry {place}" if 0 < place < MOST_ENTRIES else f"annotation {number}"


def read_coco(path: str | Path) -> CocoFile:
    """Read an annotation file; leave out unusable entries and list them in `problems`.

    Raises:
        DatasetError: not JSON, one of the three lists is missing, or a category without a certain id or name.
        OSError: the file is missing or cannot be read.
    """
    content = read_json(path, leave_out=HEAVY_KEYS)
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            found = shown(sorted(content)) if isinstance(content, dict) else type(content).__name__
            expected = "the lists images, categories and annotations"
            raise DatasetError(f"{path}: found no list {key!r} in {found}, expected {expected}")
    categories = _categories(path, content["categories"])
    images, bad_ids, problems, _ = _usable(path, "image", content["images"], _image)
    index_of_image = {image_id: index for index, image_id in enumerate(images)}
    index_of_category = {category_id: index for index, category_id in enumerate(categories)}

    def annotation(entry: dict) -> _Annotation | None:
        return _annotation(entry, index_of_image, index_of_category, bad_ids)

    rows, _, more, remarks = _usable(path, "annotation", content["annotations"], annotation)
    columns = zip(*rows.values(), strict=True) if rows else [()] * 5
    image_index, category_index, boxes, crowd, areas = columns
    return CocoFile(
        path=Path(path),
        images=tuple(images.values()),
        categories=categories,
        group=_group(content["categories"], categories),
        ids=np.array([*rows], np.int64),
        image_index=np.array(image_index, np.int64),
        category_index=np.array(category_index, np.int64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        crowd=np.array(crowd, bool),
        areas=np.array(areas, np.float64),
        problems=(*problems, *more),
        remarks=tuple(remarks),
    )


def order_of_categories(files: Sequence[CocoFile]) -> tuple[str, ...]:
    """Return the class names of files that belong together, in the order of their ids.

    Raises:
        DatasetError: an id has two names or a name two ids, so that the order is uncertain.
    """
    names: dict[int, str] = {}
    for file in files:
        for number, name in file.categories.items():
            if names.setdefault(number, name) != name:
                found = f"category {number} is {name!r}, in another file {names[number]!r}"
                raise DatasetError(f"{file.path}: {found}: choose with --names")
    ordered = tuple(names[number] for number in sorted(names))
    for name in ordered:
        if ordered.count(name) > 1:
            found = f"category {name!r} has another id in another file"
            raise DatasetError(f"{files[-1].path}: {found}: choose with --names")
    return ordered


_Parsed = TypeVar("_Parsed")

# Image index, category index, box, crowd, area.
_Annotation = tuple[int, int, list[float], bool, float]


class _FaultError(ValueError):
    """Why an entry is left out: the kind of problem, and what was found and expected."""

    def __init__(self, kind: str, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.kind = kind


def _usable(
    path: str | Path, kind: str, entries: list, parse: Callable[[dict], _Parsed | None]
) -> tuple[dict[int, _Parsed], set[int], list[Problem], list[Problem]]:
    """Parse the entries of a list.

    Args:
        path: the file, for messages.
        kind: "image" or "annotation"; only an image needs an id of its own.
        entries: the list.
        parse: converts an entry that has an id. It returns None for an entry to skip without a problem, and raises
            _FaultError for an unusable one.

    Returns:
        The usable entries by their ids, the ids of the others, the problems of the others, and remarks on the
        annotations that have no id of their own.
    """
    usable: dict[int, _Parsed] = {}
    bad_ids, problems, remarks = set(), [], []
    bad_kind = BAD_IMAGE if kind == "image" else BAD_ANNOTATION
    for number, (place, own_id, entry) in enumerate(_with_ids(path, kind, entries), start=1):
        has_no_id = kind == "annotation" and isinstance(entry, dict) and entry.get("id") is None
        if has_no_id:
            own_id = NO_ID + number
        try:
            if own_id is None:
                raise _FaultError(bad_kind, shown(entry), "a whole number as id")
            parsed = parse(entry)
            if parsed is None:
                continue
            if own_id in usable and (kind == "image" or usable[own_id] == parsed):
                raise _FaultError(ID_TWICE, "this id again", "each once")
            if own_id in usable or has_no_id:
                found = "no id" if has_no_id else f"the id {own_id} again, of another box"
                remarks.append(Problem(OWN_ID, f"{path}: {kind} entry {number}: found {found}"))
            usable[NO_ID + number if own_id in usable else own_id] = parsed
        except _FaultError as fault:
            problems.append(Problem(fault.kind, f"{place}: {fault}"))
            if own_id is not None:
                bad_ids.add(own_id)
    return usable, bad_ids - set(usable), problems, remarks


def _categories(path: str | Path, entries: list) -> dict[int, str]:
    names: dict[int, str] = {}
    for place, number, entry in _with_ids(path, "category", entries):
        if number is None:
            raise DatasetError(f"{place}: found {shown(entry)}, expected a whole number as id")
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise DatasetError(f"{place}: found name {shown(name)}, expected one line of text")
        if number in names or name.strip() in names.values():
            found = f"found id and name {name!r}"
            raise DatasetError(f"{place}: {found}, expected each in one category")
        names[number] = name.strip()
    if not names:
        raise DatasetError(f"{path}: found no category, expected at least one")
    return dict(sorted(names.items()))


def _group(entries: list[dict], categories: Mapping[int, str]) -> str | None:
    """Return the category that is the supercategory of all others; Roboflow's exports begin with one."""
    above = {entry["name"].strip(): entry.get("supercategory") for entry in entries}
    for name in categories.values():
        others = [group for other, group in above.items() if other != name]
        if others and all(group == name for group in others):
            return name
    return None


def _image(entry: dict) -> CocoImage:
    """Return an image; without a size, its width and height are 0. Raise _FaultError if it is unusable."""
    name, width, height = (entry.get(key) for key in ("file_name", "width", "height"))
    if isinstance(name, str):
        name = relative_name(name)
    if not isinstance(name, str) or not _is_file_name(name):
        raise _FaultError(BAD_IMAGE, f"file_name {shown(entry.get('file_name'))}", "a file in the image folder")
    label_name = f"{PurePosixPath(name).stem}.txt"
    longest = max(len(part.encode()) for part in (*PurePosixPath(name).parts, label_name))
    if longest > LONGEST_NAME:
        found = f"file_name {shown(name)} of {longest} bytes"
        raise _FaultError(BAD_IMAGE, found, f"at most {LONGEST_NAME}, as file systems do")
    sides = [0 if side is None else _whole(side) for side in (width, height)]
    if any(side is None or side < 0 for side in sides):
        found = f"width {shown(width)} and height {shown(height)}"
        raise _FaultError(BAD_IMAGE, found, "whole pixels")
    return CocoImage(_whole(entry["id"]), name, *sides)


def relative_name(file_name: str) -> str:
    """Return the name of an image as a path inside the image folder.

    Programs write / or \\ between folders, whole paths and addresses of the machine that the images were on, and ../
    from the folder of the annotation file. Parts that lead out of the folder are left out.
    """
    if ADDRESS.match(file_name):
        file_name = unquote(file_name.partition("?")[0])
    parts = file_name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _is_file_name(name: str) -> bool:
    """Return whether a list file can hold the name."""
    return name != "" and name.isprintable() and name == name.rstrip()


def _annotation(
    entry: dict,
    index_of_image: Mapping[int, int],
    index_of_category: Mapping[int, int],
    bad_image_ids: Collection[int],
) -> _Annotation | None:
    """Return an annotation, None if its image is unusable. Raise _FaultError if it is unusable itself."""
    image, category = _whole(entry.get("image_id")), _whole(entry.get("category_id"))
    for key, value in (("image_id", image), ("category_id", category)):
        if value is None:
            raise _FaultError(BAD_ANNOTATION, f"{key} {shown(entry.get(key))}", "a whole number")
    if image in bad_image_ids:
        return None
    if image not in index_of_image:
        expected = f"one of the {len(index_of_image)} usable images"
        raise _FaultError(UNKNOWN_IMAGE, f"image_id {image}", expected)
    if category not in index_of_category:
        expected = f"one of the {len(index_of_category)} categories"
        raise _FaultError(UNKNOWN_CATEGORY, f"category_id {category}", expected)
    given = entry.get("bbox")
    if given in (None, []):  # an outline, points, or a text
        raise _FaultError(NO_BOX, f"bbox {given}", "left, top, width and height")
    box = given if isinstance(given, list) else []
    if not all(map(is_finite_number, box)):
        box = [_number(each) for each in box]
    if len(box) != 4 or None in box:
        raise _FaultError(BAD_ANNOTATION, f"bbox {shown(given)}", "left, top, width and height")
    crowd = entry.get("iscrowd")
    crowd = int(crowd or 0) if crowd is None or isinstance(crowd, bool) else _whole(crowd)
    if crowd not in (0, 1):
        raise _FaultError(BAD_ANNOTATION, f"iscrowd {shown(entry['iscrowd'])}", "0 or 1")
    has_area = entry.get("area") is not None
    area = _number(entry["area"] if has_area else box[2] * box[3])
    # COCO's scorer would ignore a ground truth of negative area
    if area is None or (has_area and area < 0):
        raise _FaultError(BAD_ANNOTATION, f"area {shown(entry.get('area'))}", "a number from 0 on")
    return index_of_image[image], index_of_category[category], box, bool(crowd), area


def _whole(value: object) -> int | None:
    """Return a whole number, also one that is written as 640.0 or "640"; None if it is no such number."""
    if type(value) is not int:  # most are
        number = _number(value)
        if number is None or number != int(number):
            return None
        value = int(value) if isinstance(value, str) and value.strip().isdecimal() else int(number)
    return value if -LARGEST_ID <= value <= LARGEST_ID else None


def _number(value: object) -> float | None:
    """Return a finite number, also one that is written as a text; None if it is no such number."""
    if isinstance(value, str):
        value = parse_number(value)
    return value if is_finite_number(value) else None


def _with_ids(path: str | Path, kind: str, entries: list) -> Iterable[tuple[str, int | None, object]]:
    """Yield each entry with what messages call it, by its id or else its place in the list from 1, and with its id."""
    for number, entry in enumerate(entries, start=1):
        entry_id = _whole(entry.get("id")) if isinstance(entry, dict) else None
        yield f"{path}: {kind} {f'entry {number}' if entry_id is None else entry_id}", entry_id, entry


def read_coco_ground_truth(path: str | Path, origin: float, names: Sequence[str] | None = None) -> GroundTruthSet:
    """Read an annotation file as ground truth; a crowd box is a difficult one.

    Args:
        path: the file.
        origin: coordinate of the left edge of the first pixel in the boxes that are returned.
        names: the classes, among them each category that has a box. None: the categories, ascending by id.

    Raises:
        DatasetError: the file has any error; no entry is left out.
    """
    file = read_coco(path)
    if problems := (*file.problems, *file.remarks, *_without_size(file)):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DatasetError(problems[0].message + more)
    if not file.images:
        raise DatasetError(f"{path}: found no image, expected at least one")
    inverted = np.flatnonzero((file.boxes[:, 2:] < 0).any(axis=1))
    if inverted.size:
        box = file.boxes[inverted[0]].tolist()
        place = f"{path}: annotation {file.ids[inverted[0]]}"
        raise DatasetError(f"{place}: found bbox {box}, expected a width and height of at least 0")
    names = tuple(file.categories.values()) if names is None else tuple(names)
    boxes = np.concatenate((file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:]), axis=1)
    labels = labels_of(file, names)
    if remark := alias_remark(file.categories.values(), names):
        log.warning("%s: %s", path, remark)
    unnamed = file.category_index[labels < 0]
    if unnamed.size:
        name = [*file.categories.values()][unnamed.min()]
        raise DatasetError(f"{file.path}: found category {name!r}, expected one of the names")
    image_ids = tuple(image.image_id for image in file.images)
    return GroundTruthSet(
        names=names,
        files=tuple(image.file_name for image in file.images),
        sizes=np.array([(image.height, image.width) for image in file.images], np.int64),
        ground_truth=GroundTruth(file.image_index, labels, boxes + origin, file.crowd),
        origin=origin,
        coco_ids=CocoIds(image_ids, _category_ids(file, names)),
        areas=file.areas,
        source=file.path,
    )


def _without_size(file: CocoFile) -> list[Problem]:
    missing = [each for each in file.images if min(each.width, each.height) <= 0]
    return [Problem(BAD_IMAGE, f"{file.path}: image {each.image_id}: {no_size(each)}") for each in missing]


def no_size(image: CocoImage) -> str:
    """Return for a message what size an image entry has that gives none."""
    return f"found width {image.width} and height {image.height}, expected whole pixels"


def labels_of(file: CocoFile, names: Sequence[str]) -> np.ndarray:
    """Return each annotation's position in `names`, -1 for a category that is not there, int64 `[M]`."""
    label_of = labels_by_name(names)
    labels = np.array([label_of.get(name, -1) for name in file.categories.values()])
    return labels[file.category_index]


def _category_ids(file: CocoFile, names: Sequence[str]) -> tuple[int | None, ...]:
    """Return the ids of the classes, None for those that the file does not have."""
    id_of = by_class_name({name: category_id for category_id, name in file.categories.items()})
    return tuple(id_of.get(name) for name in names)


def coco_ids_of(file: CocoFile, ground_truth_set: GroundTruthSet) -> CocoIds:
    """Return the ids that an annotation file gives the images and classes of a ground truth from other files.

    Raises:
        DatasetError: the file has no image of an image's name, or several, or the same one for two.
    """
    names = image_names([image.file_name for image in file.images])
    user_of: dict[int, str] = {}
    ids = []
    for name in ground_truth_set.files:
        found = names.find(name)
        if len(found) != 1:
            raise DatasetError(f"{file.path}: found {len(found)} images {image_id_of(name)}, expected one")
        image = file.images[found[0]]
        if user_of.setdefault(image.image_id, name) != name:
            raise DatasetError(f"{file.path}: found {image.file_name} for {user_of[image.image_id]} and for {name}")
        ids.append(image.image_id)
    return CocoIds(tuple(ids), _category_ids(file, ground_truth_set.names))


def write_coco_ground_truth(path: str | Path, ground_truth_set: GroundTruthSet, ids: CocoIds) -> None:
    """Write ground truth as an annotation file with these ids, one entry a line."""
    parts = [
        f'"{key}": [' + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "]"
        for key, entries in coco_dataset(ground_truth_set, ids).items()
    ]
    write_text(path, "{" + ",\n".join(parts) + "}\n")
