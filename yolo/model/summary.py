"""Darknet's table of a network's layers, with their BFLOPs (billions of floating-point operations)."""

from typing import NamedTuple

from torch import nn

from yolo.model.building import Shape
from yolo.model.layers.dense import Local
from yolo.model.layers.dropout import DropBlock
from yolo.model.layers.normalization import LocalResponseNorm
from yolo.model.layers.pooling import Blur, DepthMaxPool, LocalAveragePool, MaxPool
from yolo.model.layers.resampling import DepthToSpace, Downsample, Reorg, SpaceToDepth, Upsample
from yolo.model.layers.wiring import Factors, Route, WeightedShortcut, plain_factors, relu_factors, softmax_factors
from yolo.model.network import Network
from yolo.model.operations import convolution_of, layer_operations

HEADER = "layer        filters   size/strd(dil)       input               output"
NAME_WIDTH = 10
LEFT_WIDTH = 50  # characters before the arrow: name, filters, size and input
BILLION = 1e9
MIN_SHOWN = 0.0005  # billions; less would print as 0.000

# Darknet's name of a layer if it is not the name of its section.
NAMES = {
    "convolutional": "conv",
    "maxpool": "max",
    "avgpool": "avg",
    "local_avg": "avg",
    "local_avgpool": "avg",
    "conn": "connected",
    "soft": "softmax",
    "normalization": "lrn",
    "scale_channels": "scale",
}
NAMES_OF_CLASSES = {DepthMaxPool: "max-depth", Downsample: "downsample", DropBlock: "dropblock"}

# AlexeyAB's numbers for the keys of a [shortcut], as make_shortcut_layer prints them.
WEIGHTS_PER_FEATURE, WEIGHTS_PER_CHANNEL = 1, 2
NORMALIZATIONS: dict[Factors, int] = {plain_factors: 0, relu_factors: 1, softmax_factors: 2}


class Row(NamedTuple):
    """A line of the table.

    window: filters, size and stride, or the indices of other layers; input: its size, or how other layers are used.
    """

    name: str
    window: str
    input: str
    shape: Shape
    operations: float


def layer_table(network: Network) -> tuple[list[str], float]:
    """Return the lines of the table and the sum of its BFLOPs, for one image of the cfg's input size.

    A layer with antialiasing has two lines, as in Darknet; the second, "AA", has no index and no operations.
    """
    lines, total = [HEADER], 0.0
    for index, (first, *rest) in enumerate(layer_rows(network)):
        lines.append(f"{index:4} {_line(first)}")
        lines += [f"{'':4} {_line(row)}" for row in rest]
        total += first.operations / BILLION
    return lines, total


def layer_rows(network: Network) -> list[list[Row]]:
    """Return the rows of each layer, for one image of the cfg's input size: one, and a second one for its blur."""
    return [
        _rows(kind, layer, sources, network.input_shapes(index)[0], network.shapes[index])
        for index, (kind, layer, sources) in enumerate(zip(network.kinds, network.layers, network.sources, strict=True))
    ]


def _rows(
    kind: str,
    layer: nn.Module,
    sources: tuple[int, ...],
    input_shape: Shape,
    output_shape: Shape,
) -> list[Row]:
    """Return the layer's row, and one of its blur if it has one."""
    others = sources if kind == "route" else sources[1:]
    if others:  # Darknet prints their indices in place of window and input
        name, window = NAMES.get(kind, kind), " ".join(map(str, others))
        return [Row(name, window, _combination(layer), output_shape, 0.0)]
    layer, blur = _split_blur(layer)
    sharp = output_shape if blur is None else _sharp_shape(layer, input_shape)
    operations = layer_operations(layer, input_shape, sharp)
    rows = [Row(_name(kind, layer), _window(layer), _size(input_shape), sharp, operations)]
    if blur is not None:
        channels = output_shape[0]
        window = _filters(channels, channels) + _steps(blur.size, blur.stride)
        rows.append(Row("AA: conv", window, _size(sharp), output_shape, 0.0))
    return rows


