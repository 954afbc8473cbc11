"""Darknet's list and label files: which pictures a data set has, where their labels lie, what they say."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.cfg import locate
from yolo.errors import DatasetError

PICTURE_FOLDERS = ("JPEGImages", "images", "raw")  # data.c fill_truth: each becomes "labels"
COLUMNS = 5  # class cx cy w h
CLASS = re.compile(r"[0-9]+", re.ASCII)
MOST_LABEL_BYTES = 2**20  # ours: some 25,000 boxes; of one picture Darknet takes 200
SHOWN_CHARACTERS = 80  # of a faulty row, in its one line
ROUNDING = 1e-3  # a box may reach this far over the border before it counts as wrong: printed digits end somewhere

Row = tuple[int, tuple[float, ...]]  # line number, (class, cx, cy, w, h)


@dataclass(frozen=True)
class Truth:
    """A picture's labelled boxes: labels int64 `[M]`; boxes float64 `[M, 4]` cxcywh, 0..1 of the picture."""

    labels: np.ndarray
    boxes: np.ndarray


def read_list(path: str | Path) -> list[Path]:
    """The pictures of a list file, one a line; relative ones are tried from here, then from the list's folder.

    Raises DatasetError when it names none, OSError when it is not there.
    """
    return [picture for _, picture in read_entries(path)]


def read_entries(path: str | Path) -> list[tuple[int, Path]]:
    """The same, each with the number of its line. Raises as `read_list`."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    if "\0" in text:
        raise DatasetError(f"{path}: found zero bytes, expected a text of one path a line")
    lines = enumerate(text.splitlines(), start=1)
    pictures = [
        (number, locate(line.strip(), Path(path).parent)) for number, line in lines if line.strip()
    ]
    if not pictures:
        raise DatasetError(f"{path}: found no picture, expected one path a line")
    return pictures


def label_candidates(picture: Path) -> list[Path]:
    """Where a picture's label file may lie, most likely first.

    pjreddie replaces JPEGImages, images and raw in the path by labels; AlexeyAB leaves plain images folders alone
    and looks beside the picture (utils.c replace_image_to_label). Only whole folder names are replaced here, the
    last one of them first.
    """
    label = picture.with_suffix(".txt")
    parts = label.parts
    places = [at for at, part in enumerate(parts[:-1]) if part in PICTURE_FOLDERS]
    moved = [Path(*parts[:at], "labels", *parts[at + 1 :]) for at in reversed(places)]
    return [*moved, label]


def find_labels(picture: Path) -> Path | None:
    """The first of `label_candidates` that exists."""
    return next(iter(label_files(picture)), None)


def label_files(picture: Path) -> Iterator[Path]:
    """Those of `label_candidates` that exist: where there are two, the two Darknets may read different ones."""
    return (path for path in label_candidates(picture) if path.is_file())


def read_labels(path: Path, classes: int) -> tuple[Truth, list[str]]:
    """The usable rows `class cx cy w h` of a label file, and one line for each that is not.

    A row is unusable when it has other columns, a class outside 0..classes-1, a centre outside the picture, no
    width or height, or more of it; boxes that reach over the border by a rounding error are cut to it. Of a file that
    is too large or no text nothing is usable. Raises OSError when it cannot be read.
    """
    rows, faults = read_rows(path, classes)
    return truth_of(rows), faults


def truth_of(rows: list[Row]) -> Truth:
    """The rows of `read_rows` as arrays."""
    table = np.array([row for _, row in rows], dtype=np.float64).reshape(-1, COLUMNS)
    return Truth(table[:, 0].astype(np.int64), table[:, 1:])


def read_rows(path: Path, classes: int) -> tuple[list[tuple[int, tuple[float, ...]]], list[str]]:
    """As `read_labels`, but the rows as (line number, (class, cx, cy, w, h))."""
    with open(path, "rb") as file:
        content = file.read(MOST_LABEL_BYTES + 1)
    if len(content) > MOST_LABEL_BYTES:
        return [], [
            f"{path}:1: found more than {MOST_LABEL_BYTES} bytes, expected one picture's labels"
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
        return (), f"found centre {found}, expected it inside the picture, above 0 and at most 1"
    if not (0 < width <= 1 + ROUNDING and 0 < height <= 1 + ROUNDING):
        found = " ".join(words[3:])[:SHOWN_CHARACTERS]
        return (), f"found size {found}, expected it above 0 and at most 1"
    return (label, cx, cy, min(width, 1.0), min(height, 1.0)), None
