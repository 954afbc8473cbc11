"""A `[convolutional]` section → its layer, the layer it reads and the shape it gives."""

from torch import nn

from yolo.cfg import Section
from yolo.model.convolution import BinaryConvolutional, Convolutional, SharedConvolutional
from yolo.model.graph import Before, Built
from yolo.model.pooling import Blur
from yolo.model.reading import (
    check_output,
    find_layer,
    read_activation,
    read_blur_size,
    read_strides,
    refuse,
)

REFUSED = (
    "sway", "rotate", "stretch", "stretch_sway", "flipped", "dot", "reverse", "coordconv",
)  # fmt: skip
BATCH_NORM_NUMBERS = 4  # a filter: bias, scale, rolling mean and variance


def build_convolutional(section: Section, before: Before) -> Built:
    """[convolutional] (AlexeyAB parser.c parse_convolutional, convolutional_layer.c make_convolutional_layer)."""
    refuse(section, REFUSED, "this kind of convolution")
    stride, blur_size = read_strides(section), read_blur_size(section)
    size = section.integer("size", 1, minimum=1)
    dilation = section.integer("dilation", 1, minimum=1)
    if size == 1:
        dilation = 1  # parse_convolutional
    padding = _read_padding(section, size) * dilation
    filters = section.integer("filters", 1, minimum=1)
    before.afford(section, "filters", filters)
    window = {
        "stride": (1, 1) if blur_size else stride,  # the blur strides in its place
        "padding": (padding, padding),
        "dilation": dilation,
        "activation": read_activation(section, default="logistic"),
        "blur": Blur(channels=filters, size=blur_size, stride=stride) if blur_size else None,
    }
    layer = _build_layer(section, before, filters, size, window)
    _, height, width = before.shape(before.previous)
    # AlexeyAB leaves dilation out of the output's size; with its own `pad` and odd sizes both agree.
    reach = dilation * (size - 1) + 1
    out = tuple(
        (length + 2 * padding - reach) // step + 1
        for length, step in zip((height, width), window["stride"], strict=True)
    )
    check_output(section, "size", out, (height, width))
    if window["blur"] is not None:
        out = window["blur"].output_size(out)
        check_output(section, "antialiasing", out, (height, width))
    return Built(layer, (before.previous,), (filters, *out))


def _build_layer(
    section: Section, before: Before, filters: int, size: int, window: dict[str, object]
) -> nn.Module:
    """The layer with parameters of its own or of another one, real or binary."""
    xnor, binary = section.flag("xnor"), section.flag("binary")
    normalize = section.flag("batch_normalize") | section.flag("cbn")
    groups = section.integer("groups", 1, minimum=1)
    shares, share_index = section.has("share_index"), section.integer("share_index", -1)
    if section.flag("bin_output") and not xnor:
        raise section.error("bin_output", "0, or xnor=1: only such a layer's output may be signs")
    if xnor and before.dialect == "alexeyab":
        groups = 1  # AlexeyAB make_convolutional_layer
    channels = before.shape(before.previous)[0]
    for key, count in (("groups", channels), ("filters", filters)):
        if count % groups:
            expected = f"groups={groups} to divide {channels} channels and {filters} filters"
            raise section.error(key, expected)
    if shares:
        if xnor or binary:
            raise section.error("share_index", "no such key where xnor or binary is 1")
        owner = _find_owner(section, before, share_index)
        _check_owner(section, owner, (filters, channels // groups, size, size), normalize)
        return SharedConvolutional(owner=owner, **window)
    numbers = filters * (channels // groups) * size**2
    before.afford(section, "filters", numbers + BATCH_NORM_NUMBERS * filters)
    layer = Convolutional(
        in_channels=channels,
        filters=filters,
        kernel=(size, size),
        groups=groups,
        batch_normalize=normalize,
        **window,
    )
    return BinaryConvolutional(plain=layer, signs_in=xnor) if xnor or binary else layer


def _read_padding(section: Section, size: int) -> int:
    padding = section.integer("padding", 0, minimum=0)
    return size // 2 if section.flag("pad") else padding


def _find_owner(section: Section, before: Before, share_index: int) -> Convolutional:
    owner = before.built[find_layer(section, "share_index", share_index, before)].module
    while isinstance(owner, SharedConvolutional):
        owner = owner.owner
    if not isinstance(owner, Convolutional):
        raise section.error("share_index", "a [convolutional] layer")
    return owner


def _check_owner(
    section: Section, owner: Convolutional, shape: tuple[int, ...], normalize: bool
) -> None:
    """What is shared must be what this layer says of itself."""
    theirs = tuple(owner.conv.weight.shape)
    if theirs != shape or (owner.norm is not None) != normalize:
        found = f"a layer of weights {list(theirs)}, batch_normalize={int(owner.norm is not None)}"
        expected = f"one of weights {list(shape)}, batch_normalize={int(normalize)}, as here"
        raise section.error("share_index", expected, found)
