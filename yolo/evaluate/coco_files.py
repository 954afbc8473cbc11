"""COCO's annotation file as truth, and COCO's result file in and out, in exact decimals.

A box is left, top, width and height there, from 0; ours are two corners, and VOC's begin at 1. The sums between them
are taken of the decimals in the text, not of the nearest floats: so a box moved there and back is the same float.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Context, Decimal, InvalidOperation
from itertools import count
from pathlib import Path

import numpy as np

from yolo.data.coco_json import CocoFile, is_finite, read_coco
from yolo.data.json_files import read_json, shown
from yolo.errors import DatasetError
from yolo.evaluate.average_precision import GroundTruth, ScoredBoxes
from yolo.evaluate.coco import coco_dataset, coco_results
from yolo.evaluate.truth_set import CocoNumbers, TruthSet, joined, positions, stem
from yolo.files import write_text

EXACT = Context(prec=400)  # digits: the smallest float beside a coordinate of a million still fits
RESULT_KEYS = ("image_id", "category_id", "bbox", "score")


def coco_truth(path: str | Path, origin: float, names: Sequence[str] | None = None) -> TruthSet:
    """The truth of an annotation file; a crowd box is a difficult one, neither right nor wrong to be found.

    The classes are the categories by rising id, or `names`, which must have each category that has a box.
    Raises DatasetError for whatever is wrong with the file: nothing of it is left out.
    """
    file = read_coco(path)
    if file.problems:
        more = f" (and {len(file.problems) - 1} more)" if len(file.problems) > 1 else ""
        raise DatasetError(file.problems[0].message + more)
    if not file.pictures:
        raise DatasetError(f"{path}: found no picture, expected at least one")
    inverted = np.flatnonzero((file.boxes[:, 2:] < 0).any(axis=1))
    if inverted.size:
        box = file.boxes[inverted[0]].tolist()
        place = f"{path}: annotation {file.numbers[inverted[0]]}"
        raise DatasetError(f"{place}: found bbox {box}, expected a width and height of at least 0")
    categories = tuple(file.categories.values())
    names = categories if names is None else tuple(names)
    boxes = np.concatenate((file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:]), axis=1)
    truth = GroundTruth(file.picture, _labels(file, names), boxes + origin, file.crowd)
    sizes = [(picture.height, picture.width) for picture in file.pictures]
    files = tuple(picture.file_name for picture in file.pictures)
    number_of = {name: number for number, name in file.categories.items()}
    numbers = CocoNumbers(
        tuple(picture.number for picture in file.pictures),
        tuple(number_of.get(name) for name in names),
    )
    sizes = np.array(sizes, np.int64)
    return TruthSet(names, files, sizes, truth, origin, numbers, file.areas, file.path)


def _labels(file: CocoFile, names: Sequence[str]) -> np.ndarray:
    label_of = {name: label for label, name in enumerate(names)}
    for at, name in enumerate(file.categories.values()):
        if name not in label_of and (file.category == at).any():
            raise DatasetError(f"{file.path}: found category {name!r}, expected one of the names")
    return np.array([label_of.get(name, -1) for name in file.categories.values()])[file.category]


def numbers_of(file: CocoFile, pictures: TruthSet) -> CocoNumbers:
    """What an annotation file calls the pictures and classes of a truth that comes from other files.

    Raises DatasetError where it has none or several of a picture's name.
    """
    number_of_picture: dict[str, list[int]] = {}
    for picture in file.pictures:
        number_of_picture.setdefault(stem(picture.file_name), []).append(picture.number)
    for image_id in positions(pictures):
        found = number_of_picture.get(image_id, [])
        if len(found) != 1:
            raise DatasetError(f"{file.path}: found {len(found)} pictures {image_id}, expected one")
    number_of = {name: number for number, name in file.categories.items()}
    return CocoNumbers(
        tuple(number_of_picture[image_id][0] for image_id in pictures.image_ids),
        tuple(number_of.get(name) for name in pictures.names),
    )


def counted(pictures: TruthSet) -> CocoNumbers:
    """Numbers for a truth that has none: pictures and classes counted from 1."""
    return CocoNumbers(
        tuple(range(1, len(pictures.files) + 1)), tuple(range(1, len(pictures.names) + 1))
    )


def read_coco_detections(path: str | Path, pictures: TruthSet, numbers: CocoNumbers) -> ScoredBoxes:
    """Read a result file; the inverse of `write_coco_detections`.

    Raises:
        DatasetError: not a json list, or an entry without the four keys, with an unknown picture or category, with
            numbers that are not finite, or with a negative width or height.
    """
    entries = read_json(path, number=_decimal)
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: found json {type(entries).__name__}, expected a list")
    index_of = {number: at for at, number in enumerate(numbers.pictures)}
    label_of = {number: at for at, number in enumerate(numbers.categories) if number is not None}
    for number, entry in enumerate(entries, start=1):
        problem = _problem(entry, index_of, label_of)
        if problem:
            raise DatasetError(f"{path}: entry {number}: {problem}")
    return joined(
        [index_of[entry["image_id"]] for entry in entries],
        [label_of[entry["category_id"]] for entry in entries],
        [float(entry["score"]) for entry in entries],
        [_corners(entry["bbox"], Decimal(pictures.origin)) for entry in entries],
    )


def write_coco_detections(
    path: str | Path, pictures: TruthSet, numbers: CocoNumbers, detections: ScoredBoxes
) -> None:
    """Write a result file, one detection a line, with as many digits as it takes to lose none.

    Raises DatasetError for a class that has no category.
    """
    for label in np.unique(detections.labels).tolist():
        if numbers.categories[label] is None:
            found = f"{pictures.place}found detections of {pictures.names[label]!r}"
            raise DatasetError(f"{found}, which is no category of the COCO file")
    origin = Decimal(pictures.origin)
    columns = (detections.image_index, detections.labels, detections.scores, detections.boxes)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines = [
        f'{{"image_id": {numbers.pictures[index]}, "category_id": {numbers.categories[label]}, '
        f'"bbox": [{", ".join(_corner_and_size(box, origin))}], "score": {score!r}}}'
        for index, label, score, box in rows
    ]
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def write_coco_truth(path: str | Path, pictures: TruthSet, numbers: CocoNumbers) -> None:
    """Write the truth as an annotation file, which the result file's numbers refer to."""
    dataset = _dataset(pictures, numbers)
    for image, file in zip(dataset["images"], pictures.files, strict=True):
        image["file_name"] = file
    parts = (f'"{key}": {_json_lines(entries)}' for key, entries in dataset.items())
    write_text(path, "{" + ",\n".join(parts) + "}\n")


