"""Write detections of many images as parts, files of rows that are complete or absent: JSON lines, or Parquet.

A row is an image: `line` in the list, what `--jsonl` writes (source, width, height, objects ...), and for an image
that cannot be read an `error` with no objects.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from yolo.detect.outputs.result import Result
from yolo.detect.outputs.rows import frame_object
from yolo.extras import import_extra
from yolo.files.writing import replacing
from yolo.formats.json_file import readable_json

JSON_LINES, PARQUET = "jsonl", "parquet"
Row = dict[str, object]
WriteRow = Callable[[Row], None]


def result_row(line: int, result: Result, names: Sequence[str]) -> Row:
    """Return the row of an image."""
    return {"line": line, **frame_object(result, names), "error": None}


def error_row(line: int, source: str, message: str) -> Row:
    """Return the row of an image that cannot be read; message: one line."""
    empty = {"frame": 0, "time": None, "width": None, "height": None, "objects": []}
    return {"line": line, "source": source, **empty, "error": message}


class Parts:
    """The parts of a folder, by number.

    folder: exists; kind: JSON_LINES or PARQUET. Raises MissingPackageError for Parquet without pyarrow.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        if kind == PARQUET:
            _import_pyarrow()

    def path(self, number: int) -> Path:
        """Return the file of a part, which need not exist yet."""
        return self._folder / f"part-{number:06d}.{self._kind}"

    def is_complete(self, number: int) -> bool:
        """Return whether a part is there: it has its name only when it is complete."""
        return self.path(number).exists()

    def writing(self, number: int) -> AbstractContextManager[WriteRow]:
        """Return a context with a function that writes a row; the part gets its name at the end of the context."""
        path = self.path(number)
        for leftover in self._folder.glob(f".{path.name}.*"):  # of a killed process
            leftover.unlink(missing_ok=True)
        return _parquet_part(path) if self._kind == PARQUET else _json_part(path)


@contextmanager
def _json_part(path: Path) -> Iterator[WriteRow]:
    with replacing(path) as file:
        yield lambda row: file.write(f"{readable_json(row)}\n".encode())


@contextmanager
def _parquet_part(path: Path) -> Iterator[WriteRow]:
    pyarrow, parquet = _import_pyarrow()
    rows: list[Row] = []
    yield rows.append
    table = pyarrow.Table.from_pylist(rows, schema=_schema(pyarrow))
    with replacing(path) as file:
        parquet.write_table(table, file)


def objects_type(pyarrow: ModuleType) -> Any:
    """Return the type of a column of detections: class_id, name, score and box (xyxy in image pixels) of each one."""
    numbers = pyarrow.float64()
    fields = [("class_id", pyarrow.int32()), ("name", pyarrow.string()), ("score", numbers)]
    return pyarrow.list_(pyarrow.struct([*fields, ("box", pyarrow.list_(numbers))]))


def _schema(pyarrow: ModuleType) -> Any:
    """Return the columns: those of JSON lines without `frame` and `time`, which images do not have."""
    number, text = pyarrow.int32(), pyarrow.string()
    return pyarrow.schema(
        [
            ("line", pyarrow.int64()), ("source", text), ("width", number), ("height", number),
            ("objects", objects_type(pyarrow)), ("error", text),
        ]
    )  # fmt: skip


def _import_pyarrow() -> tuple[ModuleType, ...]:
    return tuple(import_extra(name, "parquet", "--parts parquet") for name in ("pyarrow", "pyarrow.parquet"))
