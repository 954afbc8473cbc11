"""Overlap work in threads: read ahead, write behind, and keep only the newest frame of a live source.

Decoders, PyTorch's kernels, OpenCV and encoders release Python's lock, so three threads keep several cores busy.
All queues are bounded, and an error in a thread is raised where its result is used.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")
END = object()
LOOK_AGAIN = 0.1  # seconds after which a wait checks whether it should stop


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Let OpenCV compute only in the threads that call it, until the block ends.

    Its own threads start with the first larger image, and poll for work two thousand times before they sleep. At some
    tens of frames a second they never sleep, and take cores from threads that have work.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def ahead(items: Iterable[T], size: int, stop: Event) -> Iterator[T]:
    """Yield `items` in their order, computed in a thread up to `size` before they are needed.

    `stop` is set when the caller ends early, also by Ctrl-C, so that an item that waits for a camera ends.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        pending = deque(pool.submit(next, iterator, END) for _ in range(size))
        try:
            while (item := pending.popleft().result()) is not END:
                pending.append(pool.submit(next, iterator, END))
                yield item
        finally:
            stop.set()
            for future in pending:
                future.cancel()
            if close := getattr(iterator, "close", None):
                pool.submit(close).result()


def in_flight(
    items: Iterable[T], work: Callable[[T], R], workers: int, begin: Callable[[], None] | None = None
) -> Iterator[R]:
    """Yield `work(item)` of each item in their order, computed by several threads at the same time.

    Args:
        items: Taken in the caller's thread, at most two for each worker before the results that it yields.
        work: Called in the workers.
        workers: Number of threads.
        begin: Called once in each thread before any work.
    """
    pending: deque[Future] = deque()
    with ThreadPoolExecutor(workers, "in_flight", begin) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def newest(items: Callable[[Event], Iterator[T]], stop: Event) -> Iterator[T]:
    """Yield the frames of a live source, without those that became old while the caller was busy.

    items: called with an event that ends it: `stop` is set, or the caller needs no more items.
    """
    slot: queue.Queue[T] = queue.Queue(maxsize=1)
    over = Event()

    def fill() -> None:
        for item in items(over):
            while not over.is_set():
                try:
                    slot.put_nowait(item)
                    break
                except queue.Full:
                    _discard(slot)

    with ThreadPoolExecutor(1, "newest") as pool:
        filled = pool.submit(fill)
        try:
            while not stop.is_set():
                done = filled.done()  # checked first, so that the last item is still taken
                try:
                    yield slot.get(timeout=LOOK_AGAIN)
                except queue.Empty:
                    if done:
                        break
        finally:
            over.set()
    if not stop.is_set():
        filled.result()


def _discard(slot: queue.Queue) -> None:
    try:
        slot.get_nowait()
    except queue.Empty:  # the caller took it in the meantime
        return


class Behind:
    """Call `work(item)` in a thread, in order, at most `size` items behind."""

    def __init__(self, work: Callable[[T], None], size: int) -> None:
        self._work = work
        self._size = size
        self._pending: deque[Future] = deque()
        self._pool = ThreadPoolExecutor(1, "behind")

    def put(self, item: T) -> None:
        """Add an item; wait while `size` others are waiting. Raises what `work` raised for an earlier one."""
        while len(self._pending) >= self._size:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._work, item))

    def finish(self) -> None:
        """Wait for the work on all items. Raises what `work` raised."""
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """Drop the items that have not begun, and end the thread."""
        self._pool.shutdown(cancel_futures=True)
