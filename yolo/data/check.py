"""Check a data set before training: every list entry, label file and image.

A problem is data that cannot be used: it stops the run or is left out. A warning is data that can be used but is
probably a mistake. `HANDLING` lists all kinds, and what a run does with them.

Files that have not changed since the last check are not read again (`yolo/data/check_cache.py`).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from yolo.console.progress import progress
from yolo.data.augment.geometry import SMALLEST_SIDE
from yolo.data.check_cache import (
    LEAST_ENTRIES,
    NO_ENTRY,
    CheckedEntries,
    KnownEntries,
    entry_files,
    pack_entries,
    read_entries_of,
    write_entries_of,
)
from yolo.data.images import Remark, log_remark, pixel_limit, read_image
from yolo.data.labeled_images import LabeledImage, LabeledImages, TextPacking, Texts, packed
from yolo.data.parallel import in_threads
from yolo.errors import DatasetError, counted
from yolo.files.located import tried_places
from yolo.formats.label_files import ROUNDING, Row, label_candidates, label_files, labeled_boxes, list_lines, read_rows
from yolo.records import Problem, Size

if TYPE_CHECKING:
    from yolo.letterbox import Placement

MISSING_IMAGE = "image that is not there"
BROKEN_IMAGE = "image that cannot be read"
ODD_IMAGE = "image that is damaged and can be read"
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


@dataclass(frozen=True)
class Handling:
    """What a run does with a kind of problem: whether it stops, and what it does if it continues."""

    stops: bool
    action: str


HANDLING = {  # in the order of tables: those that stop a run first
    MISSING_IMAGE: Handling(True, "leaves it out"),
    BROKEN_IMAGE: Handling(True, "leaves it out"),
    UNREADABLE_LABELS: Handling(True, "leaves the image out"),
    BAD_LABEL: Handling(True, "leaves this box out"),
    ODD_IMAGE: Handling(False, "uses it"),
    MISSING_LABELS: Handling(False, "takes it as background"),
    EMPTY_LABELS: Handling(False, "takes it as background"),
    TWO_LABEL_FILES: Handling(False, "reads the first"),
    LISTED_TWICE: Handling(False, "takes it as often as it is listed"),
    BOX_TWICE: Handling(False, "counts it twice"),
    OVER_BORDER: Handling(False, "cuts it to learn, scores it as it is"),
    TINY_BOX: Handling(False, "cannot learn it"),
    UNSEEN_IN_TRAIN: Handling(False, "cannot learn it"),
    UNSEEN_IN_VALID: Handling(False, "leaves it out of the mean"),
    IN_BOTH_LISTS: Handling(False, "uses it for both; the score is too high"),
}


@dataclass(frozen=True)
class CheckedSet:
    """The usable images of a list, in its order; the problems of the others; warnings about the usable ones."""

    images: LabeledImages
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, eq=False)
class _Listed:
    """The N entries of a list: images; difficult, empty without such a list; numbers: int64 `[N]`, of the lines; keys:
    uint64 `[N]`, of the states of their files."""

    images: Texts
    difficult: Texts
    numbers: np.ndarray
    keys: np.ndarray


def check_list(
    path: str | Path,
    classes: int,
    channels: int,
    difficult: str | Path | None = None,
    recheck: bool = False,
) -> CheckedSet:
    """Read every image of a list, and its label file, unless they have not changed since the last check.

    An image keeps its valid labels if others are out of range. Without a label file it has no objects, as in
    AlexeyAB's Darknet. An image is left out if it or its label file cannot be read.

    Args:
        path: The list, one image per line.
        classes: Number of classes.
        channels: Of the network input, 1 or 3.
        difficult: A list of equal length; the label files of its images hold the difficult boxes (AlexeyAB's key).
        recheck: Read all files, also those that are known from an earlier check.

    Raises:
        DatasetError: The list is empty, or the lists differ in length.
    """
    listed = _read_listed(path, difficult, f"{classes} classes, {channels} channels, {pixel_limit()} pixels")
    keeps = len(listed.images) >= LEAST_ENTRIES
    known = read_entries_of(Path(path)) if keeps and not recheck else None
    if known is not None and np.array_equal(known.keys, listed.keys):
        entries = known
    else:
        found = _found(listed, known and KnownEntries(known), classes, channels)
        entries = pack_entries(listed.keys, progress(found, f"checking {Path(path).name}", len(listed.images)))
        if keeps:
            write_entries_of(Path(path), entries)
    return _checked_set(path, listed, entries)


def _read_listed(path: str | Path, difficult: str | Path | None, settings: str) -> _Listed:
    """Read the list and look at its files, without reading them."""
    folders = str(Path(path).parent), str(Path(difficult).parent) if difficult else ""
    look = partial(entry_files, folders=folders, settings=settings)
    images, aside, numbers, keys = TextPacking(), TextPacking(), array("q"), array("Q")
    entries = _lines_of_both(path, difficult, numbers)
    for files in progress(in_threads(look, entries), f"looking for changes in {Path(path).name}"):
        images.add(files.image)
        keys.append(files.key)
        if files.difficult is not None:
            aside.add(files.difficult)
    if not keys:
        raise DatasetError(f"{path}: found no image, expected one path a line")
    return _Listed(images.finish(), aside.finish(), np.array(numbers), np.array(keys))


def _lines_of_both(path: str | Path, difficult: str | Path | None, numbers: array) -> Iterator[tuple[str, str | None]]:
    """Yield the lines of a list with those of the list of difficult boxes, and note the numbers of the former."""
    others = list_lines(difficult) if difficult else None
    more = 0
    for number, line in list_lines(path):
        other = next(others, None) if others else None
        if others and other is None:
            more += 1
            continue
        numbers.append(number)
        yield line, other and other[1]
    rest = sum(1 for _ in others) if others else 0
    if more or rest:
        found, expected = len(numbers) + rest, len(numbers) + more
        raise DatasetError(f"{difficult}: found {counted(found, 'line')}, expected {expected} as in {path}")


def _found(
    listed: _Listed, known: KnownEntries | None, classes: int, channels: int
) -> Iterator[tuple[LabeledImage | None, list[Problem]]]:
    """Yield the result of each entry, known from an earlier check or read now."""
    count = len(listed.images)
    places = np.full(count, NO_ENTRY) if known is None else known.find(listed.keys)

    def result(entry: int) -> tuple[LabeledImage | None, list[Problem]]:
        if places[entry] != NO_ENTRY:
            return known.get(int(places[entry]))
        difficult = Path(listed.difficult[entry]) if len(listed.difficult) else None
        return _check(Path(listed.images[entry]), difficult, classes, channels)

    return in_threads(result, range(count))


def _checked_set(path: str | Path, listed: _Listed, entries: CheckedEntries) -> CheckedSet:
    found = [_with_place(path, listed, *each) for each in entries.problems]
    warnings = [*_listed_twice(path, listed), *filter(_is_warning, found)]
    problems = [problem for problem in found if not _is_warning(problem)]
    return CheckedSet(entries.images, tuple(problems), tuple(warnings))


def _with_place(path: str | Path, listed: _Listed, entry: int, problem: Problem) -> Problem:
    """Add the line of the list, and where the image was looked for, to the problem of a missing image."""
    if problem.kind != MISSING_IMAGE:
        return problem
    tried = tried_places(listed.images[entry], str(Path(path).parent))
    return Problem(MISSING_IMAGE, f"{path}:{listed.numbers[entry]}: {problem.message}; {tried}")


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
    return np.bincount(packed(images).ground_truth.labels, minlength=classes)[:classes].tolist()


def tiny_boxes(images: Iterable[LabeledImage], size: Size, placed: Callable[[Size, Size], Placement]) -> list[Problem]:
    """Return a warning for each box that is less than a pixel wide or high in a network input of `size`.

    size: (height, width); placed: `letterbox.stretched` or `letterbox.letterboxed`.
    """
    images = packed(images)
    sides = box_sides(images, size, placed)
    problems = []
    for box in np.flatnonzero((sides < SMALLEST_SIDE).any(axis=1)):
        image = images[int(np.searchsorted(images.ground_truth.ends, box, side="right"))]
        height, width = placed(image.size, size).content
        found = f"{sides[box][0]:.2g} x {sides[box][1]:.2g} pixels of {width} x {height}"
        place = f"{image.labels}:{images.ground_truth.lines[box]}"
        problems.append(Problem(TINY_BOX, f"{place}: found a box of {found}, expected 1 x 1"))
    return problems


def box_sides(images: LabeledImages, size: Size, placed: Callable[[Size, Size], Placement]) -> np.ndarray:
    """Return (width, height) of all boxes in pixels of a network input, float64 `[M, 2]`; see `network_boxes`."""
    return network_boxes(images, size, placed)[:, 2:]


def network_boxes(images: LabeledImages, size: Size, placed: Callable[[Size, Size], Placement]) -> np.ndarray:
    """Return all boxes cxcywh in pixels of a network input of `size` (height, width), float64 `[M, 4]`.

    placed: `letterbox.stretched` or `letterbox.letterboxed`.
    """
    different, which = np.unique(images.sizes, axis=0, return_inverse=True)
    placements = [placed(tuple(each), size) for each in different.tolist()]
    content = np.array([each.content[::-1] for each in placements], np.float64).reshape(-1, 2)
    offset = np.array([each.offset[::-1] for each in placements], np.float64).reshape(-1, 2)
    of_box = which.ravel()[images.ground_truth.image_index()]
    boxes = images.ground_truth.boxes
    return np.concatenate((boxes[:, :2] * content[of_box] + offset[of_box], boxes[:, 2:] * content[of_box]), axis=1)


def problems_of_lists(
    names: Sequence[str],
    train: CheckedSet | None,
    valid: CheckedSet | None,
    view: tuple[Size, Callable[[Size, Size], Placement]] | None,
) -> list[Problem]:
    """Return all problems of both lists, grouped by kind in the order of HANDLING: those that stop a run first.

    Args:
        names: of the classes.
        train, valid: the checked lists; None where there is none.
        view: the network input and how images are placed in it, as `tiny_boxes` takes them; None without a network.
    """
    found = []
    for checked, kind in ((train, UNSEEN_IN_TRAIN), (valid, UNSEEN_IN_VALID)):
        if checked is not None:
            found += [*checked.problems, *checked.warnings, *unseen_classes(checked.images, names, kind)]
    if train is not None and view is not None:
        found += tiny_boxes(train.images, *view)
    if train is not None and valid is not None:
        found += in_both_lists(train.images, valid.images)
    order = list(HANDLING)
    return sorted(found, key=lambda problem: order.index(problem.kind))


def unseen_classes(images: Sequence[LabeledImage], names: Sequence[str], kind: str) -> list[Problem]:
    """Return a warning for each class without an object; kind: UNSEEN_IN_TRAIN or UNSEEN_IN_VALID."""
    counts = objects_per_class(images, len(names))
    return [
        Problem(kind, f"class {label}, {name}: found no object in {counted(len(images), 'image')}")
        for label, (name, count) in enumerate(zip(names, counts, strict=True))
        if count == 0
    ]


def in_both_lists(train: Iterable[LabeledImage], valid: Iterable[LabeledImage]) -> list[Problem]:
    """Return a warning for each image of `valid` whose path is also in `train`."""
    paths = list(packed(valid).paths)
    wanted = set(map(os.path.abspath, paths))
    both = {path for path in map(os.path.abspath, packed(train).paths) if path in wanted}
    return [
        Problem(IN_BOTH_LISTS, f"{path}: found in train and in valid")
        for path in paths
        if os.path.abspath(path) in both
    ]


def _is_warning(problem: Problem) -> bool:
    # A missing label file does not stop a run, but every command lists it with the problems.
    return not HANDLING[problem.kind].stops and problem.kind != MISSING_LABELS


def _listed_twice(path: str | Path, listed: _Listed) -> list[Problem]:
    """Return a warning for each entry whose path is that of an earlier one."""
    hashes = np.fromiter((hash(os.path.abspath(image)) for image in listed.images), np.int64, len(listed.images))
    ordered = np.sort(hashes)
    repeated = np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])  # a path for each entry would take 30 MB
    first: dict[str, int] = {}
    problems = []
    for entry in np.flatnonzero(repeated):
        image, line = Path(listed.images[entry]), int(listed.numbers[entry])
        before = first.setdefault(os.path.abspath(image), line)
        if before != line:
            message = f"{path}:{line}: found {image} again, first in line {before}"
            problems.append(Problem(LISTED_TWICE, message))
    return problems


def readable_size(path: Path, channels: int, remark: Remark = log_remark) -> Size | Problem:
    """Return the (height, width) of an image, or why it cannot be read; remark: as `read_image` takes it."""
    try:
        height, width = read_image(path, channels, remark).shape[:2]
    except FileNotFoundError:
        return Problem(MISSING_IMAGE, f"{path}: no such file")
    except (DatasetError, OSError) as error:
        return Problem(BROKEN_IMAGE, str(error))
    return height, width


def _check(
    path: Path, difficult: Path | None, classes: int, channels: int
) -> tuple[LabeledImage | None, list[Problem]]:
    remarks: list[str] = []
    size = readable_size(path, channels, remarks.append)
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
    problems += [Problem(ODD_IMAGE, remark) for remark in remarks]
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
