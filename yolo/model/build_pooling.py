"""Sections of layers that keep one number of a window or map → the layer, what it reads and the shape it gives."""

from torch import nn

from yolo.cfg import Section
from yolo.model.graph import Before, Built
from yolo.model.pooling import AveragePool, Blur, DepthMaxPool, LocalAveragePool, MaxPool
from yolo.model.reading import check_output, read_blur_size, read_strides, refuse


def build_maxpool(section: Section, before: Before) -> Built:
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


def build_local_avgpool(section: Section, before: Before) -> Built:
    """[local_avgpool] (AlexeyAB parser.c parse_local_avgpool)."""
    channels, height, width = before.shape(before.previous)
    size, stride, padding = _read_window(section)
    layer = LocalAveragePool(size=size, stride=stride, padding=padding)
    out = layer.window.output_size((height, width))
    check_output(section, "size", out, (height, width))
    return Built(layer, (before.previous,), (channels, *out))


def build_avgpool(_section: Section, before: Before) -> Built:
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
