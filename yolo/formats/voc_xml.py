"""Read PASCAL VOC's files: annotations, image sets, image folders, and the ground truth of an image set."""

import codecs
import math
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError
from yolo.files.contents import read_small_file
from yolo.files.folders import files_below, visible
from yolo.files.text import UTF16_MARKS, read_text, utf16_text
from yolo.formats.ground_truth_set import GroundTruthSet, by_class_name, labels_by_name
from yolo.formats.plain_text import parse_number
from yolo.records import VOC_ORIGIN, GroundTruth, Problem

LARGEST_SIDE = 2**31 - 1  # of an image, in pixels
MAX_ANNOTATION_BYTES = 8 * 2**20  # ours: some 20,000 objects; VOC2007's longest file has 42
CORNERS = ("xmin", "ymin", "xmax", "ymax")
# <difficult> as programs write it: PASCAL 0 or 1, "Unspecified" as PASCAL's <pose>, others words or nothing.
DIFFICULT = {
    **dict.fromkeys(("1", "true", "yes", "y", "t"), True),
    **dict.fromkeys(("0", "false", "no", "n", "f", "", "unspecified", "none", "null"), False),
}
SHOWN_SETS = 8  # in a message
KEPT_TEXTS = 10_000  # class names that are checked once; YOLO9000 has 9,418
# Encodings of East Asia that expat does not read, as an XML file declares them, and Python's names of them
EAST_ASIAN = {
    **dict.fromkeys(("gb2312", "gbk", "cp936", "gb18030"), "gb18030"),
    **{name: name for name in ("big5", "shift_jis", "euc-jp", "euc-kr")},
}
DECLARED = re.compile(rb"<\?xml[^>]*\bencoding\s*=\s*[\"']([A-Za-z0-9._-]+)")
NOT_UTF8 = "\ufffd"  # stands for bytes that are not UTF-8
BLANKS = str.maketrans("\t\u00a0", "  ")  # in class names: tab and no-break space
POSITIVE = "1"  # the second column of VOC's lists of one class: the image shows it
FLAGS = (POSITIVE, "-1", "0")  # shows it, does not, only as a difficult object
TWICE = "image listed twice"
EXTRA_COLUMNS = "row with extra columns"
BAD_IMAGE_NAME = "row that names no image"
EMPTY_IMAGE_SET = "empty image set"
LIST_KINDS = (TWICE, EXTRA_COLUMNS, BAD_IMAGE_NAME, EMPTY_IMAGE_SET)


class ForeignXmlError(DatasetError):
    """An XML file is whole, but no annotation."""


class AnnotatedObject(NamedTuple):
    """One object; its corners are VOC's pixels, counted from 1; the last pixel belongs to the box."""

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


class AnnotationParts(NamedTuple):
    """One XML file of which parts may be unusable.

    width, height: the image's size in pixels; 0 where the file gives none that is usable. size_fault: why the size is
    not usable, or "". filename: as the file gives it, or "". objects: each object, or why it is not usable.
    """

    width: int
    height: int
    size_fault: str
    filename: str
    objects: tuple[AnnotatedObject | str, ...]


@dataclass(frozen=True)
class ImageSet:
    """`name` of `folder`, which holds Annotations, ImageSets/Main and JPEGImages.

    class_lists: where the folder has no list of all images, its lists of one class, such as cat_train and dog_train,
    which are taken together.
    """

    folder: Path
    name: str
    class_lists: tuple[str, ...] = ()


def read_annotation(path: str | Path) -> Annotation:
    """Read one VOC annotation.

    A file with a document type, which could declare entities, raises an error.

    Raises:
        DatasetError: not XML, not an annotation, or an object without its name, box or numbers.
        OSError: the file is missing or cannot be read.
    """
    parts = read_annotation_parts(path)
    if parts.size_fault:
        raise DatasetError(f"{path}: size: {parts.size_fault}")
    for number, each in enumerate(parts.objects, 1):
        if isinstance(each, str):
            raise DatasetError(f"{path}: object {number}: {each}")
    return Annotation(parts.width, parts.height, parts.objects)


