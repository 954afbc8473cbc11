"""Worker processes that prepare batches: how they start, how their errors are reported, how they end."""

import atexit
import multiprocessing
import signal
from collections.abc import Iterator

import cv2
import torch
from torch.utils.data import DataLoader

from yolo.errors import DatasetError

DEAD_WORKER = "DataLoader worker (pid"  # the beginning of torch's message


def prepared(loader: DataLoader) -> Iterator:
    """Yield the batches of a loader.

    Raises:
        DatasetError: In one line: an image became unreadable after the check, or a worker died.
    """
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (DatasetError, OSError) as error:
            fault = _without_traceback(error)
            error.__traceback__ = None  # its frames keep the workers alive
            break
        except RuntimeError as error:
            if not str(error).startswith(DEAD_WORKER):
                raise
            fault = str(error).splitlines()[0].strip()
            break
        yield batch
    del batches  # ends the workers at once; the garbage collector takes five seconds
    raise DatasetError(fault)


def _without_traceback(error: Exception) -> str:
    """Return the message of a worker's error: torch gives its traceback, the last line of which is `type: message`."""
    *traceback, last = str(error).strip().splitlines()
    return last.partition(": ")[2] if traceback else last


def start_worker(_worker: int) -> None:
    """Use one core per worker, as more threads would slow the network down, and ignore Ctrl-C and SIGTERM.

    The main process handles these signals; a terminal or a batch system may send them to all processes.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
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
