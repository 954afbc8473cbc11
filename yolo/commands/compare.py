"""Compare two reports of `evaluate --report`: what improved, what got worse, which images changed.

A and B are folders that `evaluate --report` has written, or the report.json files in them, for the same images and
classes. The command prints a short table. With --report it also writes a page that shows both side by side.

example:
  yolo-darknet compare reports/before reports/after --report reports/change
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console import command_parser
from yolo.errors import DatasetError

if TYPE_CHECKING:
    from yolo.evaluate.analysis.compare import Comparison

NUMBERS = "comparison.json"


def main() -> None:
    args = _arguments()

    from yolo.evaluate.analysis.compare import compare, comparison_text
    from yolo.evaluate.html.compare_page import compare_page
    from yolo.evaluate.report_folder import read_report, write_page

    if args.report and args.report.resolve() in (_folder(args.a), _folder(args.b)):
        raise DatasetError(f"{args.report}: found the folder of a report, expected another folder")
    a, b = read_report(args.a), read_report(args.b)
    try:
        comparison = compare(a, b)
    except DatasetError as error:
        raise DatasetError(f"{args.b} (B) beside {args.a} (A): {error}") from None
    for letter, report in (("A", a), ("B", b)):
        about = report["about"]
        _print(f"{letter}: {about['cfg']} {about['weights']} {about['date']}")
    _print(comparison_text(comparison, len(a["pictures"])))
    if args.report:
        page = write_page(args.report, compare_page(a, b, comparison), NUMBERS, _record(comparison))
        print(f"page: {page}")


def _print(text: str) -> None:
    """Print `text`. Of an image's name that is not UTF-8, print the bytes."""
    print(text.encode(errors="backslashreplace").decode())


def _record(comparison: Comparison) -> dict:
    """Return the content of comparison.json. Its key for the images is "pictures", as in report.json."""
    record = asdict(comparison)
    return {"pictures" if key == "images" else key: value for key, value in record.items()}


def _folder(report: Path) -> Path:
    return report.resolve() if report.is_dir() else report.resolve().parent


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("a", type=Path, metavar="A", help="the first report: a folder or its report.json")
    add("b", type=Path, metavar="B", help="the second report")
    add("--report", type=Path, metavar="DIR", help="write a page with both side by side")
    return parser.parse_args()
