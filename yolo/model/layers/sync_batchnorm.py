"""Batch norm with the statistics of all processes' mini-batches, on CPUs and GPUs. torch's SyncBatchNorm needs GPUs.

Darknet does not have it: each of its GPUs uses the statistics of its own part of the batch (network_kernels.cu
train_networks). They are inaccurate if the parts are small.
"""

import torch
from torch import Tensor, nn


class SyncBatchNorm(nn.Module):
    """A BatchNorm2d that computes mean and variance over the features `[B, C, ...]` of all processes in training.

    It uses the parameters and buffers of `norm`, under their names. All processes must call it together, with features
    of the same shape. It computes in float32; the output has the features' dtype.
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
            mean, variance, centered = _joint_statistics(values, channels)
            count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
            self._update(mean.detach(), variance.detach() * (count / max(1, count - 1)))
        else:
            variance, centered = self.running_var, values - self.running_mean.view(channels)
        # scale * centered: the backward pass then keeps one map, as torch's own batch norm does
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale.view(channels) + self.bias.view(channels)).to(features.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, unbiased: Tensor) -> None:
        # the estimate of the memory that a run needs gives the buffers its dtype
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked += 1


def convert_sync_batchnorm(network: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d of the network in place and return the network.

    The parameters stay the same objects, with the same names in the state_dict. Call this after the process group has
    been joined.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SyncBatchNorm(child).train(child.training))
    return network


def _joint_statistics(values: Tensor, channels: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and biased variance `[C]` over all processes, and the values minus that mean.

    Two passes, because (mean of squares - square of mean) is inaccurate.
    """
    others = [axis for axis in range(values.ndim) if axis != 1]
    mean = _mean_of_processes(values.mean(dim=others))
    centered = values - mean.view(channels)
    return mean, _mean_of_processes(centered.square().mean(dim=others)), centered


def _mean_of_processes(values: Tensor) -> Tensor:
    return SumOfProcesses.apply(values) / torch.distributed.get_world_size()


class SumOfProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; the gradient is summed too."""

    @staticmethod
    def forward(_context, values: Tensor) -> Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        if not total.is_meta:  # which the estimate of the memory computes with
            torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        return SumOfProcesses.apply(gradient)
