"""Several processes that train one network: torchrun starts them, each takes its part of every mini-batch.

Nothing here asks for torch.distributed, which torch imports when first asked, where there is one process only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn

LONGEST_WAIT = timedelta(minutes=5)  # for what one process does alone, such as scoring or saving

GLOO = "gloo"  # what errors of lost connections name, as a path of its source


@dataclass(frozen=True)
class Processes:
    """Who this process is: `rank` of `world` in all, `local_rank` on its machine. Alone without torchrun.

    What is exchanged goes by way of the CPU. Every process has to make the same calls in the same order.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.world == 1:
            return flag
        told = torch.tensor([int(flag)])
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        return bool(told)

    def mean(self, values: Mapping[str, float | Tensor]) -> dict[str, float]:
        """Each value's mean over the processes, which all give the same names in the same order."""
        if self.world == 1:
            return {name: float(value) for name, value in values.items()}
        told = torch.tensor([float(value) for value in values.values()], dtype=torch.float64)
        torch.distributed.all_reduce(told)
        return dict(zip(values, (told / self.world).tolist(), strict=True))

    def share(self, items: Sequence) -> Sequence:
        """What of `items` this process works on: from its rank on, every `world`-th."""
        return items[self.rank :: self.world]

    def gather(self, items: Sequence, count: int) -> list | None:
        """What each process made of its share of `count` items, in their order, on rank 0; None on the others."""
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

    def same_buffers(self, network: nn.Module) -> None:
        """Give all processes rank 0's buffers: without synced norm each has running averages of its own."""
        if self.world > 1:
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, src=0)


def processes_of(environment: Mapping[str, str]) -> Processes:
    """What torchrun says in the environment."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not all(name in environment for name in names):
        return Processes()
    return Processes(*(int(environment[name]) for name in names))


def device_of(processes: Processes, name: str) -> torch.device:
    """The device of this process: with several, `cuda` means the GPU of its number on the machine."""
    alone = processes.world == 1 or name != "cuda"
    return torch.device(name) if alone else torch.device(name, processes.local_rank)


@contextmanager
def joined(processes: Processes, device: torch.device) -> Iterator[None]:
    """The processes know each other inside. Raises ConnectionError, in one line, once another one is lost."""
    if processes.world == 1:
        yield
        return
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    with lost_ones_named():
        torch.distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else GLOO, timeout=LONGEST_WAIT
        )
        yield
        # Not after an error: the others may be waiting in another exchange, and end when this process does.
        torch.distributed.destroy_process_group()


@contextmanager
def lost_ones_named() -> Iterator[None]:
    """What gloo and NCCL say when another process has died or hangs, as a ConnectionError of one line."""
    try:
        yield
    except RuntimeError as error:
        # torchrun ends what is left of a run, loading processes first: that may interrupt gloo's own complaint
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
