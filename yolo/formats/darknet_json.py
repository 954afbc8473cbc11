"""Darknet's result json in and out (AlexeyAB image.c detection_to_json; `detector test ... -out result.json`).

A list of frames, one an image: `filename` and `objects`, each with `class_id`, `name`, `relative_coordinates` (center
and size in 0..1 of the image) and `confidence`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.files import write_text
from yolo.formats.coco_annotations import is_finite
from yolo.formats.ground_truth_set import (
    FRACTIONS_EXPECTED,
    GroundTruthSet,
    are_fractions,
    fractions_to_pixels,
    image_id_of,
    index_by_image_id,
    pixels_to_fractions,
    scored_boxes,
)
from yolo.formats.json_file import read_json, shown
from yolo.records import Detections, ScoredBoxes


@dataclass(frozen=True)
class Frame:
    """One image's detections, in image pixels; size: (height, width)."""

    file_name: str
    size: tuple[int, int]
    detections: Detections


def darknet_json(frames: Sequence[Frame], names: Sequence[str]) -> str:
    """A json list of frames, numbered from 1, boxes as center and size relative to the image, six digits."""
    return (
        json.dumps(
            [_frame(number, frame, names) for number, frame in enumerate(frames, 1)], indent=1
        )
        + "\n"
    )


def _frame(number: int, frame: Frame, names: Sequence[str]) -> dict:
    found = frame.detections
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    return {
        "frame_id": number,
        "filename": frame.file_name,
        "objects": [
            {
                "class_id": label,
                "name": names[label],
                "relative_coordinates": _relative(box, frame.size),
                "confidence": round(score, 6),
            }
            for box, score, label in rows
        ],
    }


def _relative(box: Sequence[float], size: tuple[int, int]) -> dict[str, float]:
    height, width = size
    left, top, right, bottom = box
    return {
        "center_x": round((left + right) / 2 / width, 6),
        "center_y": round((top + bottom) / 2 / height, 6),
        "width": round((right - left) / width, 6),
        "height": round((bottom - top) / height, 6),
    }


BOX_KEYS = ("center_x", "center_y", "width", "height")

OBJECT_KEYS = ("class_id", "name", "relative_coordinates", "confidence")


@dataclass(frozen=True)
class Frames:
    """A result file, not yet held against any ground truth: N objects in its order.

    files: each frame's image. frame: int64 [N]. classes: each object's class. scores: float64 [N]. boxes: float64
    [N, 4] cxcywh in 0..1 of the image.
    """

    path: Path
    files: tuple[str, ...]
    frame: np.ndarray
    classes: tuple[str, ...]
    scores: np.ndarray
    boxes: np.ndarray


