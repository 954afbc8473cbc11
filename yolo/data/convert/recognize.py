"""Recognize which annotations a folder holds: VOC XML, COCO JSON, or Darknet's label files."""

import os
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError

BEGINNING = 2**16  # bytes of a file that identify its kind
# A row of a label file, also one with more columns or decimal commas, which the reader of labels then names
LABEL_LINE = re.compile(rb"(\xef\xbb\xbf)?\s*[0-9]+([.,][0-9]*)?(e\+?[0-9]+)?(\s+[0-9.,eE+-]+){4,}\s*")
ANNOTATION = re.compile(rb"<annotation[\s>]")
# What other annotations begin with, and what they are
OTHER_KINDS = (
    (".xml", re.compile(rb"<annotations[\s>]"), "XML of CVAT for images; export it as one of these"),
    (".json", re.compile(rb'"shapes"|"imagePath"'), "JSON of LabelMe; export it as one of these"),
    (".json", re.compile(rb'"classTitle"'), "JSON of Supervisely; export it as one of these"),
    (".json", re.compile(rb'"assets"'), "JSON of VoTT; export it as one of these"),
    (".json", re.compile(rb'"items"'), "JSON of Datumaro; export it as one of these"),
    (".json", re.compile(rb'"coordinates"'), "JSON of CreateML; export it as one of these"),
    (".csv", re.compile(rb""), "a CSV file; export it as one of these"),
    (".zip", re.compile(rb""), "a zip archive, to be unpacked first"),
)


class AnnotationKind(Enum):
    """What an annotation of an image is."""

    VOC = "VOC XML"
    COCO = "COCO JSON"
    LABELS = "label files"


def annotations_of(folder: Path) -> AnnotationKind:
    """Return which annotations a folder or its subfolders hold; VOC XML comes first, then COCO JSON.

    Raises DatasetError if there are none.
    """
    found = {kind for path in _files(folder) if (kind := _kind(path)) is not None}
    for kind in AnnotationKind:
        if kind in found:
            return kind
    other = next(filter(None, map(_other_kind, _files(folder))), None)
    other = other or _class_folders(folder)
    hint = f" ({other})" if other else ""
    raise DatasetError(
        f"{folder}: found no annotations, expected images with VOC XML, COCO JSON or label files (class x y w h){hint}"
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files of a folder and its subfolders in order, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(place) / name


def _kind(path: Path) -> AnnotationKind | None:
    """Return the kind of a file by its ending and its first bytes."""
    ending = path.suffix.lower()
    if ending not in (".xml", ".json", ".txt"):
        return None
    with path.open("rb") as file:
        content = file.read(BEGINNING).replace(b"\0", b"")  # ASCII letters of UTF-16 have one zero byte each
    if ending == ".xml":
        return AnnotationKind.VOC if ANNOTATION.search(content) else None
    if ending == ".json":
        if content.lstrip()[:1] == b"[":
            return None
        return AnnotationKind.COCO if b'"images"' in content or b'"annotations"' in content else None
    lines = content.splitlines()
    return AnnotationKind.LABELS if lines and LABEL_LINE.fullmatch(lines[0]) else None


def _other_kind(path: Path) -> str | None:
    """Return for a message what annotations a file holds that are not read here; None for any other file."""
    ending = path.suffix.lower()
    for kind, pattern, words in OTHER_KINDS:
        if ending == kind:
            with path.open("rb") as file:
                if pattern.search(file.read(BEGINNING)):
                    return f"{path.name} is {words}"
    return None


def _class_folders(folder: Path) -> str | None:
    """Return for a message that a folder holds images for a classifier: only in subfolders, and in several of them."""
    places = {path.parent for path in _files(folder) if path.suffix.lower() in IMAGE_ENDINGS}
    if len(places) < 2 or folder in places:
        return None
    return "images in one folder for each class are for a classifier, see docs/training.md"
