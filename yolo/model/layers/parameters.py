"""Parameters of layers: Darknet's batch norm, and weights that are zeros until they are drawn, quickly, or loaded."""

import math

import numpy as np
import torch
from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-5  # AlexeyAB blas.c and both cuDNN builds; inside the root
BATCH_NORM_MOMENTUM = 0.01  # rolling average .99 / .01 (batchnorm_layer.c, GPU)
BATCH_NORM_VALUES = 4  # stored per channel: bias, scale, rolling mean and variance
RANDOM_BLOCK = 2**16  # numbers drawn at a time, so that they are in the cache when they are scaled
MAX_SEED = 2**63 - 1


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with epsilon and momentum of Darknet's GPU builds."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


def batch_norm_tensors(norm: nn.BatchNorm2d) -> list[tuple[str, Tensor]]:
    """Return biases, scales, rolling mean, rolling variance: the order of a .weights file."""
    return [
        ("biases", norm.bias),
        ("scales", norm.weight),
        ("rolling mean", norm.running_mean),
        ("rolling variance", norm.running_var),
    ]


def with_zeros(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Return a layer that was built on "meta", without torch's own initialization, with zeros as parameters."""
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, zero_parameter(*parameter.shape))
    return layer


@torch.no_grad()
def draw_weights(layer: nn.Conv2d | nn.Linear) -> None:
    """Draw weights uniformly from ±sqrt(2 / fan_in), where fan_in is the number of inputs of a value; biases are 0."""
    fill_uniform(layer.weight, math.sqrt(2 / layer.weight[0].numel()))
    if layer.bias is not None:
        layer.bias.zero_()


def zero_parameter(*shape: int) -> nn.Parameter:
    """Return a float32 parameter of zeros on the CPU; the system allocates its memory only when it is written."""
    return nn.Parameter(torch.from_numpy(np.zeros(shape, np.float32)))


def fill_uniform(weights: Tensor, bound: float) -> None:
    """Fill contiguous float32 `weights` on the CPU with random numbers between -bound and bound.

    NumPy's generator draws them, seeded by torch's, so that torch.manual_seed decides. torch's own uniform_ takes
    about twice as long: two seconds for the largest network that is initialized.
    """
    seed = torch.randint(MAX_SEED, ()).item()
    generator = np.random.Generator(np.random.SFC64(seed))
    numbers = weights.detach().view(-1).numpy()
    for start in range(0, numbers.size, RANDOM_BLOCK):
        block = numbers[start : start + RANDOM_BLOCK]
        generator.random(out=block, dtype=np.float32)
        block *= 2 * bound
        block -= bound
