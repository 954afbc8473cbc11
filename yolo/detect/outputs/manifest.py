"""The file manifest.json of a folder of parts: the list, network and thresholds that made them.

A folder holds the parts of one run. A run with another list, network or thresholds raises an error, so a restart never
mixes rows of different runs.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yolo.errors import DatasetError
from yolo.files.writing import naming, write_text
from yolo.formats.json_file import read_json

NAME = "manifest.json"
FORMAT = 1  # of the rows and of this file
BLOCK = 2**20  # bytes read at a time
MOST_IMAGES_OF_A_PART = 1000  # the most that a killed process has to repeat
PARTS_OF_A_SHARD = 4  # at least, so that short lists are divided, too

Value = str | int | float | bool | list | None


@dataclass(frozen=True)
class Digest:
    """The SHA-256 of a file in hexadecimal digits, and the number of its lines."""

    sha256: str
    lines: int


def digest_of(path: str | Path) -> Digest:
    """Read a file of any size block by block."""
    sha, lines, last = hashlib.sha256(), 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            sha.update(block)
            lines += block.count(b"\n")
            last = block[-1:]
    return Digest(sha.hexdigest(), lines + (last != b"\n"))


def part_size_for(lines: int, shards: int) -> int:
    """Return the lines of a part: MOST_IMAGES_OF_A_PART, or fewer for a list that is short for so many shards."""
    return max(1, min(MOST_IMAGES_OF_A_PART, -(-lines // (PARTS_OF_A_SHARD * shards))))


def agreed_manifest(folder: Path, wanted: Mapping[str, Value], part_size: int | None, default: int) -> int:
    """Write the manifest of a new folder, or compare that of an older run. Several processes may do so at a time.

    Args:
        folder: where the parts are.
        wanted: the settings that change the rows, by name.
        part_size: lines of a part by the user's option, or None.
        default: lines of a part, if neither the user nor an older run sets it.

    Returns:
        The lines of a part.

    Raises:
        DatasetError: the folder holds the parts of another run.
    """
    path = folder / NAME
    if not path.exists():
        entries = {"format": FORMAT, **wanted, "part_size": part_size or default}
        _write_once(path, json.dumps(entries, indent=1) + "\n")
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("part_size"), int) or found["part_size"] < 1:
        raise DatasetError(f"{path}: found no manifest of this program, expected another --out")
    expected = {"format": FORMAT, **wanted, "part_size": part_size or found["part_size"]}
    for name in [*expected, *(name for name in found if name not in expected)]:
        if found.get(name) != expected.get(name):
            difference = f"found {_shown(found.get(name))} in an earlier run, but now {_shown(expected.get(name))}"
            raise DatasetError(f"{path}: {name}: {difference}; expected the same, or another --out")
    return found["part_size"]


def _write_once(path: Path, text: str) -> None:
    """Write a file unless another process has written it in the meantime."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.link(temporary, path)  # fails if there is one, unlike a renaming
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        write_text(path, text)
    finally:
        os.unlink(temporary)


def _shown(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)
