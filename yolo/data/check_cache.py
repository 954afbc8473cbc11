"""The cache of a check: its results in a file, so that the next check reads only files that have changed.

An entry of a list is known if its paths, the sizes and the modification times of its image and label files, and the
rules of the check are the same. A file that changes and keeps both its size and its time is not noticed; `--recheck`
reads everything again.

The file is NAME.checked beside the list NAME, or in the user's cache folder if the list's folder is read-only. It is a
NumPy .npz without pickled objects, and has checksums. A damaged one is ignored and replaced.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np

from yolo.data.labeled_images import ImagePacking, LabeledImage, LabeledImages
from yolo.files.folders import writable
from yolo.files.located import file_state, located
from yolo.files.writing import replacing
from yolo.formats.label_files import label_paths
from yolo.records import Problem

log = logging.getLogger(__name__)
ENDING = ".checked"
LEAST_ENTRIES = 1000  # of a list with a cache: fewer are checked in less than a second or two
KEY_BYTES = 8
ZIP_START = b"PK"
NO_ENTRY = -1

# A new reader of labels or images may find other problems, so the source of all readers is part of the key.
PACKAGE = Path(__file__).parent.parent
READERS = ("*.py", "data/**/*.py", "formats/*.py")
RULES = tuple(sorted(path for pattern in READERS for path in PACKAGE.glob(pattern)))


@dataclass(frozen=True, eq=False)
class CheckedEntries:
    """What was found in the N entries of a list.

    keys: uint64 `[N]`, from `EntryFiles.key`; usable: bool `[N]`, whether the entry has an image; images: of the
    usable entries, in order; problems: (entry, problem) of all entries, in order.
    """

    keys: np.ndarray
    usable: np.ndarray
    images: LabeledImages
    problems: tuple[tuple[int, Problem], ...]


@dataclass(frozen=True)
class EntryFiles:
    """The image of an entry, that of its difficult boxes if there is one, and a key of all its files' states."""

    image: str
    difficult: str | None
    key: int


def entry_files(lines: tuple[str, str | None], folders: tuple[str, str], settings: str) -> EntryFiles:
    """Return the states of the files of an entry, without reading the files.

    Args:
        lines: of the list, and of the list of difficult boxes.
        folders: of the two lists.
        settings: other values that change the result of a check.
    """
    states: list[Any] = [settings]
    found = []
    for line, folder in zip(lines, folders, strict=True):
        if line is None:
            found.append(None)
            continue
        path, state = located(line, folder)
        found.append(path)
        states += [path, _shown(state)]
        states += [_shown(file_state(label)) for label in label_paths(path)]
    text = repr(states).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=KEY_BYTES).digest()
    return EntryFiles(found[0], found[1], int.from_bytes(digest, "little"))


def pack_entries(keys: np.ndarray, found: Iterable[tuple[LabeledImage | None, Sequence[Problem]]]) -> CheckedEntries:
    """Collect the results of all entries."""
    usable = np.zeros(len(keys), bool)
    images, problems = ImagePacking(), []
    for entry, (image, faults) in enumerate(found):
        problems += [(entry, fault) for fault in faults]
        if image is not None:
            usable[entry] = True
            images.add(image)
    return CheckedEntries(keys, usable, images.finish(), tuple(problems))