def read_frames(path: str | Path) -> Frames:
    """Read a result file.

    Raises DatasetError, naming frame and object, for keys that are missing, numbers that are not finite, a negative
    width or height, pixels in the place of shares, a class number with two names.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise DatasetError(
            f"{path}: found json {type(content).__name__}, expected a list of frames"
        )
    files, owner, classes, numbers = [], [], [], []
    name_of: dict[int, str] = {}
    for at, frame in enumerate(content):
        place = f"{path}: frame {at + 1}"
        if not isinstance(frame, dict) or not isinstance(frame.get("filename"), str):
            raise DatasetError(f"{place}: found {shown(frame)}, expected an object with filename")
        if not isinstance(frame.get("objects"), list):
            found = shown(frame.get("objects"))
            raise DatasetError(f"{place}: found objects {found}, expected a list")
        files.append(frame["filename"])
        for number, entry in enumerate(frame["objects"], start=1):
            problem = _problem(entry, name_of)
            if problem:
                raise DatasetError(f"{place}, object {number}: {problem}")
            owner.append(at)
            classes.append(entry["name"])
            box = entry["relative_coordinates"]
            numbers.append((entry["confidence"], *(box[key] for key in BOX_KEYS)))
    table = np.array(numbers, np.float64).reshape(-1, 1 + len(BOX_KEYS))
    frames = np.array(owner, np.int64)
    return Frames(Path(path), tuple(files), frames, tuple(classes), table[:, 0], table[:, 1:])


def frames_detections(frames: Frames, images: GroundTruthSet) -> ScoredBoxes:
    """The frames' objects as detections in the images of a ground truth, whose sizes must be known.

    Raises DatasetError for a frame of another image, an image with two frames or none, a class not of the ground truth.
    """
    position = index_by_image_id(images)
    first: dict[str, int] = {}
    for number, file in enumerate(frames.files, start=1):
        place, name = f"{frames.path}: frame {number}", image_id_of(file)
        if name not in position:
            expected = f"one of the {len(position)} images of the ground truth"
            raise DatasetError(f"{place}: found {shown(file)}, expected {expected}")
        if first.setdefault(name, number) != number:
            raise DatasetError(
                f"{place}: found {shown(file)} again, expected it once (it is frame {first[name]})"
            )
    missing = [file for file, name in zip(images.files, position, strict=True) if name not in first]
    if missing:
        raise DatasetError(
            f"{frames.path}: found no frame of {len(missing)} images, such as {missing[0]}, expected one of each"
        )
    label_of = {name: label for label, name in enumerate(images.names)}
    for at, name in enumerate(frames.classes):
        if name not in label_of:
            place = f"{frames.path}: frame {frames.frame[at] + 1}"
            expected = f"one of the {len(label_of)} of the ground truth"
            raise DatasetError(f"{place}: found class {shown(name)}, expected {expected}")
    index_of_frame = np.array([position[image_id_of(file)] for file in frames.files], np.int64)
    index = index_of_frame[frames.frame]
    labels = [label_of[name] for name in frames.classes]
    return scored_boxes(
        index, labels, frames.scores, fractions_to_pixels(frames.boxes, index, images)
    )


def write_frames(path: str | Path, images: GroundTruthSet, detections: ScoredBoxes) -> None:
    """Write a result file, a frame for each image; with all digits, where Darknet writes six.

    Raises DatasetError for a box far from its image, as `shares` does.
    """
    boxes, scores = pixels_to_fractions(detections, images).tolist(), detections.scores.tolist()
    labels = detections.labels.tolist()
    of_image: list[list[int]] = [[] for _ in images.files]
    for at, index in enumerate(detections.image_index.tolist()):
        of_image[index].append(at)
    lines = []
    for number, (file, mine) in enumerate(zip(images.files, of_image, strict=True), start=1):
        objects = [_object(images.names, labels[at], boxes[at], scores[at]) for at in mine]
        frame = {"frame_id": number, "filename": file, "objects": objects}
        lines.append(json.dumps(frame, allow_nan=False))
    write_text(path, "[" + ",\n".join(lines) + "]\n")


def _object(names: Sequence[str], label: int, box: Sequence[float], score: float) -> dict:
    where = dict(zip(BOX_KEYS, box, strict=True))
    values = (label, names[label], where, score)
    return dict(zip(OBJECT_KEYS, values, strict=True))


def _problem(entry: object, name_of: dict[int, str]) -> str | None:
    if not isinstance(entry, dict) or not all(key in entry for key in OBJECT_KEYS):
        return f"found {shown(entry)}, expected an object with {', '.join(OBJECT_KEYS)}"
    number, name, box, score = (entry[key] for key in OBJECT_KEYS)
    if type(number) is not int or not isinstance(name, str):
        return f"found class {shown(number)} {shown(name)}, expected its number and its name"
    if name_of.setdefault(number, name) != name:
        return f"found class {number} {shown(name)}, expected {shown(name_of[number])} as before"
    if not isinstance(box, dict) or not all(is_finite(box.get(key)) for key in BOX_KEYS):
        return f"found {shown(box)}, expected finite numbers {', '.join(BOX_KEYS)}"
    if not is_finite(score):
        return f"found confidence {shown(score)}, expected a finite number"
    if box["width"] < 0 or box["height"] < 0:
        found = f"width {box['width']} and height {box['height']}"
        return f"found {found}, expected at least 0"
    if not are_fractions(box[key] for key in BOX_KEYS):
        return f"found {shown(box)}, expected {FRACTIONS_EXPECTED}"
    return None
