"""COCO annotation files to what Darknet trains on: labels, lists, names and .data; checked, then written."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.console import progress
from yolo.data.convert.voc import MAX_OVERHANG, NO_AREA, OUTSIDE
from yolo.errors import DatasetError
from yolo.files import writable, write_new, write_text
from yolo.formats.coco_annotations import CocoFile, order_of_categories, read_coco
from yolo.formats.label_files import IMAGE_FOLDERS, ROUNDING, label_candidates
from yolo.formats.voc_xml import TWICE
from yolo.records import Problem

SHARED = "images that share a label file"

LINK = "JPEGImages"  # both Darknets look for the labels of such a folder in `labels` beside it

CROWD = "difficult"  # as convert_voc names what counts neither way

RESERVED = ("backup", CROWD)  # names in --out that no data set's folder may take

LabeledObject = tuple[int, bool, str]  # class, crowd, "cx cy w h"


@dataclass(frozen=True)
class CocoSet:
    """An annotation file and the folder in which its images lie."""

    annotations: Path
    images: Path


@dataclass(frozen=True)
class Image:
    """An image of a list: the folder in which it lies itself, its name there, and its objects.

    `left_out` counts the objects that cannot become labels.
    """

    folder: Path
    name: str
    is_there: bool
    objects: tuple[LabeledObject, ...]
    left_out: int

    @property
    def path(self) -> str:
        """The image's file."""
        return f"{self.folder}/{self.name}"

    @property
    def label_name(self) -> str:
        """Its label file, without the folder."""
        return os.path.splitext(self.name)[0] + ".txt"


@dataclass(frozen=True)
class Plan:
    """Everything a conversion will write, and every problem it met; nothing is written yet."""

    train: tuple[Image, ...]
    valid: tuple[Image, ...]
    names: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Home:
    """Where lists say that the images of a folder lie, and where their labels go."""

    listed: Path
    labels: Path


def make_plan(
    train: Sequence[CocoSet], valid: Sequence[CocoSet], names: Sequence[str] | None
) -> Plan:
    """Read and check the annotation files.

    What has a problem is left out of the plan: an annotation, or the image. Without `names` the classes are the
    categories by rising id; with them, the other categories are left out.

    Raises:
        DatasetError: a file that is no COCO annotations, categories that do not agree, a name that is no category.
        OSError: a file cannot be read.
    """
    files = {each.annotations: read_coco(each.annotations) for each in (*train, *valid)}
    if names is None:
        names = order_of_categories(tuple(files.values()))
    _check_names(names, files.values())
    problems = [problem for file in files.values() for problem in file.problems]
    known: dict[tuple[Path, str], Image] = {}
    lists = []
    for sets in (train, valid):
        images: dict[Image, None] = {}
        for each in sets:
            found, faults = _images(files[each.annotations], each.images, names)
            problems += faults if each not in train or sets is train else ()  # told once
            for place, image in found:
                fault = _clash(image, place, known, images)
                if fault is None:
                    images[image] = None
                else:
                    problems.append(fault)
        lists.append(tuple(images))
    return Plan(*lists, tuple(names), tuple(problems))


def _check_names(names: Sequence[str], files: Iterable[CocoFile]) -> None:
    categories = {name for file in files for name in file.categories.values()}
    for name in names:
        if name not in categories:
            raise DatasetError(
                f"class {name!r} is none of the {len(categories)} categories of these files, "
                f"such as {', '.join(sorted(categories)[:3])}"
            )


def _clash(
    image: Image,
    place: str,
    known: dict[tuple[Path, str], Image],
    images: dict[Image, None],
) -> Problem | None:
    """Why an image cannot have its label file: another has it, or the same with other boxes."""
    first = known.setdefault((image.folder, image.label_name), image)
    if image in images:
        return Problem(TWICE, f"{place}: {image.name} is listed again, expected it once")
    if first != image:
        other = first.name if first.name != image.name else "the same image with other boxes"
        what = f"{image.name} has the label file {image.label_name} of {other}"
        return Problem(SHARED, f"{place}: {what}, expected one of its own")
    return None


def _images(
    file: CocoFile, folder: Path, names: Sequence[str]
) -> tuple[list[tuple[str, Image]], list[Problem]]:
    """The images of a file in its order, each with the place to name, and the faults of their boxes."""
    label_of = {name: number for number, name in enumerate(names)}
    labels = np.array([label_of.get(name, -1) for name in file.categories.values()])[
        file.category_index
    ]
    boxes = unit_boxes(file)
    faults = {at: _fault(file, at) for at in _faulty(file, boxes) if labels[at] >= 0}
    problems = [
        Problem(kind, f"{file.path}: annotation {file.ids[at]}: {what}")
        for at, (kind, what) in faults.items()
    ]
    rows = zip(labels.tolist(), file.crowd.tolist(), boxes.tolist(), strict=True)
    by_image: list[list[LabeledObject]] = [[] for _ in file.images]
    left_out = [0] * len(file.images)
    for at, (image, (label, crowd, box)) in enumerate(
        zip(file.image_index.tolist(), rows, strict=True)
    ):
        if at in faults:
            left_out[image] += 1
        elif label >= 0:
            text = f"{box[0]!r} {box[1]!r} {box[2]!r} {box[3]!r}"
            by_image[image].append((label, crowd, text))
    there: dict[str, tuple[Path, frozenset[str]]] = {}
    found = []
    for at, entry in enumerate(file.images):
        inner, _, name = entry.file_name.rpartition("/")
        if inner not in there:
            there[inner] = folder / inner, _names_in(folder / inner)
        home, names_there = there[inner]
        image = Image(home, name, name in names_there, tuple(by_image[at]), left_out[at])
        found.append((f"{file.path}: image {entry.image_id}", image))
    return found, problems


