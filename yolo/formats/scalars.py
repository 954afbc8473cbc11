"""Read the parts of the loss from scalars.csv, the table of a training run."""

import csv
import math
from pathlib import Path

SCALARS_FILE = "scalars.csv"
STEP = "step"  # the first column
LOSS_COLUMNS = {  # column → name in charts
    "loss/box": "box",
    "loss/objectness_object": "objectness of objects",
    "loss/objectness_background": "objectness of the background",
    "loss/classification": "classes",
}


def read_loss_parts(path: Path) -> list[tuple[int, tuple[float, ...]]]:
    """Return the steps of a run and the parts of their loss, in the order of LOSS_COLUMNS.

    Rows without all of these numbers are left out. The result is empty if the table is missing or has other columns, as
    those of older runs and of classifiers.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [_parts(row) for row in csv.DictReader(file)]
    except (OSError, csv.Error):
        return []
    return [row for row in rows if row is not None]


def _parts(row: dict[str, str | None]) -> tuple[int, tuple[float, ...]] | None:
    try:
        step, parts = int(row[STEP] or ""), tuple(float(row[name] or "") for name in LOSS_COLUMNS)
    except (KeyError, ValueError):
        return None
    return (step, parts) if all(map(math.isfinite, parts)) else None
