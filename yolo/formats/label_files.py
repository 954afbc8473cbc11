"""Detections like labels, in and out: a folder of <image>.txt, a row of class, score and cxcywh in 0..1 a detection.

Where the score stands is said by whoever calls, never guessed: both orders are common and look alike.
"""

import math
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.files import write_text
from yolo.formats.ground_truth_set import (
    FRACTIONS_EXPECTED,
    GroundTruthSet,
    are_fractions,
    fractions_to_pixels,
    index_by_image_id,
    pixels_to_fractions,
    scored_boxes,
)
from yolo.formats.plain_text import LARGEST_NUMBER as LARGEST
from yolo.records import LabeledBoxes, ScoredBoxes

IMAGE_FOLDERS = ("JPEGImages", "images", "raw")  # data.c fill_truth: each becomes "labels"

COLUMNS = 5  # class cx cy w h

CLASS = re.compile(r"[0-9]+", re.ASCII)

MOST_LABEL_BYTES = 2**20  # ours: some 25,000 boxes; of one image Darknet takes 200

SHOWN_CHARACTERS = 80  # of a faulty row, in its one line

ROUNDING = 1e-3  # a box may reach this far over the border before it counts as wrong: printed digits end somewhere

Row = tuple[int, tuple[float, ...]]  # line number, (class, cx, cy, w, h)


def label_candidates(image: Path) -> list[Path]:
    """Where an image's label file may lie, most likely first.

    pjreddie replaces JPEGImages, images and raw in the path by labels; AlexeyAB leaves plain images folders alone
    and looks beside the image (utils.c replace_image_to_label). Only whole folder names are replaced here, the
    last one of them first.
    """
    label = image.with_suffix(".txt")
    parts = label.parts
    places = [at for at, part in enumerate(parts[:-1]) if part in IMAGE_FOLDERS]
    moved = [Path(*parts[:at], "labels", *parts[at + 1 :]) for at in reversed(places)]
    return [*moved, label]


def find_labels(image: Path) -> Path | None:
    """The first of `label_candidates` that exists."""
    return next(iter(label_files(image)), None)


def label_files(image: Path) -> Iterator[Path]:
    """Those of `label_candidates` that exist: where there are two, the two Darknets may read different ones."""
    return (path for path in label_candidates(image) if path.is_file())


def read_labels(path: Path, classes: int) -> tuple[LabeledBoxes, list[str]]:
    """The usable rows `class cx cy w h` of a label file, and one line for each that is not.

    A row is unusable when it has other columns, a class outside 0..classes-1, a center outside the image, no
    width or height, or more of it; boxes that reach over the border by a rounding error are cut to it. Of a file that
    is too large or no text nothing is usable. Raises OSError when it cannot be read.
    """
    rows, faults = read_rows(path, classes)
    return ground_truth_of(rows), faults


def ground_truth_of(rows: list[Row]) -> LabeledBoxes:
    """The rows of `read_rows` as arrays."""
    table = np.array([row for _, row in rows], dtype=np.float64).reshape(-1, COLUMNS)
    return LabeledBoxes(table[:, 0].astype(np.int64), table[:, 1:])


def read_rows(path: Path, classes: int) -> tuple[list[tuple[int, tuple[float, ...]]], list[str]]:
    """As `read_labels`, but the rows as (line number, (class, cx, cy, w, h))."""
    with open(path, "rb") as file:
        content = file.read(MOST_LABEL_BYTES + 1)
    if len(content) > MOST_LABEL_BYTES:
        return [], [
            f"{path}:1: found more than {MOST_LABEL_BYTES} bytes, expected one image's labels"
        ]
    if b"\0" in content:
        return [], [
            f"{path}:1: found zero bytes, expected plain text (not UTF-16): class cx cy w h"
        ]
    rows, faults = [], []
    text = content.decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        row, fault = _row(words, classes)
        if fault:
            faults.append(f"{path}:{number}: {fault}")
        else:
            rows.append((number, row))
    return rows, faults


def _row(words: list[str], classes: int) -> tuple[tuple[float, ...], str | None]:
    """A row's numbers, or nothing and what is wrong with it."""
    line = " ".join(words)
    shown = line[:SHOWN_CHARACTERS]
    try:
        # Python takes more for a number than C does: 1_000, and digits of other scripts
        row = [float(word) for word in words] if line.isascii() and "_" not in line else []
    except ValueError:
        row = []
    if not row:
        return (), f"found {shown!r}, expected numbers: class cx cy w h"
    if len(row) != COLUMNS:
        return (), f"found {len(row)} columns, expected 5: class cx cy w h"
    label, cx, cy, width, height = row
    if not CLASS.fullmatch(words[0]) or label >= classes:
        return (), f"found class {words[0][:SHOWN_CHARACTERS]}, expected 0 to {classes - 1}"
    if not all(map(math.isfinite, row)):
        return (), f"found {shown!r}, expected finite numbers"
    if not (0 < cx <= 1 and 0 < cy <= 1):
        found = " ".join(words[1:3])[:SHOWN_CHARACTERS]
        return (), f"found center {found}, expected it inside the image, above 0 and at most 1"
    if not (0 < width <= 1 + ROUNDING and 0 < height <= 1 + ROUNDING):
        found = " ".join(words[3:])[:SHOWN_CHARACTERS]
        return (), f"found size {found}, expected it above 0 and at most 1"
    return (label, cx, cy, min(width, 1.0), min(height, 1.0)), None