def read_annotation_parts(path: str | Path) -> AnnotationParts:
    """Read one VOC annotation; an unusable size or object is named in the result.

    Raises:
        DatasetError: not XML, or (ForeignXmlError) not an annotation.
        OSError: the file is missing or cannot be read.
    """
    root = _parse(path)
    if root.tag != "annotation":
        hint = (
            "; CVAT for images writes this, its export as Pascal VOC can be read" if root.tag == "annotations" else ""
        )
        raise ForeignXmlError(f"{path}: the outermost element is <{root.tag}>, expected <annotation>{hint}")
    width, height, size_fault = 0, 0, ""
    try:
        size = root.find("size")
        if size is not None:
            width, height = _side(size, "width"), _side(size, "height")
    except ValueError as error:
        size_fault = str(error)
    objects = tuple(map(_object_or_fault, root.findall("object")))
    return AnnotationParts(width, height, size_fault, (root.findtext("filename") or "").strip(), objects)


def _parse(path: str | Path) -> Element:
    """Return the root element of an XML file that has no document type.

    Without a document type no entity can be declared, so this refuses what defusedxml refuses, in half its time
    (defusedxml cannot use the C parser). Searching the bytes is enough: expat accepts only encodings in which ASCII
    stays ASCII, and UTF-16, in which each ASCII letter has a zero byte; no other XML has zero bytes. UTF-16 with a byte
    order mark, as .NET writes it, becomes UTF-8 before the search.
    """
    data = read_small_file(path, MAX_ANNOTATION_BYTES)
    if len(data) > MAX_ANNOTATION_BYTES:
        raise DatasetError(f"{path}: found more than {MAX_ANNOTATION_BYTES} bytes for one image")
    text = _decoded(data, path)
    if isinstance(text, str):
        data = text.encode(errors="surrogatepass")
    if b"<!DOCTYPE" in data:
        raise DatasetError(f"{path}: declares a document type, which may hide entities")
    if b"\0" in data:
        raise DatasetError(f"{path}: has zero bytes, as UTF-16 without a byte order mark has, expected XML in UTF-8")
    try:
        parser = ElementTree.XMLParser()
        parser.feed(text)
        return parser.close()
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path}:{error.position[0]}: not XML: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding that Python or expat does not support
        raise DatasetError(f"{path}:1: not XML that can be read: {error}") from None


def _decoded(data: bytes, path: str | Path) -> bytes | str:
    """Return the text of XML that expat cannot decode as it is; bytes that expat can decode stay bytes.

    The parser passes over the encoding that a text declares. path: for the error of damaged UTF-16.
    """
    if data.startswith(UTF16_MARKS):
        return utf16_text(data, path, "XML")
    if data.isascii():
        return data
    declared = DECLARED.match(data.removeprefix(codecs.BOM_UTF8))
    encoding = declared[1].decode().lower() if declared else "utf-8"
    if encoding in EAST_ASIAN:
        return data.decode(EAST_ASIAN[encoding], errors="replace")
    if encoding not in ("utf-8", "utf8", "us-ascii", "ascii"):
        return data
    try:
        data.decode("utf-8-sig")
        return data
    except UnicodeDecodeError:
        return data.decode("utf-8-sig", errors="replace")


def _side(size: Element, tag: str) -> int:
    """Return width or height in pixels, 0 where the file does not give it."""
    if size.find(tag) is None:
        return 0
    side = _number(size, tag)
    if side != int(side):
        raise ValueError(f"<{tag}> is {side}, expected whole pixels")
    return int(side)


def _object_or_fault(element: Element) -> AnnotatedObject | str:
    try:
        return _object(element)
    except ValueError as error:
        return str(error)


