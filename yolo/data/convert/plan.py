"""What a conversion writes, checked before anything is written: images, label rows, classes; and the writing.

`voc.py` and `coco.py` make plans; `write_plan` writes label files, lists, names and the .data file that Darknet needs.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from yolo.console import progress
from yolo.files import write_new, write_text
from yolo.records import Problem

# Both Darknets look for the labels of such a folder in `labels` beside it.
IMAGE_FOLDER = "JPEGImages"
MAX_OVERHANG = 1  # pixels; many data sets count from 0, but more than a pixel is a mistake
NO_AREA = "box without an area"
OUTSIDE = "box outside the image"
UNKNOWN = "unknown class"
BOX_KINDS = (NO_AREA, OUTSIDE, UNKNOWN)  # of one box; the others concern a file or an entry
POOL_FROM = 1000  # items; fewer take less time than starting processes
POOL_CHUNK = 250  # items that a process gets at once
MAX_PROCESSES = 8  # with more, the disk limits the speed
Item = TypeVar("Item")
Result = TypeVar("Result")


class LabelRow(NamedTuple):
    """A row of a label file. box: "cx cy w h". difficult: kept apart, as evaluation ignores it."""

    label: int
    difficult: bool
    box: str


@dataclass(frozen=True)
class PlannedImage:
    """An image of a list: the folder that it lies in, and its label rows.

    difficult_name: its name in the list of difficult boxes. left_out: how many objects cannot become rows.
    """

    folder: Path
    name: str
    difficult_name: str
    is_there: bool
    rows: tuple[LabelRow, ...]
    left_out: int

    @property
    def path(self) -> str:
        """The file of the image."""
        return f"{self.folder}/{self.name}"

    @property
    def label_name(self) -> str:
        """The name of its label file."""
        return os.path.splitext(self.name)[0] + ".txt"


@dataclass(frozen=True)
class Plan:
    """Everything that a conversion writes, and every problem it found."""

    train: tuple[PlannedImage, ...]
    valid: tuple[PlannedImage, ...]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class LabelHome:
    """Folders for the images of one folder: `images`, as lists name it; `labels`; `difficult`, for difficult boxes."""

    images: Path
    labels: Path
    difficult: Path


def write_plan(plan: Plan, homes: Mapping[Path, LabelHome], out: Path, name: str, keep_difficult: bool = False) -> None:
    """Write labels, then lists, and `NAME.data` last; the same plan gives the same bytes.

    An older `NAME.data` is deleted first, so that it never lies beside labels of another plan.

    Args:
        plan: What to write.
        homes: Folder of images → its home.
        out: Folder of the lists, the names and the .data file.
        name: Of the .names and .data file.
        keep_difficult: Write difficult boxes into the ordinary labels; otherwise those of `valid` go to files of
            their own, and those of `train` nowhere.

    Raises:
        OSError: A file cannot be written.
    """
    (out / "backup").mkdir(parents=True, exist_ok=True)
    for old in (f"{name}.data", "difficult.txt", "problems.txt"):
        (out / old).unlink(missing_ok=True)
    for folder, home in homes.items():
        _make_folders(folder, home, keep_difficult)
    files = _label_files(plan, homes, keep_difficult)
    for _ in map_in_processes(_write_label_file, files, "writing labels"):
        pass
    values = {"classes": str(len(plan.names))}
    for split, images in (("train", plan.train), ("valid", plan.valid)):
        paths = (f"{homes[each.folder].images}/{each.name}" for each in images)
        values[split] = _write_lines(out / f"{split}.txt", paths)
    values["names"] = _write_lines(out / f"{name}.names", plan.names)
    values["backup"] = str(out / "backup")
    if not keep_difficult:
        paths = (f"{homes[each.folder].difficult}/{IMAGE_FOLDER}/{each.difficult_name}" for each in plan.valid)
        values["difficult"] = _write_lines(out / "difficult.txt", paths)
    if plan.problems:
        problems = (f"{each.kind}: {each.message}" for each in plan.problems)
        _write_lines(out / "problems.txt", problems)
    _write_lines(out / f"{name}.data", (f"{key} = {value}" for key, value in values.items()))


def map_in_processes(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> Iterator[Result]:
    """Do what `map` does, with a progress bar, in several processes if there are many items and several cores."""
    processes = min(_cores(), MAX_PROCESSES)
    if processes == 1 or len(items) < POOL_FROM:
        yield from progress(map(function, items), description, len(items))
        return
    ignore_interrupts = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is left to the parent process
    with ProcessPoolExecutor(processes, None, signal.signal, ignore_interrupts) as pool:
        results = pool.map(function, items, chunksize=POOL_CHUNK)
        yield from progress(results, description, len(items))


def _make_folders(folder: Path, home: LabelHome, keep_difficult: bool) -> None:
    home.labels.mkdir(parents=True, exist_ok=True)
    if not keep_difficult:
        (home.difficult / "labels").mkdir(parents=True, exist_ok=True)
    link = home.images
    if link != folder and not (link.is_symlink() and link.readlink() == folder):
        if link.is_symlink():
            link.unlink()
        link.symlink_to(folder)


def _label_files(plan: Plan, homes: Mapping[Path, LabelHome], keep_difficult: bool) -> list[tuple[str, str]]:
    """Return (path, text) of every label file: the ordinary ones, then the difficult ones of `valid`."""
    files = {}
    for image in plan.train + plan.valid:
        rows = (row for row in image.rows if keep_difficult or not row.difficult)
        files[f"{homes[image.folder].labels}/{image.label_name}"] = _label_text(rows)
    if not keep_difficult:
        for image in plan.valid:
            path = f"{homes[image.folder].difficult}/labels/{image.label_name}"
            files[path] = _label_text(row for row in image.rows if row.difficult)
    return list(files.items())


def _label_text(rows: Iterable[LabelRow]) -> str:
    return "".join(f"{row.label} {row.box}\n" for row in rows)


def _write_label_file(file: tuple[str, str]) -> None:
    """Write one label file in place; nothing points at it until the .data file is there."""
    write_new(*file)


def _write_lines(path: Path, lines: Iterable[str]) -> str:
    """Write a file of lines and return its path."""
    write_text(path, "".join(f"{line}\n" for line in lines))
    return str(path)


def _cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
