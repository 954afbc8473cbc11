"""PASCAL VOC's files, read with care: annotations, image sets, which images there are."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from yolo.errors import DatasetError
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.records import GroundTruth, Problem

LARGEST = 1e100  # of numbers in files, ours: areas and sums of what is larger would be infinite

MAX_ANNOTATION_BYTES = 8 * 2**20  # ours: some 20,000 objects; VOC2007's longest file has 42

CORNERS = ("xmin", "ymin", "xmax", "ymax")

DIFFICULT = {"0": False, "1": True}

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # any case; of several files the first is taken

TWICE = "image listed twice"

COLUMNS = "row with extra columns"

BAD_NAME = "row that names no image"

EMPTY = "empty image set"

LIST_KINDS = (TWICE, COLUMNS, BAD_NAME, EMPTY)


@dataclass(frozen=True)
class AnnotatedObject:
    """One object; its corners are VOC's pixels, counted from 1, the last one included."""

    name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """One XML file: the image's size in pixels (0 where the file gives none) and its objects."""

    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]


@dataclass(frozen=True)
class ImageSet:
    """`name` of `folder`, which holds Annotations, ImageSets/Main and JPEGImages."""

    folder: Path
    name: str


def read_annotation(path: str | Path) -> Annotation:
    """Read one VOC annotation.

    The file may come from a stranger: a document type, and with it every entity, is refused, and so
    is a file of more than `MAX_ANNOTATION_BYTES`.

    Raises:
        DatasetError: not XML, not an annotation, or an object without its name, box or numbers.
        OSError: the file is missing or cannot be read.
    """
    root = _parse(path)
    if root.tag != "annotation":
        raise DatasetError(f"{path}: the outermost element is <{root.tag}>, expected <annotation>")
    place = "size"
    try:
        width, height = _side(root, "width"), _side(root, "height")
        objects = []
        for number, element in enumerate(root.findall("object"), 1):
            place = f"object {number}"
            objects.append(_object(element))
    except ValueError as error:
        raise DatasetError(f"{path}: {place}: {error}") from None
    return Annotation(width, height, tuple(objects))


def _parse(path: str | Path) -> Element:
    """The outermost element of an XML file that has no document type.

    Without a document type no entity can be declared: what defusedxml refuses is refused, in
    half its time, as that must leave the C parser. Looking for the bytes is enough: whatever
    encoding a file names, expat demands that ASCII stays ASCII; only UTF-16 does not, and each of
    its ASCII letters has a zero byte, which no other XML has.
    """
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > MAX_ANNOTATION_BYTES:
            raise DatasetError(f"{path}: more than {MAX_ANNOTATION_BYTES} bytes for one image")
        data = file.read()
    if b"<!DOCTYPE" in data:
        raise DatasetError(f"{path}: declares a document type, which may hide entities")
    if b"\0" in data:
        raise DatasetError(f"{path}: has zero bytes, expected XML in UTF-8")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path}:{error.position[0]}: not XML: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding that Python or expat does not know
        raise DatasetError(f"{path}:1: not XML that can be read: {error}") from None


def _side(root: Element, tag: str) -> int:
    """Width or height in pixels; 0 where the file does not say."""
    size = root.find("size")
    if size is None or size.find(tag) is None:
        return 0
    side = _number(size, tag)
    if side != int(side):
        raise ValueError(f"<{tag}> is {side}, expected whole pixels")
    return int(side)


def _object(element: Element) -> AnnotatedObject:
    names, boxes = element.findall("name"), element.findall("bndbox")
    if len(names) != 1 or len(boxes) != 1:
        found = f"{len(names)} <name> and {len(boxes)} <bndbox>"
        raise ValueError(f"found {found}, expected one of each")
    name = (names[0].text or "").strip()
    if not name or not name.isprintable():
        raise ValueError(f"<name> is {name!r}, expected a class on one line")
    difficult = element.findtext("difficult", "0").strip()
    if difficult not in DIFFICULT:
        raise ValueError(f"<difficult> is {difficult!r}, expected 0 or 1")
    box = boxes[0]
    xmin, ymin, xmax, ymax = [_number(box, tag) for tag in CORNERS]
    return AnnotatedObject(name, xmin, ymin, xmax, ymax, DIFFICULT[difficult])


