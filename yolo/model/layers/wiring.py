"""`[shortcut]`, `[route]`, `[scale_channels]`, `[sam]`: layers that combine the outputs of several layers."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, Shape, read_activation, resolve_layer

Fit = Callable[[Tensor, Tensor], Tensor]  # (other, like) → other, in the shape of like
Factors = Callable[[Tensor], Tensor]  # learned weights [inputs, channels] → as many factors
WEIGHT_EPSILON = 1e-4  # AlexeyAB blas.c shortcut_multilayer_cpu
WEIGHT_SPREAD = 0.01  # AlexeyAB make_shortcut_layer: weights start in 1 ± this
WEIGHT_TYPES = ("none", "per_feature", "per_layer", "per_channel")


class Shortcut(nn.Module):
    """alpha times the first input plus beta times the others, then the activation (shortcut_layer.c).

    fit: `by_channel` or `by_sampling`, which bring an input to the shape of the first one.
    """

    def __init__(self, *, fit: Fit, activation: nn.Module, alpha: float = 1.0, beta: float = 1.0) -> None:
        super().__init__()
        self.fit = fit
        self.activation = activation
        self.alpha = alpha
        self.beta = beta

    def forward(self, features: Tensor, *others: Tensor) -> Tensor:
        total = features if self.alpha == 1 else features * self.alpha
        for other in others:
            fitted = self.fit(other, features)
            total = total + (fitted if self.beta == 1 else fitted * self.beta)
        return self.activation(total)


class WeightedShortcut(nn.Module):
    """Sum of all inputs, each times a learned factor, then the activation (AlexeyAB shortcut_layer.c).

    Args:
        inputs: number of inputs.
        channels: 1 for one factor per input, or the first input's channels for one factor per channel.
        factors: `plain_factors`, `relu_factors` or `softmax_factors`, which compute the factors from the weights.
        fit: as in Shortcut.
        activation: applied to the sum.
    """

    def __init__(self, *, inputs: int, channels: int, factors: Factors, fit: Fit, activation: nn.Module) -> None:
        super().__init__()
        self.weights = nn.Parameter(1 + WEIGHT_SPREAD * (2 * torch.rand(inputs, channels) - 1))
        self.factors = factors
        self.fit = fit
        self.activation = activation

    def forward(self, features: Tensor, *others: Tensor) -> Tensor:
        first, *rest = self.factors(self.weights)[..., None, None]
        total = features * first
        for other, factor in zip(others, rest, strict=True):
            total = total + self.fit(other, features) * factor
        return self.activation(total)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """Return the weights, input by input (AlexeyAB parser.c load_shortcut_weights)."""
        return [("weights", self.weights)]


class Route(nn.Module):
    """Concatenate inputs along the channels; with groups, slice `group_id` of *each* input (route_layer.c)."""

    def __init__(self, *, groups: int = 1, group_id: int = 0) -> None:
        super().__init__()
        self.groups = groups
        self.group_id = group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.groups > 1:
            inputs = tuple(self._group(features) for features in inputs)
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)

    def _group(self, features: Tensor) -> Tensor:
        """Return the group's channels, by a slice: an exporter computes the bounds of a `chunk` when the file runs."""
        width = int(features.shape[1]) // self.groups
        return features[:, self.group_id * width : (self.group_id + 1) * width]


class Multiply(nn.Module):
    """The second input times the first, then the activation.

    The first input holds one factor per channel, `[B, C, 1, 1]`, per pixel, `[B, 1, H, W]` (scale_channels_layer.c), or
    per value (sam_layer.c).
    """

    def __init__(self, *, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, factors: Tensor, features: Tensor) -> Tensor:
        return self.activation(factors * features)


def by_channel(other: Tensor, like: Tensor) -> Tensor:
    """Cut or zero-pad the channels of `other` to those of `like`; height and width are the same.

    As both Darknets (pjreddie blas.c shortcut_cpu, AlexeyAB blas.c shortcut_multilayer_cpu).
    """
    missing = like.shape[1] - other.shape[1]
    if missing == 0:
        return other
    return other[:, : like.shape[1]] if missing < 0 else F.pad(other, (0, 0, 0, 0, 0, missing))


