"""Refuse to replace inputs, and files that are not older results."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from yolo.errors import OutputError
from yolo.files.contents import START, TEXTS, named_content, open_input

LISTED_ENDINGS = (".txt", ".xml")  # of files that are read if a folder is given
EXPORT_MARK = b"yolo-darknet"  # the producer in the metadata of every exported file
CHART_MAKER = b"atplotlib"  # Matplotlib's mark in its files


def refuse_over_inputs(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write over a file that a command reads, also through links. None is no file.

    Of a folder among the inputs, annotations and result files are inputs: .txt and .xml.

    Raises:
        OutputError: an output is an input.
    """
    given = [Path(path) for path in inputs if path is not None]
    identities = {identity for path in given if (identity := _identity(path))}
    folders = {path.resolve() for path in given if path.is_dir()}
    for path in outputs:
        if path is None or not (identity := _identity(path)):
            continue
        listed = path.suffix.lower() in LISTED_ENDINGS and not folders.isdisjoint(path.resolve().parents)
        if identity in identities or listed:
            raise OutputError(f"{path}: found an input, expected another place to write to")


def refuse_texts_over(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write a text, such as JSON or CSV, over an input or over a file that is no text: weights, an image.

    Raises:
        OutputError: an output is an input, or the existing file is no text.
    """
    for path in _there_but_no_input(outputs, inputs):
        kind = named_content(path)
        if kind is None or kind not in TEXTS:
            found = kind or "a file that is no text"
            raise OutputError(f"{path}: found {found}, expected a new file or an older result")


def refuse_charts_over(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write a chart of Matplotlib over an input or over a file that is no chart of Matplotlib.

    Raises:
        OutputError: an output is an input, or the existing file is no chart.
    """
    for path in _there_but_no_input(outputs, inputs):
        with open_input(path) as file:
            start = file.read(START)
            file.seek(max(os.fstat(file.fileno()).st_size - START, 0))
            if CHART_MAKER not in start + file.read():  # at the start of a PNG or SVG, at the end of a PDF
                raise OutputError(f"{path}: found a file that is no chart, expected a new file or an older chart")


def refuse_exports_over(output: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write an exported network over an input or over a file that `yolo-darknet export` did not write.

    output: of OpenVINO's two files the .xml; the .bin beside it is written, too.

    Raises:
        OutputError: the output is an input, or the existing file is no older export.
    """
    weights = output.with_suffix(".bin") if output.suffix == ".xml" else None
    refuse_over_inputs([output, weights], inputs)
    if output.is_file():
        with open_input(output) as file:
            if EXPORT_MARK in file.read():
                return
        raise OutputError(f"{output}: found a file that export did not write, expected a new file or an older export")
    if weights is not None and weights.is_file():
        raise OutputError(f"{weights}: found a file without its {output.name}, expected a new file or an older export")


def _there_but_no_input(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None]) -> list[Path]:
    """Return the outputs that exist already. Raises as `refuse_over_inputs` does."""
    there = [path for path in outputs if path is not None and path.is_file()]
    refuse_over_inputs(there, inputs)
    return there


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the identity of a file, its device and number; None if it does not exist or is no file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return (state.st_dev, state.st_ino) if stat.S_ISREG(state.st_mode) else None
