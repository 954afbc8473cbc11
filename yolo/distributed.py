"""Training of one network by several processes: torchrun starts them, and each takes its part of every mini-batch.

torch.distributed is not used if there is only one process.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from yolo.errors import CfgError

Item = TypeVar("Item")
LONGEST_WAIT = timedelta(minutes=5)  # for what one process does alone, such as scoring or saving
GLOO = "gloo"  # in the errors of lost connections, as a path of its source


@dataclass(frozen=True)
class Processes:
    """This process: `rank` of `world` processes in all, `local_rank` on its machine. Without torchrun there is one.

    Values are exchanged through the CPU. Every process has to make the same calls in the same order.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true in any process."""
        if self.world == 1:
            return flag
        flags = torch.tensor([int(flag)])
        torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        return bool(flags)

    def mean(self, values: Mapping[str, float | Tensor]) -> dict[str, float]:
        """Return each value's mean over the processes. All have the same names in the same order."""
        if self.world == 1:
            return {name: float(value) for name, value in values.items()}
        sums = torch.tensor([float(value) for value in values.values()], dtype=torch.float64)
        torch.distributed.all_reduce(sums)
        return dict(zip(values, (sums / self.world).tolist(), strict=True))

    def shard(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items of this process: every `world`-th one, starting with number `rank`."""
        return items[self.rank :: self.world]

    def gather(self, items: Sequence[Item], count: int) -> list[Item] | None:
        """Collect the results of all processes for their shards of `count` items, in order. None on other ranks."""
        if self.world == 1:
            return list(items)
        parts = [None] * self.world if self.rank == 0 else None
        torch.distributed.gather_object(list(items), parts)
        if parts is None:
            return None
        gathered = [None] * count
        for rank, part in enumerate(parts):
            gathered[rank :: self.world] = part
        return gathered

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Copy rank 0's buffers to all processes: without SyncBatchNorm each has its own running statistics."""
        if self.world > 1:
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, src=0)


def images_of_process(mini_batch: int, processes: Processes) -> int:
    """Return how many images of a mini-batch each process has. Raises CfgError unless all can have equally many."""
    if mini_batch % processes.world:
        raise CfgError(
            f"found mini-batches of {mini_batch} images (batch / subdivisions), expected a multiple of "
            f"{processes.world}, the number of processes"
        )
    return mini_batch // processes.world


class ShardedSampler:
    """The sampler of a DataLoader that takes this process's part of each mini-batch of `sampler`.

    mini_batch: images of one; raises CfgError unless all processes can have equal parts.
    """

    def __init__(self, sampler: Iterable[Sequence[Item]], mini_batch: int, processes: Processes) -> None:
        self.sampler = sampler
        self.part = images_of_process(mini_batch, processes)
        self.first = self.part * processes.rank

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Sequence[Item]]:
        for draws in self.sampler:
            yield draws[self.first : self.first + self.part]


def processes_of(environment: Mapping[str, str]) -> Processes:
    """Read the environment variables that torchrun sets."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not all(name in environment for name in names):
        return Processes()
    return Processes(*(int(environment[name]) for name in names))


def device_of(processes: Processes, name: str) -> torch.device:
    """Return the device of this process. With several processes `cuda` means the GPU number `local_rank`."""
    alone = processes.world == 1 or name != "cuda"
    return torch.device(name) if alone else torch.device(name, processes.local_rank)


@contextmanager
def process_group(processes: Processes, device: torch.device) -> Iterator[None]:
    """Connect the processes within this context. Raises ConnectionError, in one line, if another process is lost."""
    if processes.world == 1:
        yield
        return
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    with connection_errors():
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else GLOO, timeout=LONGEST_WAIT)
        yield
        # Not after an error: the other processes may wait in another exchange, and end when this process does.
        torch.distributed.destroy_process_group()


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turn the errors of gloo and NCCL for a process that has died or hangs into a ConnectionError of one line."""
    try:
        yield
    except RuntimeError as error:
        # torchrun ends the other processes, loader processes first, which may hide the error of gloo
        cause: BaseException | None = error
        while cause and not (GLOO in str(cause) or type(cause).__module__ == "torch.distributed"):
            cause = cause.__context__
        if cause is None:
            raise
        found = "no answer" if "imed out" in str(cause) else "its connection closed"
        raise ConnectionError(
            f"another process of this run was lost: found {found}, expected its part of the step; "
            "what it printed, or torchrun's `Root Cause` below, has the reason"
        ) from None
