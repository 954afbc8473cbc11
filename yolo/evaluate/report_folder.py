"""A folder with a page for people (index.html) and its numbers for programs (report.json)."""

import hashlib
import json
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from yolo.errors import DatasetError
from yolo.evaluate.analysis.report import FORMAT, SHOWN_SCORE, About, ReportRow, findings
from yolo.evaluate.analysis.report_shape import check_report
from yolo.evaluate.html.report_page import report_page
from yolo.files import write_text
from yolo.formats.json_file import read_json
from yolo.records import Evaluation

PAGE, NUMBERS = "index.html", "report.json"

TOLD_VERSIONS = ("torch", "numpy", "opencv-python", "pycocotools")


def write_report(
    folder: str | Path,
    evaluation: Evaluation,
    paths: Sequence[str | Path],
    about: About,
    rows: Sequence[ReportRow],
    score_thresh: float = SHOWN_SCORE,
) -> Path:
    """Write the report of an evaluation; returns the page's path.

    paths: the images' files, in the evaluation's order; rows: the table of metrics, shown as it is. The page comes
    last and an older one goes first, so that where there is a page, it belongs to the numbers beside it.
    Raises OSError where nothing can be written.
    """
    report = findings(evaluation, paths, about, rows, score_thresh)
    return write_page(folder, report_page(report), NUMBERS, report)


def write_page(folder: str | Path, page: str, name: str, numbers: dict) -> Path:
    """Write a page and its numbers, a json file of this name, into `folder`, which is made where it is missing."""
    folder = Path(folder)
    text = json.dumps(numbers, allow_nan=False) + "\n"
    (folder / PAGE).unlink(missing_ok=True)
    write_text(folder / name, text)
    write_text(folder / PAGE, page)
    return folder / PAGE


def read_report(path: str | Path) -> dict:
    """The numbers of a report: its folder, or the report.json in it.

    Raises:
        DatasetError: no report there, one of another format, or one that is not as `write_report` writes it.
    """
    path = Path(path)
    file = path / NUMBERS if path.is_dir() else path
    try:
        report = read_json(file)
    except FileNotFoundError:
        raise DatasetError(f"{file}: not found, expected what evaluate.py --report wrote") from None
    except DatasetError as error:
        raise DatasetError(f"{error}; expected a report") from None
    found = report.get("format") if isinstance(report, dict) else None
    if found != FORMAT:
        raise DatasetError(f"{file}: found format {found!r}, expected a report of format {FORMAT}")
    check_report(report, file)
    return report


def about_run(
    command: str, cfg: str | Path, weights: str | Path, data: str | Path, made: datetime
) -> About:
    """Where an evaluation comes from; command: as it was typed; made: when, with its time zone."""
    with open(weights, "rb") as file:
        digest = hashlib.sha256()
        while portion := file.read(1 << 20):
            digest.update(portion)
    versions = [("Python", platform.python_version())]
    versions += [(name, version(name)) for name in TOLD_VERSIONS]
    return About(
        command=command,
        cfg=str(cfg),
        weights=str(weights),
        weights_sha256=digest.hexdigest(),
        data=str(data),
        date=made.isoformat(sep=" ", timespec="seconds"),
        versions=tuple(versions),
    )
