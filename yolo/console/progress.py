"""Progress bars on stderr; without a terminal there are none."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

QUIET_SECONDS = 2.0  # shorter work shows no progress bar


def progress(items: Iterable, description: str, total: int | None = None) -> Iterable:
    """Yield from `items`, and show a bar on stderr after two seconds. Without a terminal there is no bar."""
    from tqdm import tqdm  # not at the top: `--help` does not need it

    return tqdm(
        items,
        desc=description,
        total=total,
        delay=QUIET_SECONDS,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def download_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that shows how many bytes of how many are there; without a terminal it shows nothing."""
    from tqdm import tqdm

    with tqdm(desc=name, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