def _object(element: Element) -> AnnotatedObject:
    names, boxes = element.findall("name"), element.findall("bndbox")
    if len(names) != 1 or len(boxes) != 1:
        found = f"{len(names)} <name> and {len(boxes)} <bndbox>"
        raise ValueError(f"found {found}, expected one of each")
    name, difficult = _class_name(names[0].text or ""), _is_difficult(element.findtext("difficult", ""))
    box = boxes[0]
    xmin, ymin, xmax, ymax = corners = [parse_number(box.findtext(tag, "")) for tag in CORNERS]
    if math.isnan(sum(corners)):
        for tag in CORNERS:
            _number(box, tag)  # says which one is no number
    return AnnotatedObject(name, xmin, ymin, xmax, ymax, difficult)


@lru_cache(KEPT_TEXTS)
def _class_name(text: str) -> str:
    name = text.translate(BLANKS).strip()
    if not name or not name.isprintable():
        raise ValueError(f"<name> is {name!r}, expected a class on one line")
    if NOT_UTF8 in name:
        raise ValueError(f"<name> is {name!r}, whose bytes are not UTF-8; the first line must declare their encoding")
    return name


def _is_difficult(text: str) -> bool:
    if text in DIFFICULT:  # most are
        return DIFFICULT[text]
    word = text.strip().lower()
    if word not in DIFFICULT:
        raise ValueError(f"<difficult> is {word!r}, expected 0 or 1")
    return DIFFICULT[word]


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

    An identifier is the name of an image without its ending; it may contain folders. A second column `1`, as in VOC's
    lists of one class, is ignored. Of a row with other columns, the first one is taken. Lists of one class that are
    taken together (`ImageSet.class_lists`) name most images several times and may have any of VOC's second columns.

    Raises:
        DatasetError: a set does not exist or is not text.
    """
    first: dict[tuple[Path, str], str] = {}
    problems = []
    for image_set in sets:
        folder, lists = image_set.folder, image_set.class_lists
        flags = FLAGS if lists else (POSITIVE,)
        for name in lists or (image_set.name,):
            path = image_set_file(ImageSet(folder, name))
            rows, found = _image_set_rows(path, annotation_folder(folder), flags)
            problems += found
            for identifier, place in rows:
                key = (folder, identifier)
                if first.setdefault(key, place) is not place and not lists:
                    problems.append(Problem(TWICE, _twice(identifier, place, first[key])))
    return list(first), problems


def image_set_file(image_set: ImageSet) -> Path:
    """Return the list file of an image set."""
    return image_set.folder / "ImageSets" / "Main" / f"{image_set.name}.txt"


def annotation_folder(folder: Path) -> Path:
    """Return the folder of annotations in PASCAL's layout: Annotations, or another spelling of it."""
    return first_folder(folder, "Annotations", "annotations", "annots")


def first_folder(folder: Path, *names: str) -> Path:
    """Return the first of several subfolders that exists; if none exists, the first."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder / names[0])


def read_image_set(path: str | Path) -> tuple[str, ...]:
    """Return the image names of an `ImageSets/Main/*.txt`, one a line.

    Raises:
        DatasetError: no such file, no name in it, a line that is not one name, or a name given twice.
    """
    rows, problems = _image_set_rows(Path(path), None, (POSITIVE,))
    if problems:
        raise DatasetError(problems[0].message)
    first: dict[str, str] = {}
    for identifier, place in rows:
        if first.setdefault(identifier, place) != place:
            raise DatasetError(_twice(identifier, place, first[identifier]))
    return tuple(first)


def _twice(identifier: str, place: str, first: str) -> str:
    return f"{place}: found {identifier} again, expected each image once (it is in {first})"


def _image_set_rows(
    path: Path, annotations: Path | None, flags: tuple[str, ...]
) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Return (identifier, "file:line") of each row of an image set, and the rows' problems.

    annotations: the folder of annotations, where a name with blanks or an ending exists if it is one; flags: second
    columns that are ignored.
    """
    try:
        lines = read_text(path).split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{path}: no such image set{_other_sets(path)}") from None
    rows, problems, annotated = [], [], _xml_names(annotations)
    for number, line in enumerate(lines, 1):
        row, place = line.strip(), f"{path}:{number}"
        if not row:
            continue
        if row in annotated and row.isprintable():  # as in most lists
            rows.append((row, place))
            continue
        identifier = _identifier(row, annotations, flags)
        found = f"{place}: found {row!r}, expected one image name"
        if identifier is None:
            problems.append(Problem(EXTRA_COLUMNS, found))
            identifier = row.split()[0]
        if identifier.startswith("/") or ".." in identifier.split("/"):
            problems.append(Problem(BAD_IMAGE_NAME, f"{found} without folders above the images"))
            continue
        if not _is_printable(identifier):
            problems.append(Problem(BAD_IMAGE_NAME, f"{found} without control characters"))
            continue
        rows.append((identifier, place))
    if not rows:
        problems.append(Problem(EMPTY_IMAGE_SET, f"{path}: no image name found, expected one a line"))
    return rows, problems


