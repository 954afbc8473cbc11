"""Find the annotation files (JSON) of a data set's folder, the images of each, and their lists."""

import json
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from yolo.data.convert.coco import CocoSet
from yolo.data.convert.ownership import is_output
from yolo.data.convert.splitting import OWN_LISTS
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError
from yolo.files.folders import files_below
from yolo.files.image_names import shared_parts
from yolo.files.text import UTF16_MARKS
from yolo.formats.coco_annotations import relative_name

KEYS = (b'"images"', b'"categories"', b'"annotations"')
FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
SAMPLE = 5  # file names from which the folder of images is found
OTHER_TASKS = ("person_keypoints_", "captions_", "image_info_", "stuff_", "panoptic_")  # COCO's own files
WORDS = re.compile("[a-z]+")


@dataclass(frozen=True)
class CocoFolder:
    """The annotation files of a folder, to train on and to score on; unused: those of a third list."""

    train: tuple[CocoSet, ...]
    valid: tuple[CocoSet, ...]
    unused: tuple[str, ...] = ()


def read_coco_folder(folder: Path, whole: bool) -> CocoFolder:
    """Return the annotation files of a folder, such as annotations/instances_val2017.json, with their images.

    A word in a file's path (train, valid, val, test) says which list it is. whole: take all as one list to train on.

    Raises:
        DatasetError: there is no annotation file, or the images of one are not in the folder.
    """
    files = [*files_below(folder, is_output)]
    found = [each for each in files if each.lower().endswith(".json") and _is_coco(folder / each)]
    if not found:
        raise DatasetError(f"{folder}: found no COCO annotations (.json) in or below this folder")
    images = [each for each in files if each.lower().endswith(IMAGE_ENDINGS)]
    lists: dict[str, list[CocoSet]] = {}
    for each in found:
        made = CocoSet(folder / each, _images_of(folder, each, images))
        lists.setdefault("train" if whole else _list_of(each), []).append(made)
    scored = next((split for split in ("valid", "test") if split in lists), None)
    if "train" not in lists or scored is None:
        return CocoFolder(tuple(made for each in lists.values() for made in each), ())
    unused = tuple(str(made.annotations) for split in lists if split not in ("train", scored) for made in lists[split])
    return CocoFolder(tuple(lists["train"]), tuple(lists[scored]), unused)


def _is_coco(path: Path) -> bool:
    """Whether a file holds the three lists of an annotation file, by its bytes: some have hundreds of megabytes."""
    if path.name.startswith(OTHER_TASKS) or path.stat().st_size == 0:
        return False
    with _content(path) as content:
        return all(content.find(key) >= 0 for key in KEYS)


@contextmanager
def _content(path: Path) -> Iterator[bytes | mmap.mmap]:
    """Give the bytes of a file without reading it at once; UTF-16 with a byte order mark becomes UTF-8."""
    with open(path, "rb") as file:
        if file.read(2) in UTF16_MARKS:
            file.seek(0)
            yield file.read().decode("utf-16", errors="replace").encode(errors="replace")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def _list_of(annotations: str) -> str:
    """Return the list that an annotation file is, by the words of its path, those of its name first."""
    name = os.path.basename(annotations)
    words = [*WORDS.findall(name.lower()), *WORDS.findall(annotations.lower())]
    return next(filter(None, map(_list_of_word, words)), "train")


def _list_of_word(word: str) -> str | None:
    """Return the list of a data set that a word in lower case is the name of: train, valid or test."""
    if word.startswith("train"):
        return "train"
    return next((split for split, names in OWN_LISTS.items() if word in names), None)


def _images_of(folder: Path, annotations: str, images: list[str]) -> Path:
    """Return the folder that the file names of an annotation file are relative to.

    If there are several, return the one nearest to the annotation file, or one with a word of its name. If the file
    names are there only in part, as those of another machine, it is the folder of the longest part.
    """
    names = _file_names(folder / annotations)
    homes: dict[str, int] = {}
    for image in images:
        for name in names:
            if image == name or image.endswith(f"/{name}"):
                home = image[: -len(name)].rstrip("/")
                homes[home] = homes.get(home, 0) + 1
    homes = homes or _homes_in_part(names, images)
    if not homes:
        shown = names[0] if names else "any image"
        raise DatasetError(f"{folder / annotations}: found no {shown} in or below {folder}, expected the images there")
    words = set(WORDS.findall(os.path.basename(annotations).lower()))
    beside = os.path.dirname(annotations)

    def fitness(home: str) -> tuple[int, bool, int]:
        shared = bool(words & set(WORDS.findall(home.lower())))
        return homes[home], shared, len(os.path.commonpath([home, beside])) if home and beside else 0

    return folder / max(sorted(homes), key=fitness)


def _homes_in_part(names: list[str], images: list[str]) -> dict[str, int]:
    """Return the folders in which the last parts of file names are images, and how many.

    The images of another list, such as train/1.jpg for val/1.jpg, often have the same numbers and are no such images.
    """
    homes: dict[str, int] = {}
    for name in names:
        shared = {image: parts for image in images if (parts := shared_parts(image, name))}
        given = _lists_in(name)
        shared = {image: parts for image, parts in shared.items() if not _other_lists(given, _lists_in(image))}
        most = max(shared.values(), default=0)
        for home in {"/".join(image.split("/")[:-most]) for image, parts in shared.items() if parts == most}:
            homes[home] = homes.get(home, 0) + 1
    return homes


def _lists_in(image: str) -> set[str]:
    """Return the lists of a data set, train, valid or test, that the folders of an image are named as."""
    return {*filter(None, map(_list_of_word, WORDS.findall(os.path.dirname(image).lower())))}


def _other_lists(one: set[str], two: set[str]) -> bool:
    """Whether both are named, and none of one is in two."""
    return bool(one and two) and one.isdisjoint(two)


def _file_names(path: Path) -> list[str]:
    """Return the first few file names of an annotation file, as in `read_coco`."""
    with _content(path) as content:
        found = [match[1] for match in islice(FILE_NAME.finditer(content), SAMPLE)]
    names = []
    for each in found:
        try:
            names.append(relative_name(json.loads(each)))
        except ValueError:  # reading the whole file raises an error that names the fault
            continue
    return names
