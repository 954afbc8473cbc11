"""Sections that bring maps together or move pixels → the layer, the layers it reads and the shape it gives."""

from torch import nn

from yolo.cfg import Section
from yolo.model.graph import Before, Built, Shape
from yolo.model.reading import find_layer, read_activation, refuse
from yolo.model.wiring import (
    DepthToSpace,
    Downsample,
    Factors,
    Fit,
    Multiply,
    Reorg,
    Route,
    Shortcut,
    SpaceToDepth,
    Upsample,
    WeightedShortcut,
    by_channel,
    by_sampling,
    plain_factors,
    relu_factors,
    softmax_factors,
)

WEIGHT_TYPES = ("none", "per_feature", "per_layer", "per_channel")
FACTORS: dict[str, Factors] = {
    "none": plain_factors,
    "relu": relu_factors,
    "avg_relu": relu_factors,  # AlexeyAB's other name for it
    "softmax": softmax_factors,
}


def build_shortcut(section: Section, before: Before) -> Built:
    """[shortcut] (AlexeyAB parser.c parse_shortcut; alpha and beta: pjreddie's)."""
    shape = before.shape(before.previous)
    others = tuple(find_layer(section, "from", each, before) for each in section.integers("from"))
    activation = read_activation(section, default="linear")
    kind = section.choice("weights_type", "none", WEIGHT_TYPES)
    factors = FACTORS[section.choice("weights_normalization", "none", tuple(FACTORS))]
    alpha, beta = section.number("alpha", 1.0), section.number("beta", 1.0)
    fit = _choose_fit(section, before, shape, others)
    if kind == "none":
        unequal = any(before.shape(other) != shape for other in others)
        if unequal and alpha != 1:
            raise section.error("alpha", "1 where the maps are of different shapes")
        layer = Shortcut(fit=fit, activation=activation, alpha=alpha, beta=beta)
    else:
        channels = shape[0] if kind == "per_channel" else 1
        inputs = len(others) + 1
        before.afford(section, "from", inputs * channels)
        layer = WeightedShortcut(
            inputs=inputs, channels=channels, factors=factors, fit=fit, activation=activation
        )
    return Built(layer, (before.previous, *others), shape)


def build_route(section: Section, before: Before) -> Built:
    """[route] (parser.c parse_route)."""
    indices = section.integers("layers")
    sources = tuple(find_layer(section, "layers", index, before) for index in indices)
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
    """[upsample]; a negative stride makes the map smaller (parser.c parse_upsample)."""
    channels, height, width = before.shape(before.previous)
    stride, scale = section.integer("stride", 2), section.number("scale", 1.0)
    if stride == 0:
        raise section.error("stride", "another number than 0")
    if stride > 0:
        shape, layer = (channels, height * stride, width * stride), Upsample
    else:
        _check_divides(section, -stride, (height, width))
        shape, layer = (channels, height // -stride, width // -stride), Downsample
    return Built(layer(stride=abs(stride), scale=scale), (before.previous,), shape)


def build_activation(section: Section, before: Before) -> Built:
    """[activation] (parser.c parse_activation)."""
    layer = read_activation(section, default="linear")
    return Built(layer, (before.previous,), before.shape(before.previous))


def build_logistic(_section: Section, before: Before) -> Built:
    """[logistic]: the end of a network for several labels a picture (pjreddie logistic_layer.c)."""
    return Built(nn.Sigmoid(), (before.previous,), before.shape(before.previous))


def build_scale_channels(section: Section, before: Before) -> Built:
    """[scale_channels] (parser.c parse_scale_channels): a map times a factor a channel, or with scale_wh a pixel."""
    source = find_layer(section, "from", section.integer("from"), before)
    channels, height, width = before.shape(source)
    expected = (1, height, width) if section.flag("scale_wh") else (channels, 1, 1)
    _check_factors(section, before, expected)
    layer = Multiply(activation=read_activation(section, default="linear"))
    return Built(layer, (before.previous, source), (channels, height, width))


def build_sam(section: Section, before: Before) -> Built:
    """[sam] (parser.c parse_sam): two maps of one shape, value by value."""
    source = find_layer(section, "from", section.integer("from"), before)
    _check_factors(section, before, before.shape(source))
    layer = Multiply(activation=read_activation(section, default="linear"))
    return Built(layer, (before.previous, source), before.shape(source))


def build_reorg(section: Section, before: Before) -> Built:
    """[reorg] (parser.c parse_reorg_old), YOLOv2's permutation; with reverse=1 depth to space."""
    refuse(section, ("flatten", "extra"), "pjreddie's other reorg")
    stride, reverse = section.integer("stride", 1, minimum=1), section.flag("reverse")
    channels, height, width = before.shape(before.previous)
    if channels % stride**2:
        raise section.error("stride", f"a number whose square divides {channels} channels")
    if reverse:
        shape = channels // stride**2, height * stride, width * stride
        return Built(DepthToSpace(stride=stride), (before.previous,), shape)
    return _built_blocks(section, before, stride, Reorg(stride=stride))


def build_reorg3d(section: Section, before: Before) -> Built:
    """[reorg3d] (parser.c parse_reorg), space to depth. AlexeyAB's reverse is no way back, so it is refused."""
    stride = section.integer("stride", 1, minimum=1)
    refuse(section, ("reverse",), "the way back")
    return _built_blocks(section, before, stride, SpaceToDepth(stride=stride))


def _choose_fit(section: Section, before: Before, shape: Shape, others: tuple[int, ...]) -> Fit:
    """How other maps are brought to `shape`.

    Maps of another height or width as pjreddie's Darknet does it, for which resnet50.cfg and its kin were trained;
    AlexeyAB's refuses them (parse_shortcut asserts equal sizes).
    """
    sizes = {before.shape(other)[1:] for other in others}
    if sizes == {shape[1:]}:
        return by_channel
    for size in sizes:
        # blas.c shortcut_cpu asserts one ratio in both directions
        ratios = {(a // b, b // a) for a, b in zip(size, shape[1:], strict=True)}
        if len(ratios) > 1:
            expected = f"maps of one ratio both ways; they are {size} and {shape[1:]}"
            raise section.error("from", expected)
    return by_sampling


def _check_factors(section: Section, before: Before, expected: Shape) -> None:
    found = before.shape(before.previous)
    if found != expected:
        raise section.error(
            "from", f"factors of shape {expected}", f"{found} in layer {before.previous}"
        )


def _check_divides(section: Section, stride: int, size: tuple[int, int]) -> None:
    if size[0] % stride or size[1] % stride:
        raise section.error("stride", f"a divisor of {size[0]}x{size[1]}")


def _built_blocks(section: Section, before: Before, stride: int, layer: nn.Module) -> Built:
    channels, height, width = before.shape(before.previous)
    _check_divides(section, stride, (height, width))
    shape = channels * stride**2, height // stride, width // stride
    return Built(layer, (before.previous,), shape)
