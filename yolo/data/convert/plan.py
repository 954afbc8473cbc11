"""The plan of a conversion: images, label rows and classes, checked before any file is written; and its writing.

`voc.py` and `coco.py` make plans; `planned_labels` and `planned_lists` turn a plan into label files, lists, names and
the .data file that Darknet needs, and `write_files` writes them. Between the two, `ownership.py` checks that no other
file is replaced.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from pathlib import Path
from typing import NamedTuple, TypeVar

from yolo.console.progress import progress
from yolo.data.parallel import in_threads, usable_cores
from yolo.errors import DatasetError
from yolo.files.text import one_line
from yolo.files.writing import write_new, write_text
from yolo.records import Problem

# Both Darknets look for the labels of such a folder in `labels` beside it.
IMAGE_FOLDER = "JPEGImages"
BACKUP = "backup"  # folder of --out for the weights that training writes
MAX_OVERHANG = 1  # pixels; many data sets count from 0, so a pixel is ordinary
NO_AREA = "box without an area"
OUTSIDE = "box outside the image"
SHARED = "images that share a label file"
CLIPPED = "box cut at the border"
UNKNOWN = "unknown class"
NOT_THERE = "image that is not there"
LIKE_NAMES = "class names that differ only in case, blanks, - or _"
SEPARATORS = re.compile(r"[\s_-]+")
BOX_KINDS = (NO_AREA, OUTSIDE, UNKNOWN)  # of one box; the others concern a file or an entry
MINOR_KINDS = (*BOX_KINDS, NOT_THERE)  # left out, unless --on-problem stop
POOL_FROM = 1000  # items; fewer take less time than starting processes
POOL_CHUNK = 250  # items that a process or a thread gets at once
MAX_PROCESSES = 8  # with more, the disk limits the speed
Item = TypeVar("Item")
Result = TypeVar("Result")


class LabelRow(NamedTuple):
    """A row of a label file. box: "cx cy w h". difficult: goes to a separate file, because evaluation ignores it."""

    label: int
    difficult: bool
    box: str


class PlannedImage(NamedTuple):
    """An image of a list: its folder, and its label rows.

    difficult_name: its name in the list of difficult boxes. left_out: how many objects cannot become rows. key: what
    a split hashes; images of one key stay together. clipped, turned: how many boxes were cut at the border, and turned
    with the image.
    """

    folder: Path
    name: str
    difficult_name: str
    is_there: bool
    rows: tuple[LabelRow, ...]
    left_out: int
    key: str = ""
    clipped: int = 0
    turned: int = 0

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
    """Everything that a conversion writes, and every problem it found.

    valid: empty if there is no list to score on. repairs: what was repaired; nothing of it is left out.
    """

    train: tuple[PlannedImage, ...]
    valid: tuple[PlannedImage, ...]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]
    repairs: tuple[Problem, ...] = ()

    def without_missing(self) -> Plan:
        """Return a plan without missing images, which become problems; the plan itself if no image exists."""
        train, valid = (tuple(each for each in images if each.is_there) for images in (self.train, self.valid))
        if not (train or valid):
            return self
        gone = dict.fromkeys(each for each in self.train + self.valid if not each.is_there)
        problems = tuple(Problem(NOT_THERE, f"{each.path}: no such file, though it is annotated") for each in gone)
        return replace(self, train=train, valid=valid, problems=self.problems + problems)


def similar_names(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of class names that a person may have meant as one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(SEPARATORS.sub("", name).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def like_names(names: Iterable[str]) -> list[Problem]:
    """Return a note for each group of class names that a person may have meant as one."""
    return [
        Problem(
            LIKE_NAMES, f"{', '.join(map(repr, group))} (each is a class; if one is meant, correct the annotations)"
        )
        for group in similar_names(names)
    ]


@dataclass(frozen=True)
class LabelHome:
    """Folders for the images of one folder: `images`, as lists name it; `labels`; `difficult`, for difficult boxes."""

    images: Path
    labels: Path
    difficult: Path


@dataclass(frozen=True)
class PlannedFiles:
    """The files of a plan. labels: folder of images → its label files; lists: files of `out`, the .data file last.

    Both map paths to texts.
    """

    labels: dict[Path, dict[str, str]]
    lists: dict[Path, str]


def planned_lists(
    plan: Plan, homes: Mapping[Path, LabelHome], out: Path, name: str, title: str = "", keep_difficult: bool = False
) -> dict[Path, str]:
    """Return the lists, the names and, last, the .data file of a plan as path → text.

    Args:
        plan: What to write.
        homes: Folder of images → its home.
        out: Folder of the lists, the names and the .data file.
        name: Of the .names and .data file.
        title: Of the data set, for tables and reports; "" is `name`.
        keep_difficult: As for `planned_labels`.

    Raises:
        DatasetError: The name of an image has an end of a line, so that a list would name other files.
    """
    for image in (*plan.train, *plan.valid):
        if image.name.splitlines() != [image.name]:
            found = f"{image.folder}/{image.name}: found a file name with an end of a line"
            raise DatasetError(f"{found}, expected one that a list can hold")
    lists: dict[Path, str] = {}
    values = {"classes": str(len(plan.names))}
    for split, images in (("train", plan.train), ("valid", plan.valid)):
        if images:
            values[split] = str(out / f"{split}.txt")
            lists[out / f"{split}.txt"] = _lines(f"{homes[each.folder].images}/{each.name}" for each in images)
    values["names"] = str(out / f"{name}.names")
    lists[out / f"{name}.names"] = _lines(plan.names)
    values["backup"] = str(out / BACKUP)
    if plan.valid and not keep_difficult:
        values["difficult"] = str(out / "difficult.txt")
        lists[out / "difficult.txt"] = _lines(
            f"{homes[each.folder].difficult}/{IMAGE_FOLDER}/{each.difficult_name}" for each in plan.valid
        )
    if title and title != name:
        values["name"] = title
    for file, found in (("problems.txt", plan.problems), ("repairs.txt", plan.repairs)):
        if found:
            lists[out / file] = _lines(one_line(f"{each.kind}: {each.message}") for each in found)
    lists[out / f"{name}.data"] = _lines(f"{key} = {value}" for key, value in values.items())
    return lists


def planned_labels(plan: Plan, homes: Mapping[Path, LabelHome], keep_difficult: bool) -> dict[Path, dict[str, str]]:
    """Return the label files by folder of images, as path → text: the ordinary ones, then those of difficult boxes.

    keep_difficult: Difficult boxes go into the ordinary labels; otherwise those of `valid` go to files of their own,
    and those of `train` nowhere.
    """
    files: dict[Path, dict[str, str]] = {folder: {} for folder in homes}
    places = {folder: (files[folder], str(home.labels), f"{home.difficult}/labels") for folder, home in homes.items()}
    for image in plan.train + plan.valid:
        texts, labels, _ = places[image.folder]
        texts[f"{labels}/{image.label_name}"] = "".join(
            [f"{label} {box}\n" for label, difficult, box in image.rows if keep_difficult or not difficult]
        )
    for image in () if keep_difficult else plan.valid:
        texts, _, labels = places[image.folder]
        texts[f"{labels}/{image.label_name}"] = "".join(
            [f"{label} {box}\n" for label, difficult, box in image.rows if difficult]
        )
    return files


def write_files(files: PlannedFiles, homes: Mapping[Path, LabelHome]) -> None:
    """Write labels, then lists, and the .data file last. An older .data file is deleted first.

    So a .data file is never beside labels of another plan. Raises OSError.
    """
    *others, data = files.lists
    (data.parent / BACKUP).mkdir(parents=True, exist_ok=True)
    data.unlink(missing_ok=True)
    for folder, home in homes.items():
        for labels in {path.rpartition("/")[0] for path in files.labels[folder]}:
            os.makedirs(labels, exist_ok=True)
        _link(folder, home.images)
    labels = [file for texts in files.labels.values() for file in texts.items()]
    for _ in progress(in_threads(_write_label_file, labels, POOL_CHUNK), "writing labels", len(labels)):
        pass
    for path in (*others, data):
        write_text(path, files.lists[path])


def map_in_processes(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> Iterator[Result]:
    """Do what `map` does, with a progress bar, in several processes if there are many items and several cores."""
    processes = min(usable_cores(), MAX_PROCESSES)
    if processes == 1 or len(items) < POOL_FROM:
        yield from progress(map(function, items), description, len(items))
        return
    with ProcessPoolExecutor(processes, initializer=_start_worker) as pool:
        try:
            results = pool.map(function, items, chunksize=POOL_CHUNK)
            yield from progress(results, description, len(items))
        except BrokenProcessPool:
            raise DatasetError(f"{description}: found a process that was killed; was it the memory?") from None


def _start_worker() -> None:
    """Leave Ctrl-C to the parent process, and end when the parent ends for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _link(folder: Path, link: Path) -> None:
    """Make `link` a symbolic link to a folder of images, unless it is the folder itself."""
    if link != folder and not (link.is_symlink() and link.readlink() == folder):
        if link.is_symlink():
            link.unlink()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)


def _write_label_file(file: tuple[str, str]) -> None:
    """Write one label file in place; no .data file points at it yet."""
    write_new(*file)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
