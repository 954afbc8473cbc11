"""Darknet's `.names` file: the names of the classes, in the order of their numbers."""

from pathlib import Path

from yolo.errors import DatasetError, shorten
from yolo.files.text import printable_text, read_text


def read_names(path: str | Path) -> list[str]:
    """Return the class names of a file, one per line; empty lines at the end are ignored.

    Raises:
        DatasetError: There is no name, or one with unprintable characters, which could control a terminal.
    """
    lines = printable_text(read_text(path)).splitlines()
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DatasetError(f"{path}: found no class name, expected one per line")
    for number, name in enumerate(names, start=1):
        if not name.isprintable():
            found = f"found class name {shorten(ascii(name))}"
            raise DatasetError(f"{path}:{number}: {found}, expected printable characters")
    return names


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the classes of a .names file, in the order of their numbers.

    Raises:
        DatasetError: There is no class, or a class occurs twice, so that its number is ambiguous.
    """
    names = read_names(path)
    for line, name in enumerate(names, 1):
        first = names.index(name) + 1
        if first != line:
            raise DatasetError(f"{path}:{line}: {name!r} is line {first} already, expected it once")
    return tuple(names)
