"""Describe what a layer computes, in one sentence with the numbers of the network: windows, products, weights."""

import math
from collections.abc import Callable

from torch import nn

from yolo.errors import counted
from yolo.model.building import Shape
from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolo import YoloHead
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.layers.convolution import BinaryConvolutional, Convolutional, SharedConvolutional
from yolo.model.layers.crop import Crop
from yolo.model.layers.dense import Connected, Local
from yolo.model.layers.dropout import DropBlock
from yolo.model.layers.normalization import LocalResponseNorm
from yolo.model.layers.pooling import AveragePool, DepthMaxPool, LocalAveragePool, MaxPool
from yolo.model.layers.resampling import DepthToSpace, Downsample, Reorg, SpaceToDepth, Upsample
from yolo.model.layers.softmax import Softmax
from yolo.model.layers.wiring import Multiply, Route, Shortcut, WeightedShortcut
from yolo.model.network import IMAGE, Network
from yolo.schedule import Schedule
from yolo.settings import TrainingSettings

BOX_VALUES = 5  # x, y, w, h, objectness
GAUSSIAN_VALUES = 9  # an uncertainty beside each of x, y, w, h


def what_layer_computes(network: Network, index: int) -> str:
    """Return what layer `index` computes of an image of the cfg's size, in words; "" if there is no description.

    Numbers of products and additions are of the layer's main work, without batch norm and activation.
    """
    layer = network.layers[index]
    sources = network.sources[index]
    inputs = network.input_shapes(index)
    shape = network.shapes[index]
    if isinstance(layer, Shortcut | WeightedShortcut | Route | Multiply):
        return _combination(layer, sources, inputs, shape)
    for kinds, describe in DESCRIPTIONS:
        if isinstance(layer, kinds):
            return describe(layer, inputs[0], shape)
    return ""


def what_training_does(settings: TrainingSettings) -> str:
    """Return how [net] sets the training, in words and numbers."""
    part = math.ceil(settings.batch / settings.subdivisions)
    batch = f"One step of training is {settings.batch:,} images"
    if settings.subdivisions > 1:
        batch += f", in {settings.subdivisions} mini-batches of {part}"
    if not settings.max_batches:
        return f"{batch}; max_batches, the number of steps, is 0: the cfg is for detection."
    total = f"{settings.max_batches:,} steps are {settings.batch * settings.max_batches:,} images"
    return f"{batch}; {total}. {_rate(settings.schedule)}"


def _rate(schedule: Schedule) -> str:
    warmup = ""
    if schedule.burn_in:
        warmup = f" after a warmup of {schedule.burn_in:,} steps, as (step / {schedule.burn_in})^{schedule.power:g}"
    text = f"The learning rate is {schedule.learning_rate:g}{warmup}"
    if schedule.policy == "steps":
        rate, changes = schedule.learning_rate, []
        for step, scale in zip(schedule.steps, schedule.scales, strict=True):
            rate *= scale
            changes.append(f"{rate:.3g} from step {step:,}")
        return f"{text}, then {', '.join(changes)}."
    return f"{text}, then by policy={schedule.policy}." if schedule.policy != "constant" else f"{text}."


def _convolution(layer: nn.Module, source: Shape, shape: Shape) -> str:
    owner = layer.owner if isinstance(layer, SharedConvolutional) else layer
    plain = owner.plain if isinstance(owner, BinaryConvolutional) else owner
    filters, depth, height, width = plain.conv.weight.shape
    products = depth * height * width
    group = f" of its group ({plain.conv.groups} groups)" if plain.conv.groups > 1 else ""
    text = (
        f"Each value is a sum of {width} x {height} x {depth} = {products:,} products over the channels{group}; "
        f"{filters:,} filters x {products:,} = {filters * products:,} weights"
    )
    if owner is not layer:
        return f"{text}, which another layer owns."
    stored = f"4 x {filters:,} numbers of batch norm" if plain.norm is not None else f"{filters:,} biases"
    return f"{text} and {stored}."


def _max_pool(layer: MaxPool, source: Shape, shape: Shape) -> str:
    return f"The largest of each {layer.size} x {layer.size} window{_every(layer.stride)}; no weights."


def _blurred_pool(layer: nn.Sequential, source: Shape, shape: Shape) -> str:
    return f"{_max_pool(layer[0], source, shape)[:-1]}, then a blur{_every(layer[1].stride)}."


def _local_average(layer: LocalAveragePool, source: Shape, shape: Shape) -> str:
    size = layer.window.size
    return f"The mean of each {size} x {size} window{_every(layer.window.stride)}; no weights."


def _depth_max(layer: DepthMaxPool, source: Shape, shape: Shape) -> str:
    return f"Of each pixel the maximum of every {layer.out_channels}th channel; no weights."


def _average(layer: AveragePool, source: Shape, shape: Shape) -> str:
    channels, height, width = source
    return f"The mean of {width} x {height} = {width * height:,} values of each of {channels:,} channels; no weights."


def _every(stride: tuple[int, int]) -> str:
    vertical, horizontal = stride
    if vertical == horizontal:
        return "" if vertical == 1 else f", every {vertical} pixels"
    return f", every {horizontal} pixels across and {vertical} down"


def _connected(layer: Connected, source: Shape, shape: Shape) -> str:
    outputs, inputs = layer.linear.weight.shape
    text = f"Each of {outputs:,} values is a sum of {inputs:,} products; {outputs * inputs:,} weights"
    return f"{text} and {f'4 x {outputs:,} numbers of batch norm' if layer.norm else f'{outputs:,} biases'}."


def _local(layer: Local, source: Shape, shape: Shape) -> str:
    places, filters, products = layer.weights.shape
    weights = places * filters * products
    return f"{places:,} places with {filters} filters of {products:,} products each; {weights:,} weights."


