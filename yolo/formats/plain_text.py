"""Read lines and numbers of text files."""

import math
from pathlib import Path

from yolo.files.text import read_text

LARGEST_NUMBER = 1e100  # ours: areas and sums of larger numbers would be infinite


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a text file, which may end as on any system. Encodings and errors: `read_text`."""
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def parse_number(text: str) -> float:
    """Return the number in `text`, or NaN if it is not a number or its magnitude is above LARGEST_NUMBER.

    Python's float also takes 1_000 and the digits of other scripts; these are NaN here.
    """
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if -LARGEST_NUMBER <= number <= LARGEST_NUMBER and text.isascii() and "_" not in text else math.nan
