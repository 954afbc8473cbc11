"""COCO's annotation file (instances_*.json), read with care: images, categories and boxes as columns.

What is wrong with an image or an annotation is a problem that names it; a file without the three lists, or with
categories that are not certain, is an error.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np

from yolo.errors import DatasetError
from yolo.files import write_text
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet, image_id_of, index_by_image_id
from yolo.formats.json_file import read_json, shown
from yolo.formats.plain_text import LARGEST_NUMBER as LARGEST
from yolo.records import GroundTruth, Problem, ScoredBoxes

HEAVY_KEYS = ("segmentation", "keypoints")  # never needed here

LISTS = ("images", "categories", "annotations")

LARGEST_ID = 2**63 - 1  # numpy's whole numbers

LONGEST_NAME = (
    255  # bytes of a file's or folder's name: NAME_MAX of Linux, and no system takes more
)

BAD_IMAGE = "unusable image entry"

BAD_ANNOTATION = "unusable annotation"

ID_TWICE = "id given twice"

UNKNOWN_IMAGE = "annotation of an image that the file does not have"

UNKNOWN_CATEGORY = "annotation of a category that the file does not have"

ENTRY_KINDS = (BAD_IMAGE, BAD_ANNOTATION, ID_TWICE, UNKNOWN_IMAGE, UNKNOWN_CATEGORY)


@dataclass(frozen=True)
class CocoImage:
    """An entry of `images`; file_name is relative to the image folder and stays in it; sizes in pixels."""

    number: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoFile:
    """The usable entries of an annotation file, M boxes in its order.

    categories: id → name, by rising id. numbers: int64 [M], the annotations' ids. image: int64 [M], positions in
    `images`. category: int64 [M], positions in `categories`. boxes: float64 [M, 4] left, top, width, height in
    pixels from 0, as the file has them. crowd: bool [M]. areas: float64 [M], the outlines' where the file gives them.
    """

    path: Path
    images: tuple[CocoImage, ...]
    categories: dict[int, str]
    numbers: np.ndarray
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    problems: tuple[Problem, ...]


def read_coco(path: str | Path) -> CocoFile:
    """Read an annotation file; what cannot be used of it is left out and listed in `problems`.

    Raises:
        DatasetError: no json, one of the three lists is missing, or categories without a certain id or name.
        OSError: the file is missing or cannot be read.
    """
    content = read_json(path, leave_out=HEAVY_KEYS)
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            found = shown(sorted(content)) if isinstance(content, dict) else type(content).__name__
            expected = "the lists images, categories and annotations"
            raise DatasetError(f"{path}: found no list {key!r} in {found}, expected {expected}")
    categories = _categories(path, content["categories"])
    images, unusable, problems = _images(path, content["images"])
    image_at = {image.number: at for at, image in enumerate(images)}
    category_at = {number: at for at, number in enumerate(categories)}
    columns = _at_once(content["annotations"], image_at, category_at)
    if columns is None:
        rows, faults = _one_by_one(path, content["annotations"], image_at, category_at, unusable)
        columns, problems = _columns(rows), problems + faults
    return CocoFile(Path(path), images, categories, *columns, tuple(problems))


def _at_once(
    entries: list, image_at: dict[int, int], category_at: dict[int, int]
) -> tuple[np.ndarray, ...] | None:
    """The columns of annotations without any fault, None where there is one: a tenth of the time of one by one."""
    try:
        numbers = [entry["id"] for entry in entries]
        image = [entry["image_id"] for entry in entries]
        category = [entry["category_id"] for entry in entries]
        boxes = [entry["bbox"] for entry in entries]
        crowd = [entry.get("iscrowd", 0) for entry in entries]
        areas = [
            entry["area"] if "area" in entry else math.prod(entry["bbox"][2:]) for entry in entries
        ]
        whole = {*map(type, numbers), *map(type, image), *map(type, category)} <= {int}
        shaped = {*map(type, boxes)} <= {list} and {*map(len, boxes)} <= {4}
        kinds = {*map(type, chain.from_iterable(boxes)), *map(type, areas)} <= {int, float}
        flags = {*map(type, crowd)} <= {int, bool} and {*crowd} <= {0, 1}
        if not (whole and shaped and kinds and flags and len({*numbers}) == len(numbers)):
            return None
        image = [image_at[each] for each in image]
        category = [category_at[each] for each in category]
        columns = _columns([*zip(numbers, image, category, boxes, crowd, areas, strict=True)])
    except (AttributeError, KeyError, TypeError, OverflowError):
        return None
    boxes, areas = columns[3], columns[5]
    given = np.array(["area" in entry for entry in entries], bool)
    finite = all((np.abs(column) <= LARGEST).all() for column in (boxes, areas))
    if not finite or (areas[given] < 0).any():
        return None
    return columns


def _one_by_one(
    path: str | Path,
    entries: list,
    image_at: dict[int, int],
    category_at: dict[int, int],
    unusable: set[int],
) -> tuple[list[tuple], list[Problem]]:
    """The rows of the usable annotations, and what is wrong with the others."""
    rows, seen, problems = [], set(), []
    for at, entry in enumerate(entries):
        try:
            row = _annotation(entry, image_at, category_at)
            if row[0] in seen:
                raise _FaultError(ID_TWICE, "found this id again, expected each once")
        except _FaultError as fault:
            if fault.image not in unusable:  # told already, with its image
                place = _place(path, "annotation", entry, at)
                problems.append(Problem(fault.kind, f"{place}: {fault}"))
            continue
        seen.add(row[0])
        rows.append(row)
    return rows, problems


def order_of_categories(files: Sequence[CocoFile]) -> tuple[str, ...]:
    """The class names of files that belong together, in the order of their ids.

    Raises:
        DatasetError: an id has two names or a name two ids, so that the order would not be certain.
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
            raise DatasetError(
                f"{files[-1].path}: category {name!r} has another id in another file: choose with --names"
            )
    return ordered


