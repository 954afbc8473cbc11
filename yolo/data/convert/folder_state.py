"""The state of a folder of images and annotations, so that a later start can find out whether it has changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError
from yolo.files.folders import files_below
from yolo.files.located import file_state
from yolo.files.writing import write_text

ANNOTATION_ENDINGS = (".xml", ".json", ".txt")
CHECKSUM = "sha256"


def note_state(path: Path, folder: Path, out: Path) -> None:
    """Write what `folder` holds now into a JSON file, unless that exists. out: a folder that does not count."""
    if not path.exists():
        write_text(path, json.dumps(_state(folder, out), indent=1) + "\n")


def change_since(path: Path, folder: Path, out: Path) -> str | None:
    """Return in words how a folder differs from what `note_state` wrote; None if it does not, or nothing was noted.

    Raises DatasetError if the file is not one of `note_state`.
    """
    if not path.exists():
        return None
    try:
        before = json.loads(path.read_text())
        is_known = isinstance(before, dict) and isinstance(before.get(CHECKSUM), str)
    except ValueError:
        is_known = False
    if not is_known:
        raise DatasetError(f"{path}: found something else, expected what `new` writes; delete the file")
    now = _state(folder, out)
    return None if now == before else _difference(before, now)


def _difference(before: Mapping[str, int | str], now: Mapping[str, int | str]) -> str:
    kinds = [kind for kind in sorted({*before, *now} - {CHECKSUM}) if before.get(kind, 0) != now.get(kind, 0)]
    counts = [f"{kind} {before.get(kind, 0)} -> {now.get(kind, 0)}" for kind in kinds]
    return ", ".join(counts) or "files were changed or renamed"


def _state(folder: Path, out: Path) -> dict[str, int | str]:
    """Return how many images and annotations there are, and a checksum of their names, sizes and dates."""
    counts: Counter[str] = Counter()
    digest = hashlib.sha256()
    inside = os.path.realpath(out)
    for name in files_below(folder, lambda each: os.path.realpath(each) == inside):
        ending = os.path.splitext(name)[1].lower()
        kind = "images" if ending in IMAGE_ENDINGS else f"{ending} files" if ending in ANNOTATION_ENDINGS else None
        state = file_state(os.path.join(folder, name)) if kind else None
        if kind and state:
            counts[kind] += 1
            digest.update(os.fsencode(f"{name}\n{state.st_size} {state.st_mtime_ns}\n"))
    return {**counts, CHECKSUM: digest.hexdigest()}
