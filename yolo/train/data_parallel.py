"""Several processes that train one network: the wrapped network and each process's share of the steps."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn

from yolo.distributed import Processes
from yolo.errors import CfgError
from yolo.model.network import IMAGE, Network
from yolo.train.optimizer import changes_with_time


def spread(network: Network, processes: Processes, device: torch.device) -> nn.Module:
    """What to call in training for raw maps: with several processes, their gradients become their mean."""
    if processes.world == 1:
        return network
    # Layers that wait for their step have no gradient until then, and a branch that leads to no head never has one.
    some_idle = changes_with_time(network) or len(_used(network)) < len(network.layers)
    return nn.parallel.DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=some_idle,
    )


class SharedSteps:
    """The sampler of a DataLoader: of each mini-batch of `sampler`, the part that is this process's.

    mini_batch: images in one; raises CfgError where the processes cannot have equal parts of it.
    """

    def __init__(self, sampler: Iterable[Sequence], mini_batch: int, processes: Processes) -> None:
        if mini_batch % processes.world:
            raise CfgError(
                f"found mini-batches of {mini_batch} images (batch / subdivisions), expected a multiple of "
                f"{processes.world}, the number of processes"
            )
        self.sampler = sampler
        self.part = mini_batch // processes.world
        self.first = self.part * processes.rank

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Sequence]:
        for draws in self.sampler:
            yield draws[self.first : self.first + self.part]


def _used(network: Network) -> set[int]:
    """Indices of the layers that the raw maps depend on."""
    used: set[int] = set()
    left = list(network.outputs)
    while left:
        index = left.pop()
        if index != IMAGE and index not in used:
            used.add(index)
            left += network.sources[index]
    return used
