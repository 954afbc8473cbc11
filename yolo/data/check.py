"""A look at the whole data set before training: every list entry, label and picture, named where it is faulty.

What is found wrong is named and counted by kind; `usable` then leaves it out, or the caller stops.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.console import progress
from yolo.data.labels import Truth, find_labels, label_candidates, read_labels, read_list
from yolo.data.pictures import read_picture
from yolo.data.voc import Problem
from yolo.errors import DatasetError

MISSING_PICTURE = "picture that is not there"
BROKEN_PICTURE = "picture that cannot be read"
MISSING_LABELS = "picture without a label file"
BAD_LABEL = "label out of range"

READERS = 4  # threads; decoding releases Python's lock


@dataclass(frozen=True)
class LabelledPicture:
    """A picture that exists, its size (height, width) and its truth. difficult: boxes that count neither way."""

    path: Path
    size: tuple[int, int]
    truth: Truth
    difficult: Truth


@dataclass(frozen=True)
class CheckedSet:
    """The usable pictures of a list, in its order, and everything that was wrong with the others."""

    pictures: tuple[LabelledPicture, ...]
    problems: tuple[Problem, ...]


def check_list(
    path: str | Path, classes: int, channels: int, difficult: str | Path | None = None
) -> CheckedSet:
    """Read every picture and label file that a list names.

    difficult: a list parallel to it, whose pictures' label files hold the difficult boxes (AlexeyAB's key).
    A picture whose labels are partly out of range keeps the good ones; one without a label file has no objects,
    as in AlexeyAB's Darknet; one that cannot be read is left out.
    Raises DatasetError for an empty list and for lists of unequal length.
    """
    entries = read_list(path)
    aside: list[Path | None] = list(read_list(difficult)) if difficult else [None] * len(entries)
    if len(aside) != len(entries):
        raise DatasetError(
            f"{difficult}: found {len(aside)} entries, expected {len(entries)} as in {path}"
        )
    pictures, problems = [], []
    with ThreadPoolExecutor(READERS) as pool:
        checked = pool.map(
            lambda pair: _check(*pair, classes, channels), zip(entries, aside, strict=True)
        )
        for picture, found in progress(checked, f"checking {Path(path).name}", len(entries)):
            problems += found
            if picture is not None:
                pictures.append(picture)
    return CheckedSet(tuple(pictures), tuple(problems))


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


def objects_per_class(pictures: Iterable[LabelledPicture], classes: int) -> list[int]:
    """How many boxes of each class there are."""
    counts = Counter(label for picture in pictures for label in picture.truth.labels.tolist())
    return [counts[label] for label in range(classes)]


def _check(
    path: Path, aside: Path | None, classes: int, channels: int
) -> tuple[LabelledPicture | None, list[Problem]]:
    try:
        size = read_picture(path, channels).shape[:2]
    except FileNotFoundError:
        return None, [Problem(MISSING_PICTURE, f"{path}: no such file")]
    except (DatasetError, OSError) as error:
        return None, [Problem(BROKEN_PICTURE, str(error))]
    truth, problems = _truth(path, classes)
    difficult, more = _truth(aside, classes) if aside is not None else (_nothing(), [])
    problems += more
    return LabelledPicture(path, (int(size[0]), int(size[1])), truth, difficult), problems


def _truth(picture: Path, classes: int) -> tuple[Truth, list[Problem]]:
    """The boxes of a picture's label file; a missing file is a problem and no boxes."""
    labels = find_labels(picture)
    if labels is None:
        looked = ", ".join(str(candidate) for candidate in label_candidates(picture))
        return _nothing(), [Problem(MISSING_LABELS, f"{picture}: looked for {looked}")]
    truth, faults = read_labels(labels, classes)
    return truth, [Problem(BAD_LABEL, fault) for fault in faults]


def _nothing() -> Truth:
    return Truth(np.zeros(0, np.int64), np.zeros((0, 4)))
