"""Read and write detections as label files: a folder of `<image>.txt`, one row of class, score and cxcywh each.

cxcywh are fractions 0..1 of the image. The caller names the score's column, because both orders are common and a file
does not show which one it has.
"""

import math
from enum import Enum
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError, counted
from yolo.files.folders import files_below
from yolo.files.writing import write_text
from yolo.formats.ground_truth_set import (
    FRACTIONS_EXPECTED,
    GroundTruthSet,
    are_fractions,
    fractions_to_pixels,
    image_names,
    index_by_image_id,
    pixels_to_fractions,
    scored_boxes,
)
from yolo.formats.json_file import shown
from yolo.formats.plain_text import parse_number, read_lines
from yolo.records import ScoredBoxes

COLUMN_NAMES = ("class", "score", "cx", "cy", "w", "h")


class Columns(Enum):
    """The order of a row's columns: the positions of class, score, cx, cy, w and h."""

    SCORE_FIRST = (0, 1, 2, 3, 4, 5)
    SCORE_LAST = (0, 5, 1, 2, 3, 4)  # ultralytics: predict(save_txt=True, save_conf=True)

    @property
    def names(self) -> str:
        """The columns' names in their order in a row."""
        return " ".join(name for _, name in sorted(zip(self.value, COLUMN_NAMES, strict=True)))


def read_label_detections(
    folder: str | Path, ground_truth_set: GroundTruthSet, columns: Columns
) -> tuple[ScoredBoxes, list[str]]:
    """Return the detections, image by image, and the ids of the images without a file, which have none.

    The images' sizes must be known. Files may be in folders below `folder`, as the images are in theirs. A negative
    width or height is read as it is.

    Raises:
        DatasetError: a folder without a file, a file of another image, two files of one image, or, with file and line,
            a row that has other columns, another class, numbers that are not finite, or pixels.
    """
    images = image_names(ground_truth_set.files)
    file_of: dict[int, Path] = {}
    for path in (Path(folder) / file for file in files_below(Path(folder)) if file.endswith(".txt")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        expected = f"a file of one of the {len(images.files)} images of the ground truth"
        index = images.position(name, f"{path}:1: found image {name}", expected)
        if file_of.setdefault(index, path) != path:
            expected = f"one file (the other is {file_of[index]})"
            raise DatasetError(f"{path}:1: found image {images.files[index]} again, expected {expected}")
    if not file_of:
        expected = "one of each image with detections (is it the right folder?)"
        raise DatasetError(f"{folder}: found no .txt file, expected {expected}")
    image_index, rows = [], []
    for index in sorted(file_of):
        found = _read_rows(file_of[index], len(ground_truth_set.names), columns)
        image_index += [index] * len(found)
        rows += found
    table = np.array(rows, np.float64).reshape(-1, len(COLUMN_NAMES))[:, list(columns.value)]
    boxes = fractions_to_pixels(table[:, 2:], np.array(image_index, np.int64), ground_truth_set)
    without = [image_id for index, image_id in enumerate(ground_truth_set.image_ids) if index not in file_of]
    return scored_boxes(image_index, table[:, 0], table[:, 1], boxes), without


def write_label_detections(
    folder: str | Path, ground_truth_set: GroundTruthSet, detections: ScoredBoxes, columns: Columns
) -> None:
    """Write a file for each image, also for those without detections, with enough digits to read back the same floats.

    Args:
        folder: gets the files.
        ground_truth_set: the set of the images, with their sizes.
        detections: boxes in image pixels.
        columns: the order of a row's columns.

    Raises:
        DatasetError: two images would have the same file, or a box is far from its image (`pixels_to_fractions`).
    """
    lines: list[list[str]] = [[] for _ in index_by_image_id(ground_truth_set)]
    order = np.argsort(columns.value)[1:] - 1  # without the class, which is first
    fractions = pixels_to_fractions(detections, ground_truth_set)
    numbers = np.column_stack((detections.scores, fractions))[:, order]
    rows = (detections.image_index.tolist(), detections.labels.tolist(), numbers.tolist())
    for index, label, values in zip(*rows, strict=True):
        lines[index].append(f"{label} {' '.join(map(repr, values))}\n")
    for image_id, text in zip(ground_truth_set.image_ids, lines, strict=True):
        write_text(Path(folder) / f"{image_id}.txt", "".join(text))


def _read_rows(path: Path, classes: int, columns: Columns) -> list[list[float]]:
    rows = []
    for line_number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if words:
            row = [parse_number(word) for word in words]
            problem = _problem(words, row, classes, columns)
            if problem:
                raise DatasetError(f"{path}:{line_number}: {problem}")
            rows.append(row)
    return rows


def _problem(words: list[str], row: list[float], classes: int, columns: Columns) -> str | None:
    """Return the error of a row, None without one."""
    if len(words) != len(COLUMN_NAMES):
        return f"found {counted(len(words), 'column')}, expected {len(COLUMN_NAMES)}: {columns.names}"
    if not (words[0].isascii() and words[0].isdigit() and row[0] < classes):
        return f"found class {shown(words[0])}, expected 0 to {classes - 1}"
    found = f"found {shown(' '.join(words))}"
    if any(map(math.isnan, row)):
        return f"{found}, expected finite numbers: {columns.names}"
    box = [row[column] for column in columns.value[2:]]
    if not are_fractions(box):
        return f"{found}, expected {columns.names}, {FRACTIONS_EXPECTED}"
    return None
