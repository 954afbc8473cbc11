"""Write docs/supported.md: the keys of each section, with their defaults and meanings.

example:
  yolo-darknet support_table
"""

from pathlib import Path

from yolo.console.command_line import command_parser
from yolo.console.option_types import new_file
from yolo.errors import OutputError
from yolo.files.outputs import refuse_texts_over
from yolo.files.text import read_text
from yolo.files.writing import write_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "supported.md"  # of a checkout


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--out",
        type=new_file,
        default=PAGE if PAGE.is_file() else None,
        required=not PAGE.is_file(),
        metavar="FILE",
        help="the file to write; default, in a checkout: docs/supported.md",
    )
    args = parser.parse_args()

    from yolo.support.table import support_table

    page = support_table()
    refuse_texts_over([args.out], [])
    if args.out.is_file() and read_text(args.out).splitlines()[:1] != page.splitlines()[:1]:
        raise OutputError(f"{args.out}: found a file that is no such page, expected a new file or an older page")
    write_text(args.out, page)
    print(f"supported sections and keys: {args.out}")
