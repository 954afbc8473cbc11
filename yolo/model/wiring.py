"""Layers that bring maps together, cut them or move their pixels, and compute next to nothing.

Tensors are `[B, C, H, W]` in and out.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Fit = Callable[[Tensor, Tensor], Tensor]
Factors = Callable[[Tensor], Tensor]

WEIGHT_EPSILON = 1e-4  # AlexeyAB blas.c shortcut_multilayer_cpu
WEIGHT_SPREAD = 0.01  # AlexeyAB make_shortcut_layer: weights begin at 1, give or take this


class Shortcut(nn.Module):
    """alpha times the first input plus beta times the others, then the activation (shortcut_layer.c).

    fit(other, like): the other map in the shape of the first one: `by_channel` or `by_sampling`.
    """

    def __init__(
        self, *, fit: Fit, activation: nn.Module, alpha: float = 1.0, beta: float = 1.0
    ) -> None:
        super().__init__()
        self.fit = fit
        self.activation = activation
        self.alpha = alpha
        self.beta = beta

    def forward(self, features: Tensor, *others: Tensor) -> Tensor:
        total = features if self.alpha == 1 else features * self.alpha
        for other in others:
            fitted = self.fit(other, features)
            total = total + (fitted if self.beta == 1 else fitted * self.beta)
        return self.activation(total)


class WeightedShortcut(nn.Module):
    """The sum of all inputs, each times a learnt factor of all its channels or of each (AlexeyAB shortcut_layer.c).

    channels: 1, or those of the first input; factors: how weights `[inputs, channels]` become factors, one of
    `plain_factors`, `relu_factors`, `softmax_factors`; fit as in Shortcut.
    """

    def __init__(
        self, *, inputs: int, channels: int, factors: Factors, fit: Fit, activation: nn.Module
    ) -> None:
        super().__init__()
        self.weights = nn.Parameter(1 + WEIGHT_SPREAD * (2 * torch.rand(inputs, channels) - 1))
        self.factors = factors
        self.fit = fit
        self.activation = activation

    def forward(self, features: Tensor, *others: Tensor) -> Tensor:
        first, *rest = self.factors(self.weights)[..., None, None]
        total = features * first
        for other, factor in zip(others, rest, strict=True):
            total = total + self.fit(other, features) * factor
        return self.activation(total)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """The weights, input by input (AlexeyAB parser.c load_shortcut_weights)."""
        return [("weights", self.weights)]


class Route(nn.Module):
    """Inputs side by side along the channels; with groups, slice `group_id` of *each* input (route_layer.c)."""

    def __init__(self, *, groups: int = 1, group_id: int = 0) -> None:
        super().__init__()
        self.groups = groups
        self.group_id = group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.groups > 1:
            inputs = tuple(features.chunk(self.groups, dim=1)[self.group_id] for features in inputs)
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)


class Upsample(nn.Module):
    """Each pixel `stride` times in both directions, times `scale` (upsample_layer.c)."""

    def __init__(self, *, stride: int, scale: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        features = F.interpolate(features, scale_factor=self.stride, mode="nearest")
        return features if self.scale == 1 else features * self.scale


class Downsample(nn.Module):
    """The sum of each block of stride x stride pixels, times `scale`: [upsample] with a negative stride."""

    def __init__(self, *, stride: int, scale: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return F.avg_pool2d(features, self.stride, divisor_override=1) * self.scale


class Multiply(nn.Module):
    """The second input times the first, then the activation.

    The first is a factor a channel, `[B, C, 1, 1]`, or a pixel, `[B, 1, H, W]` (scale_channels_layer.c), or a whole map
    (sam_layer.c).
    """

    def __init__(self, *, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, factors: Tensor, features: Tensor) -> Tensor:
        return self.activation(factors * features)


class SpaceToDepth(nn.Module):
    """Blocks of stride x stride pixels become channels, block position first (reorg_layer.c, [reorg3d])."""

    def __init__(self, *, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        step = self.stride
        blocks = features.reshape(batch, channels, height // step, step, width // step, step)
        blocks = blocks.permute(0, 3, 5, 1, 2, 4)  # [B, row in block, column in block, C, H/s, W/s]
        return blocks.reshape(batch, channels * step * step, height // step, width // step)


class Reorg(nn.Module):
    """YOLOv2's permutation: the map read as C/stride² deep and stride times as wide and high, then space to depth.

    Not what the name promises, but what the models were trained with (blas.c reorg_cpu, called with input sizes).
    """

    def __init__(self, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.blocks = SpaceToDepth(stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        step = self.stride
        wide = features.reshape(batch, channels // step**2, height * step, width * step)
        return self.blocks(wide).reshape(batch, channels * step**2, height // step, width // step)


class DepthToSpace(nn.Module):
    """The way back from SpaceToDepth: C/stride² channels, stride times as wide and high ([reorg] with reverse=1)."""

    def __init__(self, *, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        step = self.stride
        blocks = features.reshape(batch, step, step, channels // step**2, height, width)
        blocks = blocks.permute(0, 3, 4, 1, 5, 2)  # [B, C/s², H, row in block, W, column in block]
        return blocks.reshape(batch, channels // step**2, height * step, width * step)


def by_channel(other: Tensor, like: Tensor) -> Tensor:
    """The channels that both maps have, zeros for those that only `like` has; height and width are the same.

    Both Darknets do this (pjreddie blas.c shortcut_cpu, AlexeyAB blas.c shortcut_multilayer_cpu).
    """
    missing = like.shape[1] - other.shape[1]
    if missing == 0:
        return other
    return other[:, : like.shape[1]] if missing < 0 else F.pad(other, (0, 0, 0, 0, 0, missing))


def by_sampling(other: Tensor, like: Tensor) -> Tensor:
    """Every n-th pixel of a larger map; a smaller map's, n apart with zeros between (pjreddie blas.c shortcut_cpu)."""
    taken, placed = [], []
    for theirs, ours in zip(other.shape[-2:], like.shape[-2:], strict=True):
        count = min(theirs, ours)
        taken.append(slice(0, count * max(1, theirs // ours), max(1, theirs // ours)))
        placed.append(slice(0, count * max(1, ours // theirs), max(1, ours // theirs)))
    channels = min(other.shape[1], like.shape[1])
    fitted = torch.zeros_like(like)
    fitted[:, :channels, placed[0], placed[1]] = other[:, :channels, taken[0], taken[1]]
    return fitted


def plain_factors(weights: Tensor) -> Tensor:
    """The weights themselves (weights_normalization=none)."""
    return weights


def relu_factors(weights: Tensor) -> Tensor:
    """Shares of the positive weights (weights_normalization=relu, avg_relu)."""
    positive = F.relu(weights)
    return positive / (positive.sum(dim=0) + WEIGHT_EPSILON)


def softmax_factors(weights: Tensor) -> Tensor:
    """Shares of the weights' exponentials (weights_normalization=softmax)."""
    powers = torch.exp(weights - weights.amax(dim=0))
    return powers / (powers.sum(dim=0) + WEIGHT_EPSILON)
