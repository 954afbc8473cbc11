"""Write docs/supported.md: which section reads which key, with its default and what it does."""

import argparse
from pathlib import Path

from yolo.files import write_text
from yolo.support.table import support_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "supported.md"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python tools/support_table.py"
    )
    parser.add_argument("--out", type=Path, default=PAGE, help="file to write (docs/supported.md)")
    options = parser.parse_args(arguments)
    write_text(options.out, support_table())
    print(f"supported sections and keys: {options.out}")