def _number(element: Element, tag: str) -> float:
    text = element.findtext(tag)
    if text is None:
        raise ValueError(f"<{element.tag}> has no <{tag}>")
    try:  # Python also takes 1_000 and the digits of other scripts
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST:
        raise ValueError(f"<{tag}> is {text.strip()!r}, expected a number")
    return number


def read_image_sets(sets: Sequence[ImageSet]) -> tuple[list[tuple[Path, str]], list[Problem]]:
    """(folder, identifier) of each row of the sets, each once, in order; and their problems.

    Raises:
        DatasetError: a set is not there or is no text.
    """
    first: dict[tuple[Path, str], str] = {}
    problems = []
    for image_set in sets:
        rows, found = _read_image_set(image_set)
        problems += found
        for identifier, place in rows:
            key = (image_set.folder, identifier)
            if key in first:
                message = f"{place}: {identifier} is listed again, first at {first[key]}"
                problems.append(Problem(TWICE, message))
            else:
                first[key] = place
    return list(first), problems


def _read_image_set(image_set: ImageSet) -> tuple[list[tuple[str, str]], list[Problem]]:
    """(identifier, "file:line") of each row of an image set, and their problems."""
    folder = image_set.folder
    path = folder / "ImageSets" / "Main" / f"{image_set.name}.txt"
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{path}: no such image set") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: not UTF-8 text, expected one image a line") from None
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        identifier, place = line.strip(), f"{path}:{number}"
        if not identifier:
            continue
        first = identifier.split()[0]
        if first != identifier and not (folder / "Annotations" / f"{identifier}.xml").is_file():
            what = "more than an image's name, as in VOC's lists of one class"
            problems.append(Problem(COLUMNS, f"{place}: {identifier!r} is {what}"))
            identifier = first
        if "/" in identifier or not identifier.isprintable():
            what = "expected a file's name without folder and suffix"
            problems.append(Problem(BAD_NAME, f"{place}: {identifier!r}: {what}"))
            continue
        rows.append((identifier, place))
    if not rows:
        problems.append(Problem(EMPTY, f"{path}: names no image"))
    return rows, problems


def image_files(folder: Path) -> dict[str, str]:
    """Identifier → file name of every image in JPEGImages; empty where that is missing."""
    found: dict[str, tuple[int, str]] = {}
    try:
        entries = list(os.scandir(folder / "JPEGImages"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name)
        if suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
            candidate = (IMAGE_SUFFIXES.index(suffix.lower()), entry.name)
            found[stem] = min(candidate, found.get(stem, candidate))
    return {stem: name for stem, (_, name) in found.items()}


VOC_ORIGIN = 1.0  # VOC counts pixels from 1

UNKNOWN_SIZE = 0  # of an image: VOC's results files do not say, and some annotations do not


@dataclass(frozen=True)
class VocGroundTruth:
    """The ground truth of an image set: image_index points into image_ids, labels into names."""

    image_ids: tuple[str, ...]
    names: tuple[str, ...]
    ground_truth: GroundTruth


def read_image_set(path: str | Path) -> tuple[str, ...]:
    """The image names of an `ImageSets/Main/*.txt`, one a line.

    Raises:
        DatasetError: no name at all, a line that is not one name, or a name given twice.
    """
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines(path), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) > 1 or not words[0].isprintable():
            raise DatasetError(f"{path}:{number}: found {line.strip()!r}, expected one image name")
        if words[0] in first_line:
            raise DatasetError(
                f"{path}:{number}: {words[0]} again, expected each image once "
                f"(it is on line {first_line[words[0]]})"
            )
        first_line[words[0]] = number
    if not first_line:
        raise DatasetError(f"{path}: no image name found, expected one a line")
    return tuple(first_line)


def read_ground_truth(
    annotations: str | Path, image_ids: Iterable[str], more_names: Iterable[str] = ()
) -> VocGroundTruth:
    """Read `annotations`/<id>.xml of each image, in order.

    The class names are those found and `more_names` (classes that may have no object here), sorted.
    Image sizes are not needed and not looked at.

    Raises:
        DatasetError: an annotation that is missing, cannot be read, or holds an inverted box.
    """
    image_ids, image_index, objects = [*image_ids], [], []
    for index, image_id in enumerate(image_ids):
        found = _objects(os.path.join(annotations, f"{image_id}.xml"))
        objects.extend(found)
        image_index.extend([index] * len(found))
    names = tuple(sorted({*more_names, *(each.name for each in objects)}))
    label = {name: number for number, name in enumerate(names)}
    boxes = [(each.xmin, each.ymin, each.xmax, each.ymax) for each in objects]
    ground_truth = GroundTruth(
        image_index=np.array(image_index, dtype=np.int64),
        labels=np.array([label[each.name] for each in objects], dtype=np.int64),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        difficult=np.array([each.difficult for each in objects], dtype=bool),
    )
    return VocGroundTruth(tuple(image_ids), names, ground_truth)


