"""PASCAL VOC folders → a plan of what Darknet trains on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from yolo.data.convert.plan import (
    BOX_KINDS,
    IMAGE_FOLDER,
    MAX_OVERHANG,
    NO_AREA,
    OUTSIDE,
    UNKNOWN,
    LabelHome,
    LabelRow,
    Plan,
    PlannedImage,
    map_in_processes,
)
from yolo.errors import DatasetError
from yolo.files import writable
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

MISSING = "missing annotation"
UNUSABLE = "unusable annotation"
NO_SIZE = "image without a size"
ALL_KINDS = (*BOX_KINDS, MISSING, UNUSABLE, NO_SIZE, *LIST_KINDS)

# Class, difficult, "cx cy w h". A plain tuple, as it passes between processes.
UsableObject = tuple[str, bool, str]


def plan_voc(train: Sequence[ImageSet], valid: Sequence[ImageSet], names: Sequence[str] | None) -> Plan:
    """Read and check every annotation of the sets.

    The plan leaves out every object with a problem, and the image where the whole annotation is unusable. Without
    `names` the classes are those of all annotations, sorted.

    Raises:
        DatasetError: An image set does not exist or is not text.
        OSError: An annotation exists but cannot be read.
    """
    train_entries, train_problems = read_image_sets(train)
    valid_entries, valid_problems = read_image_sets(valid)
    entries = list(dict.fromkeys(train_entries + valid_entries))
    paths = [f"{folder}/Annotations/{identifier}.xml" for folder, identifier in entries]
    known = None if names is None else frozenset(names)
    found = map_in_processes(partial(examine, names=known), paths, "reading annotations")
    examined = dict(zip(entries, found, strict=True))
    if names is None:
        names = sorted({name for objects, _ in examined.values() for name, _, _ in objects or ()})
    label_of = {name: label for label, name in enumerate(names)}
    files = {folder: image_files(folder) for folder in {folder for folder, _ in entries}}
    problems, images = [*train_problems, *valid_problems], {}
    for (folder, identifier), (objects, faults) in examined.items():
        problems += faults
        if objects is not None:
            name = files[folder].get(identifier)
            images[folder, identifier] = PlannedImage(
                folder / IMAGE_FOLDER,
                name or identifier + IMAGE_SUFFIXES[0],
                f"{identifier}.jpg",
                name is not None,
                tuple(LabelRow(label_of[each], *rest) for each, *rest in objects),
                len(faults),
            )
    train_images = tuple(images[entry] for entry in train_entries if entry in images)
    valid_images = tuple(images[entry] for entry in valid_entries if entry in images)
    return Plan(train_images, valid_images, tuple(names), tuple(problems))


def voc_homes(plan: Plan, out: Path) -> dict[Path, LabelHome]:
    """Return the home of each folder of images.

    Labels go to `labels` beside the images, where both Darknets look for them. If the data set's folder cannot be
    written, a folder of its name in `out` gets the labels and a link to the images.

    Raises:
        DatasetError: That folder of `out` is the read-only folder itself.
    """
    homes: dict[Path, Path] = {}
    for images in dict.fromkeys(image.folder for image in plan.train + plan.valid):
        folder = images.parent
        home, number = folder, 1
        if not all(writable(folder / part) for part in ("", "labels", "difficult/labels")):
            home = out / folder.name
            while home in homes.values():  # two data sets of the same name
                number += 1
                home = out / f"{folder.name}-{number}"
            if home.resolve() == folder:
                raise DatasetError(f"{folder}: cannot be written and is in --out, choose another")
        homes[images] = home
    return {
        images: LabelHome(home / IMAGE_FOLDER, home / "labels", home / "difficult") for images, home in homes.items()
    }


def examine(path: str, names: frozenset[str] | None) -> tuple[tuple[UsableObject, ...] | None, list[Problem]]:
    """Return the objects of one annotation that can become label rows, and the problems of the others.

    The objects are None if the whole annotation is unusable.
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
            objects.append((item.name, item.difficult, " ".join(map(repr, box))))
        else:
            kind, what = fault
            problems.append(Problem(kind, f"{path}: object {number} ({item.name}): {what}"))
    return tuple(objects), problems


def unit_box(item: AnnotatedObject, width: int, height: int) -> tuple[float, float, float, float]:
    """Return (cx, cy, w, h) in 0..1 of the image, by the formula of Darknet's voc_label.py (convert).

    The center moves by one pixel, as VOC counts pixels from 1. The size does not grow by the last pixel. Nothing is
    clipped.
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
    """Return why an object cannot become a label row: kind and text; None if it can."""
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
