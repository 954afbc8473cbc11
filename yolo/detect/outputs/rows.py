"""Write detections as text during a run: JSON lines, a line for each frame, and CSV, a row for each detection."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from yolo.detect.outputs.result import Result
from yolo.files.writing import GrowingFile, naming, replacing_alone
from yolo.formats.json_file import readable_json

STDOUT = Path("-")
CSV_COLUMNS = ("source", "frame", "time", "class_id", "name", "score", "x1", "y1", "x2", "y2")


class JsonLines:
    """Writes one JSON object a line for each frame, at once, for programs that follow the file."""

    def __init__(self, append: Callable[[str], None], names: Sequence[str]) -> None:
        """append: writes a line, whole or not at all."""
        self._append = append
        self._names = names

    def write(self, result: Result) -> None:
        self._append(readable_json(frame_object(result, self._names)) + "\n")


class DetectionsCsv:
    """Writes one row for each detection; boxes in image pixels; the column `track` only if objects are tracked."""

    def __init__(self, file: TextIO, names: Sequence[str], tracked: bool) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._names = names
        self._tracked = tracked
        self._writer.writerow((*CSV_COLUMNS, "track") if tracked else CSV_COLUMNS)

    def write(self, result: Result) -> None:
        frame = result.frame
        time = "" if frame.time is None else f"{frame.time:.3f}"
        for box, score, label, track in result.rows():
            corners = [f"{value:.2f}" for value in box]
            numbers = (label, self._names[label], f"{score:.6f}", *corners)
            row = (frame.source, frame.index, time, *numbers)
            self._writer.writerow((*row, "" if track < 0 else track) if self._tracked else row)


def frame_object(result: Result, names: Sequence[str]) -> dict[str, object]:
    """Return a frame for JSON: source, frame, time in seconds or null, width, height, objects with boxes in pixels."""
    height, width = result.size
    frame = result.frame
    objects = []
    for box, score, label, track in result.rows():
        entry: dict[str, object] = {"class_id": label, "name": names[label]}
        entry |= {"score": round(score, 6), "box": [round(value, 2) for value in box]}
        objects.append(entry if track < 0 else {**entry, "track": track})
    return {
        "source": frame.source,
        "frame": frame.index,
        "time": None if frame.time is None else round(frame.time, 3),
        "width": width,
        "height": height,
        "objects": objects,
    }


@contextmanager
def json_lines(path: Path, names: Sequence[str]) -> Iterator[JsonLines]:
    """Open JSON lines in a file, or on stdout for `-`. The file has its final name at once: it is read as it grows.

    Raises OutputError if another process writes the file.
    """
    if path == STDOUT:
        yield JsonLines(_print_now, names)
        return
    with closing(GrowingFile(path)) as file:
        file.begin_alone()
        yield JsonLines(lambda line: file.append(line.encode(errors="surrogateescape")), names)


def _print_now(line: str) -> None:
    with naming("stdout"):
        sys.stdout.write(line)
        sys.stdout.flush()


@contextmanager
def csv_table(path: Path, names: Sequence[str], tracked: bool) -> Iterator[DetectionsCsv]:
    """Open a CSV file that gets its name when the block ends without error.

    Raises OutputError if another process writes the file.
    """
    with replacing_alone(path) as binary:
        text = io.TextIOWrapper(binary, "utf-8", errors="surrogateescape", newline="")
        yield DetectionsCsv(text, names, tracked)
        text.flush()
        text.detach()  # `replacing_alone` closes the file