CLASS_NUMBER = re.compile("[0-9]{1,9}", re.ASCII)

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)

MOST_BYTES = 64 * 2**20  # ours: a million boxes of one image

SHOWN_OF_A_ROW = 80

DETECTION_COLUMNS = 6


class Columns(Enum):
    """The order of a row, as column of: class, score, cx, cy, w, h."""

    SCORE_FIRST = (0, 1, 2, 3, 4, 5)
    SCORE_LAST = (0, 5, 1, 2, 3, 4)  # ultralytics: predict(save_txt=True, save_conf=True)

    @property
    def words(self) -> str:
        """The columns' names, in their order in a row."""
        named = zip(self.value, ("class", "score", "cx", "cy", "w", "h"), strict=True)
        return " ".join(name for _, name in sorted(named))


def read_label_detections(
    folder: str | Path, images: GroundTruthSet, columns: Columns
) -> tuple[ScoredBoxes, list[str]]:
    """The detections, image by image, and the image ids that have no file, as where nothing was detected.

    The images' sizes must be known. Raises DatasetError for a folder without a file, a file of another image, and,
    naming file and line, for a row that has other columns, another class, numbers that are not finite, a negative
    width or height, or pixels.
    """
    position = index_by_image_id(images)
    files = sorted(path for path in Path(folder).iterdir() if path.suffix == ".txt")
    if not files:
        expected = "one of each image with detections (is it the right folder?)"
        raise DatasetError(f"{folder}: found no .txt file, expected {expected}")
    for path in files:
        if path.stem not in position:
            expected = f"a file of one of the {len(position)} images of the ground truth"
            raise DatasetError(f"{path}:1: found image {path.stem}, expected {expected}")
    there = {path.stem: path for path in files}
    index, rows = [], []
    for image_id, at in position.items():
        if image_id in there:
            found = _read_rows(there[image_id], len(images.names), columns)
            index += [at] * len(found)
            rows += found
    table = np.array(rows, np.float64).reshape(-1, DETECTION_COLUMNS)[:, list(columns.value)]
    image_index = np.array(index, np.int64)
    boxes = fractions_to_pixels(table[:, 2:], image_index, images)
    without = [image_id for image_id in position if image_id not in there]
    return scored_boxes(image_index, table[:, 0], table[:, 1], boxes), without


def write_label_detections(
    folder: str | Path, images: GroundTruthSet, detections: ScoredBoxes, columns: Columns
) -> None:
    """Write a file for each image, also for those without detections, with all digits.

    Raises DatasetError where two images would have the same file, or a box is far from its image (`shares`).
    """
    lines: list[list[str]] = [[] for _ in index_by_image_id(images)]
    order = np.argsort(columns.value)[1:] - 1  # the class stands first
    numbers = np.column_stack((detections.scores, pixels_to_fractions(detections, images)))[
        :, order
    ]
    rows = (detections.image_index.tolist(), detections.labels.tolist(), numbers.tolist())
    for index, label, values in zip(*rows, strict=True):
        lines[index].append(f"{label} {' '.join(map(repr, values))}\n")
    for image_id, text in zip(images.image_ids, lines, strict=True):
        write_text(Path(folder) / f"{image_id}.txt", "".join(text))


def _read_rows(path: Path, classes: int, columns: Columns) -> list[list[float]]:
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DatasetError(f"{path}:1: found more than {MOST_BYTES} bytes, expected one image")
    rows = []
    text = content.decode("utf-8-sig", errors="backslashreplace")
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        if words:
            problem = _problem(words, classes, columns)
            if problem:
                raise DatasetError(f"{path}:{number}: {problem}")
            rows.append([float(word) for word in words])
    return rows


def _problem(words: list[str], classes: int, columns: Columns) -> str | None:
    shown = ascii(" ".join(words)[:SHOWN_OF_A_ROW])
    if len(words) != DETECTION_COLUMNS:
        return f"found {len(words)} columns, expected {DETECTION_COLUMNS}: {columns.words}"
    if not CLASS_NUMBER.fullmatch(words[0]) or int(words[0]) >= classes:
        return f"found class {ascii(words[0][:SHOWN_OF_A_ROW])}, expected 0 to {classes - 1}"
    if not all(NUMBER.fullmatch(word) and abs(float(word)) <= LARGEST for word in words[1:]):
        return f"found {shown}, expected finite numbers: {columns.words}"
    row = [float(word) for word in words]
    if row[columns.value[4]] < 0 or row[columns.value[5]] < 0:
        return f"found {shown}, expected a width and height of at least 0: {columns.words}"
    if not are_fractions(row[at] for at in columns.value[2:]):
        return f"found {shown}, expected {columns.words}, {FRACTIONS_EXPECTED}"
    return None
