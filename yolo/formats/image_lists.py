"""Darknet's list files: one path of an image a line."""

from pathlib import Path

from yolo.cfg import locate
from yolo.errors import DatasetError


def read_list(path: str | Path) -> list[Path]:
    """The images of a list file, one a line; relative ones are tried from here, then from the list's folder.

    Raises DatasetError when it names none, OSError when it is not there.
    """
    return [image for _, image in read_entries(path)]


def read_entries(path: str | Path) -> list[tuple[int, Path]]:
    """The same, each with the number of its line. Raises as `read_list`."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    if "\0" in text:
        raise DatasetError(f"{path}: found zero bytes, expected a text of one path a line")
    lines = enumerate(text.splitlines(), start=1)
    images = [
        (number, locate(line.strip(), Path(path).parent)) for number, line in lines if line.strip()
    ]
    if not images:
        raise DatasetError(f"{path}: found no image, expected one path a line")
    return images
