"""Layers that look at a window of a map, or at all of it, and keep one number: the largest or the mean.

Tensors are `[B, C, H, W]` in and out; strides are (vertical, horizontal).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import (
    BuildContext,
    Built,
    check_output,
    read_blur_size,
    read_strides,
    refuse,
)

BLUR_ROW = {
    2: (1.0, 1.0),
    3: (1.0, 2.0, 1.0),
}  # convolutional_layer.c, maxpool_layer.c: antialiasing


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

    def sides(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(left, right, above, below): the pixels that the windows reach beyond an input of (height, width)."""
        before = self.padding // 2
        below, right = (
            max(0, (out - 1) * stride + self.size - length - before)
            for out, stride, length in zip(self.output_size(size), self.stride, size, strict=True)
        )
        return before, right, before, below

    def forward(self, features: Tensor) -> Tensor:
        left, right, above, below = self.sides((features.shape[-2], features.shape[-1]))
        if left == right == above == below and left * 2 <= self.size:
            return F.max_pool2d(features, self.size, self.stride, padding=left)
        if left or right or below:
            features = F.pad(features, (left, right, above, below), value=-math.inf)
        return F.max_pool2d(features, self.size, self.stride)


class DepthMaxPool(nn.Module):
    """Largest of every `out_channels`-th channel, pixel by pixel: `[B, C, H, W]` → `[B, out_channels, H, W]`.

    Output channel g is the maximum of the input channels g, g + out_channels, … (AlexeyAB maxpool_layer.c).
    """

    def __init__(self, *, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels

    def forward(self, features: Tensor) -> Tensor:
        missing = -features.shape[1] % self.out_channels
        if missing:
            features = F.pad(features, (0, 0, 0, 0, 0, missing), value=-math.inf)
        return features.unflatten(1, (-1, self.out_channels)).amax(dim=1)


class LocalAveragePool(nn.Module):
    """Mean of each window over the pixels that lie inside the map (AlexeyAB maxpool_layer.c, local_avgpool).

    `padding` is the sum of both sides, the odd one right and below; output sizes are those of MaxPool.
    """

    def __init__(self, *, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.window = MaxPool(size=size, stride=stride, padding=padding)

    def forward(self, features: Tensor) -> Tensor:
        padding = self.window.sides((features.shape[-2], features.shape[-1]))
        inside = torch.ones_like(features[:1, :1])
        size, stride = self.window.size, self.window.stride
        total = F.avg_pool2d(F.pad(features, padding), size, stride)
        return total / F.avg_pool2d(F.pad(inside, padding), size, stride)


class Blur(nn.Module):
    """Antialiasing: each channel convolved with a fixed 3x3 or 2x2 kernel that adds up to 1, `stride` pixels apart.

    Size 3 pads with one zero on each side, size 2 does not (AlexeyAB make_convolutional_layer, input_layer).
    """

    def __init__(self, *, channels: int, size: int, stride: tuple[int, int]) -> None:
        super().__init__()
        row = torch.tensor(BLUR_ROW[size])
        kernel = torch.outer(row, row) / row.sum() ** 2
        self.register_buffer("kernel", kernel.repeat(channels, 1, 1, 1), persistent=False)
        self.size = size
        self.stride = stride

    @property
    def padding(self) -> int:
        """Zeros on each side."""
        return self.size // 2 if self.size % 2 else 0

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the output for an input of that (height, width)."""
        height, width = (
            (length + 2 * self.padding - self.size) // stride + 1
            for length, stride in zip(size, self.stride, strict=True)
        )
        return height, width

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        return F.conv2d(features, self.kernel, None, self.stride, self.padding, groups=channels)


class AveragePool(nn.Module):
    """Mean of each channel, `[B, C, H, W]` → `[B, C, 1, 1]` (avgpool_layer.c)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(-2, -1), keepdim=True)


def build_maxpool(section: Section, before: BuildContext) -> Built:
    """[maxpool] (AlexeyAB parser.c parse_maxpool, maxpool_layer.c make_maxpool_layer)."""
    refuse(section, ("maxpool_zero_nonmax",), "changing the input of the pooling")
    channels, height, width = before.shape(before.previous)
    size, stride, padding = _read_window(section)
    blur_size = read_blur_size(section)
    out_channels = section.integer("out_channels", 1, minimum=1)
    if section.flag("maxpool_depth"):
        if out_channels > channels:
            raise section.error("out_channels", f"at most the {channels} channels before it")
        layer = DepthMaxPool(out_channels=out_channels)
        return Built(layer, (before.previous,), (out_channels, height, width))
    layer = MaxPool(size=size, stride=(1, 1) if blur_size else stride, padding=padding)
    out = layer.output_size((height, width))
    check_output(section, "size", out, (height, width))
    if blur_size:
        blur = Blur(channels=channels, size=blur_size, stride=stride)
        layer, out = nn.Sequential(layer, blur), blur.output_size(out)
        check_output(section, "antialiasing", out, (height, width))
    return Built(layer, (before.previous,), (channels, *out))


def build_local_avgpool(section: Section, before: BuildContext) -> Built:
    """[local_avgpool] (AlexeyAB parser.c parse_local_avgpool)."""
    channels, height, width = before.shape(before.previous)
    size, stride, padding = _read_window(section)
    layer = LocalAveragePool(size=size, stride=stride, padding=padding)
    out = layer.window.output_size((height, width))
    check_output(section, "size", out, (height, width))
    return Built(layer, (before.previous,), (channels, *out))


def build_avgpool(_section: Section, before: BuildContext) -> Built:
    """[avgpool]: the mean of each channel."""
    channels, _, _ = before.shape(before.previous)
    return Built(AveragePool(), (before.previous,), (channels, 1, 1))


def _read_window(section: Section) -> tuple[int, tuple[int, int], int]:
    """Size, (vertical, horizontal) stride, and the padding of both sides together."""
    stride = read_strides(section)
    size = section.integer("size", section.integer("stride", 1), minimum=1)
    padding, most = section.integer("padding", size - 1, minimum=0), 2 * (size - 1)
    if padding > most:
        raise section.error("padding", f"at most {most}, so that every window sees a pixel")
    return size, stride, padding