class _FaultError(ValueError):
    """Why an entry is left out: kind, words, and, of an annotation, the image it speaks of."""

    def __init__(self, kind: str, what: str, image: object = None) -> None:
        super().__init__(what)
        self.kind, self.image = kind, image


def _categories(path: str | Path, entries: list) -> dict[int, str]:
    names: dict[int, str] = {}
    for at, entry in enumerate(entries):
        place = _place(path, "category", entry, at)
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            raise DatasetError(f"{place}: found {shown(entry)}, expected a whole number as id")
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise DatasetError(f"{place}: found name {shown(name)}, expected one line of text")
        if entry["id"] in names or name.strip() in names.values():
            raise DatasetError(
                f"{place}: found id and name {name!r}, expected each in one category"
            )
        names[entry["id"]] = name.strip()
    if not names:
        raise DatasetError(f"{path}: found no category, expected at least one")
    return dict(sorted(names.items()))


def _images(
    path: str | Path, entries: list
) -> tuple[tuple[CocoImage, ...], set[int], list[Problem]]:
    """The usable images, the ids of the others, and what is wrong with these."""
    images: dict[int, CocoImage] = {}
    unusable, problems = set(), []
    for at, entry in enumerate(entries):
        fault = _image_fault(entry)
        if fault is None and entry["id"] in images:
            fault = ID_TWICE, "found this id again, expected each once"
        elif fault is not None and isinstance(entry, dict) and _is_id(entry.get("id")):
            unusable.add(entry["id"])
        if fault is not None:
            problems.append(Problem(fault[0], f"{_place(path, 'image', entry, at)}: {fault[1]}"))
            continue
        image = CocoImage(entry["id"], entry["file_name"], entry["width"], entry["height"])
        images[image.number] = image
    return tuple(images.values()), unusable - set(images), problems


def _image_fault(entry: object) -> tuple[str, str] | None:
    if not isinstance(entry, dict) or not _is_id(entry.get("id")):
        return BAD_IMAGE, f"found {shown(entry)}, expected a whole number as id"
    name = entry.get("file_name")
    if not isinstance(name, str) or not _is_file_name(name):
        return BAD_IMAGE, f"found file_name {shown(name)}, expected a file in the image folder"
    if _longest_part(name) > LONGEST_NAME:
        found = f"file_name {shown(name)} of {_longest_part(name)} bytes"
        return BAD_IMAGE, f"found {found}, expected at most {LONGEST_NAME}, as file systems do"
    sides = entry.get("width"), entry.get("height")
    if not all(_is_id(side) and side > 0 for side in sides):
        found = f"width {shown(sides[0])} and height {shown(sides[1])}"
        return BAD_IMAGE, f"found {found}, expected whole pixels"
    return None


def _is_file_name(name: str) -> bool:
    """Whether a list file can name it and it stays in its folder."""
    inside = PurePosixPath(name)
    stays = not inside.is_absolute() and ".." not in inside.parts and inside.name != ""
    return stays and name.isprintable() and name == name.strip()


