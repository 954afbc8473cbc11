"""Plan the conversion of PASCAL VOC annotations to files that Darknet trains on."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolo.data.convert.plan import (
    BOX_KINDS,
    CLIPPED,
    MAX_OVERHANG,
    NO_AREA,
    OUTSIDE,
    SHARED,
    UNKNOWN,
    LabelRow,
    Plan,
    PlannedImage,
    like_names,
    map_in_processes,
)
from yolo.data.convert.voc_layout import VocEntry, VocSource
from yolo.data.image_header import ImageHeader, read_header, turned_boxes
from yolo.errors import DatasetError
from yolo.formats.voc_xml import LIST_KINDS, AnnotatedObject, ForeignXmlError, read_annotation_parts
from yolo.records import Problem, Size

MISSING = "missing annotation"
UNUSABLE = "unusable annotation"
OTHER_XML = "XML that is no annotation and has no image"
BAD_OBJECT = "unusable object"
NO_SIZE = "image without a size"
ALL_KINDS = (*BOX_KINDS, MISSING, UNUSABLE, OTHER_XML, BAD_OBJECT, NO_SIZE, SHARED, *LIST_KINDS)
SIZE_OF_IMAGE = "size taken from the image"
SCALED = "image resized after annotation"
TURNED = "image turned by its EXIF data, boxes too"
NOT_TURNED = "image turned by its EXIF data, boxes taken as drawn on the turned image"
SAME_SHAPE = 0.01  # two sizes belong to the same image if the ratios of their sides differ by at most this


class Examined(NamedTuple):
    """The result for one annotation.

    objects: name, whether it is difficult, and "cx cy w h" of each object that becomes a label row; None if the whole
    annotation is unusable. They are plain tuples, because a process sends them in half the time of records.
    left_out: number of objects that do not become rows. clipped, turned: how many boxes were cut at the border, and
    turned with the image. filename: as the annotation says. scaled: 1 if its boxes prove that the image was resized
    after annotation, 0 if it may have been, None if not.
    """

    objects: tuple[tuple[str, bool, str], ...] | None
    problems: tuple[Problem, ...]
    repairs: tuple[Problem, ...] = ()
    left_out: int = 0
    clipped: int = 0
    turned: int = 0
    filename: str = ""
    scaled: int | None = None


class Frame(NamedTuple):
    """The size (height, width) of the image in which an annotation was drawn, and the way to the image as it is read.

    orientation: EXIF's, of boxes that were drawn on the stored pixels; 1: drawn on the image as it is read.
    repair: kind and text of what was repaired, or None. scaled: as in `Examined`.
    """

    size: Size
    orientation: int = 1
    repair: tuple[str, str] | None = None
    scaled: int | None = None


def plan_voc(source: VocSource, names: Sequence[str] | None) -> Plan:
    """Read and check every annotation of a data set.

    The plan leaves out every object with a problem, and the image where the whole annotation is unusable. Without
    `names` the classes are those of all annotations, sorted.

    Raises:
        OSError: An annotation exists but cannot be read.
    """
    known = None if names is None else frozenset(names)
    entries, examined = _examine_all(source, known)
    if names is None:
        names = sorted({name for result in examined.values() for name, _, _ in result.objects or ()})
    label_of = {name: label for label, name in enumerate(names)}
    folders: dict[Path, Path] = {}  # one object for a folder: equal paths are compared part by part
    problems, repairs, images = [*source.problems], like_names(names), {}
    owners: dict[tuple[str, str], VocEntry] = {}
    for (first, entry), result in zip(entries.items(), examined.values(), strict=True):
        problems += result.problems
        repairs += result.repairs
        if result.objects is None:
            continue
        image = PlannedImage(
            folders.setdefault(entry.folder, entry.folder),
            entry.name,
            f"{_stem(entry.name)}.jpg",
            entry.is_there,
            tuple([LabelRow(label_of[name], difficult, box) for name, difficult, box in result.objects]),
            result.left_out,
            entry.key,
            result.clipped,
            result.turned,
        )
        owner = owners.setdefault((str(image.folder), image.label_name), entry)
        if owner is entry:
            images[first] = image
        else:
            found = f"{image.name} has the label file {image.label_name} of {owner.name}"
            problems.append(Problem(SHARED, f"{entry.annotation}: {found}, expected one of its own"))
    train, valid = (tuple(filter(None, map(images.get, entries))) for entries in (source.train, source.valid))
    return Plan(train, valid, tuple(names), tuple(problems), tuple(repairs))


def _examine_all(
    source: VocSource, names: frozenset[str] | None
) -> tuple[dict[VocEntry, VocEntry], dict[VocEntry, Examined]]:
    """Examine the annotations of a source, and again those whose frame or image depends on others.

    Returns:
        Entry as listed → the entry with its image; entry as listed → the result for its annotation.
    """
    entries = {entry: entry for entry in dict.fromkeys(source.train + source.valid)}
    pairs = [(entry.annotation, entry.image) for entry in entries]
    results = map_in_processes(partial(examine, names=names), pairs, "reading annotations")
    examined = dict(zip(entries, results, strict=True))
    again = _found_by_filename(examined, source.unannotated)
    entries |= again
    resized = any(result.scaled for result in examined.values())
    again |= {entry: entries[entry] for entry in examined if resized and examined[entry].scaled == 0}
    pairs = [(entry.annotation, entry.image) for entry in again.values()]
    results = map_in_processes(partial(examine, names=names, resized=resized), pairs, "reading annotations")
    examined |= dict(zip(again, results, strict=True))
    return entries, examined


def _found_by_filename(examined: dict[VocEntry, Examined], unannotated: Sequence[str]) -> dict[VocEntry, VocEntry]:
    """Return the entries without an image of their own name whose <filename> is an image without an annotation.

    Programs write it in other letters, without an ending, or with that of the image before a conversion.
    """
    by_name: dict[str, set[str]] = {}
    for path in unannotated:
        for name in _names_of_image(_base(path)):
            by_name.setdefault(name, set()).add(path)
    matches: dict[VocEntry, str] = {}
    for entry, result in examined.items():
        if entry.is_there:
            continue
        paths = next((by_name[name] for name in _names_of_image(_base(result.filename)) if name in by_name), ())
        if len(paths) == 1:
            (matches[entry],) = paths
    times = Counter(matches.values())
    found = {}
    for entry, path in matches.items():
        if times[path] == 1:
            folder, _, name = path.rpartition("/")
            found[entry] = entry._replace(folder=type(entry.folder)(folder), name=name, is_there=True)
    return found


def _names_of_image(name: str) -> list[str]:
    """Return what an image may be called, most certain first: its name, in lower case, without an ending."""
    lower = name.lower()
    stem = os.path.splitext(lower)[0]
    return [*dict.fromkeys(each for each in (name, lower, stem) if each)]


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def examine(pair: tuple[str, str | None], names: frozenset[str] | None, resized: bool = False) -> Examined:
    """Return the result for one annotation.

    Args:
        pair: The annotation's file, and the image's file or None.
        names: The classes; None: any.
        resized: Whether images of this data set were resized after annotation, so that a size of the same shape is
            the one that the boxes are in.
    """
    path, image = pair
    try:
        parts = read_annotation_parts(path)
    except FileNotFoundError:
        return Examined(None, (Problem(MISSING, f"{path}: no such file"),))
    except DatasetError as error:
        is_other = image is None and isinstance(error, ForeignXmlError)
        return Examined(None, (Problem(OTHER_XML if is_other else UNUSABLE, str(error)),))
    frame = frame_of((parts.height, parts.width), _farthest(parts.objects), header_of(image), resized)
    if frame is None:
        found = parts.size_fault or f"the image's size is {parts.width} x {parts.height}"
        message = f"{path}: {found}, expected pixels"
        return Examined(None, (Problem(NO_SIZE, message),), filename=parts.filename)
    objects, problems, repairs, clipped = [], [], [], 0
    height, width = frame.size
    if frame.repair:
        repairs.append(Problem(frame.repair[0], f"{path}: {frame.repair[1]}"))
    for number, item in enumerate(parts.objects, 1):
        if isinstance(item, str):
            problems.append(Problem(BAD_OBJECT, f"{path}: object {number}: {item}"))
            continue
        box = unit_box(item, width, height)
        fault = _fault(item, names) or _outside(item, box, frame.size)
        if fault is not None:
            problems.append(Problem(fault[0], f"{path}: object {number} ({item.name}): {fault[1]}"))
            continue
        corners = clipped_corners(item, frame.size)
        if corners is not item:
            clipped += 1
            repairs.append(
                Problem(CLIPPED, f"{path}: object {number} ({item.name}): {_box(item)} in {_shown(frame.size)}")
            )
        if corners is not item or frame.orientation != 1:
            box = _turned(corners, frame)
        objects.append((item.name, item.difficult, " ".join(map(repr, box))))
    turned = len(objects) if frame.orientation != 1 else 0
    found = tuple(objects), tuple(problems), tuple(repairs)
    return Examined(*found, len(problems), clipped, turned, parts.filename, frame.scaled)


def header_of(image: str | None) -> ImageHeader | None:
    """Return the header of an image; None if there is none or it cannot be read (training names such files)."""
    try:
        return None if image is None else read_header(image)
    except OSError:
        return None


def frame_of(stated: Size, farthest: tuple[float, float], header: ImageHeader | None, resized: bool) -> Frame | None:
    """Return the frame of the boxes of an image; None if neither its annotation nor the image gives a size.

    The frame is the image's own size, turned by its EXIF data, with two exceptions. If the annotation has the size of
    the stored pixels of a turned image, or if the boxes fit only into these, the boxes are turned too. If the
    boxes fit only into the annotation's size, the image was resized after annotation. Then every other size of the
    image's shape in this data set (`resized`) is used as the frame too.

    Args:
        stated: The image's (height, width) in the annotation, 0 where it gives none.
        farthest: The largest x and y of the boxes, in pixels.
        header: Of the image, or None.
        resized: As in `examine`.
    """
    if header is None:
        return Frame(stated) if min(stated) > 0 else None
    size, stored = header.size, header.stored
    if stated == size:
        if size == stored and header.orientation != 1:
            # The size does not decide: turned by 180 degrees, mirrored, or square.
            return Frame(size, repair=(NOT_TURNED, f"orientation {header.orientation}, size {_shown(size)}"))
        return Frame(size)
    fits_image, fits_stored, fits_stated = (_fits(farthest, each) for each in (size, stored, stated))
    if stated == stored and header.orientation != 1:
        return Frame(stored, header.orientation, (TURNED, f"orientation {header.orientation}"))
    found = f"found size {stated[1]} x {stated[0]}, the image has {_shown(size)}"
    if min(stated) <= 0 and not fits_image and fits_stored and header.orientation != 1:
        return Frame(stored, header.orientation, (TURNED, f"orientation {header.orientation}"))
    is_size = min(stated) > 0 and stated != size[::-1]  # some programs swap width and height
    proof = is_size and fits_stated and not fits_image
    same_shape = is_size and _same_shape(stated, size)
    if proof or (same_shape and resized):
        return Frame(stated, repair=(SCALED, found), scaled=int(proof))
    return Frame(size, repair=(SIZE_OF_IMAGE, found), scaled=0 if same_shape else None)


def _farthest(objects: Sequence[AnnotatedObject | str]) -> tuple[float, float]:
    boxes = [each for each in objects if not isinstance(each, str)]
    return max((each.xmax for each in boxes), default=0.0), max((each.ymax for each in boxes), default=0.0)


def _fits(farthest: tuple[float, float], size: Size) -> bool:
    """Whether boxes reach at most MAX_OVERHANG over the right and lower border of an image."""
    height, width = size
    return farthest[0] <= width + MAX_OVERHANG and farthest[1] <= height + MAX_OVERHANG


def _same_shape(one: Size, two: Size) -> bool:
    return abs((one[0] * two[1]) / (one[1] * two[0]) - 1) <= SAME_SHAPE


def _shown(size: Size) -> str:
    return f"{size[1]} x {size[0]}"


def unit_box(item: AnnotatedObject, width: int, height: int) -> tuple[float, float, float, float]:
    """Return (cx, cy, w, h) in 0..1 of the image, by the formula of Darknet's voc_label.py (convert).

    The center moves by one pixel, as VOC counts pixels from 1. The size does not grow by the last pixel. Nothing is
    clipped.
    """
    _, xmin, ymin, xmax, ymax, _ = item
    return (
        ((xmin + xmax) / 2 - 1) / width,
        ((ymin + ymax) / 2 - 1) / height,
        (xmax - xmin) / width,
        (ymax - ymin) / height,
    )


def clipped_corners(item: AnnotatedObject, size: Size) -> AnnotatedObject:
    """Return an object whose box does not reach over the border of its image: the object itself, or its copy, cut.

    Like `unit_box`, this counts from 1 to side + 1. MAX_OVERHANG pixels over the border are ordinary and stay, unless
    the box is larger than the image.
    """
    height, width = size
    _, xmin, ymin, xmax, ymax, _ = item
    overhang = max(1 - xmin, 1 - ymin, xmax - width, ymax - height)
    if overhang <= MAX_OVERHANG and xmax - xmin <= width and ymax - ymin <= height:
        return item
    return item._replace(
        xmin=max(xmin, 1.0), ymin=max(ymin, 1.0), xmax=min(xmax, width + 1.0), ymax=min(ymax, height + 1.0)
    )


def _turned(item: AnnotatedObject, frame: Frame) -> tuple[float, float, float, float]:
    """Return (cx, cy, w, h) in 0..1 of the image as it is read."""
    height, width = frame.size
    if frame.orientation == 1:
        return unit_box(item, width, height)
    corners = np.array([[item.xmin - 1, item.ymin - 1, item.xmax - 1, item.ymax - 1]], np.float64)
    left, top, right, bottom = turned_boxes(corners, frame.size, frame.orientation)[0].tolist()
    if frame.orientation >= 5:
        height, width = width, height
    return (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height


def _fault(item: AnnotatedObject, names: frozenset[str] | None) -> tuple[str, str] | None:
    """Return why an object cannot become a label row in any image: kind and text; None if it can."""
    if names is not None and item.name not in names:
        return UNKNOWN, "a class that the names file does not have"
    if item.xmax <= item.xmin or item.ymax <= item.ymin:
        return NO_AREA, f"{_box(item)} has no width or no height"
    return None


def _outside(item: AnnotatedObject, box: tuple[float, float, float, float], size: Size) -> tuple[str, str] | None:
    """Return the text for a box whose center is outside the image. Darknet drops such labels.

    box: `unit_box` of the item in an image of `size`.
    """
    cx, cy, _, _ = box
    if 0 < cx <= 1 and 0 < cy <= 1:
        return None
    return OUTSIDE, f"{_box(item)} has its center outside the image of {_shown(size)}"


def _box(item: AnnotatedObject) -> str:
    return f"box {item.xmin:g},{item.ymin:g} to {item.xmax:g},{item.ymax:g}"
