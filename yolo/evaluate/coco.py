"""COCO's json, ground truth and results, and COCO's score as pycocotools computes it.

Boxes on our side are continuous xyxy picture pixels; COCO's json has (left, top, width, height).
"""

import io
import json
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolo.errors import DatasetError
from yolo.evaluate.average_precision import GroundTruth, ScoredBoxes
from yolo.files import write_text

# COCO's ids of its 80 classes, in the order of Darknet's coco.names: 91 were planned, eleven have
# no boxes (Darknet examples/detector.c, coco_ids).
MISSING_CATEGORY_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
COCO_CATEGORY_IDS = tuple(number for number in range(1, 91) if number not in MISSING_CATEGORY_IDS)

NOT_MEASURED = -1  # pycocotools: no truth of that size or class
ALL_AREAS, MOST_DETECTIONS = 0, -1  # positions on the last two axes of COCOeval's arrays
ENTRY_START, ENTRY_END = re.compile(r"\s*"), re.compile(r"\s*.")  # up to it; its comma or bracket
RESULT_KEYS = ("image_id", "category_id", "bbox", "score")


@dataclass(frozen=True)
class CocoScore:
    """COCO's twelve numbers, each 0..1, or None where there is no truth of that size.

    ap: mean over IoU 0.50 to 0.95 and classes; ap50, ap75: at one IoU; small, medium, large: truth
    under 32², under 96², from 96² square pixels; ar1, ar10, ar100: the recall that 1, 10, 100
    detections a picture reach. class_ap: ap of each category, in the order of the json.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    class_ap: tuple[float | None, ...]


def coco_dataset(
    truth: GroundTruth,
    sizes: np.ndarray,
    names: Sequence[str],
    image_ids: Sequence[int],
    category_ids: Sequence[int],
) -> dict:
    """Ground truth as COCO's json structure, ready for json.dumps.

    `sizes` [pictures, 2] are (height, width); `image_ids` and `category_ids` are COCO's numbers for
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
            "bbox": _corner_and_size(box),
            "area": (box[2] - box[0]) * (box[3] - box[1]),
            "iscrowd": int(difficult),
        }
        for number, (index, label, box, difficult) in enumerate(_rows(truth, truth.difficult), 1)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def coco_results(
    detections: ScoredBoxes, image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[dict]:
    """Detections as the list of a COCO results file, in their order."""
    return [
        {
            "image_id": int(image_ids[index]),
            "category_id": int(category_ids[label]),
            "bbox": _corner_and_size(box),
            "score": score,
        }
        for index, label, box, score in _rows(detections, detections.scores)
    ]


def score_coco(dataset: dict, results: Sequence[dict]) -> CocoScore:
    """Score results against ground truth, both in COCO's json structure, with pycocotools.

    Nothing is printed. At most 100 detections a picture and class count; equal scores keep the
    order of `results`.
    """
    annotations = [
        {
            **result,
            "id": number,
            "area": result["bbox"][2] * result["bbox"][3],
            "iscrowd": 0,
        }
        for number, result in enumerate(results, start=1)
    ]
    with redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _indexed(dataset), _indexed({**dataset, "annotations": annotations}), "bbox"
        )
        evaluation.params.catIds = [category["id"] for category in dataset["categories"]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # COCOeval sorts the category ids; precision is [IoU, recall, category, area, max detections]
    precision = evaluation.eval["precision"][:, :, :, ALL_AREAS, MOST_DETECTIONS]
    ap_of = {
        number: _mean_measured(precision[:, :, position])
        for position, number in enumerate(evaluation.params.catIds)
    }
    return CocoScore(
        *(None if value == NOT_MEASURED else float(value) for value in evaluation.stats),
        class_ap=tuple(ap_of[category["id"]] for category in dataset["categories"]),
    )


def write_coco_results(path: str | Path, results: Sequence[dict]) -> None:
    """Write a COCO results file, one detection a line, whole or not at all."""
    lines = [json.dumps(result, allow_nan=False) for result in results]
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def read_coco_results(
    path: str | Path, image_ids: Sequence[int], category_ids: Sequence[int]
) -> ScoredBoxes:
    """Read a COCO results file; the inverse of `write_coco_results` of `coco_results`.

    Raises:
        DatasetError: not a json list, or an entry without the four keys, with an unknown image or
            category, with numbers that are not finite, or with a negative width or height.
    """
    content = Path(path).read_bytes()
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:  # no json, no UTF-8, endless digits, too deep
        line = getattr(error, "lineno", 1)
        raise DatasetError(f"{path}:{line}: found no json ({error}), expected a list") from None
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: found json {type(entries).__name__}, expected a list")
    image_of = {int(number): index for index, number in enumerate(image_ids)}
    label_of = {int(number): label for label, number in enumerate(category_ids)}
    for number, entry in enumerate(entries, start=1):
        problem = _problem(entry, image_of, label_of)
        if problem:
            line = _line_of_entry(content.decode(json.detect_encoding(content)), number)
            raise DatasetError(f"{path}:{line}: entry {number}: {problem}")
    boxes = np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return ScoredBoxes(
        image_index=np.array([image_of[entry["image_id"]] for entry in entries], dtype=np.int64),
        labels=np.array([label_of[entry["category_id"]] for entry in entries], dtype=np.int64),
        scores=np.array([entry["score"] for entry in entries], dtype=np.float64),
        boxes=boxes,
    )


def _rows(boxes: GroundTruth | ScoredBoxes, last: np.ndarray) -> zip:
    """(image index, label, box, last) of each box as Python's own numbers, which json can write."""
    columns = (boxes.image_index, boxes.labels, boxes.boxes.astype(np.float64), last)
    return zip(*(column.tolist() for column in columns), strict=True)


def _corner_and_size(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def _indexed(dataset: dict) -> COCO:
    coco = COCO()
    # COCOeval writes `ignore` into the annotations: our caller's dictionaries are not its notebook
    coco.dataset = {**dataset, "annotations": [dict(each) for each in dataset["annotations"]]}
    coco.createIndex()
    return coco


def _mean_measured(values: np.ndarray) -> float | None:
    measured = values[values != NOT_MEASURED]
    return float(measured.mean()) if measured.size else None


def _problem(entry: object, image_of: dict[int, int], label_of: dict[int, int]) -> str | None:
    if not isinstance(entry, dict) or not all(key in entry for key in RESULT_KEYS):
        return f"found {json.dumps(entry)[:80]}, expected an object with {', '.join(RESULT_KEYS)}"
    box, score = entry["bbox"], entry["score"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, (*box, score))):
        return f"found bbox {box} and score {score}, expected four finite numbers and one"
    if box[2] < 0 or box[3] < 0:
        return f"found bbox {box}, expected a width and height of at least 0"
    for key, known in (("image_id", image_of), ("category_id", label_of)):
        if type(entry[key]) is not int or entry[key] not in known:
            return f"found {key} {entry[key]}, expected one of the {len(known)} known"
    return None


def _line_of_entry(text: str, number: int) -> int:
    """The line on which the `number`-th entry, from 1, of a json list begins."""
    decoder, end = json.JSONDecoder(), text.index("[")
    for _ in range(number):
        begin = ENTRY_START.match(text, end + 1).end()
        _, end = decoder.raw_decode(text, begin)
        end = ENTRY_END.match(text, end).end() - 1
    return text.count("\n", 0, begin) + 1


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # false for a NaN