def _line(row: Row) -> str:
    left = f"{row.name:<{NAME_WIDTH}}{row.window}"
    billions = row.operations / BILLION
    count = f" {billions:.3f} BF" if billions >= MIN_SHOWN else ""
    return f"{left}{row.input:>{max(1, LEFT_WIDTH - len(left))}} -> {_size(row.shape)}{count}"


def _split_blur(layer: nn.Module) -> tuple[nn.Module, Blur | None]:
    """Return the layer without its blur, and the blur, None without one."""
    if isinstance(layer, nn.Sequential):  # [maxpool] with antialiasing
        pool, blur = layer
        return pool, blur
    convolution = convolution_of(layer)
    return layer, None if convolution is None else convolution.blur


def _sharp_shape(layer: nn.Module, input_shape: Shape) -> Shape:
    """Return the shape of the input of a layer's blur."""
    channels, *size = input_shape
    if isinstance(layer, MaxPool):
        return channels, *layer.output_size((size[0], size[1]))
    convolution = convolution_of(layer)
    conv, padding = convolution.conv, convolution.padding
    height, width = (  # the stride is the blur's
        length + 2 * pad - convolution.dilation * (kernel - 1)
        for length, pad, kernel in zip(size, padding, conv.kernel_size, strict=True)
    )
    return conv.out_channels, height, width


def _name(kind: str, layer: nn.Module) -> str:
    convolution = convolution_of(layer)
    if convolution is not None:
        return convolution.name
    return NAMES_OF_CLASSES.get(type(layer)) or NAMES.get(kind, kind)


def _window(layer: nn.Module) -> str:
    """Return filters, groups, size, stride and dilation of a sliding window, or a layer's only parameter."""
    convolution = convolution_of(layer)
    if convolution is not None:
        conv = convolution.conv
        steps = _steps(conv.kernel_size[0], convolution.stride, convolution.dilation)
        return _filters(conv.out_channels, conv.groups) + steps
    if isinstance(layer, Local):
        return _filters(layer.weights.shape[1]) + _steps(layer.size, (layer.stride, layer.stride))
    if isinstance(layer, MaxPool):
        return _filters() + _steps(layer.size, layer.stride)
    if isinstance(layer, LocalAveragePool):
        return _filters() + _steps(layer.window.size, layer.window.stride)
    if isinstance(layer, DepthMaxPool):
        return _filters() + _steps(1, (1, 1))
    if isinstance(layer, Upsample | Downsample):
        return f"{_filters()}{layer.stride}x"
    if isinstance(layer, Reorg | SpaceToDepth | DepthToSpace):
        return f"{_filters()}/{layer.stride}"
    if isinstance(layer, LocalResponseNorm):
        return f"{_filters()}{layer.size}"
    if isinstance(layer, nn.Dropout | DropBlock):
        return f"{_filters()}p = {layer.p:.2f}"
    return ""


def _filters(count: int | None = None, groups: int = 1) -> str:
    """Return the column of filters and groups, blank for a layer without filters."""
    number = "" if count is None else str(count)
    return f"{number:>5}{f'/{groups}' if groups > 1 else '':<6}"


def _steps(size: int, stride: tuple[int, int], dilation: int = 1) -> str:
    vertical, horizontal = stride
    step = f"{horizontal}" if vertical == horizontal else f"{horizontal}x{vertical}"
    return f"{size}x{size}/{step}{f'({dilation})' if dilation > 1 else ''}"


def _combination(layer: nn.Module) -> str:
    """Return how a layer uses the outputs of others: the group of a route, the weights of a shortcut."""
    if isinstance(layer, Route) and layer.groups > 1:
        return f"{layer.group_id}/{layer.groups}"
    if isinstance(layer, WeightedShortcut):
        per_channel = layer.weights.shape[1] > 1
        weights = WEIGHTS_PER_CHANNEL if per_channel else WEIGHTS_PER_FEATURE
        return f"wt = {weights}, wn = {NORMALIZATIONS[layer.factors]}"
    return ""


def _size(shape: Shape) -> str:
    channels, height, width = shape
    return f"{width:4} x{height:4} x{channels:4}"
