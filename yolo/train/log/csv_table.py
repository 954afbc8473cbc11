"""Files that grow while a run lasts: in whole rows only, and tables of numbers by step as CSV."""

import csv
import errno
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from yolo.files import replacing

STEP = "step"  # the first column


class GrowingFile:
    """Appends to a file, made with its folder where there is none; `keep` cuts it to so many bytes first.

    Nothing waits in a buffer, so that a killed process loses no row that it has written.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("ab", buffering=0)
        if keep is not None:
            self.file.truncate(keep)

    def append(self, row: bytes) -> None:
        """Write `row` whole. Raises OSError, and leaves the file as it was, when the disk has no room for all of it."""
        end = self.file.seek(0, os.SEEK_END)
        if self.file.write(row) < len(row):
            self.file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        self.file.close()


class Table:
    """A CSV of numbers, a row a step, that a resumed run goes on with.

    Opening it takes away what the run is about to write again: rows of `first_step` and later, and a last row that was
    not finished. The first row decides the columns; a name that comes later gets a column at the end.
    """

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        kept, self.columns = kept_part(path, first_step)
        self.file = GrowingFile(path, kept)

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Append a row; None is an empty field. Raises OSError, and leaves whole rows, when that cannot be written."""
        new = [name for name in values if name not in self.columns]
        header = b""
        if not self.columns:
            header = _line([STEP, *new])
        elif new:
            self._widen(new)
        columns = self.columns or [STEP, *new]
        row = [str(step), *(_number(values.get(name)) for name in columns[1:])]
        self.file.append(header + _line(row))
        self.columns = columns

    def read(self, names: Sequence[str]) -> list[list[float]]:
        """A list for each of `names`, which may be STEP: its numbers, nan where a row has none."""
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            next(rows, None)
            places = [self.columns.index(name) if name in self.columns else None for name in names]
            found: list[list[float]] = [[] for _ in names]
            for row in rows:
                for place, numbers in zip(places, found, strict=True):
                    known = place is not None and row[place]
                    numbers.append(float(row[place]) if known else math.nan)
        return found

    def close(self) -> None:
        self.file.close()

    def _widen(self, new: list[str]) -> None:
        """Write the file again with more columns, empty in the rows so far."""
        header = _line([*self.columns, *new])
        with self.path.open("rb") as old, replacing(self.path) as file:
            old.readline()
            file.write(header)
            for line in old:
                file.write(line.rstrip(b"\n") + b"," * len(new) + b"\n")
        self.file.close()
        self.file = GrowingFile(self.path)
        self.columns = [*self.columns, *new]


def kept_part(path: Path, first_step: int) -> tuple[int, list[str]]:
    """How many bytes of a table hold whole rows of steps before `first_step`, and its columns; (0, []) for none."""
    if not path.exists():
        return 0, []
    with path.open("rb") as file:
        header = file.readline()
        columns = next(csv.reader([header.decode(errors="replace").rstrip("\n")]), [])
        if not header.endswith(b"\n") or columns[:1] != [STEP]:
            return 0, []
        kept = len(header)
        for line in file:
            fields = line.split(b",")
            whole = line.endswith(b"\n") and len(fields) == len(columns) and fields[0].isdigit()
            if not whole or int(fields[0]) >= first_step:
                break
            kept += len(line)
    return (kept, columns) if kept > len(header) else (0, [])


def _line(fields: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def _number(value: float | None) -> str:
    """With all digits, so that a run that goes on reads what it wrote; whole numbers without a point."""
    return "" if value is None else repr(float(value)).removesuffix(".0")
