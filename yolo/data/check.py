"""A look at the whole data set before training: every list entry, label and image, named where it is faulty.

A problem is something that cannot be used: it is left out, or stops the run. A remark is something that can be used
but is likely not meant. `CONSEQUENCES` says which is which, and what a run does about it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.console import progress
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
from yolo.letterbox import Placement
from yolo.records import LabeledBoxes, Problem

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

READERS = 4  # threads; decoding releases Python's lock

SMALLEST_SIDE = (
    1  # network pixels; AlexeyAB data.c fill_truth_detection drops smaller boxes (lowest_w = 1 / w)
)


@dataclass(frozen=True)
class Consequence:
    """Whether a kind of problem stops a run, and what a run that is not stopped does about it."""

    stops: bool
    then: str


CONSEQUENCES = {
    MISSING_IMAGE: Consequence(True, "leaves it out"),
    BROKEN_IMAGE: Consequence(True, "leaves it out"),
    UNREADABLE_LABELS: Consequence(True, "leaves the image out"),
    BAD_LABEL: Consequence(True, "leaves this box out"),
    MISSING_LABELS: Consequence(False, "takes it as background"),
    EMPTY_LABELS: Consequence(False, "takes it as background"),
    TWO_LABEL_FILES: Consequence(False, "reads the first"),
    LISTED_TWICE: Consequence(False, "takes it as often as it is listed"),
    BOX_TWICE: Consequence(False, "counts it twice"),
    OVER_BORDER: Consequence(False, "cuts it to learn, scores it as it is"),
    TINY_BOX: Consequence(False, "cannot learn it"),
    UNSEEN_IN_TRAIN: Consequence(False, "cannot learn it"),
    UNSEEN_IN_VALID: Consequence(False, "leaves it out of the mean"),
    IN_BOTH_LISTS: Consequence(False, "uses it for both; the score flatters"),
}


@dataclass(frozen=True)
class LabeledImage:
    """An image that exists, its size (height, width) and its ground truth. difficult: boxes that count neither way.

    labels: the file that the ground truth comes from; lines: which of its lines each box stands in.
    """

    path: Path
    size: tuple[int, int]
    ground_truth: LabeledBoxes
    difficult: LabeledBoxes
    labels: Path | None = None
    lines: tuple[int, ...] = ()


@dataclass(frozen=True)
class CheckedSet:
    """The usable images of a list, in its order; what was wrong with the others; what is odd about these."""

    images: tuple[LabeledImage, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[Problem, ...] = ()


def check_list(
    path: str | Path, classes: int, channels: int, difficult: str | Path | None = None
) -> CheckedSet:
    """Read every image and label file that a list names.

    difficult: a list parallel to it, whose images' label files hold the difficult boxes (AlexeyAB's key).
    An image whose labels are partly out of range keeps the good ones; one without a label file has no objects,
    as in AlexeyAB's Darknet; one that cannot be read, or whose labels cannot, is left out.
    Raises DatasetError for an empty list and for lists of unequal length.
    """
    entries = read_entries(path)
    aside: list[Path | None] = list(read_list(difficult)) if difficult else [None] * len(entries)
    if len(aside) != len(entries):
        raise DatasetError(
            f"{difficult}: found {len(aside)} entries, expected {len(entries)} as in {path}"
        )
    listed = [image for _, image in entries]
    images, problems, remarks = [], [], _listed_twice(path, entries)
    with ThreadPoolExecutor(READERS) as pool:
        checked = pool.map(
            lambda pair: _check(*pair, classes, channels), zip(listed, aside, strict=True)
        )
        for image, found in progress(checked, f"checking {Path(path).name}", len(entries)):
            for each in found:
                (remarks if _is_remark(each) else problems).append(each)
            if image is not None:
                images.append(image)
    return CheckedSet(tuple(images), tuple(problems), tuple(remarks))


def stopping(problems: Iterable[Problem]) -> list[Problem]:
    """Those that stop a run, unless it is told to leave them out."""
    return [problem for problem in problems if CONSEQUENCES[problem.kind].stops]


def problem_lines(problems: Iterable[Problem], shown: int = 3) -> Iterator[str]:
    """ "count x kind", and below it the first `shown` of that kind."""
    by_kind: dict[str, list[str]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem.message)
    for kind, messages in by_kind.items():
        yield f"{len(messages)} x {kind}"
        yield from (f"  {message}" for message in messages[:shown])
        if len(messages) > shown:
            yield f"  ... and {len(messages) - shown} more"


def objects_per_class(images: Iterable[LabeledImage], classes: int) -> list[int]:
    """How many boxes of each class there are."""
    counts = Counter(label for image in images for label in image.ground_truth.labels.tolist())
    return [counts[label] for label in range(classes)]


def tiny_boxes(
    images: Iterable[LabeledImage],
    size: tuple[int, int],
    placed: Callable[[tuple[int, int], tuple[int, int]], Placement],
) -> list[Problem]:
    """Boxes that are less than a pixel wide or high in a network input of `size` (height, width).

    placed: `letterbox.stretched` or `letterbox.letterboxed`, as the run sees its images.
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


