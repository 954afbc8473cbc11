"""Recognize which annotations a folder holds: VOC XML, COCO JSON, or Darknet's label files."""

import os
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from yolo.errors import DatasetError

BEGINNING = 2**16  # bytes of a file that identify its kind
LABEL_LINE = re.compile(rb"\s*[0-9]+(\s+[0-9.eE+-]+){4}\s*")


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
    raise DatasetError(
        f"{folder}: found no annotations, expected images with VOC XML, COCO JSON or label files (class x y w h)"
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
        return AnnotationKind.VOC if b"<annotation" in content else None
    if ending == ".json":
        return AnnotationKind.COCO if b'"images"' in content or b'"annotations"' in content else None
    lines = content.splitlines()
    return AnnotationKind.LABELS if lines and LABEL_LINE.fullmatch(lines[0]) else None
