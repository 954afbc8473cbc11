"""The theoretical receptive field: the pixels of the network input that can affect a cell of a map.

It is followed backwards through the graph, layer by layer, from the cell to the input. A layer turns a range of its
output into the range of its input that its windows cover. Where several paths meet, the field is the smallest range
around all of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from yolo.errors import counted
from yolo.model.layers.convolution import BinaryConvolutional, Convolutional, SharedConvolutional
from yolo.model.layers.crop import Crop
from yolo.model.layers.dense import Connected, Local
from yolo.model.layers.pooling import AveragePool, Blur, LocalAveragePool, MaxPool
from yolo.model.layers.resampling import DepthToSpace, Downsample, Reorg, SpaceToDepth, Upsample
from yolo.model.layers.softmax import Softmax, TreeSoftmax
from yolo.model.layers.wiring import Multiply, Shortcut, WeightedShortcut, by_sampling
from yolo.model.network import IMAGE, Network
from yolo.records import Size


class Span(NamedTuple):
    """Cells of a map: rows top to bottom and columns left to right, all four inside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.bottom - self.top + 1, self.right - self.left + 1


def receptive_field(network: Network, layer: int, cell: tuple[int, int]) -> Span | None:
    """Return the pixels of the network input that can change a cell of a layer's output.

    Args:
        network: built for the input size in question.
        layer: Darknet's number; a head counts as the map that enters it.
        cell: (row, column).

    Returns:
        The pixels inside the input; the padding around it is left out. None if no pixel reaches the cell.

    Raises:
        ValueError: the network has no such layer or the layer no such cell.
    """
    if not 0 <= layer < len(network.layers):
        raise ValueError(f"found layer {layer}, expected 0 to {len(network.layers) - 1}")
    _, height, width = network.shapes[layer]
    if not (0 <= cell[0] < height and 0 <= cell[1] < width):
        raise ValueError(f"found cell {cell}, expected one of {counted(height, 'row')} and {counted(width, 'column')}")
    spans = {layer: Span(*cell, *cell)}
    for index in range(layer, -1, -1):
        span = spans.pop(index, None)
        if span is None:
            continue
        for place, source in enumerate(network.sources[index]):
            found = _source_span(network, index, place, span)
            if found is not None:
                spans[source] = _around(spans.get(source, found), found)
    return spans.get(IMAGE)


def _source_span(network: Network, index: int, place: int, span: Span) -> Span | None:
    """Return the span that a span of a layer's output needs of its source number `place`; None for no cells."""
    module = network.layers[index]
    shape = network.input_shapes(index)[place]
    size = shape[1:]
    out = network.shapes[index][1:]
    if isinstance(module, Connected | AveragePool | Softmax | TreeSoftmax):
        return _whole(size)
    if isinstance(module, Shortcut | WeightedShortcut) and place and module.fit is by_sampling:
        return _sampled(span, size, out)
    if isinstance(module, Crop):
        top, left = ((length - taken) // 2 for length, taken in zip(size, module.size, strict=True))
        return Span(span.top + top, span.left + left, span.bottom + top, span.right + left)
    if isinstance(module, Reorg):
        return _moved(module, shape, span)
    if isinstance(module, Multiply) and size == (1, 1):  # one factor for each channel
        return _whole(size)
    for step in reversed(_steps(module)):
        span = step(span)
    return _inside(span, size)


def _steps(module: nn.Module) -> list[Callable[[Span], Span]]:
    """Return what a module does to a span of its output, in the order of its forward pass; nothing for most modules."""
    if isinstance(module, nn.Sequential):
        return [step for part in module for step in _steps(part)]
    if isinstance(module, BinaryConvolutional):
        return _steps(module.plain)
    if isinstance(module, Convolutional):
        conv = module.conv
        own = _window(conv.kernel_size, conv.dilation, conv.stride, conv.padding)
        return [own, *_steps(module.blur)]
    if isinstance(module, SharedConvolutional):
        kernel = module.owner.conv.kernel_size
        own = _window(kernel, (module.dilation,) * 2, module.stride, module.padding)
        return [own, *_steps(module.blur)]
    if isinstance(module, Local):
        return [_window((module.size,) * 2, (1, 1), (module.stride,) * 2, (module.padding,) * 2)]
    if isinstance(module, MaxPool):
        return [_window((module.size,) * 2, (1, 1), module.stride, (module.padding // 2,) * 2)]
    if isinstance(module, LocalAveragePool):
        return _steps(module.window)
    if isinstance(module, Blur):
        return [_window((module.size,) * 2, (1, 1), module.stride, (module.padding,) * 2)]
    if isinstance(module, Downsample | SpaceToDepth):
        return [_window((module.stride,) * 2, (1, 1), (module.stride,) * 2, (0, 0))]
    if isinstance(module, Upsample | DepthToSpace):
        return [lambda span: Span(*(number // module.stride for number in span))]
    return []


def _window(kernel: Size, dilation: Size, stride: Size, padding: Size) -> Callable[[Span], Span]:
    """Return the step from cells of the output to the cells of the input that their windows cover."""
    reach = tuple((length - 1) * step for length, step in zip(kernel, dilation, strict=True))

    def covered(span: Span) -> Span:
        return Span(
            span.top * stride[0] - padding[0],
            span.left * stride[1] - padding[1],
            span.bottom * stride[0] - padding[0] + reach[0],
            span.right * stride[1] - padding[1] + reach[1],
        )

    return covered


def _sampled(span: Span, size: Size, out: Size) -> Span | None:
    """Return what `by_sampling` reads: every n-th pixel of a larger map, or those of a smaller one, n apart."""
    ranges = []
    for first, last, length, target in zip(span[:2], span[2:], size, out, strict=True):
        take, place = max(1, length // target), max(1, target // length)
        low, high = -(-first // place) * take, min(last // place, length - 1) * take
        if low > high:
            return None
        ranges.append((low, high))
    (top, bottom), (left, right) = ranges
    return _inside(Span(top, left, bottom, right), size)


def _moved(module: nn.Module, shape: tuple[int, int, int], span: Span) -> Span:
    """Return where a module that only moves values takes those of a span from: `shape` is that of its input."""
    channels, height, width = shape
    places = torch.arange(height * width).expand(channels, -1).reshape(1, channels, height, width)
    taken = module(places)[..., span.top : span.bottom + 1, span.left : span.right + 1]
    rows, columns = taken // width, taken % width
    return Span(int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max()))


def _whole(size: Size) -> Span:
    return Span(0, 0, size[0] - 1, size[1] - 1)


def _inside(span: Span, size: Size) -> Span | None:
    """Return the part of a span inside a map; None if there is none."""
    cut = Span(max(span.top, 0), max(span.left, 0), min(span.bottom, size[0] - 1), min(span.right, size[1] - 1))
    return cut if min(cut.size) > 0 else None


def _around(one: Span, other: Span) -> Span:
    return Span(
        min(one.top, other.top), min(one.left, other.left), max(one.bottom, other.bottom), max(one.right, other.right)
    )
