"""Count the operations of a layer for an image, as Darknet does."""

import math
from typing import NamedTuple

from torch import nn

from yolo.model.building import Shape
from yolo.model.layers.convolution import BinaryConvolutional, Convolutional, SharedConvolutional
from yolo.model.layers.pooling import Blur, DepthMaxPool, LocalAveragePool, MaxPool

OPERATIONS_PER_WEIGHT = 2  # convolutional_layer.c: one multiplication and one addition
SIGNS_AT_ONCE = 32  # AlexeyAB make_convolutional_layer divides by it if the input is signs too


class Convolution(NamedTuple):
    """The attributes of all three kinds of convolution. `conv` holds the weights; the others belong to the layer."""

    name: str
    conv: nn.Conv2d
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: int
    blur: Blur | None
    signs_at_once: int


def layer_operations(layer: nn.Module, input_shape: Shape, output_shape: Shape) -> float:
    """Return the operations of a layer without its blur, as Darknet counts them (bflops of make_*_layer).

    It counts convolutions and pooling windows only. AlexeyAB's newest version counts the additions of a [shortcut] too,
    so that yolov3 at 416 has 65.879 billion there and not the published 65.864.
    """
    values = math.prod(output_shape)
    convolution = convolution_of(layer)
    if convolution is not None:
        weights = convolution.conv.weight[0].numel()
        return OPERATIONS_PER_WEIGHT * weights * values / convolution.signs_at_once
    if isinstance(layer, MaxPool):
        return layer.size**2 * values
    if isinstance(layer, LocalAveragePool):
        return layer.window.size**2 * values
    if isinstance(layer, DepthMaxPool):
        return math.prod(input_shape)  # windows of one pixel and all channels
    return 0.0


def convolution_of(layer: nn.Module) -> Convolution | None:
    """Return the convolution of a layer, None for other layers."""
    if isinstance(layer, SharedConvolutional):
        conv, owned = layer.owner.conv, (layer.stride, layer.padding, layer.dilation)
        return Convolution("convS", conv, *owned, layer.blur, 1)
    plain = layer.plain if isinstance(layer, BinaryConvolutional) else layer
    if not isinstance(plain, Convolutional):
        return None
    conv = plain.conv
    signs = isinstance(layer, BinaryConvolutional) and layer.signs_in
    name, at_once = ("convX", SIGNS_AT_ONCE) if signs else ("conv", 1)
    return Convolution(name, conv, conv.stride, conv.padding, conv.dilation[0], plain.blur, at_once)
