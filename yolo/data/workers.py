"""The processes that prepare batches: how they start, what becomes of their errors, and how they end."""

import atexit
import multiprocessing
import signal
from collections.abc import Iterator

import cv2
import torch
from torch.utils.data import DataLoader

from yolo.errors import DatasetError

DEAD_WORKER = "DataLoader worker (pid"  # how torch begins to say so


def prepared(loader: DataLoader) -> Iterator:
    """The loader's batches.

    Raises DatasetError, in one line, for an image that has gone bad since the check and for a worker that died.
    """
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (DatasetError, OSError) as error:
            fault = _without_traceback(error)
            error.__traceback__ = None  # its frames would keep the workers alive
            break
        except RuntimeError as error:
            if not str(error).startswith(DEAD_WORKER):
                raise
            fault = str(error).splitlines()[0].strip()
            break
        yield batch
    del batches  # ends the workers at once; left to the garbage collector they take five seconds
    raise DatasetError(fault)


def _without_traceback(error: Exception) -> str:
    """torch hands on a worker's error with its traceback as the message; its last line is `type: message`."""
    *traceback, last = str(error).strip().splitlines()
    return last.partition(": ")[2] if traceback else last


def start_worker(_worker: int) -> None:
    """One core a worker, or its threads would fight the network's; and Ctrl-C is for the main process to handle.

    So is SIGTERM, which a terminal's or a batch system's `kill` may send to all of them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _kill_workers() -> None:
    """Kill the workers that are there when Python ends, such as those of a loop that an error has left.

    multiprocessing would ask them to end by SIGTERM, which they ignore, and wait for ever.
    """
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    if workers:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's takes their end for an accident
    for worker in workers:
        worker.kill()


atexit.register(_kill_workers)  # the last registered is the first called: before multiprocessing's
