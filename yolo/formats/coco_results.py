"""COCO's annotation file as ground truth, and COCO's result file in and out, in exact decimals.

A box is left, top, width and height there, from 0; ours are two corners, and VOC's begin at 1. The sums between them
are taken of the decimals in the text, not of the nearest floats: so a box moved there and back is the same float.
"""

import math
from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.files import write_text
from yolo.formats.coco_annotations import coco_rows, corner_and_size, is_finite
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet, scored_boxes
from yolo.formats.json_file import read_json, shown
from yolo.records import ScoredBoxes

EXACT = Context(prec=400)  # digits: the smallest float beside a coordinate of a million still fits

RESULT_KEYS = ("image_id", "category_id", "bbox", "score")


def read_coco_detections(path: str | Path, images: GroundTruthSet, numbers: CocoIds) -> ScoredBoxes:
    """Read a result file; the inverse of `write_coco_detections`.

    Raises:
        DatasetError: not a json list, or an entry without the four keys, with an unknown image or category, with
            numbers that are not finite, or with a negative width or height.
    """
    entries = read_json(path, number=_decimal)
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: found json {type(entries).__name__}, expected a list")
    index_of = {number: at for at, number in enumerate(numbers.images)}
    label_of = {number: at for at, number in enumerate(numbers.categories) if number is not None}
    for number, entry in enumerate(entries, start=1):
        problem = _problem(entry, index_of, label_of)
        if problem:
            raise DatasetError(f"{path}: entry {number}: {problem}")
    return scored_boxes(
        [index_of[entry["image_id"]] for entry in entries],
        [label_of[entry["category_id"]] for entry in entries],
        [float(entry["score"]) for entry in entries],
        [_corners(entry["bbox"], Decimal(images.origin)) for entry in entries],
    )


def write_coco_detections(
    path: str | Path, images: GroundTruthSet, numbers: CocoIds, detections: ScoredBoxes
) -> None:
    """Write a result file, one detection a line, with as many digits as it takes to lose none.

    Raises DatasetError for a class that has no category.
    """
    for label in np.unique(detections.labels).tolist():
        if numbers.categories[label] is None:
            found = f"{images.message_prefix}found detections of {images.names[label]!r}"
            raise DatasetError(f"{found}, which is no category of the COCO file")
    origin = Decimal(images.origin)
    columns = (detections.image_index, detections.labels, detections.scores, detections.boxes)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines = [
        f'{{"image_id": {numbers.images[index]}, "category_id": {numbers.categories[label]}, '
        f'"bbox": [{", ".join(_corner_and_size(box, origin))}], "score": {score!r}}}'
        for index, label, score, box in rows
    ]
    write_text(path, "[" + ",\n".join(lines) + "]\n")


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


def coco_results(
    detections: ScoredBoxes, image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[dict]:
    """Detections as the list of a COCO results file, in their order."""
    return [
        {
            "image_id": int(image_ids[index]),
            "category_id": int(category_ids[label]),
            "bbox": corner_and_size(box),
            "score": score,
        }
        for index, label, box, score in coco_rows(detections, detections.scores)
    ]
