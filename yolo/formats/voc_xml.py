"""PASCAL VOC's files: annotations, image sets, image folders, and the ground truth of an image set."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from yolo.errors import DatasetError
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.formats.plain_text import parse_number
from yolo.records import VOC_ORIGIN, GroundTruth, Problem

LARGEST_SIDE = 2**31 - 1  # of an image, in pixels
MAX_ANNOTATION_BYTES = 8 * 2**20  # ours: some 20,000 objects; VOC2007's longest file has 42
CORNERS = ("xmin", "ymin", "xmax", "ymax")
DIFFICULT = {"0": False, "1": True}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # any case, in order of preference
TWICE = "image listed twice"
EXTRA_COLUMNS = "row with extra columns"
BAD_IMAGE_NAME = "row that names no image"
EMPTY_IMAGE_SET = "empty image set"
LIST_KINDS = (TWICE, EXTRA_COLUMNS, BAD_IMAGE_NAME, EMPTY_IMAGE_SET)


@dataclass(frozen=True)
class AnnotatedObject:
    """One object; its corners are VOC's pixels, ids_from_one from 1; the last pixel belongs to the box."""

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

    A file with a document type, which could declare entities, is refused.

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
    """Return the root element of an XML file that has no document type.

    Without a document type no entity can be declared, so this refuses what defusedxml refuses, in half its time
    (defusedxml cannot use the C parser). Searching the bytes is enough: expat accepts only encodings in which ASCII
    stays ASCII, and UTF-16, in which each ASCII letter has a zero byte; no other XML has zero bytes.
    """
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > MAX_ANNOTATION_BYTES:
            raise DatasetError(f"{path}: found more than {MAX_ANNOTATION_BYTES} bytes for one image")
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
    """Return width or height in pixels, 0 where the file does not give it."""
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
    number = parse_number(text)
    if math.isnan(number):
        raise ValueError(f"<{tag}> is {text.strip()!r}, expected a number")
    return number


def read_image_sets(sets: Sequence[ImageSet]) -> tuple[list[tuple[Path, str]], list[Problem]]:
    """Return (folder, identifier) of each row of the sets, each once, in order, and the rows' problems.

    Of a row with extra columns, as in VOC's lists of one class, the first column is taken.

    Raises:
        DatasetError: a set does not exist or is not text.
    """
    first: dict[tuple[Path, str], str] = {}
    problems = []
    for image_set in sets:
        folder = image_set.folder
        path = folder / "ImageSets" / "Main" / f"{image_set.name}.txt"
        rows, found = _image_set_rows(path, folder / "Annotations")
        problems += found
        for identifier, place in rows:
            key = (folder, identifier)
            if key in first:
                problems.append(Problem(TWICE, _twice(identifier, place, first[key])))
            first.setdefault(key, place)
    return list(first), problems


def read_image_set(path: str | Path) -> tuple[str, ...]:
    """Return the image names of an `ImageSets/Main/*.txt`, one a line.

    Raises:
        DatasetError: no such file, no name in it, a line that is not one name, or a name given twice.
    """
    rows, problems = _image_set_rows(Path(path), None)
    if problems:
        raise DatasetError(problems[0].message)
    first: dict[str, str] = {}
    for identifier, place in rows:
        if first.setdefault(identifier, place) != place:
            raise DatasetError(_twice(identifier, place, first[identifier]))
    return tuple(first)


def _twice(identifier: str, place: str, first: str) -> str:
    return f"{place}: found {identifier} again, expected each image once (it is in {first})"


def _image_set_rows(path: Path, annotations: Path | None) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Return (identifier, "file:line") of each row of an image set, and the rows' problems.

    annotations: the folder of annotations, where a name with blanks exists if it is one.
    """
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
        found = f"{place}: found {identifier!r}, expected one image name"
        first = identifier.split()[0]
        known = annotations is not None and (annotations / f"{identifier}.xml").is_file()
        if first != identifier and not known:
            problems.append(Problem(EXTRA_COLUMNS, found))
            identifier = first
        if "/" in identifier or not identifier.isprintable():
            problems.append(Problem(BAD_IMAGE_NAME, f"{found} without folder and suffix"))
            continue
        rows.append((identifier, place))
    if not rows:
        problems.append(Problem(EMPTY_IMAGE_SET, f"{path}: no image name found, expected one a line"))
    return rows, problems


def image_files(folder: Path) -> dict[str, str]:
    """Return identifier → file name of every image in JPEGImages, nothing where that folder is missing."""
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


def read_voc_ground_truth(
    annotations: str | Path,
    image_ids: Iterable[str],
    names: Sequence[str] | None = None,
    more_names: Sequence[str] = (),
    needs_sizes: bool = False,
) -> GroundTruthSet:
    """Read the annotation `<image id>.xml` of each image of an image set.

    Args:
        annotations: the folder of annotations.
        image_ids: the images' names without folder and suffix.
        names: the classes in the order of their numbers. None: those of the annotations and `more_names`, sorted.
        more_names: classes that the annotations need not have.
        needs_sizes: read the images' sizes, which many annotations leave out; otherwise `sizes` is None.

    Returns:
        The ground truth in VOC's pixels, from VOC_ORIGIN.

    Raises:
        DatasetError: an annotation is missing or unusable, holds an inverted box or a class that is not in `names`,
            or lacks a size that is needed.
    """
    image_ids, sizes, image_index, objects = [*image_ids], [], [], []
    for index, image_id in enumerate(image_ids):
        path = os.path.join(annotations, f"{image_id}.xml")
        annotation = _usable_annotation(path, names, needs_sizes)
        sizes.append((annotation.height, annotation.width))
        objects.extend(annotation.objects)
        image_index.extend([index] * len(annotation.objects))
    if names is None:
        names = sorted({*more_names, *(each.name for each in objects)})
    label_of = {name: label for label, name in enumerate(names)}
    boxes = [(each.xmin, each.ymin, each.xmax, each.ymax) for each in objects]
    return GroundTruthSet(
        names=tuple(names),
        files=tuple(f"{image_id}.jpg" for image_id in image_ids),
        sizes=np.array(sizes, np.int64) if needs_sizes else None,
        ground_truth=GroundTruth(
            image_index=np.array(image_index, np.int64),
            labels=np.array([label_of[each.name] for each in objects], np.int64),
            boxes=np.array(boxes, np.float64).reshape(-1, 4),
            difficult=np.array([each.difficult for each in objects], bool),
        ),
        origin=VOC_ORIGIN,
        source=Path(annotations),
    )


def _usable_annotation(path: str, names: Sequence[str] | None, needs_size: bool) -> Annotation:
    """Read an annotation; raise DatasetError for one that cannot be scored."""
    try:
        annotation = read_annotation(path)
    except FileNotFoundError:
        expected = "expected the annotation of an image of the image set"
        raise DatasetError(f"{path}: not found, {expected}") from None
    for number, each in enumerate(annotation.objects, start=1):
        if each.xmax < each.xmin or each.ymax < each.ymin:
            found = f"object {number}: found box {each.xmin} {each.ymin} {each.xmax} {each.ymax}"
            expected = "xmin not above xmax and ymin not above ymax"
            raise DatasetError(f"{path}: {found}, expected {expected}")
        if names is not None and each.name not in names:
            raise DatasetError(f"{path}: found class {each.name!r}, expected one of the names")
    sides = annotation.height, annotation.width
    if needs_size and not all(0 < side <= LARGEST_SIDE for side in sides):
        found = f"size {annotation.width} x {annotation.height}"
        raise DatasetError(f"{path}: found {found}, expected the image's pixels")
    return annotation
