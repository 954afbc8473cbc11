"""A cfg section → its layer, the layers it reads and the shape it gives: one builder for each kind of section."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from yolo.cfg import Section
from yolo.model.activations import ACTIVATIONS
from yolo.model.heads import YoloHead
from yolo.model.layers import Convolutional, MaxPool, Route, Shortcut, Upsample
from yolo.settings import HeadSettings, InputSettings, read_head

Shape = tuple[int, int, int]  # channels, height, width

DEFAULT_ANCHOR = 0.5  # make_yolo_layer: biases without an `anchors` key
REFUSED_CONVOLUTIONS = (
    "binary", "xnor", "bin_output", "flipped", "dot", "cbn", "antialiasing", "assisted_excitation",
    "share_index", "sway", "rotate", "stretch", "stretch_sway", "reverse", "coordconv",
)  # fmt: skip


@dataclass(frozen=True)
class Built:
    """A layer as the graph needs it. sources: indices of the layers it reads, in order; -1 is the picture."""

    module: nn.Module
    sources: tuple[int, ...]
    shape: Shape
    head: HeadSettings | None = None


@dataclass(frozen=True)
class Before:
    """What a builder may look at: the input and every layer built so far."""

    input: InputSettings
    built: tuple[Built, ...]

    @property
    def previous(self) -> int:
        """Index of the layer before this one; -1, the picture, for the first."""
        return len(self.built) - 1

    def shape(self, index: int) -> Shape:
        """Output shape of a layer, or of the picture for -1."""
        if index < 0:
            return self.input.channels, self.input.height, self.input.width
        return self.built[index].shape


Builder = Callable[[Section, Before], Built]


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
    if section.choice("weights_type", "none", ("none",)) != "none":
        raise section.error("weights_type", "none")
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


def build_yolo(section: Section, before: Before) -> Built:
    """[yolo] (parser.c parse_yolo): the filters before it must be masks x (5 + classes)."""
    channels, height, width = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    total = section.integer("num", 1, minimum=1)
    mask = section.integers("mask", tuple(range(total)))
    if min(mask) < 0 or max(mask) >= total:
        raise section.error("mask", f"anchors 0 to {total - 1}, as num={total}")
    if channels != len(mask) * (5 + classes):
        expected = f"{len(mask)} masks x (5 + {classes} classes) = {len(mask) * (5 + classes)} filters before it"
        raise section.error("classes", expected, f"{channels} filters in layer {before.previous}")
    anchors = section.numbers("anchors", (DEFAULT_ANCHOR,) * 2 * total)
    if len(anchors) != 2 * total or min(anchors) <= 0:
        raise section.error(
            "anchors",
            f"{2 * total} positive numbers, two for each of num={total}",
            f"{len(anchors)}",
        )
    layer = YoloHead(
        all_anchors=torch.tensor(anchors).view(total, 2),
        anchor_ids=mask,
        classes=classes,
        stride=(before.input.height / height, before.input.width / width),
        scale_x_y=section.number("scale_x_y", 1.0),
        new_coords=section.flag("new_coords"),
    )
    shape = channels, height, width
    return Built(layer, (before.previous,), shape, read_head(section, classes))


BUILDERS: dict[str, Builder] = {
    "conv": build_convolutional,
    "convolutional": build_convolutional,
    "max": build_maxpool,
    "maxpool": build_maxpool,
    "shortcut": build_shortcut,
    "route": build_route,
    "upsample": build_upsample,
    "dropout": build_dropout,
    "activation": build_activation,
    "yolo": build_yolo,
}


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


def _check_output(section: Section, key: str, out: tuple[int, ...], size: tuple[int, int]) -> None:
    if min(out) < 1:
        raise section.error(key, f"a window that fits the input of {size[0]}x{size[1]}")
