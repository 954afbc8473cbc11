"""Darknet's list and label files: which pictures a data set has, where their labels lie, what they say."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.cfg import locate
from yolo.errors import DatasetError

PICTURE_FOLDERS = ("JPEGImages", "images", "raw")  # data.c fill_truth: each becomes "labels"
COLUMNS = 5  # class cx cy w h
ROUNDING = 1e-3  # a box may reach this far over the border before it counts as wrong: printed digits end somewhere


@dataclass(frozen=True)
class Truth:
    """A picture's labelled boxes: labels int64 `[M]`; boxes float64 `[M, 4]` cxcywh, 0..1 of the picture."""

    labels: np.ndarray
    boxes: np.ndarray


def read_list(path: str | Path) -> list[Path]:
    """The pictures of a list file, one a line; relative ones are tried from here, then from the list's folder.

    Raises DatasetError when it names none, OSError when it is not there.
    """
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    if "\0" in text:
        raise DatasetError(f"{path}: found zero bytes, expected a text of one path a line")
    lines = text.splitlines()
    pictures = [locate(line.strip(), Path(path).parent) for line in lines if line.strip()]
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
    return next((path for path in label_candidates(picture) if path.is_file()), None)


def read_labels(path: Path, classes: int) -> tuple[Truth, list[str]]:
    """The usable rows `class cx cy w h` of a label file, and one line for each that is not.

    A row is unusable when it has other columns, a class outside 0..classes-1, a centre outside the picture, no
    width or height, or more of it; boxes that reach over the border by a rounding error are cut to it.
    """
    rows, faults = [], []
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        row, fault = _row(words, classes)
        if fault:
            faults.append(f"{path}:{number}: {fault}")
        else:
            rows.append(row)
    table = np.array(rows, dtype=np.float64).reshape(-1, COLUMNS)
    return Truth(table[:, 0].astype(np.int64), table[:, 1:]), faults


def _row(words: list[str], classes: int) -> tuple[list[float], str | None]:
    shown = " ".join(words)[:80]
    try:
        row = [float(word) for word in words]
    except ValueError:
        return [], f"found {shown!r}, expected numbers: class cx cy w h"
    if len(row) != COLUMNS:
        return [], f"found {len(row)} columns, expected 5: class cx cy w h"
    label, *box = row
    if not re.fullmatch(r"[0-9]+", words[0]) or label >= classes:
        return [], f"found class {words[0]}, expected 0 to {classes - 1}"
    if not np.isfinite(row).all():
        return [], f"found {shown!r}, expected finite numbers"
    centre, size = np.array(box[:2]), np.array(box[2:])
    if (centre <= 0).any() or (centre > 1).any():
        return (
            [],
            f"found centre {words[1]} {words[2]}, expected it inside the picture, above 0 and at most 1",
        )
    if (size <= 0).any() or (size > 1 + ROUNDING).any():
        return [], f"found size {words[3]} {words[4]}, expected it above 0 and at most 1"
    return [label, *centre, *size.clip(max=1)], None