def _xml_names(folder: Path | None) -> frozenset[str]:
    """Return the names of the XML files in a folder, without .xml; listing them is faster than asking for each."""
    try:
        with os.scandir(folder) if folder else nullcontext(()) as found:
            return frozenset(each.name[:-4] for each in found if each.name.endswith(".xml") and each.is_file())
    except OSError:
        return frozenset()


def _identifier(row: str, annotations: Path | None, flags: tuple[str, ...]) -> str | None:
    """Return the image that a row names, without its ending; None if the row has more columns than PASCAL's lists.

    Programs write `x`, `x.jpg`, `folder/x`, `JPEGImages/x.jpg`, and PASCAL's lists of one class `x  1`, with one of
    `flags` as the second column.
    """
    name, _, last = row.replace("\t", " ").rpartition(" ")
    plain = name.strip() if last in flags and name.strip() else row
    if annotations is not None:
        for each in (each for text in (row, plain) for each in (text, _without_ending(text))):
            if "\0" not in each and os.path.isfile(f"{annotations}/{each}.xml"):
                return each
    last_candidate = _without_ending(plain)
    return None if len(last_candidate.split()) > 1 else last_candidate


def _without_ending(row: str) -> str:
    """Return an image's name without `.jpg` or the like, and without the folder of all images."""
    stem, ending = os.path.splitext(row)
    return (stem if ending.lower() in IMAGE_ENDINGS else row).removeprefix("./").removeprefix("JPEGImages/")


def _is_printable(text: str) -> bool:
    """Whether a name has no control characters. Bytes that are not UTF-8 (Python's surrogate escapes) are allowed."""
    return all(character.isprintable() or "\udc80" <= character <= "\udcff" for character in text)


def _other_sets(path: Path) -> str:
    """Return for a message which image sets are in the folder of the missing `path`."""
    names = [each.stem for each in visible(path.parent, "*.txt")]
    if not names:
        return f"; {path.parent} has none"
    more = [f"... ({len(names)} in all)"] if len(names) > SHOWN_SETS else []
    return f", expected one of {', '.join([*names[:SHOWN_SETS], *more])}"


def image_files(folder: Path) -> dict[str, str]:
    """Return identifier → file name of every image in and below a folder, both relative to it.

    The identifier is the name without its ending. Of two images of one identifier, the one whose ending is the
    earlier in IMAGE_ENDINGS is returned. A folder that is not there has no images.
    """
    found: dict[str, tuple[int, str]] = {}
    for name in files_below(folder):
        stem, ending = os.path.splitext(name)
        if ending.lower() in IMAGE_ENDINGS:
            candidate = (IMAGE_ENDINGS.index(ending.lower()), name)
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
    known_names = None if names is None else {*labels_by_name(names)}
    for index, image_id in enumerate(image_ids):
        path = os.path.join(annotations, f"{image_id}.xml")
        annotation = _usable_annotation(path, known_names, needs_sizes)
        sizes.append((annotation.height, annotation.width))
        objects.extend(annotation.objects)
        image_index.extend([index] * len(annotation.objects))
    if names is None:
        own = {each.name for each in objects}
        known = by_class_name(dict.fromkeys(own))  # a class of COCO_ALIASES is one class by either name
        names = sorted(own | {name for name in more_names if name not in known})
    label_of = labels_by_name(names)
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


def _usable_annotation(path: str, names: set[str] | None, needs_size: bool) -> Annotation:
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