def unit_boxes(file: CocoFile) -> np.ndarray:
    """(cx, cy, w, h) [M, 4] in 0..1 of the image; COCO counts pixels from 0, so nothing is moved or clipped."""
    sizes = np.array([(each.width, each.height) for each in file.images], np.float64)
    side = sizes.reshape(-1, 2)[file.image_index]
    corner, extent = file.boxes[:, :2], file.boxes[:, 2:]
    return np.concatenate(((corner + extent / 2) / side, extent / side), axis=1)


def _faulty(file: CocoFile, boxes: np.ndarray) -> list[int]:
    """Which boxes have no area or do not lie in their image, as the reader of labels needs it."""
    sizes = np.array([(each.width, each.height) for each in file.images]).reshape(-1, 2)
    low, high = file.boxes[:, :2], file.boxes[:, :2] + file.boxes[:, 2:] - sizes[file.image_index]
    overhang = np.maximum(-low, high).max(axis=1, initial=-np.inf)
    center, extent = boxes[:, :2], boxes[:, 2:]
    inside = (center > 0).all(1) & (center <= 1).all(1) & (extent <= 1 + ROUNDING).all(1)
    good = inside & (extent > 0).all(1) & (overhang <= MAX_OVERHANG)
    return np.flatnonzero(~good).tolist()


def _fault(file: CocoFile, at: int) -> tuple[str, str]:
    left, top, width, height = file.boxes[at].tolist()
    image = file.images[file.image_index[at]]
    found = f"bbox {left:g}, {top:g}, {width:g}, {height:g}"
    if width <= 0 or height <= 0:
        return NO_AREA, f"{found} has no width or no height"
    return (
        OUTSIDE,
        f"{found} does not lie in {image.file_name} of {image.width} x {image.height}",
    )


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def label_homes(plan: Plan, out: Path) -> dict[Path, Home]:
    """Folder of images → its home.

    Labels lie where both Darknets' rule finds them: `images`, `JPEGImages` or `raw` in the images' path becomes
    `labels`. Where the path has none of them, or that folder cannot be written, `out` gets a link to the images
    with labels beside it.
    """
    homes: dict[Path, Home] = {}
    taken = set(RESERVED)
    for folder in dict.fromkeys(image.folder for image in plan.train + plan.valid):
        labels = label_candidates(folder / "x.jpg")[0].parent
        if set(folder.parts) & set(IMAGE_FOLDERS) and writable(labels):
            homes[folder] = Home(folder, labels)
            continue
        name, number = folder.name, 1
        while name in taken:  # two folders of one name
            number += 1
            name = f"{folder.name}-{number}"
        taken.add(name)
        homes[folder] = Home(out / name / LINK, out / name / "labels")
    return homes


def write(plan: Plan, homes: dict[Path, Home], out: Path) -> None:
    """Write labels, then lists, and `coco.data` last; the same plan gives the same bytes.

    An older `coco.data` goes first, so that none ever stands beside labels that are not its own.

    Raises:
        OSError: something cannot be written.
    """
    (out / "backup").mkdir(parents=True, exist_ok=True)
    for name in ("coco.data", "difficult.txt", "problems.txt"):
        (out / name).unlink(missing_ok=True)
    aside = {folder: out / CROWD / str(at) for at, folder in enumerate(homes)}
    for folder, home in homes.items():
        _prepare(folder, home)
        (aside[folder] / "labels").mkdir(parents=True, exist_ok=True)
    files = {}
    for image in plan.train + plan.valid:
        files[f"{homes[image.folder].labels}/{image.label_name}"] = _rows(image, False)
    for image in plan.valid:
        files[f"{aside[image.folder]}/labels/{image.label_name}"] = _rows(image, True)
    for path, text in progress(files.items(), "writing labels", len(files)):
        write_new(path, text)
    for name, images in (("train", plan.train), ("valid", plan.valid)):
        listed = (f"{homes[image.folder].listed}/{image.name}" for image in images)
        write_text(out / f"{name}.txt", _lines(listed))
    listed = (f"{aside[image.folder]}/{LINK}/{image.name}" for image in plan.valid)
    write_text(out / "difficult.txt", _lines(listed))
    write_text(out / "coco.names", _lines(plan.names))
    if plan.problems:
        write_text(out / "problems.txt", _lines(f"{p.kind}: {p.message}" for p in plan.problems))
    keys = {"classes": len(plan.names), "train": out / "train.txt", "valid": out / "valid.txt"}
    keys |= {"names": out / "coco.names", "backup": out / "backup"}
    keys |= {"difficult": out / "difficult.txt"}
    write_text(out / "coco.data", _lines(f"{key} = {value}" for key, value in keys.items()))


def _prepare(folder: Path, home: Home) -> None:
    home.labels.mkdir(parents=True, exist_ok=True)
    if home.listed != folder and not (
        home.listed.is_symlink() and home.listed.readlink() == folder
    ):
        if home.listed.is_symlink():
            home.listed.unlink()
        home.listed.symlink_to(folder)


def _rows(image: Image, crowd: bool) -> str:
    return _lines(f"{label} {box}" for label, aside, box in image.objects if aside == crowd)


def _lines(items: Iterable[str]) -> str:
    return "".join(f"{item}\n" for item in items)
