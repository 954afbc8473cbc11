"""Darknet's own table of a network's layers, with their billions of floating point operations."""

from torch import nn

from yolo.model.convolution import Convolutional
from yolo.model.network import Network
from yolo.model.pooling import MaxPool
from yolo.model.wiring import Upsample

HEADER = "layer        filters   size/strd(dil)       input               output"
OPERATIONS_A_WEIGHT = 2  # convolutional_layer.c: one multiplication and one addition
BILLION = 1e9
SMALLEST_SHOWN = 0.0005  # billions; less would print as 0.000
SHORT_NAMES = {"convolutional": "conv", "maxpool": "max"}


def layer_table(network: Network) -> tuple[list[str], float]:
    """The lines of the table and the sum of its BFLOPs, for the cfg's input size and one picture."""
    lines, total = [HEADER], 0.0
    for index, (kind, layer) in enumerate(zip(network.kinds, network.layers, strict=True)):
        sources = network.sources[index]
        before = shape_of(network, sources[0])
        after = network.shapes[index]
        billions = operations(layer, before, after) / BILLION
        total += billions
        references = sources if kind == "route" else sources[1:]
        if references:  # as Darknet: the layers instead of the window, no input
            middle = f"{' '.join(map(str, references)):<24}{'':<18}"
        else:
            middle = f"{_window(layer):<24}{_shape(before)}"
        count = f" {billions:.3f} BF" if billions >= SMALLEST_SHOWN else ""
        name = SHORT_NAMES.get(kind, kind)
        lines.append(f"{index:4} {name:<10}{middle} -> {_shape(after)}{count}")
    return lines, total


def shape_of(network: Network, index: int) -> tuple[int, int, int]:
    """(channels, height, width) of a layer's output, or of the picture for -1."""
    if index < 0:
        return network.input.channels, network.input.height, network.input.width
    return network.shapes[index]


def operations(
    layer: nn.Module, before: tuple[int, int, int], after: tuple[int, int, int]
) -> float:
    """Floating point operations as Darknet counts them (the bflops of each make_*_layer)."""
    channels, height, width = after
    values = channels * height * width
    if isinstance(layer, Convolutional):
        return OPERATIONS_A_WEIGHT * layer.conv.weight[0].numel() * values
    if isinstance(layer, MaxPool):
        return layer.size**2 * values
    if isinstance(layer, Upsample):
        return values
    return 0.0


def _window(layer: nn.Module) -> str:
    """Filters, size and stride (and groups or dilation) of a layer that slides over the map."""
    if isinstance(layer, Convolutional):
        conv = layer.conv
        vertical, horizontal = conv.stride
        stride = f"{horizontal}" if vertical == horizontal else f"{horizontal}x{vertical}"
        groups = f"/{conv.groups}" if conv.groups > 1 else ""
        dilation = f"({conv.dilation[0]})" if conv.dilation[0] > 1 else ""
        size = f"{conv.kernel_size[1]}x{conv.kernel_size[0]}/{stride}{dilation}"
        return f"{conv.out_channels:>5}{groups:<6}{size}"
    if isinstance(layer, MaxPool):
        return f"{'':<11}{layer.size}x{layer.size}/{layer.stride[1]}"
    if isinstance(layer, Upsample):
        return f"{'':<11}{layer.stride}x"
    return ""


def _shape(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{width:4} x{height:4} x{channels:4}"
