"""Progress of work that takes longer than two seconds, on stderr."""

import sys
from collections.abc import Iterable

from tqdm import tqdm

SILENT_SECONDS = 2.0  # work shorter than this shows no bar


def progress(items: Iterable, description: str, total: int | None = None) -> Iterable:
    """`items`, with a bar on stderr once the work has taken two seconds; none where stderr is no terminal."""
    return tqdm(
        items, desc=description, total=total, delay=SILENT_SECONDS, disable=not sys.stderr.isatty()
    )
