"""Read Darknet's lists of images (one path a line) and label files (a row `class cx cy w h` for a box, in 0..1)."""

import logging
import math
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError, counted
from yolo.files.contents import START, foreign_to_text, open_input
from yolo.files.located import locate, moved_file
from yolo.files.text import UTF16_MARKS, read_text
from yolo.records import LabeledBoxes

log = logging.getLogger(__name__)

IMAGE_FOLDERS = ("JPEGImages", "images", "raw")  # data.c fill_truth: each becomes "labels"
LABEL_COLUMNS = 5  # class cx cy w h
CLASS_INDEX = re.compile(r"[0-9]+", re.ASCII)
MOST_LABEL_BYTES = 3 * 2**20  # ours: some 80,000 boxes; Darknet takes 200 of an image
SHOWN_ROW_CHARACTERS = 80  # of a faulty row, in its one line
ROUNDING = 1e-3  # a box may reach this far over the border: printed digits are rounded
Row = tuple[int, tuple[float, ...]]  # line number from 1, (class, cx, cy, w, h)


def read_list(path: str | Path) -> list[Path]:
    """Return the images of a list file; relative paths are tried from the current folder, then from the list's.

    Raises:
        DatasetError: the list names no image.
        OSError: the list does not exist.
    """
    return [image for _, image in read_entries(path)]


def read_entries(path: str | Path) -> list[tuple[int, Path]]:
    """Return the images of a list file as (line number from 1, path). Raises as `read_list` does."""
    folder = Path(path).parent
    images = [(number, locate(line, folder)) for number, line in list_lines(path)]
    if not images:
        raise DatasetError(f"{path}: found no image, expected one path a line")
    return images


def list_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a list file that are not blank, without blanks around them, numbered from 1.

    Bytes that are not UTF-8 become surrogate escapes, as in Python's file names. UTF-16 with a byte order mark is read,
    and it, backslashes and a first line with another machine's folders are logged.

    Raises:
        DatasetError: the file is no text, such as an image or an archive, or a line has zero bytes.
        OSError: the list cannot be read.
    """
    with open_input(path) as file:
        start = file.read(START)
    foreign = foreign_to_text(start)
    if foreign:
        raise DatasetError(f"{path}: found {foreign}, expected a text of one path a line")
    if start.startswith(UTF16_MARKS):
        lines: Iterable[str] = read_text(path).splitlines()
    else:
        lines = _utf8_lines(path)
    warned, is_first = False, True
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            found = "zero bytes (UTF-16 without a byte order mark, or no text)"
            raise DatasetError(f"{path}: found {found}, expected a text of one path a line")
        if line := line.strip():
            if "\\" in line and not warned:
                warned = True
                log.warning(
                    "%s:%d: found a backslash; backslashes are read as / if only then the file exists", path, number
                )
            if is_first and (moved := moved_file(line, os.path.dirname(path))):
                log.warning("%s:%d: found %s, which is not there; read as %s", path, number, line, moved)
            is_first = False
            yield number, line


def _utf8_lines(path: str | Path) -> Iterator[str]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from file


def label_candidates(image: Path) -> list[Path]:
    """Return the paths where an image's label file may be, most likely first.

    pjreddie replaces JPEGImages, images and raw in the path by labels; AlexeyAB does not replace a plain images
    folder and reads the file beside the image (utils.c replace_image_to_label). Here only whole folder names are
    replaced, the last one of them first.
    """
    return [Path(path) for path in label_paths(str(image))]


def label_paths(image: str) -> list[str]:
    """Return `label_candidates` as texts: a tenth of the time, for lists of a hundred thousand images."""
    folder, name = os.path.split(image)
    label = os.path.splitext(name)[0] + ".txt"
    return [os.path.join(each, label) for each in _label_folders(folder)]


@lru_cache(maxsize=1024)
def _label_folders(folder: str) -> tuple[str, ...]:
    parts = Path(folder).parts
    places = [at for at, part in enumerate(parts) if part in IMAGE_FOLDERS]
    moved = [str(Path(*parts[:at], "labels", *parts[at + 1 :])) for at in reversed(places)]
    return (*moved, folder)


def label_files(image: Path) -> Iterator[Path]:
    """Return those of `label_candidates` that exist; if there are two, the two Darknets may read different ones."""
    return (path for path in label_candidates(image) if path.is_file())


def labeled_boxes(rows: list[Row]) -> LabeledBoxes:
    """Return the rows of `read_rows` as arrays."""
    table = np.array([row for _, row in rows], dtype=np.float64).reshape(-1, LABEL_COLUMNS)
    return LabeledBoxes(table[:, 0].astype(np.int64), table[:, 1:])


def read_rows(path: Path, classes: int) -> tuple[list[Row], list[str]]:
    """Return the usable rows `class cx cy w h` of a label file, and one line for each that is not usable.

    A row is unusable if it has other columns, a class outside 0..classes-1, a center outside the image, no width or
    height, or one above 1. A side that is above 1 by a rounding error is cut to 1. If the file is too large or not
    text, no row is usable.

    Raises:
        OSError: the file cannot be read.
    """
    with open_input(path) as file:
        content = file.read(MOST_LABEL_BYTES + 1)
    if len(content) > MOST_LABEL_BYTES:
        found = f"more than {MOST_LABEL_BYTES} bytes, expected one image's labels"
        return [], [f"{path}:1: found {found}"]
    if b"\0" in content:
        expected = "plain text (not UTF-16): class cx cy w h"
        return [], [f"{path}:1: found zero bytes, expected {expected}"]
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
    """Return a row's numbers, or no numbers and the error of the row."""
    line = " ".join(words)
    shown = line[:SHOWN_ROW_CHARACTERS]
    try:
        # Python's float also takes 1_000 and the digits of other scripts, which C does not
        row = [float(word) for word in words] if line.isascii() and "_" not in line else []
    except ValueError:
        row = []
    if not row:
        return (), f"found {shown!r}, expected numbers: class cx cy w h"
    if len(row) != LABEL_COLUMNS:
        hint = " (an outline? export boxes)" if len(row) > LABEL_COLUMNS + 1 else ""
        return (), f"found {counted(len(row), 'column')}, expected {LABEL_COLUMNS}: class cx cy w h{hint}"
    label, cx, cy, width, height = row
    if not CLASS_INDEX.fullmatch(words[0]) or label >= classes:
        return (), f"found class {words[0][:SHOWN_ROW_CHARACTERS]}, expected 0 to {classes - 1}"
    if not all(map(math.isfinite, row)):
        return (), f"found {shown!r}, expected finite numbers"
    if not (0 < cx <= 1 and 0 < cy <= 1):
        found = " ".join(words[1:3])[:SHOWN_ROW_CHARACTERS]
        return (), f"found center {found}, expected it inside the image, above 0 and at most 1"
    if not (0 < width <= 1 + ROUNDING and 0 < height <= 1 + ROUNDING):
        found = " ".join(words[3:])[:SHOWN_ROW_CHARACTERS]
        return (), f"found size {found}, expected it above 0 and at most 1"
    return (label, cx, cy, min(width, 1.0), min(height, 1.0)), None
