"""VOC folders to what Darknet trains on: labels, lists, names and .data; checked, then written."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from yolo.cfg import read_names
from yolo.console import progress
from yolo.errors import DatasetError
from yolo.files import writable, write_new, write_text
from yolo.formats.voc_xml import (
    IMAGE_SUFFIXES,
    LIST_KINDS,
    AnnotatedObject,
    ImageSet,
    image_files,
    read_annotation,
    read_image_sets,
)
from yolo.records import Problem

MAX_OVERHANG = 1  # pixels: a data set that counts from 0 is ordinary, more is a mistake

POOL_FROM = 1000  # items: fewer are done sooner than processes are started

POOL_CHUNK = 250  # items handed to a process at once

MAX_PROCESSES = 8  # ours: the disk is the limit from there on

MISSING = "missing annotation"

UNUSABLE = "unusable annotation"

NO_SIZE = "image without a size"

NO_AREA = "box without an area"

OUTSIDE = "box outside the image"

UNKNOWN = "unknown class"

BOX_KINDS = (NO_AREA, OUTSIDE, UNKNOWN)  # of one box; the others are of a whole file

ALL_KINDS = (*BOX_KINDS, MISSING, UNUSABLE, NO_SIZE, *LIST_KINDS)

LabeledObject = tuple[str, bool, str]  # class, difficult, "cx cy w h"; plain, as pipes carry it


@dataclass(frozen=True)
class Image:
    """One entry of a list: `folder`/JPEGImages/`file_name`, and what its annotation holds.

    `left_out` counts the objects that cannot become labels.
    """

    folder: Path
    identifier: str
    file_name: str
    is_there: bool
    objects: tuple[LabeledObject, ...]
    left_out: int

    @property
    def path(self) -> str:
        """Where a list says that it lies."""
        return f"{self.folder}/JPEGImages/{self.file_name}"


@dataclass(frozen=True)
class Plan:
    """Everything a conversion will write, and every problem it met; nothing is written yet."""

    train: tuple[Image, ...]
    valid: tuple[Image, ...]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]


def make_plan(
    train: Sequence[ImageSet], valid: Sequence[ImageSet], names: Sequence[str] | None
) -> Plan:
    """Read and check every annotation of the sets.

    What has a problem is left out of the plan: an object, or, where the annotation as a whole is
    unusable, the image. Without `names` the classes are those of all annotations, sorted.

    Raises:
        DatasetError: an image set is not there or is no text.
        OSError: an annotation is there but cannot be read.
    """
    train_rows, train_problems = read_image_sets(train)
    valid_rows, valid_problems = read_image_sets(valid)
    rows = list(dict.fromkeys(train_rows + valid_rows))
    paths = [f"{folder}/Annotations/{identifier}.xml" for folder, identifier in rows]
    known = None if names is None else frozenset(names)
    examined = _map(partial(examine, names=known), paths, "reading annotations")
    problems, images = [*train_problems, *valid_problems], {}
    files = {folder: image_files(folder) for folder in {folder for folder, _ in rows}}
    for (folder, identifier), (objects, found) in zip(rows, examined, strict=True):
        problems += found
        if objects is not None:
            name = files[folder].get(identifier)
            file_name = name or identifier + IMAGE_SUFFIXES[0]
            images[folder, identifier] = Image(
                folder, identifier, file_name, name is not None, objects, len(found)
            )
    if names is None:
        names = sorted({name for image in images.values() for name, _, _ in image.objects})
    train_images = tuple(images[row] for row in train_rows if row in images)
    valid_images = tuple(images[row] for row in valid_rows if row in images)
    return Plan(train_images, valid_images, tuple(names), tuple(problems))


def read_classes(path: Path) -> tuple[str, ...]:
    """The classes of a .names file, in the order of their numbers.

    Raises:
        DatasetError: no class, or one twice, as its number would not be certain.
    """
    names = read_names(path)
    for line, name in enumerate(names, 1):
        first = names.index(name) + 1
        if first != line:
            raise DatasetError(f"{path}:{line}: {name!r} is line {first} already, expected it once")
    return tuple(names)


def examine(
    path: str, names: frozenset[str] | None
) -> tuple[tuple[LabeledObject, ...] | None, list[Problem]]:
    """The objects of one annotation that can become labels, and the problems of the others.

    The objects are None where the whole annotation is unusable.
    """
    try:
        annotation = read_annotation(path)
    except FileNotFoundError:
        return None, [Problem(MISSING, f"{path}: no such file")]
    except DatasetError as error:
        return None, [Problem(UNUSABLE, str(error))]
    width, height = annotation.width, annotation.height
    if width <= 0 or height <= 0:
        message = f"{path}: the image's size is {width} x {height}, expected pixels"
        return None, [Problem(NO_SIZE, message)]
    objects, problems = [], []
    for number, item in enumerate(annotation.objects, 1):
        box = unit_box(item, width, height)
        fault = _fault(item, box, width, height, names)
        if fault is None:
            objects.append((item.name, item.difficult, "{!r} {!r} {!r} {!r}".format(*box)))
        else:
            kind, what = fault
            problems.append(Problem(kind, f"{path}: object {number} ({item.name}): {what}"))
    return tuple(objects), problems


def unit_box(item: AnnotatedObject, width: int, height: int) -> tuple[float, float, float, float]:
    """(cx, cy, w, h) in 0..1 of the image, by the formula of Darknet's voc_label.py (convert).

    The center is moved by one pixel, from VOC's count to one from 0; the size is not widened by
    the last pixel; nothing is clipped.
    """
    return (
        ((item.xmin + item.xmax) / 2 - 1) / width,
        ((item.ymin + item.ymax) / 2 - 1) / height,
        (item.xmax - item.xmin) / width,
        (item.ymax - item.ymin) / height,
    )


def _fault(
    item: AnnotatedObject,
    box: tuple[float, float, float, float],
    width: int,
    height: int,
    names: frozenset[str] | None,
) -> tuple[str, str] | None:
    """Why an object cannot become a label: kind and words; None where it can."""
    if names is not None and item.name not in names:
        return UNKNOWN, "a class that the names file does not have"
    xmin, ymin, xmax, ymax = item.xmin, item.ymin, item.xmax, item.ymax
    if xmax <= xmin or ymax <= ymin:
        return NO_AREA, f"box {xmin:g},{ymin:g} to {xmax:g},{ymax:g} has no width or no height"
    overhang = max(1 - xmin, 1 - ymin, xmax - width, ymax - height)
    if overhang > MAX_OVERHANG or min(box) <= 0 or max(box) > 1:
        where = f"does not lie in the image of {width} x {height}"
        return OUTSIDE, f"box {xmin:g},{ymin:g} to {xmax:g},{ymax:g} {where}"
    return None


def label_homes(plan: Plan, out: Path) -> dict[Path, Path]:
    """Folder of the data set → the folder in which its `labels` will lie.

    That is the folder itself, so that Darknet's rule (JPEGImages → labels in an image's path)
    finds them; where it cannot be written, one of the same name in `out`.

    Raises:
        DatasetError: that folder of `out` is the read-only folder itself.
    """
    homes: dict[Path, Path] = {}
    for folder in dict.fromkeys(image.folder for image in plan.train + plan.valid):
        home, number = folder, 1
        if not all(writable(folder / part) for part in ("", "labels", "difficult/labels")):
            home = out / folder.name
            while home in homes.values():  # two data sets of one name
                number += 1
                home = out / f"{folder.name}-{number}"
            if home.resolve() == folder:
                raise DatasetError(f"{folder}: cannot be written and is in --out, choose another")
        homes[folder] = home
    return homes


def write(plan: Plan, homes: dict[Path, Path], out: Path, keep_difficult: bool) -> None:
    """Write labels, then lists, and `voc.data` last; the same plan gives the same bytes.

    An older `voc.data` goes first, so that none ever stands beside labels that are not its own.

    Raises:
        OSError: something cannot be written.
    """
    (out / "backup").mkdir(parents=True, exist_ok=True)
    for name in ("voc.data", "difficult.txt", "problems.txt"):
        (out / name).unlink(missing_ok=True)
    for folder, home in homes.items():
        _prepare(folder, home, keep_difficult)
    for _ in _map(_write_file, _label_files(plan, homes, keep_difficult), "writing labels"):
        pass
    lists = {"train": plan.train, "valid": plan.valid}
    for name, images in lists.items():
        entries = [f"{homes[p.folder]}/JPEGImages/{p.file_name}" for p in images]
        write_text(out / f"{name}.txt", _lines(entries))
    keys = {"classes": len(plan.names)} | {name: out / f"{name}.txt" for name in lists}
    write_text(out / "voc.names", _lines(plan.names))
    keys |= {"names": out / "voc.names", "backup": out / "backup"}
    if not keep_difficult:
        entries = [f"{homes[p.folder]}/difficult/JPEGImages/{p.identifier}.jpg" for p in plan.valid]
        write_text(out / "difficult.txt", _lines(entries))
        keys["difficult"] = out / "difficult.txt"
    if plan.problems:
        write_text(out / "problems.txt", _lines(f"{p.kind}: {p.message}" for p in plan.problems))
    write_text(out / "voc.data", _lines(f"{key} = {value}" for key, value in keys.items()))


def _prepare(folder: Path, home: Path, keep_difficult: bool) -> None:
    (home / "labels").mkdir(parents=True, exist_ok=True)
    if not keep_difficult:
        (home / "difficult" / "labels").mkdir(parents=True, exist_ok=True)
    link = home / "JPEGImages"
    if home != folder and not (link.is_symlink() and link.readlink() == folder / "JPEGImages"):
        if link.is_symlink():
            link.unlink()
        link.symlink_to(folder / "JPEGImages")


def _label_files(
    plan: Plan, homes: dict[Path, Path], keep_difficult: bool
) -> list[tuple[str, str]]:
    """(path, text) of every label file: the ordinary ones, then the difficult ones of `valid`."""
    index = {name: number for number, name in enumerate(plan.names)}

    def file(image: Image, folder: str, wanted: tuple[bool, ...]) -> tuple[str, str]:
        kept = (item for item in image.objects if item[1] in wanted)
        text = _lines(f"{index[name]} {box}" for name, _, box in kept)
        return f"{homes[image.folder]}/{folder}/{image.identifier}.txt", text

    ordinary = (False, True) if keep_difficult else (False,)
    files = [file(image, "labels", ordinary) for image in plan.train + plan.valid]
    if not keep_difficult:
        files += [file(image, "difficult/labels", (True,)) for image in plan.valid]
    return list(dict(files).items())


def _write_file(file: tuple[str, str]) -> None:
    """Write one label file; until `voc.data` is there nothing points at it."""
    write_new(*file)


def _lines(items: Iterable[str]) -> str:
    return "".join(f"{item}\n" for item in items)


def _map(function: Callable, items: Sequence, description: str) -> Iterator:
    """`map`, in several processes where the items are many and the machine has the cores."""
    processes = min(_cores(), MAX_PROCESSES)
    if processes == 1 or len(items) < POOL_FROM:
        yield from progress(map(function, items), description, len(items))
        return
    with ProcessPoolExecutor(processes, initializer=_leave_interrupts_to_the_parent) as pool:
        results = pool.map(function, items, chunksize=POOL_CHUNK)
        yield from progress(results, description, len(items))


def _cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
