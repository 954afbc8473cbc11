"""A layer's section → the layer, the layers it reads and the shape it gives: one builder for each kind of section."""

from torch import nn

from yolo.cfg import Section
from yolo.model.activations import ACTIVATIONS
from yolo.model.graph import Before, Built, Shape
from yolo.model.layers import (
    AveragePool,
    Convolutional,
    MaxPool,
    Multiply,
    Reorg,
    Route,
    Shortcut,
    Softmax,
    SpaceToDepth,
    Upsample,
)

REFUSED_CONVOLUTIONS = (
    "binary", "xnor", "bin_output", "flipped", "dot", "cbn", "antialiasing", "assisted_excitation",
    "share_index", "sway", "rotate", "stretch", "stretch_sway", "reverse", "coordconv",
)  # fmt: skip


def build_convolutional(section: Section, before: Before) -> Built:
    """[convolutional] (parser.c parse_convolutional)."""
    for key in REFUSED_CONVOLUTIONS:
        if section.integer(key, 0):
            raise section.error(key, "0: this kind of convolution is not supported")
    channels, height, width = before.shape(before.previous)
    filters = section.integer("filters", 1, minimum=1)
    groups = section.integer("groups", 1, minimum=1)
    for key, count in (("groups", channels), ("filters", filters)):
        if count % groups:
            raise section.error(
                key, f"groups={groups} to divide {channels} channels and {filters} filters"
            )
    size = section.integer("size", 1, minimum=1)
    stride = _strides(section)
    dilation = section.integer("dilation", 1, minimum=1) if size > 1 else 1
    padding = section.integer("padding", 0, minimum=0)
    if section.flag("pad"):
        padding = size // 2
    # AlexeyAB leaves dilation out of the output's size; with its own `pad` and odd sizes both agree.
    reach = dilation * (size - 1)
    out = tuple(
        (length + 2 * padding * dilation - reach - 1) // step + 1
        for length, step in zip((height, width), stride, strict=True)
    )
    _check_output(section, "size", out, (height, width))
    layer = Convolutional(
        in_channels=channels,
        filters=filters,
        kernel=(size, size),
        stride=stride,
        padding=(padding * dilation, padding * dilation),
        dilation=dilation,
        groups=groups,
        batch_normalize=section.flag("batch_normalize"),
        activation=_activation(section, default="logistic"),
    )
    return Built(layer, (before.previous,), (filters, *out))


def build_maxpool(section: Section, before: Before) -> Built:
    """[maxpool] (parser.c parse_maxpool)."""
    for key in ("maxpool_depth", "antialiasing", "maxpool_zero_nonmax"):
        if section.integer(key, 0):
            raise section.error(key, "0: this kind of pooling is not supported")
    channels, height, width = before.shape(before.previous)
    stride = _strides(section)
    size = section.integer("size", section.integer("stride", 1), minimum=1)
    padding = section.integer("padding", size - 1, minimum=0)
    layer = MaxPool(size=size, stride=stride, padding=padding)
    out = layer.output_size((height, width))
    _check_output(section, "size", out, (height, width))
    return Built(layer, (before.previous,), (channels, *out))


def build_shortcut(section: Section, before: Before) -> Built:
    """[shortcut] (parser.c parse_shortcut)."""
    section.choice("weights_type", "none", ("none",))  # weighted ones are refused
    shape = before.shape(before.previous)
    others = tuple(_layer(section, "from", index, before) for index in section.integers("from"))
    for other in others:
        if before.shape(other)[1:] != shape[1:]:
            raise section.error(
                "from", f"maps of {shape[1:]}, layer {other} has {before.shape(other)[1:]}"
            )
    layer = Shortcut(activation=_activation(section, default="linear"))
    return Built(layer, (before.previous, *others), shape)


def build_route(section: Section, before: Before) -> Built:
    """[route] (parser.c parse_route)."""
    indices = section.integers("layers")
    sources = tuple(_layer(section, "layers", index, before) for index in indices)
    groups = section.integer("groups", 1, minimum=1)
    group_id = section.integer("group_id", 0, minimum=0)
    if group_id >= groups:
        raise section.error("group_id", f"a group below groups={groups}")
    size = before.shape(sources[0])[1:]
    channels = 0
    for source in sources:
        depth, *source_size = before.shape(source)
        if tuple(source_size) != size:
            raise section.error(
                "layers", f"maps of one size; they are {size} and {tuple(source_size)}"
            )
        if depth % groups:
            raise section.error("groups", f"a divisor of the {depth} channels of layer {source}")
        channels += depth // groups
    return Built(Route(groups=groups, group_id=group_id), sources, (channels, *size))


def build_upsample(section: Section, before: Before) -> Built:
    """[upsample] (parser.c parse_upsample)."""
    channels, height, width = before.shape(before.previous)
    stride = section.integer("stride", 2, minimum=1)
    layer = Upsample(stride=stride, scale=section.number("scale", 1.0))
    return Built(layer, (before.previous,), (channels, height * stride, width * stride))


