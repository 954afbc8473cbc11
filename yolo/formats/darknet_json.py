"""Darknet's result JSON, in and out (AlexeyAB image.c detection_to_json; `detector test ... -out result.json`).

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
from yolo.formats.ground_truth_set import (
    FRACTIONS_EXPECTED,
    GroundTruthSet,
    are_fractions,
    fractions_of_image,
    fractions_to_pixels,
    image_id_of,
    index_by_image_id,
    pixels_to_fractions,
    scored_boxes,
)
from yolo.formats.json_file import is_finite_number, read_json_list, shown
from yolo.records import Detections, ScoredBoxes

BOX_KEYS = ("center_x", "center_y", "width", "height")
OBJECT_KEYS = ("class_id", "name", "relative_coordinates", "confidence")
DIGITS = 6  # after the point, as Darknet writes them


@dataclass(frozen=True)
class DarknetFrame:
    """The N detections of one image.

    labels: int64 `[N]`. scores: float64 `[N]`. boxes: float64 `[N, 4]` cxcywh, fractions 0..1 of the image.
    """

    file_name: str
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class DarknetFrames:
    """The content of a result file: N objects in its order.

    files: each frame's image. frame_index: int64 `[N]`, positions in `files`. classes: `[N]`, names. scores: float64
    `[N]`. boxes: float64 `[N, 4]` cxcywh, fractions 0..1 of the image.
    """

    path: Path
    files: tuple[str, ...]
    frame_index: np.ndarray
    classes: tuple[str, ...]
    scores: np.ndarray
    boxes: np.ndarray


def darknet_frame(file_name: str, size: tuple[int, int], detections: Detections) -> DarknetFrame:
    """Return a frame of detections whose boxes are pixels of an image of `size`, (height, width)."""
    boxes = detections.boxes.double().cpu().numpy()
    return DarknetFrame(
        file_name=file_name,
        labels=detections.labels.cpu().numpy(),
        scores=detections.scores.double().cpu().numpy(),
        boxes=fractions_of_image(boxes, np.array((size[1], size[0]) * 2)),
    )


def darknet_json(frames: Sequence[DarknetFrame], names: Sequence[str], exact: bool = False) -> str:
    """Return a JSON list of frames, numbered from 1.

    Args:
        frames: one for each image.
        names: the class names.
        exact: write all digits, so that a reader gets the same boxes, and a frame a line. Otherwise write six digits,
            as Darknet does, indented.
    """
    entries = [
        {"frame_id": number, "filename": frame.file_name, "objects": _objects(frame, names, exact)}
        for number, frame in enumerate(frames, start=1)
    ]
    if exact:
        return "[" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "]\n"
    return json.dumps(entries, indent=1) + "\n"


def _objects(frame: DarknetFrame, names: Sequence[str], exact: bool) -> list[dict[str, object]]:
    columns = (frame.labels, frame.boxes, frame.scores)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    if not exact:
        rows = ((label, [round(number, DIGITS) for number in box], round(score, DIGITS)) for label, box, score in rows)
    return [
        {
            "class_id": label,
            "name": names[label],
            "relative_coordinates": dict(zip(BOX_KEYS, box, strict=True)),
            "confidence": score,
        }
        for label, box, score in rows
    ]


def write_darknet_json(path: str | Path, ground_truth_set: GroundTruthSet, detections: ScoredBoxes) -> None:
    """Write a result file with a frame for each image of the ground truth, with all digits.

    Raises:
        DatasetError: a box is far from its image (`pixels_to_fractions`).
    """
    boxes = pixels_to_fractions(detections, ground_truth_set)
    order = np.argsort(detections.image_index, kind="stable")
    counts = np.bincount(detections.image_index, minlength=len(ground_truth_set.files))
    rows_of_image = np.split(order, np.cumsum(counts)[:-1])
    frames = [
        DarknetFrame(file, detections.labels[rows], detections.scores[rows], boxes[rows])
        for file, rows in zip(ground_truth_set.files, rows_of_image, strict=True)
    ]
    write_text(path, darknet_json(frames, ground_truth_set.names, exact=True))


def read_darknet_json(path: str | Path) -> DarknetFrames:
    """Read a result file.

    Raises:
        DatasetError: with frame and object: a key that is missing, a number that is not finite, a negative width or
            height, pixels instead of fractions, a class number with two names.
    """
    content = read_json_list(path, "a list of frames")
    files, frame_index, classes, numbers = [], [], [], []
    name_of: dict[int, str] = {}
    for index, frame in enumerate(content):
        place = f"{path}: frame {index + 1}"
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
            frame_index.append(index)
            classes.append(entry["name"])
            box = entry["relative_coordinates"]
            numbers.append((entry["confidence"], *(box[key] for key in BOX_KEYS)))
    table = np.array(numbers, np.float64).reshape(-1, 1 + len(BOX_KEYS))
    return DarknetFrames(
        path=Path(path),
        files=tuple(files),
        frame_index=np.array(frame_index, np.int64),
        classes=tuple(classes),
        scores=table[:, 0],
        boxes=table[:, 1:],
    )


def frames_to_detections(frames: DarknetFrames, ground_truth_set: GroundTruthSet) -> ScoredBoxes:
    """Return the objects of a result file as detections in the images of a ground truth, whose sizes are known.

    Raises:
        DatasetError: a frame of another image, an image with two frames or none, a class that the ground truth does
            not have.
    """
    index_of = index_by_image_id(ground_truth_set)
    image_ids = [image_id_of(file) for file in frames.files]
    first: dict[str, int] = {}
    for number, (file, image_id) in enumerate(zip(frames.files, image_ids, strict=True), start=1):
        place = f"{frames.path}: frame {number}"
        if image_id not in index_of:
            expected = f"one of the {len(index_of)} images of the ground truth"
            raise DatasetError(f"{place}: found {shown(file)}, expected {expected}")
        if first.setdefault(image_id, number) != number:
            expected = f"expected it once (it is frame {first[image_id]})"
            raise DatasetError(f"{place}: found {shown(file)} again, {expected}")
    missing = [ground_truth_set.files[index_of[each]] for each in index_of if each not in first]
    if missing:
        found = f"found no frame of {len(missing)} images, such as {missing[0]}"
        raise DatasetError(f"{frames.path}: {found}, expected one of each")
    label_of = {name: label for label, name in enumerate(ground_truth_set.names)}
    for frame, name in zip(frames.frame_index.tolist(), frames.classes, strict=True):
        if name not in label_of:
            place = f"{frames.path}: frame {frame + 1}"
            expected = f"one of the {len(label_of)} of the ground truth"
            raise DatasetError(f"{place}: found class {shown(name)}, expected {expected}")
    index_of_frame = np.array([index_of[image_id] for image_id in image_ids], np.int64)
    image_index = index_of_frame[frames.frame_index]
    labels = [label_of[name] for name in frames.classes]
    boxes = fractions_to_pixels(frames.boxes, image_index, ground_truth_set)
    return scored_boxes(image_index, labels, frames.scores, boxes)


def _problem(entry: object, name_of: dict[int, str]) -> str | None:
    """Return what is wrong with an object, None if nothing is. name_of: the names of classes so far; adds to it."""
    if not isinstance(entry, dict) or not all(key in entry for key in OBJECT_KEYS):
        return f"found {shown(entry)}, expected an object with {', '.join(OBJECT_KEYS)}"
    number, name, box, score = (entry[key] for key in OBJECT_KEYS)
    if type(number) is not int or not isinstance(name, str):
        return f"found class {shown(number)} {shown(name)}, expected its number and its name"
    if name_of.setdefault(number, name) != name:
        return f"found class {number} {shown(name)}, expected {shown(name_of[number])} as before"
    if not isinstance(box, dict) or not all(is_finite_number(box.get(key)) for key in BOX_KEYS):
        return f"found {shown(box)}, expected finite numbers {', '.join(BOX_KEYS)}"
    if not is_finite_number(score):
        return f"found confidence {shown(score)}, expected a finite number"
    if box["width"] < 0 or box["height"] < 0:
        return f"found width {box['width']} and height {box['height']}, expected at least 0"
    if not are_fractions(box[key] for key in BOX_KEYS):
        return f"found {shown(box)}, expected {FRACTIONS_EXPECTED}"
    return None
