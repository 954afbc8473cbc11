"""Work in two connected processes on the CPU.

They are forked from one server process that has imported torch, as importing it takes far longer than what they do.
The server has computed nothing, so that no thread of it is missing in them.
"""

import multiprocessing
import os
import pickle
import socket
import time

import torch

from yolo.distributed import process_group, processes_of

LONGEST = 120.0  # seconds for two processes to start, which is slow on a busy machine, and work
PRELOADED = ["torch.distributed", "yolo.train.setup.run", "pytest", "cv2", __name__]


def in_two_processes(work, folder, *arguments):
    """Call work(processes, *arguments) in each of two connected processes; return [result of rank 0, result of rank
    1]."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    started = [context.Process(target=_joined_work, args=(work, rank, port, folder, arguments)) for rank in range(2)]
    for process in started:
        process.start()
    end = time.monotonic() + LONGEST
    for process in started:
        process.join(max(0.0, end - time.monotonic()))
    hanging = [process for process in started if process.is_alive()]
    for process in hanging:
        process.kill()
    assert not hanging, "a process hangs"
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2)]


def _joined_work(work, rank, port, folder, arguments):
    """What one of the processes does; an exception is its result, too."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    processes = processes_of(os.environ)
    try:
        with process_group(processes, torch.device("cpu")):
            result = work(processes, *arguments)
    except Exception as error:
        result = error
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(result))