class KnownEntries:
    """Finds the entries of an earlier check by their keys."""

    def __init__(self, entries: CheckedEntries) -> None:
        self._entries = entries
        self._order = np.argsort(entries.keys, kind="stable")
        self._sorted = entries.keys[self._order]
        self._image_of = np.cumsum(entries.usable) - 1
        self._problems: dict[int, list[Problem]] = {}
        for entry, problem in entries.problems:
            self._problems.setdefault(entry, []).append(problem)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the earlier entry of each key `[N]`, or NO_ENTRY."""
        if len(self._sorted) == 0:
            return np.full(len(keys), NO_ENTRY)
        place = np.searchsorted(self._sorted, keys).clip(max=len(self._sorted) - 1)
        return np.where(self._sorted[place] == keys, self._order[place], NO_ENTRY)

    def get(self, entry: int) -> tuple[LabeledImage | None, list[Problem]]:
        """Return the result of an entry."""
        usable = self._entries.usable[entry]
        image = self._entries.images[int(self._image_of[entry])] if usable else None
        return image, self._problems.get(entry, [])


# --------------------------------------------------------------------------------------------------------- the file

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error)


def read_entries_of(listed: Path) -> CheckedEntries | None:
    """Return the results of the last check of a list; None if they were not kept, are damaged or follow other rules."""
    for path in kept_files(listed, ENDING):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if bytes(stored["rules"]) != _rules():
                    continue
                faults = json.loads(bytes(stored["problems"]))
                return CheckedEntries(
                    keys=stored["keys"],
                    usable=stored["usable"],
                    images=_record(LabeledImages, stored, "images"),
                    problems=tuple((entry, Problem(kind, message)) for entry, kind, message in faults),
                )
        # What np.load raises for a file that is missing, cut off, changed or of another kind. One changed byte may mean
        # another version of zip (NotImplementedError), a password (RuntimeError) or an array of any size (MemoryError).
        except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError, *ZIP_ERRORS):
            continue
    return None


def write_entries_of(listed: Path, entries: CheckedEntries) -> None:
    """Keep the results of the check of a list. If no folder can be written to, they are not kept."""
    path = file_to_keep(listed, ENDING)
    faults = [(entry, problem.kind, problem.message) for entry, problem in entries.problems]
    columns = {
        "rules": np.frombuffer(_rules(), np.uint8),
        "keys": entries.keys,
        "usable": entries.usable,
        "problems": np.frombuffer(json.dumps(faults).encode(), np.uint8),
        **dict(_columns(entries.images, "images")),
    }
    try:
        with replacing(path) as file:
            np.savez(file, **columns)
    except OSError as error:
        log.info("%s: the result of the check cannot be stored: %s", path, error.strerror)


def kept_files(listed: Path, ending: str) -> tuple[Path, Path]:
    """Return where a cache of a list may be kept: beside the list, and in the cache folder of the XDG base directory
    specification. ending: of the file's name."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    digest = hashlib.blake2b(os.path.abspath(listed).encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES)
    aside = Path(folder, "yolo-darknet", ending.removeprefix("."), f"{listed.name}-{digest.hexdigest()}{ending}")
    return listed.with_name(listed.name + ending), aside


def file_to_keep(listed: Path, ending: str) -> Path:
    """Return the file, of `kept_files`, that may be written."""
    beside, aside = kept_files(listed, ending)
    return beside if writable(beside.parent) and _is_ours(beside) else aside


def _is_ours(path: Path) -> bool:
    """Return whether a file may be replaced: it is not there, or it begins as ours do."""
    try:
        with path.open("rb") as file:
            return file.read(len(ZIP_START)) == ZIP_START
    except FileNotFoundError:
        return True
    except OSError:
        return False


@cache
def _rules() -> bytes:
    """Return a digest of everything, except the files, that changes the result of a check."""
    digest = hashlib.sha256(f"OpenCV {cv2.__version__}".encode())
    for path in RULES:
        digest.update(path.read_bytes())
    return digest.digest()


def _columns(record: object, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of a record of arrays and of such records, with names such as images.paths.ends."""
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            yield from _columns(value, f"{name}.{field.name}")
        else:
            yield f"{name}.{field.name}", value


def _record(kind: type, stored: Any, name: str) -> Any:
    """Make a record from the arrays that `_columns` gave. Raises KeyError if one is missing."""
    hints = get_type_hints(kind)
    return kind(
        *(
            _record(hints[field.name], stored, f"{name}.{field.name}")
            if is_dataclass(hints[field.name])
            else stored[f"{name}.{field.name}"]
            for field in fields(kind)
        )
    )


def _shown(state: os.stat_result | None) -> tuple[int, int] | None:
    return state and (state.st_size, state.st_mtime_ns)