def _longest_part(name: str) -> int:
    """Bytes of the longest name in a path, its label file's among them."""
    path = PurePosixPath(name)
    return max(len(part.encode()) for part in (*path.parts, f"{path.stem}.txt"))


def _annotation(entry: object, image_at: dict[int, int], category_at: dict[int, int]) -> tuple:
    """(id, image, category, box, crowd, area); raises _FaultError."""
    if not isinstance(entry, dict) or not _is_id(entry.get("id")):
        raise _FaultError(BAD_ANNOTATION, f"found {shown(entry)}, expected a whole number as id")
    image, category, box = (entry.get(key) for key in ("image_id", "category_id", "bbox"))
    for key, value in (("image_id", image), ("category_id", category)):
        if not _is_id(value):
            what = f"found {key} {shown(value)}, expected a whole number"
            raise _FaultError(BAD_ANNOTATION, what)
    if image not in image_at:
        what = f"found image_id {image}, expected one of the {len(image_at)} usable images"
        raise _FaultError(UNKNOWN_IMAGE, what, image)
    if category not in category_at:
        what = f"found category_id {category}, expected one of the {len(category_at)} categories"
        raise _FaultError(UNKNOWN_CATEGORY, what, image)
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_finite, box)):
        what = f"found bbox {shown(box)}, expected left, top, width and height"
        raise _FaultError(BAD_ANNOTATION, what, image)
    crowd = entry.get("iscrowd", 0)
    if type(crowd) not in (int, bool) or crowd not in (0, 1):
        raise _FaultError(BAD_ANNOTATION, f"found iscrowd {shown(crowd)}, expected 0 or 1", image)
    area = entry.get("area", box[2] * box[3])
    # COCO's scorer would pass over a ground truth of negative area
    if not is_finite(area) or ("area" in entry and area < 0):
        what = f"found area {shown(area)}, expected a number from 0 on"
        raise _FaultError(BAD_ANNOTATION, what, image)
    return entry["id"], image_at[image], category_at[category], box, bool(crowd), area