def unseen_classes(
    images: Sequence[LabeledImage], names: Sequence[str], kind: str
) -> list[Problem]:
    """Classes that no image has an object of; kind: UNSEEN_IN_TRAIN or UNSEEN_IN_VALID."""
    counts = objects_per_class(images, len(names))
    return [
        Problem(kind, f"class {label}, {name}: found no object in {len(images)} images")
        for label, (name, count) in enumerate(zip(names, counts, strict=True))
        if count == 0
    ]


def in_both_lists(train: Iterable[LabeledImage], valid: Iterable[LabeledImage]) -> list[Problem]:
    """Images of `valid` that are in `train` too, by their paths."""
    known = {os.path.abspath(image.path) for image in train}
    return [
        Problem(IN_BOTH_LISTS, f"{image.path}: found in train and in valid")
        for image in valid
        if os.path.abspath(image.path) in known
    ]


def _is_remark(problem: Problem) -> bool:
    # an image without labels stops nothing but has always been told among what is wrong with a list
    return not CONSEQUENCES[problem.kind].stops and problem.kind != MISSING_LABELS


def _listed_twice(path: str | Path, entries: Sequence[tuple[int, Path]]) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for line, image in entries:
        before = first.setdefault(os.path.abspath(image), line)
        if before != line:
            message = f"{path}:{line}: found {image} again, first in line {before}"
            problems.append(Problem(LISTED_TWICE, message))
    return problems


def _check(
    path: Path, aside: Path | None, classes: int, channels: int
) -> tuple[LabeledImage | None, list[Problem]]:
    try:
        size = read_image(path, channels).shape[:2]
    except FileNotFoundError:
        return None, [Problem(MISSING_IMAGE, f"{path}: no such file")]
    except (DatasetError, OSError) as error:
        return None, [Problem(BROKEN_IMAGE, str(error))]
    try:
        labels, rows, problems = _rows(path, classes)
        _, rows_aside, more = _rows(aside, classes) if aside is not None else (None, [], [])
    except OSError as error:
        fault = f"{error.filename or label_candidates(path)[0]}: {error.strerror}"
        return None, [Problem(UNREADABLE_LABELS, fault)]
    # the list of difficult boxes is full of images that have none
    problems += [problem for problem in more if problem.kind != EMPTY_LABELS]
    lines = tuple(line for line, _ in rows)
    size = int(size[0]), int(size[1])
    return LabeledImage(
        path, size, labeled_boxes(rows), labeled_boxes(rows_aside), labels, lines
    ), problems


def _rows(image: Path, classes: int) -> tuple[Path | None, list[Row], list[Problem]]:
    """An image's label file, its usable rows, and what is wrong or odd there; without a file there is no row."""
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
            message = f"{labels}:1: found {other} too, which says something else"
            problems.append(Problem(TWO_LABEL_FILES, message))
    return labels, rows, [*problems, *_odd_boxes(labels, rows)]


def _odd_boxes(path: Path, rows: list[Row]) -> list[Problem]:
    """Boxes that a file has twice, and those whose center is in the image but not all of the rest."""
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
