"""Plan the conversion of PASCAL VOC annotations to files that Darknet trains on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from yolo.formats.voc_xml import (
    LIST_KINDS,
    AnnotatedObject,
    AnnotationParts,
    read_annotation_parts,
)
from yolo.records import Problem, Size

MISSING = "missing annotation"
UNUSABLE = "unusable annotation"
BAD_OBJECT = "unusable object"
NO_SIZE = "image without a size"
ALL_KINDS = (*BOX_KINDS, MISSING, UNUSABLE, BAD_OBJECT, NO_SIZE, SHARED, *LIST_KINDS)
SIZE_OF_IMAGE = "size taken from the image"
SCALED = "image resized after annotation"
TURNED = "image turned by its EXIF data, boxes too"
NOT_TURNED = "image turned by its EXIF data, boxes taken as drawn on the turned image"
SAME_SHAPE = 0.01  # two sizes belong to the same image if the ratios of their sides differ by at most this


class UsableObject(NamedTuple):
    """An object that becomes a label row. box: "cx cy w h". clipped: whether the box was cut at the border."""

    name: str
    difficult: bool
    box: str
    clipped: bool


@dataclass(frozen=True)
class Examined:
    """The result for one annotation. objects: None if the whole annotation is unusable. left_out: of its objects.

    turned: how many boxes were turned with the image. filename: as the annotation says. scaled: 1 if its boxes prove
    that the image was resized after annotation, 0 if it may have been, None if not.
    """

    objects: tuple[UsableObject, ...] | None
    problems: tuple[Problem, ...]
    repairs: tuple[Problem, ...] = ()
    left_out: int = 0
    turned: int = 0
    filename: str = ""
    scaled: int | None = None


@dataclass(frozen=True)
class Frame:
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
        names = sorted({each.name for result in examined.values() for each in result.objects or ()})
    label_of = {name: label for label, name in enumerate(names)}
    problems, repairs, images = [*source.problems], like_names(names), {}
    owners: dict[tuple[str, str], VocEntry] = {}
    for first, entry in entries.items():
        result = examined[first]
        problems += result.problems
        repairs += result.repairs
        if result.objects is None:
            continue
        image = PlannedImage(
            entry.folder,
            entry.name,
            f"{_stem(entry.name)}.jpg",
            entry.is_there,
            tuple(LabelRow(label_of[each.name], each.difficult, each.box) for each in result.objects),
            result.left_out,
            entry.key,
            sum(each.clipped for each in result.objects),
            result.turned,
        )
        owner = owners.setdefault((str(image.folder), image.label_name), entry)
        if owner is entry:
            images[first] = image
        else:
            found = f"{image.name} has the label file {image.label_name} of {owner.name}"
            problems.append(Problem(SHARED, f"{entry.annotation}: {found}, expected one of its own"))
    train, valid = (
        tuple(images[entry] for entry in entries if entry in images) for entries in (source.train, source.valid)
    )
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
    """Return the entries without an image of their own name whose <filename> is an image without an annotation."""
    by_name: dict[str, list[str]] = {}
    for path in unannotated:
        by_name.setdefault(_base(path), []).append(path)
    wanted = {entry: _base(result.filename) for entry, result in examined.items() if not entry.is_there}
    times = Counter(wanted.values())
    found = {}
    for entry, name in wanted.items():
        paths = by_name.get(name, ())
        if len(paths) == 1 and times[name] == 1:
            folder = paths[0][: -len(name) - 1]
            found[entry] = replace(entry, folder=type(entry.folder)(folder), name=name, is_there=True)
    return found


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
        return Examined(None, (Problem(UNUSABLE, str(error)),))
    frame = frame_of(parts, _header(image), resized)
    if frame is None:
        found = parts.size_fault or f"the image's size is {parts.width} x {parts.height}"
        message = f"{path}: {found}, expected pixels"
        return Examined(None, (Problem(NO_SIZE, message),), filename=parts.filename)
    objects, problems, repairs = [], [], []
    if frame.repair:
        repairs.append(Problem(frame.repair[0], f"{path}: {frame.repair[1]}"))
    for number, item in enumerate(parts.objects, 1):
        if isinstance(item, str):
            problems.append(Problem(BAD_OBJECT, f"{path}: object {number}: {item}"))
            continue
        place = f"{path}: object {number} ({item.name})"
        fault = _fault(item, names) or _outside(item, frame.size)
        if fault is not None:
            problems.append(Problem(fault[0], f"{place}: {fault[1]}"))
            continue
        corners, clipped = clipped_corners(item, frame.size)
        if clipped:
            box = f"box {item.xmin:g},{item.ymin:g} to {item.xmax:g},{item.ymax:g}"
            repairs.append(Problem(CLIPPED, f"{place}: {box} in {_shown(frame.size)}"))
        box = " ".join(map(repr, _turned(corners, frame)))
        objects.append(UsableObject(item.name, item.difficult, box, clipped))
    turned = len(objects) if frame.orientation != 1 else 0
    return Examined(
        tuple(objects), tuple(problems), tuple(repairs), len(problems), turned, parts.filename, frame.scaled
    )


def _header(image: str | None) -> ImageHeader | None:
    """Return the header of an image; None if there is none or it cannot be read (training names such files)."""
    try:
        return None if image is None else read_header(image)
    except OSError:
        return None


def frame_of(parts: AnnotationParts, header: ImageHeader | None, resized: bool) -> Frame | None:
    """Return the frame of the boxes of an annotation; None if neither the file nor the image gives a size.

    The frame is the image's own size, turned as its EXIF data say, with two exceptions. If the XML has the size of the
    stored pixels of a turned image, or if the boxes fit only into these, the boxes are turned too. If the XML's size
    has the image's shape and the boxes fit only into it, the image was resized after annotation. Then every other size
    of the same shape in this data set (`resized`) is used as the frame too.
    """
    said = (parts.height, parts.width)
    if header is None:
        return Frame(said) if min(said) > 0 else None
    size, stored = header.size, header.stored
    if said == size:
        if size == stored and header.orientation != 1:
            # The size does not decide: turned by 180 degrees, mirrored, or square.
            return Frame(size, repair=(NOT_TURNED, f"orientation {header.orientation}, size {_shown(size)}"))
        return Frame(size)
    fits_image, fits_stored, fits_said = (_fit(parts.objects, each) for each in (size, stored, said))
    if said == stored and header.orientation != 1:
        return Frame(stored, header.orientation, (TURNED, f"orientation {header.orientation}"))
    found = f"found size {parts.width} x {parts.height}, the image has {_shown(size)}"
    if min(said) <= 0 and not fits_image and fits_stored and header.orientation != 1:
        return Frame(stored, header.orientation, (TURNED, f"orientation {header.orientation}"))
    if min(said) > 0 and _same_shape(said, size):
        proof = fits_said and not fits_image
        if proof or resized:
            return Frame(said, repair=(SCALED, found), scaled=int(proof))
        return Frame(size, repair=(SIZE_OF_IMAGE, found), scaled=0)
    return Frame(size, repair=(SIZE_OF_IMAGE, found))


def _fit(objects: Sequence[AnnotatedObject | str], size: Size) -> bool:
    """Whether the boxes reach at most MAX_OVERHANG over the right and lower border of an image."""
    height, width = size
    boxes = [each for each in objects if not isinstance(each, str)]
    return all(each.xmax <= width + MAX_OVERHANG and each.ymax <= height + MAX_OVERHANG for each in boxes)


def _same_shape(one: Size, two: Size) -> bool:
    return abs((one[0] * two[1]) / (one[1] * two[0]) - 1) <= SAME_SHAPE


def _shown(size: Size) -> str:
    return f"{size[1]} x {size[0]}"


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


def clipped_corners(item: AnnotatedObject, size: Size) -> tuple[AnnotatedObject, bool]:
    """Return an object whose box does not reach over the border of its image, and whether it was cut.

    Like `unit_box`, this counts from 1 to side + 1. MAX_OVERHANG pixels over the border are ordinary and stay, unless
    the box is larger than the image.
    """
    height, width = size
    overhang = max(1 - item.xmin, 1 - item.ymin, item.xmax - width, item.ymax - height)
    larger = item.xmax - item.xmin > width or item.ymax - item.ymin > height
    if overhang <= MAX_OVERHANG and not larger:
        return item, False
    cut = replace(
        item,
        xmin=max(item.xmin, 1.0),
        ymin=max(item.ymin, 1.0),
        xmax=min(item.xmax, width + 1.0),
        ymax=min(item.ymax, height + 1.0),
    )
    return cut, True


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
        box = f"box {item.xmin:g},{item.ymin:g} to {item.xmax:g},{item.ymax:g}"
        return NO_AREA, f"{box} has no width or no height"
    return None


def _outside(item: AnnotatedObject, size: Size) -> tuple[str, str] | None:
    """Return the text for a box whose center is outside the image. Darknet drops such labels."""
    height, width = size
    cx, cy, _, _ = unit_box(item, width, height)
    if 0 < cx <= 1 and 0 < cy <= 1:
        return None
    box = f"box {item.xmin:g},{item.ymin:g} to {item.xmax:g},{item.ymax:g}"
    return OUTSIDE, f"{box} has its center outside the image of {_shown(size)}"
