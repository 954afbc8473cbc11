"""Compare two reports of `evaluate --report`: what improved, what got worse, which images changed.

A and B are folders that `evaluate --report` has written, or the report.json files in them, for the same images and
classes. The command prints a short table. With --report it also writes a page that compares both.

example:
  yolo-darknet compare reports/before reports/after --report reports/change
"""

import argparse
from pathlib import Path

from yolo.console.command_line import command_parser
from yolo.console.option_types import new_folder
from yolo.errors import DatasetError
from yolo.files.text import escaped_text


def main() -> None:
    args = _arguments()

    from yolo.evaluate.analysis.compare import compare, comparison_text
    from yolo.evaluate.analysis.report import read_report
    from yolo.evaluate.html.compare_page import COMPARISON_FILE, write_comparison
    from yolo.pages.page import check_page_folder

    if args.report and args.report.resolve() in (_folder(args.a), _folder(args.b)):
        raise DatasetError(f"{args.report}: found the folder of a report, expected another folder")
    if args.report:
        check_page_folder(args.report, COMPARISON_FILE)
    a, b = read_report(args.a), read_report(args.b)
    try:
        comparison = compare(a, b)
    except DatasetError as error:
        raise DatasetError(f"{args.b} (B) beside {args.a} (A): {error}") from None
    for letter, report in (("A", a), ("B", b)):
        _print(f"{letter}: {report.about.cfg} {report.about.weights} {report.about.date}")
    _print(comparison_text(comparison, len(a.images)))
    if args.report:
        print(f"page: {write_comparison(args.report, a, b, comparison)}")


def _print(text: str) -> None:
    """Print `text`. Of an image's name that is not UTF-8, print the bytes."""
    print(escaped_text(text))


def _folder(report: Path) -> Path:
    return report.resolve() if report.is_dir() else report.resolve().parent


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("a", type=Path, metavar="A", help="the first report: a folder or its report.json")
    add("b", type=Path, metavar="B", help="the second report")
    add("--report", type=new_folder, metavar="DIR", help="write a page that compares both")
    return parser.parse_args()
