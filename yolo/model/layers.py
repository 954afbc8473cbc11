"""One `nn.Module` for each Darknet layer: explicit arguments, no cfg, tensors `[B, C, H, W]` in and out.

A layer that stores parameters in a .weights file says so by `darknet_tensors()`: the tensors in file order.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-5  # AlexeyAB blas.c and both cuDNN builds; inside the root
BATCH_NORM_MOMENTUM = 0.01  # rolling average .99 / .01 (batchnorm_layer.c, GPU)


class Convolutional(nn.Module):
    """Convolution, then batch norm if asked for, then the activation (convolutional_layer.c).

    kernel, stride, padding are (vertical, horizontal). Without batch norm the convolution has a bias.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        filters: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: int,
        groups: int,
        batch_normalize: bool,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.conv = nn.utils.skip_init(
            nn.Conv2d,
            in_channels,
            filters,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            bias=not batch_normalize,
        )
        self.norm = _batch_norm(filters) if batch_normalize else None
        self.activation = activation
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Darknet's start: weights uniform in ±sqrt(2 / fan_in) (AlexeyAB make_convolutional_layer), biases 0."""
        bound = math.sqrt(2 / self.conv.weight[0].numel())
        self.conv.weight.uniform_(-bound, bound)
        if self.conv.bias is not None:
            self.conv.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        if self.norm is not None:
            features = self.norm(features)
        return self.activation(features)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """biases, [scales, rolling mean, rolling variance], weights (parser.c load_convolutional_weights)."""
        if self.norm is None:
            return [("biases", self.conv.bias), ("weights", self.conv.weight)]
        return [*_batch_norm_tensors(self.norm), ("weights", self.conv.weight)]


class MaxPool(nn.Module):
    """Largest value of each window (maxpool_layer.c); `padding` is the sum of both sides, -inf, the odd one right.

    An input that the windows do not divide evenly is padded on the right and below, so 2/2 pooling rounds up.
    """

    def __init__(self, *, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.size = size
        self.stride = stride
        self.padding = padding

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the output for an input of that (height, width)."""
        height, width = (
            (length + self.padding - self.size) // stride + 1
            for length, stride in zip(size, self.stride, strict=True)
        )
        return height, width

    def forward(self, features: Tensor) -> Tensor:
        size = (features.shape[-2], features.shape[-1])
        before = self.padding // 2
        below, right = (
            max(0, (out - 1) * stride + self.size - length - before)
            for out, stride, length in zip(self.output_size(size), self.stride, size, strict=True)
        )
        if before == below == right and before * 2 <= self.size:
            return F.max_pool2d(features, self.size, self.stride, padding=before)
        if before or below or right:
            features = F.pad(features, (before, right, before, below), value=-math.inf)
        return F.max_pool2d(features, self.size, self.stride)


class Shortcut(nn.Module):
    """The first input plus the others, then the activation (shortcut_layer.c).

    Maps of unequal depth add over the channels that both have; the result keeps the first one's
    (AlexeyAB blas.c shortcut_multilayer_cpu).
    """

    def __init__(self, *, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, features: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            features = _add_common_channels(features, other)
        return self.activation(features)


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


class AveragePool(nn.Module):
    """Mean of each channel, `[B, C, H, W]` → `[B, C, 1, 1]` (avgpool_layer.c)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(-2, -1), keepdim=True)


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


class Softmax(nn.Module):
    """Probabilities of all values of a picture, or of each of `groups` equal parts (softmax_layer.c)."""

    def __init__(self, *, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups = groups
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        parts = features.reshape(len(features), self.groups, -1) / self.temperature
        return torch.softmax(parts, dim=-1).reshape(features.shape)


def _add_common_channels(features: Tensor, other: Tensor) -> Tensor:
    channels, added = features.shape[1], other.shape[1]
    if channels == added:
        return features + other
    if channels < added:
        return features + other[:, :channels]
    return torch.cat((features[:, :added] + other, features[:, added:]), dim=1)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


def _batch_norm_tensors(norm: nn.BatchNorm2d) -> list[tuple[str, Tensor]]:
    return [
        ("biases", norm.bias),
        ("scales", norm.weight),
        ("rolling mean", norm.running_mean),
        ("rolling variance", norm.running_var),
    ]
