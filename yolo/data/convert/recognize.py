"""Which annotations a folder holds: VOC XML, COCO JSON, or Darknet's label files."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError

BEGINNING = 2**16  # bytes of a file that tell what it is
LABEL_LINE = re.compile(rb"\s*[0-9]+(\s+[0-9.eE+-]+){4}\s*")
SCORED = re.compile("val|test")  # in the path of a JSON file: its images are for scoring


class AnnotationKind(Enum):
    """What an annotation of an image is."""

    VOC = "VOC XML"
    COCO = "COCO JSON"
    LABELS = "label files"


@dataclass(frozen=True)
class FoundCocoFile:
    """A COCO file, the folder that its file names are relative to, and whether its path says that it is for scoring."""

    path: Path
    images: Path
    scored: bool


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


def coco_files(folder: Path) -> list[FoundCocoFile]:
    """Return the COCO files of a folder, each with the folder of its images.

    Raises DatasetError for a file none of whose images is in the folder.
    """
    from yolo.formats.json_file import read_json

    files = list(_files(folder))
    places: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in IMAGE_ENDINGS:
            places.setdefault(path.name, []).append(path)
    found = []
    for path in (each for each in files if _kind(each) is AnnotationKind.COCO):
        names = [image["file_name"] for image in read_json(path)["images"][:1] if "file_name" in image]
        homes = [place for name in names for place in places.get(Path(name).name, ()) if str(place).endswith(name)]
        if not homes:
            missing = names[0] if names else "with a file_name"
            raise DatasetError(f"{path}: found no image {missing} in {folder}, expected it there")
        # of several images of that name, the one nearest to the JSON file
        home = max(homes, key=lambda place: len(os.path.commonpath([place, path])))
        images = Path(str(home)[: -len(names[0])])
        found.append(FoundCocoFile(path, images, SCORED.search(str(path.relative_to(folder)).lower()) is not None))
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files of a folder and its subfolders in order, without hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(place) / name


def _kind(path: Path) -> AnnotationKind | None:
    """Return what a file is, judged by its ending and its first bytes."""
    ending = path.suffix.lower()
    if ending not in (".xml", ".json", ".txt"):
        return None
    with path.open("rb") as file:
        content = file.read(BEGINNING)
    if ending == ".xml":
        return AnnotationKind.VOC if b"<annotation" in content else None
    if ending == ".json":
        return AnnotationKind.COCO if b'"images"' in content or b'"annotations"' in content else None
    lines = content.splitlines()
    return AnnotationKind.LABELS if lines and LABEL_LINE.fullmatch(lines[0]) else None
