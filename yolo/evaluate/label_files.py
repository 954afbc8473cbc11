"""Detections like labels, in and out: a folder of <picture>.txt, a row of class, score and cxcywh in 0..1 a detection.

Where the score stands is said by whoever calls, never guessed: both orders are common and look alike.
"""

import re
from enum import Enum
from pathlib import Path

import numpy as np

from yolo.data.voc import LARGEST
from yolo.errors import DatasetError
from yolo.evaluate.average_precision import ScoredBoxes
from yolo.evaluate.truth_set import (
    SHARE_WORDS,
    TruthSet,
    is_share,
    joined,
    pixels,
    positions,
    shares,
)
from yolo.files import write_text

CLASS = re.compile("[0-9]{1,9}", re.ASCII)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
MOST_BYTES = 64 * 2**20  # ours: a million boxes of one picture
SHOWN_CHARACTERS = 80
COLUMNS = 6


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
    folder: str | Path, pictures: TruthSet, columns: Columns
) -> tuple[ScoredBoxes, list[str]]:
    """The detections, picture by picture, and the image ids that have no file, as where nothing was detected.

    The pictures' sizes must be known. Raises DatasetError for a folder without a file, a file of another picture, and,
    naming file and line, for a row that has other columns, another class, numbers that are not finite, a negative
    width or height, or pixels.
    """
    position = positions(pictures)
    files = sorted(path for path in Path(folder).iterdir() if path.suffix == ".txt")
    if not files:
        expected = "one of each picture with detections (is it the right folder?)"
        raise DatasetError(f"{folder}: found no .txt file, expected {expected}")
    for path in files:
        if path.stem not in position:
            expected = f"a file of one of the {len(position)} pictures of the truth"
            raise DatasetError(f"{path}:1: found picture {path.stem}, expected {expected}")
    there = {path.stem: path for path in files}
    index, rows = [], []
    for image_id, at in position.items():
        if image_id in there:
            found = _read_rows(there[image_id], len(pictures.names), columns)
            index += [at] * len(found)
            rows += found
    table = np.array(rows, np.float64).reshape(-1, COLUMNS)[:, list(columns.value)]
    image_index = np.array(index, np.int64)
    boxes = pixels(table[:, 2:], image_index, pictures)
    without = [image_id for image_id in position if image_id not in there]
    return joined(image_index, table[:, 0], table[:, 1], boxes), without


def write_label_detections(
    folder: str | Path, pictures: TruthSet, detections: ScoredBoxes, columns: Columns
) -> None:
    """Write a file for each picture, also for those without detections, with all digits.

    Raises DatasetError where two pictures would have the same file, or a box is far from its picture (`shares`).
    """
    lines: list[list[str]] = [[] for _ in positions(pictures)]
    order = np.argsort(columns.value)[1:] - 1  # the class stands first
    numbers = np.column_stack((detections.scores, shares(detections, pictures)))[:, order]
    rows = (detections.image_index.tolist(), detections.labels.tolist(), numbers.tolist())
    for index, label, values in zip(*rows, strict=True):
        lines[index].append(f"{label} {' '.join(map(repr, values))}\n")
    for image_id, text in zip(pictures.image_ids, lines, strict=True):
        write_text(Path(folder) / f"{image_id}.txt", "".join(text))


def _read_rows(path: Path, classes: int, columns: Columns) -> list[list[float]]:
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DatasetError(f"{path}:1: found more than {MOST_BYTES} bytes, expected one picture")
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
    shown = ascii(" ".join(words)[:SHOWN_CHARACTERS])
    if len(words) != COLUMNS:
        return f"found {len(words)} columns, expected {COLUMNS}: {columns.words}"
    if not CLASS.fullmatch(words[0]) or int(words[0]) >= classes:
        return f"found class {ascii(words[0][:SHOWN_CHARACTERS])}, expected 0 to {classes - 1}"
    if not all(NUMBER.fullmatch(word) and abs(float(word)) <= LARGEST for word in words[1:]):
        return f"found {shown}, expected finite numbers: {columns.words}"
    row = [float(word) for word in words]
    if row[columns.value[4]] < 0 or row[columns.value[5]] < 0:
        return f"found {shown}, expected a width and height of at least 0: {columns.words}"
    if not is_share(row[at] for at in columns.value[2:]):
        return f"found {shown}, expected {columns.words}, {SHARE_WORDS}"
    return None
