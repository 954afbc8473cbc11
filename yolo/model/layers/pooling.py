"""`[maxpool]`, `[max]`, `[local_avgpool]`, `[local_avg]`, `[avgpool]`, `[avg]`; and Blur, the antialiasing of layers.

Tensors are `[B, C, H, W]` in and out; sizes are (height, width), strides (vertical, horizontal).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import (
    LARGEST_MAP,
    BuildContext,
    Built,
    Shape,
    check_output_size,
    output_size,
    read_strides,
    require_zero,
)

BLUR_SIZES = {1: 3, 2: 2}  # value of `antialiasing` → size of the kernel

# size of the kernel → its row; the kernel is the product of a column and a row (convolutional_layer.c, maxpool_layer.c)
BLUR_ROWS = {2: (1.0, 1.0), 3: (1.0, 2.0, 1.0)}


class MaxPool(nn.Module):
    """Maximum of each window (maxpool_layer.c).

    The padding value is -inf. `padding` is the sum of both sides; the cfg's default is size - 1. If it is odd, the
    right and the bottom side get one pixel more. An input that the windows do not divide evenly gets more padding
    there, so 2/2 pooling rounds up.
    """

    def __init__(self, *, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.size = size
        self.stride = stride
        self.padding = padding

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the output size for an input of `size`."""
        return output_size(size, self.size, self.stride, self.padding)

    def sides(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return (left, right, top, bottom): by how many pixels the windows exceed an input of `size`."""
        first = self.padding // 2
        bottom, right = (
            max(0, (out - 1) * stride + self.size - length - first)
            for out, stride, length in zip(self.output_size(size), self.stride, size, strict=True)
        )
        return first, right, first, bottom

    def forward(self, features: Tensor) -> Tensor:
        left, right, top, bottom = self.sides((features.shape[-2], features.shape[-1]))
        if left == right == top == bottom and left * 2 <= self.size:
            return F.max_pool2d(features, self.size, self.stride, padding=left)
        if left or right or bottom:
            features = F.pad(features, (left, right, top, bottom), value=-math.inf)
        return F.max_pool2d(features, self.size, self.stride)


class DepthMaxPool(nn.Module):
    """Maximum of every `out_channels`-th channel of a pixel: `[B, C, H, W]` → `[B, out_channels, H, W]`.

    Output channel g is the maximum of the input channels g, g + out_channels, … (AlexeyAB maxpool_layer.c).
    """

    def __init__(self, *, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels

    def forward(self, features: Tensor) -> Tensor:
        missing = -features.shape[1] % self.out_channels
        if missing:
            features = F.pad(features, (0, 0, 0, 0, 0, missing), value=-math.inf)
        batch, _, height, width = features.shape
        return features.reshape(batch, -1, self.out_channels, height, width).amax(dim=1)


class LocalAveragePool(nn.Module):
    """Mean of each window over the pixels inside the map (AlexeyAB maxpool_layer.c, local_avgpool).

    Padding and output sizes are those of MaxPool.
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
    """Antialiasing: convolve each channel with a fixed 3x3 or 2x2 kernel whose sum is 1.

    Size 3 has one zero of padding on each side, size 2 has none (AlexeyAB make_convolutional_layer, input_layer).
    """

    def __init__(self, *, channels: int, size: int, stride: tuple[int, int]) -> None:
        super().__init__()
        row = torch.tensor(BLUR_ROWS[size])
        kernel = torch.outer(row, row) / row.sum() ** 2
        self.register_buffer("kernel", kernel.repeat(channels, 1, 1, 1), persistent=False)
        self.size = size
        self.stride = stride

    @property
    def padding(self) -> int:
        """Number of zeros on each side."""
        return self.size // 2 if self.size % 2 else 0

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the output size for an input of `size`."""
        return output_size(size, self.size, self.stride, 2 * self.padding)

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        return F.conv2d(features, self.kernel, None, self.stride, self.padding, groups=channels)


class AveragePool(nn.Module):
    """Mean of each channel, `[B, C, H, W]` → `[B, C, 1, 1]` (avgpool_layer.c)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(-2, -1), keepdim=True)


def read_blur_size(section: Section) -> int:
    """Return the kernel size of the section's `antialiasing`, 0 for none (AlexeyAB make_convolutional_layer)."""
    kind = section.integer("antialiasing", 0)
    if kind and kind not in BLUR_SIZES:
        raise section.error("antialiasing", "0, 1 (a 3x3 blur) or 2 (a 2x2 blur)")
    return BLUR_SIZES.get(kind, 0)


def build_maxpool(section: Section, context: BuildContext) -> Built:
    """[maxpool] (AlexeyAB parser.c parse_maxpool, maxpool_layer.c make_maxpool_layer)."""
    require_zero(section, ("maxpool_zero_nonmax",), "changing the input of the pooling")
    channels, height, width = context.previous_shape
    size, stride, padding = _read_window(section)
    _check_padded(section, context.previous_shape, padding)
    blur_size = read_blur_size(section)
    out_channels = section.integer("out_channels", 1, minimum=1)
    if section.flag("maxpool_depth"):
        if out_channels > channels:
            raise section.error("out_channels", f"at most the {channels} channels of the previous layer")
        layer = DepthMaxPool(out_channels=out_channels)
        return Built(layer, (context.previous,), (out_channels, height, width))
    layer = MaxPool(size=size, stride=(1, 1) if blur_size else stride, padding=padding)
    out = layer.output_size((height, width))
    check_output_size(section, "size", out, (height, width))
    if blur_size:
        blur = Blur(channels=channels, size=blur_size, stride=stride)
        layer, out = nn.Sequential(layer, blur), blur.output_size(out)
        check_output_size(section, "antialiasing", out, (height, width))
    return Built(layer, (context.previous,), (channels, *out))


def build_local_avgpool(section: Section, context: BuildContext) -> Built:
    """[local_avgpool] (AlexeyAB parser.c parse_local_avgpool)."""
    channels, height, width = context.previous_shape
    size, stride, padding = _read_window(section)
    _check_padded(section, context.previous_shape, padding)
    layer = LocalAveragePool(size=size, stride=stride, padding=padding)
    out = layer.window.output_size((height, width))
    check_output_size(section, "size", out, (height, width))
    return Built(layer, (context.previous,), (channels, *out))


def build_avgpool(_section: Section, context: BuildContext) -> Built:
    """[avgpool] (parser.c parse_avgpool)."""
    channels, _, _ = context.previous_shape
    return Built(AveragePool(), (context.previous,), (channels, 1, 1))


def _check_padded(section: Section, shape: Shape, padding: int) -> None:
    """Raise CfgError for a window so large that its padding alone would fill the memory."""
    channels, height, width = shape
    if channels * (height + padding) * (width + padding) > LARGEST_MAP:
        found = f"{padding} pixels of padding around {channels}x{height}x{width}"
        raise section.error("size" if section.has("size") else "stride", f"at most {LARGEST_MAP} values with it", found)


def _read_window(section: Section) -> tuple[int, tuple[int, int], int]:
    """Return size, stride and padding; the padding is the sum of both sides."""
    stride = read_strides(section)
    size = section.integer("size", section.integer("stride", 1, minimum=1), minimum=1)
    padding, limit = section.integer("padding", size - 1, minimum=0), 2 * (size - 1)
    if padding > limit:
        raise section.error("padding", f"at most {limit}, so that every window contains a pixel")
    return size, stride, padding