def _upsample(layer: Upsample, source: Shape, shape: Shape) -> str:
    return f"Each pixel becomes a block of {layer.stride} x {layer.stride}; no weights."


def _downsample(layer: Downsample, source: Shape, shape: Shape) -> str:
    return f"Each block of {layer.stride} x {layer.stride} pixels becomes its sum; no weights."


def _blocks(layer: nn.Module, source: Shape, shape: Shape) -> str:
    square = layer.stride**2
    return f"The same {math.prod(shape):,} values: {square} pixels of a channel become {square} channels; no weights."


def _depth_to_space(layer: DepthToSpace, source: Shape, shape: Shape) -> str:
    square = layer.stride**2
    return f"The same {math.prod(shape):,} values: {square} channels become {square} pixels of one; no weights."


def _crop(layer: Crop, source: Shape, shape: Shape) -> str:
    height, width = layer.size
    return f"The center of {width} x {height} pixels, each value x as {layer.scale:g} x {layer.shift:+g}; no weights."


def _dropout(layer: nn.Module, source: Shape, shape: Shape) -> str:
    return f"In training some values (probability {layer.p:g}) become 0; in detection nothing happens."


def _softmax(layer: Softmax, source: Shape, shape: Shape) -> str:
    count = math.prod(shape) // layer.groups
    return f"{count:,} values become {count:,} probabilities that add up to 1: exp(x) / the sum of all exp(x)."


def _response_norm(layer: LocalResponseNorm, source: Shape, shape: Shape) -> str:
    return f"Each value divided by a norm of the {layer.size} channels around it; no weights."


def _yolo(layer: YoloHead, source: Shape, shape: Shape) -> str:
    channels, height, width = shape
    anchors = len(layer.anchor_ids)
    box = GAUSSIAN_VALUES if layer.gaussian else BOX_VALUES
    sizes = ", ".join(f"{w:g} x {h:g}" for w, h in layer.anchors.tolist())
    return (
        f"{width} x {height} cells of {layer.stride[1]:g} x {layer.stride[0]:g} pixels, each with "
        f"{counted(anchors, 'anchor')} ({sizes} pixels): {anchors * height * width:,} boxes. "
        f"{anchors} x ({box} + {layer.classes} classes) = {channels} values a cell; "
        f"{box} = x, y, w, h{', an uncertainty of each' if layer.gaussian else ''} and objectness."
    )


def _region(layer: RegionHead, source: Shape, shape: Shape) -> str:
    channels, height, width = shape
    anchors = len(layer.anchors)
    sizes = ", ".join(f"{w:g} x {h:g}" for w, h in layer.anchors.tolist())
    return (
        f"{width} x {height} cells, each with {counted(anchors, 'anchor')} ({sizes} cells): "
        f"{anchors * height * width:,} boxes. {anchors} x ({BOX_VALUES} + {layer.classes:,} classes) = {channels:,} "
        f"values a cell; {BOX_VALUES} = x, y, w, h and objectness."
    )


def _yolov1(layer: YoloV1Head, source: Shape, shape: Shape) -> str:
    values = layer.boxes * BOX_VALUES + layer.classes
    return (
        f"{layer.side} x {layer.side} cells, each with {layer.boxes} boxes and one set of {layer.classes} classes: "
        f"{layer.side**2} x ({layer.boxes} x {BOX_VALUES} + {layer.classes}) = {layer.side**2 * values:,} values; "
        f"{BOX_VALUES} = x, y, w, h and objectness."
    )


def _combination(layer: nn.Module, sources: tuple[int, ...], inputs: tuple[Shape, ...], shape: Shape) -> str:
    """Return how a layer uses the outputs of several layers."""
    values = math.prod(shape)
    if isinstance(layer, Route):
        if layer.groups > 1:
            part = f"Part {layer.group_id + 1} of {layer.groups} of the channels of"
            return f"{part} {_listed([f'layer {source}' for source in sources])}: {shape[0]:,} channels."
        if len(sources) == 1:
            return f"The output of layer {sources[0]} again: the network continues from there."
        parts = [f"{channels:,} of layer {at}" for at, (channels, *_) in zip(sources, inputs, strict=True)]
        return f"The channels of {len(sources)} layers in a row: {_listed(parts)} are {shape[0]:,}."
    others = _listed([_layer(source) for source in sources[1:]])
    if isinstance(layer, Multiply):
        return f"{values:,} products of {others} and {_layer(sources[0])}."
    if isinstance(layer, WeightedShortcut):
        count = layer.weights.numel()
        return f"{_layer(sources[0])} and {others}, each times learned factors ({count:,}), added up.".capitalize()
    return f"{values * len(sources[1:]):,} additions: {_layer(sources[0])} plus {others}."


def _layer(index: int) -> str:
    return "the image" if index == IMAGE else f"layer {index}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


DESCRIPTIONS: tuple[tuple[type | tuple[type, ...], Callable[..., str]], ...] = (
    ((Convolutional, SharedConvolutional, BinaryConvolutional), _convolution),
    (MaxPool, _max_pool),
    (nn.Sequential, _blurred_pool),
    (LocalAveragePool, _local_average),
    (DepthMaxPool, _depth_max),
    (AveragePool, _average),
    (Connected, _connected),
    (Local, _local),
    (Upsample, _upsample),
    (Downsample, _downsample),
    ((Reorg, SpaceToDepth), _blocks),
    (DepthToSpace, _depth_to_space),
    (Crop, _crop),
    ((nn.Dropout, DropBlock), _dropout),
    (Softmax, _softmax),
    (LocalResponseNorm, _response_norm),
    (YoloHead, _yolo),
    (RegionHead, _region),
    (YoloV1Head, _yolov1),
)
