"""Darknet's activations, one torch module for each name (AlexeyAB activations.h; pjreddie activations.h).

Where AlexeyAB's CPU build is wrong (relu6 gives 0 everywhere, swish and mish in [activation] too), this follows its
GPU build, which is what its users trained with.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.1
RELIE_SLOPE = 0.01
RAMP_SLOPE = 0.1


class Elementwise(nn.Module):
    """A pure function of each value as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)

    def extra_repr(self) -> str:
        return self.function.__name__.removeprefix("_")


def _loggy(x: Tensor) -> Tensor:
    return 2 * torch.sigmoid(x) - 1


def _hard_mish(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, torch.zeros_like(x)))


def _ramp(x: Tensor) -> Tensor:
    return F.relu(x) + RAMP_SLOPE * x


def _plse(x: Tensor) -> Tensor:
    outer = torch.where(x < 0, 0.01 * (x + 4), 0.01 * (x - 4) + 1)
    return torch.where(x.abs() <= 4, 0.125 * x + 0.5, outer)


def _stair(x: Tensor) -> Tensor:
    floor = torch.floor(x)
    return torch.where(floor % 2 == 0, torch.floor(x / 2), (x - floor) + torch.floor(x / 2))


def _lhtan(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "logistic": nn.Sigmoid,
    "loggy": lambda: Elementwise(_loggy),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "relie": lambda: nn.LeakyReLU(RELIE_SLOPE),
    "ramp": lambda: Elementwise(_ramp),
    "leaky": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    # Darknet computes leaky and turns only the gradient around (activation_kernels.cu); here it is leaky in both.
    "revleaky": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "hard_mish": lambda: Elementwise(_hard_mish),
    "tanh": nn.Tanh,
    "hardtan": nn.Hardtanh,
    "lhtan": lambda: Elementwise(_lhtan),
    "plse": lambda: Elementwise(_plse),
    "stair": lambda: Elementwise(_stair),
}
