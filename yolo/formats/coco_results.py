"""Read and write COCO's result file, in exact decimals.

A box in the file is left, top, width and height from 0; ours are two corners, and VOC's begin at 1. The sums between
them are computed from the decimals in the text, not from the nearest floats, so that a box that is converted there and
back is the same float.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.files.writing import write_text
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet, scored_boxes
from yolo.formats.json_file import is_finite_number, read_json_list, shown
from yolo.records import ScoredBoxes

EXACT = Context(prec=400)  # digits, enough for the sum of a million and the smallest float
RESULT_KEYS = ("image_id", "category_id", "bbox", "score")


def read_coco_detections(path: str | Path, ground_truth_set: GroundTruthSet, ids: CocoIds) -> ScoredBoxes:
    """Read a result file with these ids; boxes begin at the ground truth's origin.

    Raises:
        DatasetError: not a JSON list, or an entry without the four keys, with an unknown image or category, or with
            numbers that are not finite. A negative width or height is read as it is.
    """
    entries = read_json_list(path, "a list", _decimal)
    index_of = {image_id: index for index, image_id in enumerate(ids.images)}
    label_of = {category_id: label for label, category_id in enumerate(ids.categories)}
    label_of.pop(None, None)  # of classes that the COCO file does not have
    for number, entry in enumerate(entries, start=1):
        problem = _problem(entry, index_of, label_of)
        if problem:
            raise DatasetError(f"{path}: entry {number}: {problem}")
    origin = Decimal(ground_truth_set.origin)
    return scored_boxes(
        image_index=[index_of[entry["image_id"]] for entry in entries],
        labels=[label_of[entry["category_id"]] for entry in entries],
        scores=[float(entry["score"]) for entry in entries],
        boxes=[_corners(entry["bbox"], origin) for entry in entries],
    )


def write_coco_detections(
    path: str | Path, ground_truth_set: GroundTruthSet, ids: CocoIds, detections: ScoredBoxes
) -> None:
    """Write a result file, one detection on each line, with enough digits to read back the same floats.

    Args:
        path: the file.
        ground_truth_set: whose images the detections are of.
        ids: of these images and classes in the COCO file.
        detections: boxes in pixels counted from the origin of the ground truth.

    Raises:
        DatasetError: the class of a detection has no category.
    """
    for label in np.unique(detections.labels).tolist():
        if ids.categories[label] is None:
            name = ground_truth_set.names[label]
            found = f"{ground_truth_set.message_prefix}found detections of {name!r}"
            raise DatasetError(f"{found}, which is no category of the COCO file")
    origin = Decimal(ground_truth_set.origin)
    columns = (detections.image_index, detections.labels, detections.scores, detections.boxes)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines = [
        f'{{"image_id": {ids.images[index]}, "category_id": {ids.categories[label]}, '
        f'"bbox": [{", ".join(_left_top_width_height(box, origin))}], "score": {score!r}}}'
        for index, label, score, box in rows
    ]
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def _decimal(text: str) -> Decimal | float:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return math.inf


def _corners(box: Sequence[Decimal | int], origin: Decimal) -> list[float]:
    """Return a box of the file as xyxy from `origin`."""
    left, top = (EXACT.add(Decimal(number), origin) for number in box[:2])
    right, bottom = EXACT.add(left, Decimal(box[2])), EXACT.add(top, Decimal(box[3]))
    return [float(number) for number in (left, top, right, bottom)]


def _left_top_width_height(box: Sequence[float], origin: Decimal) -> list[str]:
    """Return an xyxy box that begins at `origin` as the file's numbers."""
    left, top, right, bottom = (Decimal(repr(number)) for number in box)
    numbers = (left, origin), (top, origin), (right, left), (bottom, top)
    return [str(EXACT.subtract(first, second)) for first, second in numbers]


def _problem(entry: object, index_of: Mapping[int, int], label_of: Mapping[int, int]) -> str | None:
    """Return the error of an entry, None without one."""
    if not isinstance(entry, dict) or not all(key in entry for key in RESULT_KEYS):
        return f"found {shown(entry)}, expected an object with {', '.join(RESULT_KEYS)}"
    box, score = entry["bbox"], entry["score"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, (*box, score))):
        return f"found bbox {_text(box)} and score {_text(score)}, expected four finite numbers and one"
    for key, known in (("image_id", index_of), ("category_id", label_of)):
        if type(entry[key]) is not int or entry[key] not in known:
            return f"found {key} {_text(entry[key])}, expected one of the {len(known)} known"
    return None


def _is_number(value: object) -> bool:
    return is_finite_number(float(value) if isinstance(value, Decimal) else value)


def _text(value: object) -> str:
    """Return a value of a result file as its text has it, shortened."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value[:5])) + "]"
    return str(value) if isinstance(value, Decimal) else shown(value)
