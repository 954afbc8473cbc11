"""Read a classifier's data set, folders or a list: images with their classes, and problems."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from yolo.console.progress import progress
from yolo.data.check import problem_lines, readable_size
from yolo.data.parallel import in_threads
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError, counted
from yolo.files.folders import visible
from yolo.files.located import locate
from yolo.formats.label_files import list_lines
from yolo.names_file import read_names
from yolo.records import Problem

log = logging.getLogger(__name__)

UNKNOWN_FOLDER = "folder that is no class"
STRAY_FILE = "file that is no image of a class"
NO_CLASS = "path without a class"
SEVERAL_CLASSES = "path with several classes"
UNSEEN_CLASS = "class without an image"
HARMLESS = (STRAY_FILE, UNSEEN_CLASS)  # these problems are logged, but stop no run
SHOWN_CLASSES = 5  # in a message


@dataclass(frozen=True)
class ClassifiedImage:
    """A readable image and the number of its class."""

    path: Path
    label: int


class Classified(NamedTuple):
    """The usable images of a data set, in its order, and its problems."""

    images: tuple[ClassifiedImage, ...]
    problems: tuple[Problem, ...]


def read_classified(path: str | Path, names: Sequence[str], channels: int = 3) -> Classified:
    """Read a classifier's data set: a folder with one folder per class, or a list with one path per line.

    Folders: all images in and below the folders that are named as a class; hidden files are skipped. Lists: the class
    of an image is the one folder or file of its path that is named as a class, otherwise the one class name inside
    the path. Darknet (data.c fill_truth) has only the latter rule, and trains a path with two names for both classes.
    Every image is decoded once. Unreadable images and paths of no class or of several are problems.

    Args:
        path: The folder or the list.
        names: Names of the classes.
        channels: Of the network input, 1 or 3.

    Raises:
        DatasetError: A name occurs twice in `names`, or there is no image.
        OSError: `path` does not exist.
    """
    path, labels = Path(path), _labels(names)
    found, problems = _read_folders(path, labels) if path.is_dir() else _read_list(path, labels)
    if not found and not problems:
        what = "one folder a class" if path.is_dir() else "one path a line"
        raise DatasetError(f"{path}: found no image, expected {what}")
    sizes = in_threads(lambda image: readable_size(image.path, channels), found)
    checked = [*zip(found, progress(sizes, f"checking {path.name}", len(found)), strict=True)]
    images = [image for image, size in checked if not isinstance(size, Problem)]
    broken = [size for _, size in checked if isinstance(size, Problem)]
    counts = images_per_class(images, len(names))
    unseen = [
        Problem(UNSEEN_CLASS, f"{path}: found no usable image of class {label}, {names[label]!r}")
        for label, count in enumerate(counts)
        if count == 0
    ]
    return Classified(tuple(images), (*problems, *broken, *unseen))


def read_class_names(path: Path, classes: int) -> list[str]:
    """Return the first `classes` names of a list; Darknet's list for ImageNet has more. Raise DatasetError if it is
    shorter."""
    names = read_names(path)
    if len(names) < classes:
        raise DatasetError(f"{path}: found {counted(len(names), 'name')}, expected at least {classes}")
    return names[:classes]


def read_class_images(
    path: Path, labels: Sequence[str], channels: int, skip_problems: bool
) -> tuple[ClassifiedImage, ...]:
    """Return the usable images of a data set. Log their number and the problems of the others.

    Args:
        path: the folder or list, as for `read_classified`.
        labels: names of the classes.
        channels: of the network input.
        skip_problems: leave images with problems out instead of stopping.

    Raises:
        DatasetError: no image is usable, or one has a problem and `skip_problems` is false.
    """
    images, problems = read_classified(path, labels, channels)
    counts = images_per_class(images, len(labels))
    log.info(
        "%s: %s of %s, %d to %d a class",
        path, counted(len(images), "image"), counted(len(labels), "class"), min(counts), max(counts),
    )  # fmt: skip
    for line in problem_lines(problems):
        log.warning("%s", line)
    serious = [problem for problem in problems if problem.kind not in HARMLESS]
    if serious and not skip_problems:
        raise DatasetError(
            f"{path}: found {counted(len(serious), 'problem')}, the first: {serious[0].message}; "
            "correct them, or leave these images out with --on-problem skip"
        )
    if not images:
        raise DatasetError(f"{path}: found no usable image")
    return images


def images_per_class(images: Iterable[ClassifiedImage], classes: int) -> list[int]:
    """Return the number of images of each class."""
    counts = Counter(image.label for image in images)
    return [counts[label] for label in range(classes)]


def class_of(path: str, labels: Mapping[str, int]) -> list[int]:
    """Return the classes that a path matches, exactly one if it is unambiguous (data.c fill_truth).

    Names of a folder or the file of the path, with or without its ending, override names inside the path.
    labels: class by name.
    """
    file = PurePosixPath(path.replace("\\", "/"))
    whole = sorted(labels[part] for part in {*file.parts, file.stem} if part in labels)
    return whole or [label for name, label in labels.items() if name in path]


def _labels(names: Sequence[str]) -> dict[str, int]:
    """Return the number of each class by its name."""
    counts = Counter(names)
    twice = [name for name in counts if counts[name] > 1 or not name]
    if twice:
        found = f"found the class name {twice[0]!r} {counts[twice[0]]} times"
        raise DatasetError(f"{found}, expected a different name for every class")
    return {name: label for label, name in enumerate(names)}


def _read_folders(path: Path, labels: Mapping[str, int]) -> tuple[list[ClassifiedImage], list[Problem]]:
    found, problems = [], []
    for entry in visible(path):
        if entry.name not in labels:
            kind = UNKNOWN_FOLDER if entry.is_dir() else STRAY_FILE
            problems.append(Problem(kind, f"{entry}: expected {_shown(labels)}"))
        elif not entry.is_dir():
            problems.append(Problem(STRAY_FILE, f"{entry}: expected a folder of images"))
        else:
            for file in _files(entry):
                if file.suffix.lower() in IMAGE_ENDINGS:
                    found.append(ClassifiedImage(file, labels[entry.name]))
                else:
                    endings = " ".join(IMAGE_ENDINGS)
                    problems.append(Problem(STRAY_FILE, f"{file}: expected one of {endings}"))
    return found, problems


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files in and below a folder, in the same order on every machine."""
    for entry in visible(folder):
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _read_list(path: Path, labels: Mapping[str, int]) -> tuple[list[ClassifiedImage], list[Problem]]:
    names = list(labels)
    found, problems = [], []
    for number, entry in list_lines(path):
        classes = class_of(entry, labels)
        if len(classes) == 1:
            found.append(ClassifiedImage(locate(entry, path.parent), classes[0]))
            continue
        several = ", ".join(names[label] for label in classes[:SHOWN_CLASSES])
        held = f"the classes {several}" if classes else "no class"
        message = f"{path}:{number}: found {held} in {entry!r}, expected {_shown(labels)}"
        problems.append(Problem(SEVERAL_CLASSES if classes else NO_CLASS, message))
    return found, problems


def _shown(labels: Mapping[str, int]) -> str:
    """Return for a message: `one of the 20 classes cat, dog, ...`."""
    more = ", ..." if len(labels) > SHOWN_CLASSES else ""
    return f"one of the {len(labels)} classes {', '.join(list(labels)[:SHOWN_CLASSES])}{more}"
