"""Read and write Darknet's result JSON (AlexeyAB image.c detection_to_json; `detector test ... -out result.json`).

The file is a list of frames, one for each image: `filename` and `objects`, each with `class_id`, `name`,
`relative_coordinates` (center and size in 0..1 of the image) and `confidence`.
"""

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.files.writing import write_text
from yolo.formats.ground_truth_set import (
    FRACTIONS_EXPECTED,
    GroundTruthSet,
    are_fractions,
    fractions_of_image,
    fractions_to_pixels,
    image_names,
    labels_by_name,
    pixels_to_fractions,
    scored_boxes,
)
from yolo.formats.json_file import is_finite_number, read_json_list, shown
from yolo.records import Detections, ScoredBoxes

BOX_KEYS = ("center_x", "center_y", "width", "height")
OBJECT_KEYS = ("class_id", "name", "relative_coordinates", "confidence")
FILE_NAME = re.compile(rb'("filename"\s*:\s*")((?:[^"\\\n]|\\.)*)"')
ESCAPE = re.compile(rb"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
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
    """Read a result file. A negative width or height is read as it is.

    Darknet writes file names as they are: backslashes of Windows are no escapes there, and names need not be UTF-8.

    Raises:
        DatasetError: with frame and object: a key that is missing, a number that is not finite, pixels instead of
            fractions, a class number with two names.
    """
    content = read_json_list(path, "a list of frames", as_meant=_as_meant)
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
    images = image_names(ground_truth_set.files)
    frame_of: dict[int, int] = {}  # position of the image → number of its frame
    positions = []
    for number, file in enumerate(frames.files, start=1):
        found = f"{frames.path}: frame {number}: found {shown(file)}"
        index = images.position(file, found, f"one of the {len(images.files)} images of the ground truth")
        if frame_of.setdefault(index, number) != number:
            raise DatasetError(f"{found} again, expected it once (it is frame {frame_of[index]})")
        positions.append(index)
    missing = [file for index, file in enumerate(images.files) if index not in frame_of]
    if missing:
        found = f"found frames of {len(frame_of)} of the {len(images.files)} images of the ground truth"
        expected = "a frame of every image, also where nothing was detected"
        raise DatasetError(f"{frames.path}: {found}, none of {missing[0]}, expected {expected}; same list of images?")
    label_of = labels_by_name(ground_truth_set.names)
    for frame, name in zip(frames.frame_index.tolist(), frames.classes, strict=True):
        if name not in label_of:
            place = f"{frames.path}: frame {frame + 1}"
            expected = f"one of the {len(ground_truth_set.names)} of the ground truth"
            raise DatasetError(f"{place}: found class {shown(name)}, expected {expected}")
    image_index = np.array(positions, np.int64)[frames.frame_index]
    labels = [label_of[name] for name in frames.classes]
    boxes = fractions_to_pixels(frames.boxes, image_index, ground_truth_set)
    return scored_boxes(image_index, labels, frames.scores, boxes)


def _as_meant(content: bytes) -> bytes | str:
    """Return JSON with escaped file names, from a file in which AlexeyAB's Darknet may have written them unescaped.

    A name in which each backslash begins an escape that a name can contain is JSON. Any other backslash is one of
    Windows: `\\n` and `\\t` would be a line break and a tab, which no file name has. `\\u00e9` may be either, so the
    other names of the file decide.
    """
    unescaped = any(map(_has_plain_backslash, (name for _, name in FILE_NAME.findall(content))))

    def escaped(match: re.Match[bytes]) -> bytes:
        start, name = match.groups()
        plain = _has_plain_backslash(name) or (unescaped and b"\\u" in name)
        return start + (name.replace(b"\\", b"\\\\") if plain else name) + b'"'

    content = FILE_NAME.sub(escaped, content)
    try:
        content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        return content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    return content


def _has_plain_backslash(name: bytes) -> bool:
    """Whether a backslash in the text of a JSON string begins no escape, or the escape of a control character."""
    return any(code not in (b'"', b"\\", b"/") and len(code) == 1 for code in ESCAPE.findall(name))


def _problem(entry: object, name_of: dict[int, str]) -> str | None:
    """Return the error of an object, None without one. name_of: the names of classes so far; adds to it."""
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
    if not are_fractions(box[key] for key in BOX_KEYS):
        return f"found {shown(box)}, expected {FRACTIONS_EXPECTED}"
    return None
