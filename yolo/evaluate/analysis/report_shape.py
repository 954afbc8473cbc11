"""The shape of a report.json: what must be in it, so that two of them can be compared without a surprise.

A shape is a `Kind` for a single value, `[shape]` for a list, `{key: shape}` for an object, whose other keys do not
matter. Checked is what comparing reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo.errors import DatasetError
from yolo.evaluate.analysis.images import DIFFICULT, EXCUSED, FOUND, LOST
from yolo.evaluate.analysis.report import COCO_SIZES, SIDES
from yolo.evaluate.analysis.tide import (
    FALSE_KINDS,
    FALSE_NEGATIVES,
    FALSE_POSITIVES,
    KINDS,
    RIGHT,
    UNCOUNTED,
)
from yolo.evaluate.metrics.coco_matching import IOU_THRESHOLDS, RECALLS
from yolo.formats.json_file import is_finite_number, shown

LARGEST_COUNT = 2**53  # beyond it a float does not tell one from the next

ERROR_KINDS = (*KINDS, FALSE_POSITIVES, FALSE_NEGATIVES)

OUTCOMES = (FOUND, LOST, EXCUSED, DIFFICULT)

DETECTION_KINDS = (*FALSE_KINDS, RIGHT, UNCOUNTED)


@dataclass(frozen=True)
class Kind:
    """What a single value must be, in words, and whether it is."""

    words: str
    holds: Callable[[object], bool]


Shape = Kind | list | dict


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_COUNT


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(is_finite_number, value))


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and [type(each) for each in value] == [str, str]


def _one_of(values: Sequence[str]) -> Kind:
    return Kind(f"one of {', '.join(values)}", lambda value: value in values)


TEXT = Kind("text", lambda value: isinstance(value, str))

NUMBER = Kind("a finite number", is_finite_number)

MEASURE = Kind("a finite number or null", lambda value: value is None or is_finite_number(value))

COUNT = Kind("a whole number from 0 on", _is_count)

PIXELS = Kind("a whole number from 1 on", lambda value: _is_count(value) and value > 0)

BOX = Kind("four finite numbers", _is_box)

PAIR = Kind("name and version", _is_pair)

ABOUT = dict.fromkeys(("command", "cfg", "weights", "weights_sha256", "data", "date"), TEXT)

CURVES = {"ap": MEASURE, "ap50": MEASURE, "ap75": MEASURE, "iou": [NUMBER], "mean": [MEASURE]}

SIZE = {"name": TEXT, "from": COUNT, "truths": COUNT, "ap": MEASURE}

CALIBRATION = {"count": [COUNT], "score": [MEASURE], "precision": [MEASURE], "error": MEASURE}

OUTER = {
    "about": ABOUT | {"versions": [PAIR]},
    "names": [TEXT],
    "score_thresh": NUMBER,
    "totals": {"precision": MEASURE, "recall": MEASURE},
    "metrics": [{"metric": TEXT, "value": MEASURE}],
    "ap": CURVES,
    "sizes": [SIZE],
    "sides": [SIZE],
    "scores": {"calibration": CALIBRATION},
    "errors": [{"kind": _one_of(ERROR_KINDS), "cost": MEASURE}],
}


def check_report(report: dict, path: str | Path) -> None:
    """See that a report of the known format holds what comparing reads; path: its file, for the message.

    Raises DatasetError, naming file and key, for a key that is not there, a value of another kind, a number that is
    not finite, a class number without a name, lists whose lengths do not fit each other.
    """
    problem = _problem(report, OUTER, "")
    problem = problem or _problem(report, _inner(report["names"]), "") or _misfit(report)
    if problem:
        raise DatasetError(f"{path}: {problem}")


def _inner(names: Sequence[str]) -> dict:
    """The shape of what speaks of classes."""
    label = Kind(
        f"a class number below {len(names)}", lambda value: _is_count(value) and value < len(names)
    )
    curve = Kind(
        f"null or a list of {len(RECALLS)} numbers",
        lambda value: value is None or _is_list_of(value, len(RECALLS)),
    )
    ground_truth = {"class": label, "box": BOX, "outcome": _one_of(OUTCOMES)}
    found = {"class": label, "box": BOX, "score": NUMBER, "kind": _one_of(DETECTION_KINDS)}
    image = {"id": TEXT, "path": TEXT, "height": PIXELS, "width": PIXELS}
    return {
        "classes": [{"name": TEXT, "ap50": MEASURE, "curve": curve}],
        "pictures": [image | {"truths": [ground_truth], "detections": [found]}],
    }


def _is_list_of(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(is_finite_number, value))


def _problem(value: object, shape: Shape, place: str) -> str | None:
    """The first value that is not of its shape, by its key."""
    if isinstance(shape, Kind):
        return None if shape.holds(value) else _fault(place, value, shape.words)
    kind, words = (list, "a list") if isinstance(shape, list) else (dict, "an object")
    if not isinstance(value, kind):
        return _fault(place, value, words)
    if isinstance(shape, list):
        parts = ((each, shape[0], f"{place}[{at}]") for at, each in enumerate(value))
    else:
        missing = [key for key in shape if key not in value]
        if missing:
            return f"{_within(place, missing[0])}: found nothing, expected this key of a report"
        parts = ((value[key], inner, _within(place, key)) for key, inner in shape.items())
    return next(filter(None, (_problem(*part) for part in parts)), None)


def _misfit(report: dict) -> str | None:
    """The first list that does not fit the others."""
    ap, calibration = report["ap"], report["scores"]["calibration"]
    if len(ap["iou"]) != len(IOU_THRESHOLDS) or sorted({*ap["iou"]}) != ap["iou"]:
        return _fault("ap.iou", ap["iou"], f"{len(IOU_THRESHOLDS)} rising numbers")
    alike = [
        ("classes", [each["name"] for each in report["classes"]], report["names"]),
        ("errors", [each["kind"] for each in report["errors"]], [*ERROR_KINDS]),
        ("sizes", [each["name"] for each in report["sizes"]], [size[0] for size in COCO_SIZES]),
        ("sides", [each["name"] for each in report["sides"]], [size[0] for size in SIDES]),
    ]
    for key, found, expected in alike:
        if found != expected:
            return _fault(key, found, shown(expected))
    lengths = [("ap.mean", ap["mean"], len(ap["iou"]))]
    steps = len(calibration["count"])
    lengths += [
        (f"scores.calibration.{key}", calibration[key], steps) for key in ("score", "precision")
    ]
    for key, values, length in lengths:
        if len(values) != length:
            return f"{key}: found {len(values)} numbers, expected {length}"
    for at, count in enumerate(calibration["count"]):
        for key in ("score", "precision"):
            if count and calibration[key][at] is None:
                return _fault(f"scores.calibration.{key}[{at}]", None, NUMBER.words)
    return None


def _fault(place: str, value: object, expected: str) -> str:
    return f"{place}: found {shown(value)}, expected {expected}"


def _within(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
