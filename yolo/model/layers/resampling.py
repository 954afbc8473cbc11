"""`[upsample]`, `[reorg]`, `[reorg3d]`: layers that change the size of a map. Tensors are `[B, C, H, W]` in and out."""

import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, require_zero


class Upsample(nn.Module):
    """Repeat each pixel `stride` times in both directions, times `scale` (upsample_layer.c)."""

    def __init__(self, *, stride: int, scale: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        features = F.interpolate(features, scale_factor=self.stride, mode="nearest")
        return features if self.scale == 1 else features * self.scale


class Downsample(nn.Module):
    """Sum of each block of stride x stride pixels, times `scale`: [upsample] with a negative stride."""

    def __init__(self, *, stride: int, scale: float = 1.0) -> None:
        super().__init__()
        self.stride = stride
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        # the mean times the number of pixels: ONNX's AveragePool has no divisor_override
        return F.avg_pool2d(features, self.stride) * (self.stride**2 * self.scale)


class SpaceToDepth(nn.Module):
    """Move blocks of stride x stride pixels into channels, block position first ([reorg3d], reorg_layer.c)."""

    def __init__(self, *, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        step = self.stride
        blocks = features.reshape(batch, channels, height // step, step, width // step, step)
        return blocks.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * step**2, height // step, width // step)


class Reorg(nn.Module):
    """YOLOv2's permutation: reshape to C/stride² channels, stride times as high and wide, then space to depth.

    This is not a plain space to depth, but it is what the models were trained with (blas.c reorg_cpu, which Darknet
    calls with the input's sizes).
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
    """Inverse of SpaceToDepth: C/stride² channels, stride times as high and wide ([reorg] with reverse=1)."""

    def __init__(self, *, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        step = self.stride
        blocks = features.reshape(batch, step, step, channels // step**2, height, width)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // step**2, height * step, width * step)


def build_upsample(section: Section, context: BuildContext) -> Built:
    """[upsample] (parser.c parse_upsample); a negative stride makes the map smaller."""
    channels, height, width = context.previous_shape
    stride, scale = section.integer("stride", 2), section.number("scale", 1.0)
    if stride == 0:
        raise section.error("stride", "a number that is not 0")
    if stride > 0:
        shape, layer = (channels, height * stride, width * stride), Upsample
    else:
        _check_divides(section, -stride, (height, width))
        shape, layer = (channels, height // -stride, width // -stride), Downsample
    return Built(layer(stride=abs(stride), scale=scale), (context.previous,), shape)


def build_reorg(section: Section, context: BuildContext) -> Built:
    """[reorg] (parser.c parse_reorg_old); with reverse=1 depth to space."""
    require_zero(section, ("flatten", "extra"), "pjreddie's other reorg (AlexeyAB's Darknet leaves the key out)")
    stride, reverse = section.integer("stride", 1, minimum=1), section.flag("reverse")
    channels, height, width = context.previous_shape
    if channels % stride**2:
        raise section.error("stride", f"a number whose square divides {channels} channels")
    if reverse:
        shape = channels // stride**2, height * stride, width * stride
        return Built(DepthToSpace(stride=stride), (context.previous,), shape)
    return _build_blocks(section, context, stride, Reorg(stride=stride))


def build_reorg3d(section: Section, context: BuildContext) -> Built:
    """[reorg3d] (parser.c parse_reorg). AlexeyAB's `reverse` is not the inverse, so it is not supported."""
    stride = section.integer("stride", 1, minimum=1)
    require_zero(section, ("reverse",), "the inverse")
    return _build_blocks(section, context, stride, SpaceToDepth(stride=stride))


def _check_divides(section: Section, stride: int, size: tuple[int, int]) -> None:
    if size[0] % stride or size[1] % stride:
        raise section.error("stride", f"a divisor of {size[0]}x{size[1]}")


def _build_blocks(section: Section, context: BuildContext, stride: int, layer: nn.Module) -> Built:
    channels, height, width = context.previous_shape
    _check_divides(section, stride, (height, width))
    shape = channels * stride**2, height // stride, width // stride
    return Built(layer, (context.previous,), shape)