def by_sampling(other: Tensor, like: Tensor) -> Tensor:
    """Take every n-th pixel of a larger map; place those of a smaller map n apart, with zeros between.

    Source: pjreddie blas.c shortcut_cpu.
    """
    taken, placed = [], []
    for length, target in zip(other.shape[-2:], like.shape[-2:], strict=True):
        count = min(length, target)
        take, place = max(1, length // target), max(1, target // length)
        taken.append(slice(0, count * take, take))
        placed.append(slice(0, count * place, place))
    channels = min(other.shape[1], like.shape[1])
    fitted = torch.zeros_like(like)
    fitted[:, :channels, placed[0], placed[1]] = other[:, :channels, taken[0], taken[1]]
    return fitted


def plain_factors(weights: Tensor) -> Tensor:
    """Return the weights themselves (weights_normalization=none)."""
    return weights


def relu_factors(weights: Tensor) -> Tensor:
    """Return relu(weights) / their sum over the inputs (weights_normalization=relu, avg_relu)."""
    positive = F.relu(weights)
    return positive / (positive.sum(dim=0) + WEIGHT_EPSILON)


def softmax_factors(weights: Tensor) -> Tensor:
    """Return the softmax over the inputs (weights_normalization=softmax)."""
    powers = torch.exp(weights - weights.amax(dim=0))
    return powers / (powers.sum(dim=0) + WEIGHT_EPSILON)


FACTORS: dict[str, Factors] = {
    "none": plain_factors,
    "relu": relu_factors,
    "avg_relu": relu_factors,  # AlexeyAB's other name for it
    "softmax": softmax_factors,
}


def build_shortcut(section: Section, context: BuildContext) -> Built:
    """[shortcut] (AlexeyAB parser.c parse_shortcut; alpha and beta: pjreddie's)."""
    shape = context.previous_shape
    others = tuple(resolve_layer(section, "from", each, context) for each in section.integers("from"))
    activation = read_activation(section, default="linear")
    kind = section.choice("weights_type", "none", WEIGHT_TYPES)
    factors = FACTORS[section.choice("weights_normalization", "none", tuple(FACTORS))]
    alpha, beta = section.number("alpha", 1.0), section.number("beta", 1.0)
    fit = _choose_fit(section, context, shape, others)
    if kind == "none":
        unequal = any(context.shape(other) != shape for other in others)
        if unequal and alpha != 1:
            raise section.error("alpha", "1 if the maps have different shapes")
        layer = Shortcut(fit=fit, activation=activation, alpha=alpha, beta=beta)
    else:
        channels = shape[0] if kind == "per_channel" else 1
        inputs = len(others) + 1
        context.check_stored_values(section, "from", inputs * channels)
        layer = WeightedShortcut(inputs=inputs, channels=channels, factors=factors, fit=fit, activation=activation)
    return Built(layer, (context.previous, *others), shape)


def build_route(section: Section, context: BuildContext) -> Built:
    """[route] (parser.c parse_route)."""
    indices = section.integers("layers")
    sources = tuple(resolve_layer(section, "layers", index, context) for index in indices)
    groups = section.integer("groups", 1, minimum=1)
    group_id = section.integer("group_id", 0, minimum=0)
    if group_id >= groups:
        raise section.error("group_id", f"a number below groups={groups}")
    size = context.shape(sources[0])[1:]
    channels = 0
    for source in sources:
        depth, *source_size = context.shape(source)
        if tuple(source_size) != size:
            raise section.error("layers", f"maps of the same size; they are {size} and {tuple(source_size)}")
        if depth % groups:
            raise section.error("groups", f"a divisor of the {depth} channels of layer {source}")
        channels += depth // groups
    return Built(Route(groups=groups, group_id=group_id), sources, (channels, *size))


def build_scale_channels(section: Section, context: BuildContext) -> Built:
    """[scale_channels] (parser.c parse_scale_channels): one factor per channel, or per pixel with scale_wh."""
    source = resolve_layer(section, "from", section.integer("from"), context)
    channels, height, width = context.shape(source)
    expected = (1, height, width) if section.flag("scale_wh") else (channels, 1, 1)
    _check_factors(section, context, expected)
    layer = Multiply(activation=read_activation(section, default="linear"))
    return Built(layer, (context.previous, source), (channels, height, width))


def build_sam(section: Section, context: BuildContext) -> Built:
    """[sam] (parser.c parse_sam): one factor per value."""
    source = resolve_layer(section, "from", section.integer("from"), context)
    _check_factors(section, context, context.shape(source))
    layer = Multiply(activation=read_activation(section, default="linear"))
    return Built(layer, (context.previous, source), context.shape(source))


def _choose_fit(section: Section, context: BuildContext, shape: Shape, others: tuple[int, ...]) -> Fit:
    """Return how to bring the other maps to `shape`.

    Maps of another height or width are sampled as in pjreddie's Darknet, for which resnet50.cfg and similar networks
    were trained. AlexeyAB's does not accept them (parse_shortcut asserts equal sizes).
    """
    sizes = {context.shape(other)[1:] for other in others}
    if sizes == {shape[1:]}:
        return by_channel
    for size in sizes:
        # blas.c shortcut_cpu asserts the same ratio in both directions
        ratios = {(a // b, b // a) for a, b in zip(size, shape[1:], strict=True)}
        if len(ratios) > 1:
            expected = f"maps with the same ratio of heights and widths; they are {size} and {shape[1:]}"
            raise section.error("from", expected)
    return by_sampling


def _check_factors(section: Section, context: BuildContext, expected: Shape) -> None:
    found = context.previous_shape
    if found != expected:
        raise section.error("from", f"factors of shape {expected}", f"{found} in layer {context.previous}")
