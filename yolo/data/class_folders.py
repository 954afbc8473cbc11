"""Read a classifier's data set, folders or a list: images with their classes, and problems."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from yolo.cfg import locate
from yolo.console import progress
from yolo.data.check import BROKEN_IMAGE, MISSING_IMAGE, READERS
from yolo.data.images import IMAGE_ENDINGS, read_image
from yolo.errors import DatasetError
from yolo.records import Problem

UNKNOWN_FOLDER = "folder that is no class"
STRAY_FILE = "file that is no image of a class"
NO_CLASS = "path without a class"
SEVERAL_CLASSES = "path with several classes"
UNSEEN_CLASS = "class without an image"
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
    the path. Darknet (data.c fill_truth) knows only the latter, and trains a path with two names for both classes.
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
    images, broken = _checked(found, f"checking {path.name}", channels)
    counts = images_per_class(images, len(names))
    unseen = [
        Problem(UNSEEN_CLASS, f"{path}: found no usable image of class {label}, {names[label]!r}")
        for label, count in enumerate(counts)
        if count == 0
    ]
    return Classified(tuple(images), (*problems, *broken, *unseen))


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
        raise DatasetError(
            f"found the class name {twice[0]!r} {counts[twice[0]]} times, "
            "expected a different name for every class"
        )
    return {name: label for label, name in enumerate(names)}


def _read_folders(
    path: Path, labels: Mapping[str, int]
) -> tuple[list[ClassifiedImage], list[Problem]]:
    found, problems = [], []
    for entry in _visible(path):
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


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files in and below a folder, in the same order on every machine."""
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _read_list(
    path: Path, labels: Mapping[str, int]
) -> tuple[list[ClassifiedImage], list[Problem]]:
    names = list(labels)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if "\0" in text:
        raise DatasetError(f"{path}: found zero bytes, expected a text of one path a line")
    found, problems = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry:
            continue
        classes = class_of(entry, labels)
        if len(classes) == 1:
            found.append(ClassifiedImage(locate(entry, path.parent), classes[0]))
            continue
        several = ", ".join(names[label] for label in classes[:SHOWN_CLASSES])
        held = f"the classes {several}" if classes else "no class"
        problems.append(
            Problem(
                SEVERAL_CLASSES if classes else NO_CLASS,
                f"{path}:{number}: found {held} in {entry!r}, expected {_shown(labels)}",
            )
        )
    return found, problems


def _shown(labels: Mapping[str, int]) -> str:
    """Return for a message: `one of the 20 classes cat, dog, ...`."""
    more = ", ..." if len(labels) > SHOWN_CLASSES else ""
    return f"one of the {len(labels)} classes {', '.join(list(labels)[:SHOWN_CLASSES])}{more}"


def _checked(
    found: Sequence[ClassifiedImage], description: str, channels: int
) -> tuple[list[ClassifiedImage], list[Problem]]:
    """Return the readable images, and a problem for each of the others."""
    with ThreadPoolExecutor(READERS) as pool:
        faults = pool.map(lambda each: _fault(each.path, channels), found)
        pairs = list(zip(found, progress(faults, description, len(found)), strict=True))
    images = [image for image, fault in pairs if fault is None]
    return images, [fault for _, fault in pairs if fault is not None]


def _fault(path: Path, channels: int) -> Problem | None:
    try:
        read_image(path, channels)
    except FileNotFoundError:
        return Problem(MISSING_IMAGE, f"{path}: no such file")
    except (DatasetError, OSError) as error:
        return Problem(BROKEN_IMAGE, str(error))
    return None
