"""Process many files in threads: in order, with a bounded number of files at a time."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# OpenCV releases Python's lock while it decodes, and the system while it reads. More threads than cores hide the
# waiting for a slow disk.
LEAST_THREADS = 4
CHUNK = 32  # items of one task: passing on a task takes as long as checking a small file
CHUNKS_AHEAD = 4  # for each thread


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], chunk: int = CHUNK) -> Iterator[Result]:
    """Yield `work(item)` in the order of `items`, computed in threads.

    `items` may be an iterator without end: at most chunk * CHUNKS_AHEAD results for each thread wait to be used.
    chunk: items of one task.
    """
    threads = max(LEAST_THREADS, usable_cores())
    chunks = _chunks(iter(items), chunk)
    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(_each, work, chunk) for chunk in islice(chunks, threads * CHUNKS_AHEAD))
        try:
            while pending:
                done = pending.popleft().result()
                pending.extend(pool.submit(_each, work, chunk) for chunk in islice(chunks, 1))
                yield from done
        finally:
            for future in pending:
                future.cancel()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _chunks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _each(work: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [work(item) for item in chunk]