def build_dropout(section: Section, before: Before) -> Built:
    """[dropout] (parser.c parse_dropout); nothing in evaluation."""
    if section.flag("dropblock"):
        raise section.error("dropblock", "0: dropblock is not supported")
    probability = section.number("probability", 0.2, minimum=0)
    if probability >= 1:
        raise section.error("probability", "a share below 1")
    return Built(nn.Dropout(probability), (before.previous,), before.shape(before.previous))


def build_activation(section: Section, before: Before) -> Built:
    """[activation] (parser.c parse_activation)."""
    layer = _activation(section, default="linear")
    return Built(layer, (before.previous,), before.shape(before.previous))


def build_avgpool(_section: Section, before: Before) -> Built:
    """[avgpool]: the mean of each channel."""
    channels, _, _ = before.shape(before.previous)
    return Built(AveragePool(), (before.previous,), (channels, 1, 1))


def build_scale_channels(section: Section, before: Before) -> Built:
    """[scale_channels] (parser.c parse_scale_channels): a map times a factor a channel, or with scale_wh a pixel."""
    source = _layer(section, "from", section.integer("from"), before)
    channels, height, width = before.shape(source)
    expected = (1, height, width) if section.flag("scale_wh") else (channels, 1, 1)
    _check_factors(section, before, expected)
    layer = Multiply(activation=_activation(section, default="linear"))
    return Built(layer, (before.previous, source), (channels, height, width))


def build_sam(section: Section, before: Before) -> Built:
    """[sam] (parser.c parse_sam): two maps of one shape, value by value."""
    source = _layer(section, "from", section.integer("from"), before)
    _check_factors(section, before, before.shape(source))
    layer = Multiply(activation=_activation(section, default="linear"))
    return Built(layer, (before.previous, source), before.shape(source))


def build_reorg(section: Section, before: Before) -> Built:
    """[reorg] (parser.c parse_reorg_old), YOLOv2's permutation."""
    return _built_reorg(section, before, Reorg)


def build_reorg3d(section: Section, before: Before) -> Built:
    """[reorg3d] (parser.c parse_reorg), space to depth."""
    return _built_reorg(section, before, SpaceToDepth)


def build_softmax(section: Section, before: Before) -> Built:
    """[softmax] (parser.c parse_softmax)."""
    shape = before.shape(before.previous)
    if section.has("tree") or section.flag("spatial"):
        raise section.error("tree", "neither tree nor spatial: they are not supported")
    groups = section.integer("groups", 1, minimum=1)
    if (shape[0] * shape[1] * shape[2]) % groups:
        raise section.error("groups", f"a divisor of {shape[0] * shape[1] * shape[2]} values")
    temperature = section.number("temperature", 1.0)
    if temperature <= 0:
        raise section.error("temperature", "a number above 0")
    return Built(Softmax(groups=groups, temperature=temperature), (before.previous,), shape)


def build_cost(section: Section, before: Before) -> Built:
    """[cost]: what classifiers are trained with; it changes nothing."""
    section.text("type", "sse")
    section.number("scale", 1.0)
    return Built(nn.Identity(), (before.previous,), before.shape(before.previous))


def _strides(section: Section) -> tuple[int, int]:
    """(vertical, horizontal); stride_x and stride_y fall back to stride."""
    stride = section.integer("stride", 1, minimum=1)
    vertical, horizontal = section.integer("stride_y", -1), section.integer("stride_x", -1)
    return (vertical if vertical > 0 else stride), (horizontal if horizontal > 0 else stride)


def _activation(section: Section, default: str) -> nn.Module:
    return ACTIVATIONS[section.choice("activation", default, tuple(ACTIVATIONS))]()


def _layer(section: Section, key: str, index: int, before: Before) -> int:
    """Darknet's layer reference → index: negative ones count back from this layer."""
    here = before.previous + 1
    absolute = index + here if index < 0 else index
    if not 0 <= absolute < here:
        raise section.error(
            key, f"layers 0 to {here - 1}, or -1 to -{here}", f"{index} in layer {here}"
        )
    if before.built[absolute].head is not None:
        raise section.error(key, "a layer that is no head", f"{index}, which is one")
    return absolute


def _check_factors(section: Section, before: Before, expected: Shape) -> None:
    found = before.shape(before.previous)
    if found != expected:
        raise section.error(
            "from", f"factors of shape {expected}", f"{found} in layer {before.previous}"
        )


def _built_reorg(section: Section, before: Before, layer: type[nn.Module]) -> Built:
    channels, height, width = before.shape(before.previous)
    stride = section.integer("stride", 1, minimum=1)
    if section.flag("reverse"):
        raise section.error("reverse", "0: the way back is not supported")
    if height % stride or width % stride or (layer is Reorg and channels % stride**2):
        raise section.error(
            "stride", f"a divisor of {height}x{width}, and its square of {channels} channels"
        )
    shape = channels * stride**2, height // stride, width // stride
    return Built(layer(stride=stride), (before.previous,), shape)


def _check_output(section: Section, key: str, out: tuple[int, ...], size: tuple[int, int]) -> None:
    if min(out) < 1:
        raise section.error(key, f"a window that fits the input of {size[0]}x{size[1]}")
