"""The values of `activation`, one torch module for each name (AlexeyAB activations.h; pjreddie activations.h).

A few of AlexeyAB's return 0 everywhere (relu6 on the CPU, swish and mish outside [convolutional]); the modules here
compute the function of that name.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_SLOPE = 0.1
RELIE_SLOPE = 0.01
RAMP_SLOPE = 0.1
CHANNEL_EPSILON = 1e-4  # AlexeyAB activations.c activate_array_normalize_channels


class Activation(nn.Module):
    """A function of a map as a module."""

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
    """Return relu(x) / its sum over the channels."""
    positive = F.relu(x)
    return positive / (positive.sum(dim=1, keepdim=True) + CHANNEL_EPSILON)


def _normalize_channels_softmax(x: Tensor) -> Tensor:
    """Return the softmax over the channels; it overflows where Darknet's does."""
    powers = torch.exp(x)
    return powers / (powers.sum(dim=1, keepdim=True) + CHANNEL_EPSILON)


def _normalize_channels_softmax_maxval(x: Tensor) -> Tensor:
    """Return the softmax over the channels, after subtracting the maximum so that nothing overflows."""
    return _normalize_channels_softmax(x - x.amax(dim=1, keepdim=True))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "logistic": nn.Sigmoid,
    "loggy": lambda: Activation(_loggy),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "relie": lambda: nn.LeakyReLU(RELIE_SLOPE),
    "ramp": lambda: Activation(_ramp),
    "leaky": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    # Darknet computes leaky and changes only the gradient (activation_kernels.cu); here the gradient is leaky's too.
    "revleaky": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "swish": nn.SiLU,
    "silu": nn.SiLU,  # the same function; Darknet does not have this name and uses relu
    "mish": nn.Mish,
    "hard_mish": lambda: Activation(_hard_mish),
    "tanh": nn.Tanh,
    "hardtan": nn.Hardtanh,
    "lhtan": lambda: Activation(_lhtan),
    "plse": lambda: Activation(_plse),
    "stair": lambda: Activation(_stair),
    "normalize_channels": lambda: Activation(_normalize_channels),
    "normalize_channels_softmax": lambda: Activation(_normalize_channels_softmax),
    "normalize_channels_softmax_maxval": lambda: Activation(_normalize_channels_softmax_maxval),
}
