"""Check a data set before training: every list entry, label file and image.

A problem is data that cannot be used: it stops the run or is left out. A warning is data that can be used but is
probably a mistake. `HANDLING` lists all kinds, and what a run does with them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from yolo.console import progress
from yolo.data.augment.geometry import SMALLEST_SIDE
from yolo.data.images import read_image
from yolo.errors import DatasetError
from yolo.formats.label_files import (
    ROUNDING,
    Row,
    label_candidates,
    label_files,
    labeled_boxes,
    read_entries,
    read_list,
    read_rows,
)
from yolo.records import LabeledBoxes, Problem, Size

if TYPE_CHECKING:
    from yolo.letterbox import Placement

MISSING_IMAGE = "image that is not there"
BROKEN_IMAGE = "image that cannot be read"
UNREADABLE_LABELS = "label file that cannot be read"
BAD_LABEL = "label out of range"
MISSING_LABELS = "image without a label file"
EMPTY_LABELS = "image without objects"
TWO_LABEL_FILES = "image with two different label files"
LISTED_TWICE = "image listed twice"
BOX_TWICE = "box written twice"
OVER_BORDER = "box that reaches over the border"
TINY_BOX = "box below a pixel of the network input"
UNSEEN_IN_TRAIN = "class without an object to learn from"
UNSEEN_IN_VALID = "class without an object to score"
IN_BOTH_LISTS = "image to learn from and to score"
READERS = 4  # threads; OpenCV releases Python's lock while it decodes


@dataclass(frozen=True)
class Handling:
    """What a run does with a kind of problem: whether it stops, and what it does when it goes on."""

    stops: bool
    action: str


HANDLING = {
    MISSING_IMAGE: Handling(True, "leaves it out"),
    BROKEN_IMAGE: Handling(True, "leaves it out"),
    UNREADABLE_LABELS: Handling(True, "leaves the image out"),
    BAD_LABEL: Handling(True, "leaves this box out"),
    MISSING_LABELS: Handling(False, "takes it as background"),
    EMPTY_LABELS: Handling(False, "takes it as background"),
    TWO_LABEL_FILES: Handling(False, "reads the first"),
    LISTED_TWICE: Handling(False, "takes it as often as it is listed"),
    BOX_TWICE: Handling(False, "counts it twice"),
    OVER_BORDER: Handling(False, "cuts it to learn, scores it as it is"),
    TINY_BOX: Handling(False, "cannot learn it"),
    UNSEEN_IN_TRAIN: Handling(False, "cannot learn it"),
    UNSEEN_IN_VALID: Handling(False, "leaves it out of the mean"),
    IN_BOTH_LISTS: Handling(False, "uses it for both; the score flatters"),
}


@dataclass(frozen=True)
class LabeledImage:
    """A readable image, its size (height, width) and its ground truth. difficult: boxes that evaluation ignores.

    labels: the label file; lines: the number of the line of each ground-truth box.
    """

    path: Path
    size: Size
    ground_truth: LabeledBoxes
    difficult: LabeledBoxes
    labels: Path | None = None
    lines: tuple[int, ...] = ()


@dataclass(frozen=True)
class CheckedSet:
    """The usable images of a list, in its order; the problems of the others; warnings about the usable ones."""

    images: tuple[LabeledImage, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


def check_list(path: str | Path, classes: int, channels: int, difficult: str | Path | None = None) -> CheckedSet:
    """Read every image of a list, and its label file.

    An image keeps its valid labels if others are out of range. Without a label file it has no objects, as in
    AlexeyAB's Darknet. An image is left out if it or its label file cannot be read.

    Args:
        path: The list, one image per line.
        classes: Number of classes.
        channels: Of the network input, 1 or 3.
        difficult: A list of equal length; the label files of its images hold the difficult boxes (AlexeyAB's key).

    Raises:
        DatasetError: The list is empty, or the lists differ in length.
    """
    entries = read_entries(path)
    difficult_listed = read_list(difficult) if difficult else [None] * len(entries)
    if len(difficult_listed) != len(entries):
        raise DatasetError(f"{difficult}: found {len(difficult_listed)} entries, expected {len(entries)} as in {path}")
    listed = [image for _, image in entries]
    images, problems, warnings = [], [], _listed_twice(path, entries)
    with ThreadPoolExecutor(READERS) as pool:
        checked = pool.map(
            lambda pair: _check(*pair, classes, channels),
            zip(listed, difficult_listed, strict=True),
        )
        for image, found in progress(checked, f"checking {Path(path).name}", len(entries)):
            for each in found:
                (warnings if _is_warning(each) else problems).append(each)
            if image is not None:
                images.append(image)
    return CheckedSet(tuple(images), tuple(problems), tuple(warnings))


def stopping(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that stop a run, unless it runs with --on-problem skip."""
    return [problem for problem in problems if HANDLING[problem.kind].stops]


def problem_lines(problems: Iterable[Problem], shown: int = 3) -> Iterator[str]:
    """Yield "count x kind" for each kind, followed by its first `shown` messages."""
    by_kind: dict[str, list[str]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem.message)
    for kind, messages in by_kind.items():
        yield f"{len(messages)} x {kind}"
        yield from (f"  {message}" for message in messages[:shown])
        if len(messages) > shown:
            yield f"  ... and {len(messages) - shown} more"


def objects_per_class(images: Iterable[LabeledImage], classes: int) -> list[int]:
    """Return the number of boxes of each class."""
    counts = Counter(label for image in images for label in image.ground_truth.labels.tolist())
    return [counts[label] for label in range(classes)]


def tiny_boxes(images: Iterable[LabeledImage], size: Size, placed: Callable[[Size, Size], Placement]) -> list[Problem]:
    """Return a warning for each box that is less than a pixel wide or high in a network input of `size`.

    size: (height, width); placed: `letterbox.stretched` or `letterbox.letterboxed`.
    """
    problems = []
    for image in images:
        height, width = placed(image.size, size).content
        sides = image.ground_truth.boxes[:, 2:] * (width, height)
        for at in np.flatnonzero((sides < SMALLEST_SIDE).any(axis=1)):
            found = f"{sides[at][0]:.2g} x {sides[at][1]:.2g} pixels of {width} x {height}"
            message = f"{image.labels}:{image.lines[at]}: found a box of {found}, expected 1 x 1"
            problems.append(Problem(TINY_BOX, message))
    return problems


def unseen_classes(images: Sequence[LabeledImage], names: Sequence[str], kind: str) -> list[Problem]:
    """Return a warning for each class without an object; kind: UNSEEN_IN_TRAIN or UNSEEN_IN_VALID."""
    counts = objects_per_class(images, len(names))
    return [
        Problem(kind, f"class {label}, {name}: found no object in {len(images)} images")
        for label, (name, count) in enumerate(zip(names, counts, strict=True))
        if count == 0
    ]


def in_both_lists(train: Iterable[LabeledImage], valid: Iterable[LabeledImage]) -> list[Problem]:
    """Return a warning for each image of `valid` whose path is also in `train`."""
    known = {os.path.abspath(image.path) for image in train}
    return [
        Problem(IN_BOTH_LISTS, f"{image.path}: found in train and in valid")
        for image in valid
        if os.path.abspath(image.path) in known
    ]


def _is_warning(problem: Problem) -> bool:
    # A missing label file stops nothing, but every command lists it with the problems.
    return not HANDLING[problem.kind].stops and problem.kind != MISSING_LABELS


def _listed_twice(path: str | Path, entries: Sequence[tuple[int, Path]]) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for line, image in entries:
        before = first.setdefault(os.path.abspath(image), line)
        if before != line:
            message = f"{path}:{line}: found {image} again, first in line {before}"
            problems.append(Problem(LISTED_TWICE, message))
    return problems


def readable_size(path: Path, channels: int) -> Size | Problem:
    """Return the (height, width) of an image, or why it cannot be read."""
    try:
        height, width = read_image(path, channels).shape[:2]
    except FileNotFoundError:
        return Problem(MISSING_IMAGE, f"{path}: no such file")
    except (DatasetError, OSError) as error:
        return Problem(BROKEN_IMAGE, str(error))
    return height, width


def _check(
    path: Path, difficult: Path | None, classes: int, channels: int
) -> tuple[LabeledImage | None, list[Problem]]:
    size = readable_size(path, channels)
    if isinstance(size, Problem):
        return None, [size]
    try:
        labels, rows, problems = _rows(path, classes)
        _, difficult_rows, more = _rows(difficult, classes) if difficult else (None, [], [])
    except OSError as error:
        fault = f"{error.filename or label_candidates(path)[0]}: {error.strerror}"
        return None, [Problem(UNREADABLE_LABELS, fault)]
    # Most images have no difficult boxes.
    problems += [problem for problem in more if problem.kind != EMPTY_LABELS]
    lines = tuple(line for line, _ in rows)
    boxes, difficult_boxes = labeled_boxes(rows), labeled_boxes(difficult_rows)
    return LabeledImage(path, size, boxes, difficult_boxes, labels, lines), problems


def _rows(image: Path, classes: int) -> tuple[Path | None, list[Row], list[Problem]]:
    """Return the label file of an image, its valid rows, and its problems and warnings."""
    files = list(label_files(image))
    if not files:
        looked = ", ".join(str(candidate) for candidate in label_candidates(image))
        return None, [], [Problem(MISSING_LABELS, f"{image}: looked for {looked}")]
    labels, *others = files
    rows, faults = read_rows(labels, classes)
    problems = [Problem(BAD_LABEL, fault) for fault in faults]
    if not rows and not faults:
        problems.append(Problem(EMPTY_LABELS, f"{labels}:1: found no row"))
    for other in others:
        if other.read_bytes() != labels.read_bytes():
            message = f"{labels}:1: found {other} too, with other content"
            problems.append(Problem(TWO_LABEL_FILES, message))
    return labels, rows, [*problems, *_odd_boxes(labels, rows)]


def _odd_boxes(path: Path, rows: list[Row]) -> list[Problem]:
    """Return warnings for boxes that a file has twice, and for boxes that reach over the border of the image."""
    problems = []
    first: dict[tuple[float, ...], int] = {}
    for line, row in rows:
        before = first.setdefault(row, line)
        if before != line:
            problems.append(Problem(BOX_TWICE, f"{path}:{line}: found the box of line {before}"))
        _, cx, cy, width, height = row
        sides = (cx - width / 2, cy - height / 2, 1 - cx - width / 2, 1 - cy - height / 2)
        if min(sides) < -ROUNDING:
            message = f"found {-min(sides):.2g} of a side outside, expected all inside"
            problems.append(Problem(OVER_BORDER, f"{path}:{line}: {message}"))
    return problems
