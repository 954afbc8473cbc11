"""Batch norm over the mini-batches of several processes together, on CPUs as on GPUs.

torch's own SyncBatchNorm needs a GPU. Darknet knows no such thing: each of its GPUs has the statistics of its own part
(network_kernels.cu train_networks), and where parts are small, those are poor ones.
"""

import torch
from torch import Tensor, nn


class SyncedBatchNorm(nn.Module):
    """A BatchNorm2d whose mean and variance, in training, are those of all processes' features `[B, C, ...]`.

    Takes over parameters and buffers of `norm` under their names. Every process gives features of the same shape, at
    the same time. Computed in float32 whatever the features are; the output is of the features' type.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.momentum = norm.momentum
        self.weight = norm.weight
        self.bias = norm.bias
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)
        self.register_buffer("num_batches_tracked", norm.num_batches_tracked)

    def forward(self, features: Tensor) -> Tensor:
        channels = (1, -1) + (1,) * (features.ndim - 2)
        values = features.float()
        if self.training:
            mean, variance, centered = _together(values, channels)
            count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
            self._note(mean.detach(), variance.detach() * (count / max(1, count - 1)))
        else:
            variance, centered = self.running_var, values - self.running_mean.view(channels)
        # Scale times centered: what the way back needs is one map, as with torch's own batch norm.
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale.view(channels) + self.bias.view(channels)).to(features.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, unbiased: Tensor) -> None:
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)
        self.num_batches_tracked += 1


def with_synced_norm(network: nn.Module) -> nn.Module:
    """The network, every BatchNorm2d in it replaced in place; names in its state_dict stay.

    To be called after the process group was joined, and before an optimizer or DistributedDataParallel is given the
    network; the parameters are the same objects as before.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SyncedBatchNorm(child).train(child.training))
    return network


def _together(values: Tensor, channels: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance `[C]` over all processes, and the values less that mean.

    In two passes, as the squares' mean less the mean's square loses digits.
    """
    others = [axis for axis in range(values.ndim) if axis != 1]
    mean = _mean_of_processes(values.mean(dim=others))
    centered = values - mean.view(channels)
    return mean, _mean_of_processes(centered.square().mean(dim=others)), centered


def _mean_of_processes(values: Tensor) -> Tensor:
    return SumOfProcesses.apply(values) / torch.distributed.get_world_size()


class SumOfProcesses(torch.autograd.Function):
    """The sum of a tensor over the processes, on all of them; so is its gradient."""

    @staticmethod
    def forward(_context, values: Tensor) -> Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        return SumOfProcesses.apply(gradient)