def voc_pixels(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Continuous xyxy image pixels from 0 [N, 4] → VOC's pixels [N, 4], as Darknet writes them.

    `sizes` [N, 2] are the (height, width) of each box's image. All four numbers move by 1 and are
    clamped to the image (examples/detector.c, print_detector_detections). A box wholly outside,
    which Darknet writes inverted, becomes a box of one pixel on the border. Where a size is
    UNKNOWN_SIZE, the numbers only move.
    """
    width_height = np.asarray(sizes, dtype=np.float64)[:, ::-1]
    known = width_height != UNKNOWN_SIZE
    low = np.where(known, VOC_ORIGIN, -np.inf)
    high = np.where(known, width_height, np.inf)
    moved = np.asarray(boxes, dtype=np.float64) + VOC_ORIGIN
    return np.clip(moved, np.tile(low, 2), np.tile(high, 2))


def _objects(path: str) -> tuple[AnnotatedObject, ...]:
    try:
        objects = read_annotation(path).objects
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: not found, expected the annotation of an image of the image set"
        ) from None
    for number, each in enumerate(objects, start=1):
        if each.xmax < each.xmin or each.ymax < each.ymin:
            raise DatasetError(
                f"{path}: object {number}: found box "
                f"{each.xmin} {each.ymin} {each.xmax} {each.ymax}, "
                "expected xmin not above xmax and ymin not above ymax"
            )
    return objects


def lines(path: str | Path) -> list[str]:
    """The lines of a text file; bytes that are no UTF-8 stay visible for the line's check."""
    return Path(path).read_text(encoding="utf-8-sig", errors="backslashreplace").split("\n")


LARGEST_SIDE = 2**31 - 1  # of an image, in pixels


def voc_ground_truth(
    annotations: str | Path,
    image_ids: Sequence[str],
    names: Sequence[str] | None = None,
    more_names: Sequence[str] = (),
) -> GroundTruthSet:
    """The ground truth of the annotations of an image set, from VOC's origin, without the images' sizes.

    The classes are `names`, which must have each class of the annotations, or those of the annotations and
    `more_names`, sorted. Raises DatasetError as `read_ground_truth` does, and for a class that is not in `names`.
    """
    for image_id in image_ids:
        if "/" in image_id:
            found = f"found image {image_id}"
            raise DatasetError(f"{annotations}: {found}, expected a name without folder")
    found = read_ground_truth(annotations, image_ids, more_names if names is None else ())
    ground_truth, names = found.ground_truth, found.names if names is None else tuple(names)
    for label, name in enumerate(found.names):
        if name not in names:
            owner = found.image_ids[ground_truth.image_index[ground_truth.labels == label][0]]
            path = Path(annotations) / f"{owner}.xml"
            raise DatasetError(f"{path}: found class {name!r}, expected one of the names")
    label_of = np.array([names.index(name) for name in found.names], np.int64)
    files = tuple(f"{image_id}.jpg" for image_id in image_ids)
    ground_truth = replace(ground_truth, labels=label_of[ground_truth.labels])
    return GroundTruthSet(names, files, None, ground_truth, VOC_ORIGIN, source=Path(annotations))


def with_sizes(images: GroundTruthSet, annotations: str | Path) -> GroundTruthSet:
    """The same with the sizes that the annotations give. Raises DatasetError for one that gives none."""
    sizes = []
    for image_id in images.image_ids:
        path = Path(annotations) / f"{image_id}.xml"
        annotation = read_annotation(path)
        if not all(0 < side <= LARGEST_SIDE for side in (annotation.height, annotation.width)):
            found = f"size {annotation.width} x {annotation.height}"
            raise DatasetError(f"{path}: found {found}, expected the image's pixels")
        sizes.append((annotation.height, annotation.width))
    return replace(images, sizes=np.array(sizes, np.int64))
