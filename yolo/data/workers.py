"""Worker processes that prepare batches: how they start, how their errors are reported, how they end."""

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from yolo.errors import DatasetError

DEAD_WORKER = "DataLoader worker (pid"  # the beginning of torch's message
NO_ROOM = "shared memory"  # in torch's message
ADVICE = "was it the memory, or /dev/shm? --workers 0 loads without processes"
LEFT_TO_PARENT = ("SIGINT", "SIGTERM", "SIGHUP")
SILENT_DEATHS = ("SIGBUS", "SIGSEGV")  # torch prints a line in the worker, beside the one of the main process
Sample = TypeVar("Sample")
Joined = TypeVar("Joined")


@dataclass
class _Deaths:
    """Lines about workers that have died, and whether the main thread waits for a batch and may be interrupted."""

    lines: list[str] = field(default_factory=list)
    waiting: bool = False


def prepared(loader: DataLoader) -> Iterator:
    """Yield the batches of a loader.

    The end of a worker is noted. The error is raised when the next batch is requested, never between two batches.

    Raises:
        DatasetError: In one line: an image became unreadable after the check, or a worker died.
    """
    deaths = _Deaths(waiting=True)
    with _noted(deaths):
        try:
            batches = iter(loader)
            with _noted(deaths):  # torch sets a handler of its own when it starts its first worker
                while not deaths.lines:
                    deaths.waiting = True
                    try:
                        batch = next(batches)
                    except StopIteration:
                        return
                    finally:  # also after an error: nothing may interrupt the end of the workers
                        deaths.waiting = False
                    yield batch
            fault = deaths.lines[0]
        except (ConnectionError, EOFError) as error:  # it died while it sent its batch
            fault = deaths.lines[0] if deaths.lines else f"DataLoader worker was lost ({error}); {ADVICE}"
            error.__traceback__ = None
        except (DatasetError, OSError) as error:
            fault = _without_traceback(error)
            error.__traceback__ = None  # its frames hold references to the workers
        except RuntimeError as error:
            if not str(error).startswith(DEAD_WORKER):
                raise
            fault = deaths.lines[0] if deaths.lines else _death(error)
            error.__traceback__ = None
        batches = None  # ends the workers at once; the garbage collector takes five seconds
    raise DatasetError(fault)


@contextmanager
def _noted(deaths: _Deaths) -> Iterator[None]:
    """Note deaths, for which torch's handler of SIGCHLD would raise at any line of the main thread."""
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield  # without a handler torch looks for dead workers whenever a batch is late
        return

    def note(number: int, frame: FrameType | None) -> None:
        try:
            before(number, frame)
        except RuntimeError as error:
            deaths.lines.append(_death(error))
            if deaths.waiting:
                raise

    signal.signal(signal.SIGCHLD, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGCHLD) is note:
            signal.signal(signal.SIGCHLD, before)


def _death(error: RuntimeError) -> str:
    """Return a line about a dead worker from torch's message."""
    return f"{str(error).splitlines()[0].strip().rstrip('.')}; {ADVICE}"


def joined_in_worker(join: Callable[[Sequence[Sample]], Joined], samples: Sequence[Sample]) -> Joined:
    """Return `join(samples)`, tensors in tuples or lists, with them in shared memory if this is a worker.

    torch would move them later, in a thread that drops the batch if there is no room; its reader would wait forever.

    Raises:
        DatasetError: There is no room in shared memory.
    """
    if get_worker_info() is None:
        return join(samples)
    try:
        batch = join(samples)
        _share(batch)
    except RuntimeError as error:
        if NO_ROOM not in str(error):
            raise
        raise DatasetError(f"found no room for a batch in shared memory ({error}); {ADVICE}") from None
    return batch


def _share(value: object) -> None:
    if isinstance(value, Tensor):
        value.share_memory_()
    elif isinstance(value, (tuple, list)):
        for each in value:
            _share(each)


def _without_traceback(error: Exception) -> str:
    """Return the message of a worker's error: torch gives its traceback, the last line of which is `type: message`."""
    *traceback, last = str(error).strip().splitlines()
    return last.partition(": ")[2] if traceback else last


def start_worker(_worker: int) -> None:
    """Use one core per worker, as more threads would slow the network down, and ignore signals that end the run.

    The main process handles these signals; a terminal or a batch system may send them to all processes.
    """
    for names, handler in ((LEFT_TO_PARENT, signal.SIG_IGN), (SILENT_DEATHS, signal.SIG_DFL)):
        for name in names:
            if hasattr(signal, name):  # Windows has some of them
                signal.signal(getattr(signal, name), handler)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _kill_workers() -> None:
    """Kill the workers that are left when Python ends, for instance after an error in a training loop.

    multiprocessing would send SIGTERM, which they ignore, and wait forever.
    """
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    if workers:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report a crash
    for worker in workers:
        worker.kill()


# Called before multiprocessing's, as the last one registered is called first.
atexit.register(_kill_workers)
