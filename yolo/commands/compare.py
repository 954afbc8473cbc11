"""Compare two runs: what got better, what got worse, which images changed.

A and B are folders that `evaluate.py --report` wrote, or the report.json in them, of the same images and classes. A
short table is printed; with --report a page with both side by side is written.

example:
  python tools/compare.py reports/before reports/after --report reports/change
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from yolo.errors import DatasetError
from yolo.evaluate.analysis.compare import Comparison, compare, comparison_text
from yolo.evaluate.html.compare_page import compare_page
from yolo.evaluate.report_folder import read_report, write_page

NUMBERS = "comparison.json"


def main() -> None:
    args = _arguments()
    if args.report and args.report.resolve() in (_folder(args.a), _folder(args.b)):
        raise DatasetError(f"{args.report}: found the folder of a report, expected one of its own")
    a, b = read_report(args.a), read_report(args.b)
    try:
        comparison = compare(a, b)
    except DatasetError as error:
        raise DatasetError(f"{args.b} (B) beside {args.a} (A): {error}") from None
    for letter, report in (("A", a), ("B", b)):
        about = report["about"]
        _tell(f"{letter}: {about['cfg']} {about['weights']} {about['date']}")
    _tell(comparison_text(comparison, len(a["pictures"])))
    if args.report:
        page = write_page(args.report, compare_page(a, b, comparison), NUMBERS, _record(comparison))
        print(f"page: {page}")


def _tell(text: str) -> None:
    """Print; an image's name that is no UTF-8 shows its bytes."""
    print(text.encode(errors="backslashreplace").decode())


def _record(comparison: Comparison) -> dict:
    """What change.json holds; its key for the images is "pictures", as in report.json."""
    record = asdict(comparison)
    return {"pictures" if key == "images" else key: value for key, value in record.items()}


def _folder(report: Path) -> Path:
    return report.resolve() if report.is_dir() else report.resolve().parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("a", type=Path, metavar="A", help="the report before: a folder or its report.json")
    add("b", type=Path, metavar="B", help="the report after")
    add("--report", type=Path, metavar="DIR", help="write a page with both side by side")
    return parser.parse_args()