def _columns(rows: list[tuple]) -> tuple[np.ndarray, ...]:
    numbers, image, category, boxes, crowd, areas = zip(*rows, strict=True) if rows else [()] * 6
    return (
        np.array(numbers, np.int64),
        np.array(image, np.int64),
        np.array(category, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(crowd, bool),
        np.array(areas, np.float64),
    )


def is_finite(value: object) -> bool:
    """Whether a value of a json file is a number with which boxes can be computed."""
    return type(value) in (int, float) and abs(value) <= LARGEST  # false for a NaN


def _is_id(value: object) -> bool:
    return type(value) is int and -LARGEST_ID <= value <= LARGEST_ID


def _place(path: str | Path, kind: str, entry: object, at: int) -> str:
    """Where an entry stands: by its id, where it has one, else by its place in the list, from 1."""
    number = entry.get("id") if isinstance(entry, dict) else None
    return f"{path}: {kind} {number}" if _is_id(number) else f"{path}: {kind} entry {at + 1}"


def coco_dataset(
    ground_truth: GroundTruth,
    sizes: np.ndarray,
    names: Sequence[str],
    image_ids: Sequence[int],
    category_ids: Sequence[int],
) -> dict:
    """Ground truth as COCO's json structure, ready for json.dumps.

    `sizes` [images, 2] are (height, width); `image_ids` and `category_ids` are COCO's numbers for
    our image_index and labels. A difficult box becomes `iscrowd`, COCO's only way to say that
    finding it is neither right nor wrong. `area` is the box's: COCO's own files hold the smaller
    area of the outline.
    """
    images = [
        {"id": int(image_id), "height": int(height), "width": int(width)}
        for image_id, (height, width) in zip(image_ids, np.asarray(sizes).tolist(), strict=True)
    ]
    categories = [
        {"id": int(number), "name": name} for number, name in zip(category_ids, names, strict=True)
    ]
    annotations = [
        {
            "id": number,  # from 1: pycocotools takes a match with 0 for no match
            "image_id": int(image_ids[index]),
            "category_id": int(category_ids[label]),
            "bbox": corner_and_size(box),
            "area": (box[2] - box[0]) * (box[3] - box[1]),
            "iscrowd": int(difficult),
        }
        for number, (index, label, box, difficult) in enumerate(
            coco_rows(ground_truth, ground_truth.difficult), 1
        )
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def read_coco_ground_truth(
    path: str | Path, origin: float, names: Sequence[str] | None = None
) -> GroundTruthSet:
    """The ground truth of an annotation file; a crowd box is a difficult one, neither right nor wrong to be found.

    The classes are the categories by rising id, or `names`, which must have each category that has a box.
    Raises DatasetError for whatever is wrong with the file: nothing of it is left out.
    """
    file = read_coco(path)
    if file.problems:
        more = f" (and {len(file.problems) - 1} more)" if len(file.problems) > 1 else ""
        raise DatasetError(file.problems[0].message + more)
    if not file.images:
        raise DatasetError(f"{path}: found no image, expected at least one")
    inverted = np.flatnonzero((file.boxes[:, 2:] < 0).any(axis=1))
    if inverted.size:
        box = file.boxes[inverted[0]].tolist()
        place = f"{path}: annotation {file.numbers[inverted[0]]}"
        raise DatasetError(f"{place}: found bbox {box}, expected a width and height of at least 0")
    categories = tuple(file.categories.values())
    names = categories if names is None else tuple(names)
    boxes = np.concatenate((file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:]), axis=1)
    ground_truth = GroundTruth(file.image, _labels(file, names), boxes + origin, file.crowd)
    sizes = [(image.height, image.width) for image in file.images]
    files = tuple(image.file_name for image in file.images)
    number_of = {name: number for number, name in file.categories.items()}
    numbers = CocoIds(
        tuple(image.number for image in file.images),
        tuple(number_of.get(name) for name in names),
    )
    sizes = np.array(sizes, np.int64)
    return GroundTruthSet(names, files, sizes, ground_truth, origin, numbers, file.areas, file.path)


def _labels(file: CocoFile, names: Sequence[str]) -> np.ndarray:
    label_of = {name: label for label, name in enumerate(names)}
    for at, name in enumerate(file.categories.values()):
        if name not in label_of and (file.category == at).any():
            raise DatasetError(f"{file.path}: found category {name!r}, expected one of the names")
    return np.array([label_of.get(name, -1) for name in file.categories.values()])[file.category]


def coco_ids_of(file: CocoFile, images: GroundTruthSet) -> CocoIds:
    """What an annotation file calls the images and classes of a ground truth that comes from other files.

    Raises DatasetError where it has none or several of an image's name.
    """
    number_of_image: dict[str, list[int]] = {}
    for image in file.images:
        number_of_image.setdefault(image_id_of(image.file_name), []).append(image.number)
    for image_id in index_by_image_id(images):
        found = number_of_image.get(image_id, [])
        if len(found) != 1:
            raise DatasetError(f"{file.path}: found {len(found)} images {image_id}, expected one")
    number_of = {name: number for number, name in file.categories.items()}
    return CocoIds(
        tuple(number_of_image[image_id][0] for image_id in images.image_ids),
        tuple(number_of.get(name) for name in images.names),
    )


def ids_from_one(images: GroundTruthSet) -> CocoIds:
    """Numbers for a ground truth that has none: images and classes counted from 1."""
    return CocoIds(tuple(range(1, len(images.files) + 1)), tuple(range(1, len(images.names) + 1)))


def write_coco_ground_truth(path: str | Path, images: GroundTruthSet, numbers: CocoIds) -> None:
    """Write the ground truth as an annotation file, which the result file's numbers refer to."""
    dataset = _dataset(images, numbers)
    for image, file in zip(dataset["images"], images.files, strict=True):
        image["file_name"] = file
    parts = (f'"{key}": {_json_lines(entries)}' for key, entries in dataset.items())
    write_text(path, "{" + ",\n".join(parts) + "}\n")


def _dataset(images: GroundTruthSet, numbers: CocoIds) -> dict:
    sizes = np.zeros((len(images.files), 2)) if images.sizes is None else images.sizes
    ground_truth = replace(images.ground_truth, boxes=images.ground_truth.boxes - images.origin)
    dataset = coco_dataset(ground_truth, sizes, images.names, numbers.images, numbers.categories)
    if images.areas is not None:
        for annotation, area in zip(dataset["annotations"], images.areas.tolist(), strict=True):
            annotation["area"] = area
    return dataset


def _json_lines(entries: Iterable[dict]) -> str:
    return "[" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "]"


def coco_rows(boxes: GroundTruth | ScoredBoxes, last: np.ndarray) -> zip:
    """(image index, label, box, last) of each box as Python's own numbers, which json can write."""
    columns = (boxes.image_index, boxes.labels, boxes.boxes.astype(np.float64), last)
    return zip(*(column.tolist() for column in columns), strict=True)


def corner_and_size(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
