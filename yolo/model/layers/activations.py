"""Darknet's activations, one torch module for each name (AlexeyAB activations.h; pjreddie activations.h).

Where AlexeyAB's gives 0 everywhere (relu6 on the CPU, swish and mish outside [convolutional]), this computes what the
name says.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.1

RELIE_SLOPE = 0.01

RAMP_SLOPE = 0.1

CHANNEL_EPSILON = 1e-4  # AlexeyAB activations.c activate_array_normalize_channels


class Function(nn.Module):
    """A pure function of a map as a module."""

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


def _normalize_channels(x: Tensor) -> Tensor:
    """Shares of the positive values among the channels of each pixel."""
    positive = F.relu(x)
    return positive / (positive.sum(dim=1, keepdim=True) + CHANNEL_EPSILON)


def _normalize_channels_softmax(x: Tensor) -> Tensor:
    """Shares of the exponentials among the channels of each pixel; overflows where Darknet's does."""
    powers = torch.exp(x)
    return powers / (powers.sum(dim=1, keepdim=True) + CHANNEL_EPSILON)


def _normalize_channels_softmax_maxval(x: Tensor) -> Tensor:
    """The same after the largest value is taken off, so that nothing overflows."""
    return _normalize_channels_softmax(x - x.amax(dim=1, keepdim=True))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "logistic": nn.Sigmoid,
    "loggy": lambda: Function(_loggy),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "relie": lambda: nn.LeakyReLU(RELIE_SLOPE),
    "ramp": lambda: Function(_ramp),
    "leaky": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    # Darknet computes leaky and turns only the gradient around (activation_kernels.cu); here it is leaky in both.
    "revleaky": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "hard_mish": lambda: Function(_hard_mish),
    "tanh": nn.Tanh,
    "hardtan": nn.Hardtanh,
    "lhtan": lambda: Function(_lhtan),
    "plse": lambda: Function(_plse),
    "stair": lambda: Function(_stair),
    "normalize_channels": lambda: Function(_normalize_channels),
    "normalize_channels_softmax": lambda: Function(_normalize_channels_softmax),
    "normalize_channels_softmax_maxval": lambda: Function(_normalize_channels_softmax_maxval),
}