def coco_structures(pictures: TruthSet, detections: ScoredBoxes) -> tuple[dict, list[dict]]:
    """Truth and detections as `yolo.evaluate.coco.score_coco` takes them; pictures and classes keep COCO's numbers."""
    numbers = _without_gaps(pictures.numbers) if pictures.numbers else counted(pictures)
    moved = replace(detections, boxes=detections.boxes - pictures.origin)
    return _dataset(pictures, numbers), coco_results(moved, numbers.pictures, numbers.categories)


def _without_gaps(numbers: CocoNumbers) -> CocoNumbers:
    """The same, with numbers that are not used for the classes that have none."""
    unused = count(1 + max(number for number in numbers.categories if number is not None))
    categories = (next(unused) if number is None else number for number in numbers.categories)
    return CocoNumbers(numbers.pictures, tuple(categories))


def _dataset(pictures: TruthSet, numbers: CocoNumbers) -> dict:
    sizes = np.zeros((len(pictures.files), 2)) if pictures.sizes is None else pictures.sizes
    truth = replace(pictures.truth, boxes=pictures.truth.boxes - pictures.origin)
    dataset = coco_dataset(truth, sizes, pictures.names, numbers.pictures, numbers.categories)
    if pictures.areas is not None:
        for annotation, area in zip(dataset["annotations"], pictures.areas.tolist(), strict=True):
            annotation["area"] = area
    return dataset


def _json_lines(entries: Iterable[dict]) -> str:
    return "[" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "]"


def _decimal(text: str) -> Decimal | float:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return math.inf


def _corners(box: Sequence[Decimal | int], origin: Decimal) -> list[float]:
    left, top = (EXACT.add(Decimal(number), origin) for number in box[:2])
    right, bottom = EXACT.add(left, Decimal(box[2])), EXACT.add(top, Decimal(box[3]))
    return [float(number) for number in (left, top, right, bottom)]


def _corner_and_size(box: Sequence[float], origin: Decimal) -> list[str]:
    left, top, right, bottom = (Decimal(repr(number)) for number in box)
    numbers = (left, origin), (top, origin), (right, left), (bottom, top)
    return [str(EXACT.subtract(first, second)) for first, second in numbers]


def _problem(entry: object, index_of: dict[int, int], label_of: dict[int, int]) -> str | None:
    if not isinstance(entry, dict) or not all(key in entry for key in RESULT_KEYS):
        return f"found {shown(entry)}, expected an object with {', '.join(RESULT_KEYS)}"
    box, score = entry["bbox"], entry["score"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, (*box, score))):
        return f"found bbox {_text(box)} and score {_text(score)}, expected four finite numbers and one"
    if box[2] < 0 or box[3] < 0:
        return f"found bbox {_text(box)}, expected a width and height of at least 0"
    for key, known in (("image_id", index_of), ("category_id", label_of)):
        if type(entry[key]) is not int or entry[key] not in known:
            return f"found {key} {_text(entry[key])}, expected one of the {len(known)} known"
    return None


def _is_number(value: object) -> bool:
    return is_finite(float(value) if isinstance(value, Decimal) else value)


def _text(value: object) -> str:
    """A value of a result file as its text has it."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value[:5])) + "]"
    return str(value) if isinstance(value, Decimal) else shown(value)
