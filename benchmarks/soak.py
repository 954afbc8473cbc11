"""Attack the package with broken input, kills and full disks, and print a table: tried and survived.

    python benchmarks/soak.py                  # all rows, less than an hour on 2 cores
    python benchmarks/soak.py --share 0.02     # a fiftieth of the tries, some minutes
    python benchmarks/soak.py --only cfgs --only kills

A mutated file survives if it is read, or refused by one of the package's own errors in one line. Anything else is
printed with the number of its try, which --seed makes again, and the exit code is 1. The rows with disks need the right
to mount, as root has it.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from soak_disks import disks, full_at
from soak_files import (
    Row,
    coco_files,
    image_files,
    label_files,
    mutated,
    mutated_cfgs,
    survived,
    weights_files,
    xml_files,
)
from soak_runs import growth, kills, ranks, two_runs

# a folder of its own, tries, seed, workers → the row
ROWS: dict[str, tuple[Callable[[Path, int, int, int], Row], int]] = {
    "kills": (kills, 20),
    "ranks": (ranks, 5),
    "two_runs": (two_runs, 3),
    "cfgs": (partial(survived, mutated_cfgs, "mutated cfgs of the whole zoo"), 20_000),
    "weights": (partial(survived, partial(mutated, weights_files), "mutated .weights and .safetensors"), 2_000),
    "xml": (partial(survived, partial(mutated, xml_files), "mutated VOC XML"), 2_000),
    "coco": (partial(survived, partial(mutated, coco_files), "mutated COCO JSON"), 2_000),
    "labels": (partial(survived, partial(mutated, label_files), "mutated label files"), 2_000),
    "images": (partial(survived, partial(mutated, image_files), "mutated JPEG and PNG"), 2_000),
    "full_at": (full_at, 500),
    "disks": (disks, 2),
    "growth": (growth, 2_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the tries of each row; default 1")
    parser.add_argument("--seed", type=int, default=0, help="of all mutations and moments; default 0")
    parser.add_argument("--workers", type=int, default=2, help="processes or runs at a time; default 2")
    parser.add_argument("--only", action="append", choices=tuple(ROWS), help="this row; may be repeated")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or ROWS:
            work, tries = ROWS[name]
            start = time.monotonic()
            place = Path(folder, name)
            place.mkdir()
            row = work(place, max(1, round(tries * args.share)), args.seed, args.workers)
            rows.append((row, time.monotonic() - start))
            print(_line(*rows[-1]), *row.failures[:5], sep="\n  ", file=sys.stderr, flush=True)
    print("| what | tried | survived | s | |\n|---|---|---|---|---|")
    for row, seconds in rows:
        print(_line(row, seconds))
    for row, _ in rows:
        for failure in row.failures:
            print(f"{row.name}: {failure}")
    sys.exit(any(row.failures for row, _ in rows))


def _line(row: Row, seconds: float) -> str:
    return f"| {row.name} | {row.tried:,} | {row.tried - len(row.failures):,} | {seconds:.0f} | {row.about} |"


if __name__ == "__main__":
    main()
