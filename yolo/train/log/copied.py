"""Copy the scalars of a loss from the GPU to the CPU while the GPU continues with the backward pass."""

from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.records import LossResult
from yolo.train.log.darknet import DarknetLosses


@dataclass(frozen=True)
class CopiedLosses:
    """A LossResult whose scalars are copied to the CPU. `scalars` waits for the copy, not for later work on the GPU.

    total: scalar on the GPU; numbers: the scalars that are no tensors; names, values: the others, in pinned memory;
    arrived: recorded after the copy.
    """

    total: Tensor
    numbers: dict[str, float]
    names: tuple[str, ...]
    values: Tensor
    arrived: torch.cuda.Event

    def scalars(self) -> dict[str, float]:
        """Return the scalars as numbers, by name."""
        self.arrived.synchronize()
        return self.numbers | dict(zip(self.names, self.values.tolist(), strict=True))


def copied_losses(losses: LossResult) -> LossResult:
    """Start to copy the scalars of a loss from the GPU with one transfer.

    Darknet's losses, which also have lines to print, and losses on the CPU are returned as they are.
    """
    if losses.total.device.type != "cuda" or isinstance(losses, DarknetLosses):
        return losses
    scalars = losses.scalars()
    names = tuple(name for name, value in scalars.items() if isinstance(value, Tensor))
    numbers = {name: float(value) for name, value in scalars.items() if name not in names}
    on_gpu = torch.stack([scalars[name].detach().float() for name in names])
    values = torch.empty(on_gpu.shape, pin_memory=True)
    values.copy_(on_gpu, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return CopiedLosses(losses.total.detach(), numbers, names, values, arrived)
