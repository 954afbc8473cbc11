"""Sections that bring maps together or move pixels → the layer, the layers it reads and the shape it gives."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, Shape, find_layer, read_activation

Fit = Callable[[Tensor, Tensor], Tensor]

Factors = Callable[[Tensor], Tensor]

WEIGHT_EPSILON = 1e-4  # AlexeyAB blas.c shortcut_multilayer_cpu

WEIGHT_SPREAD = 0.01  # AlexeyAB make_shortcut_layer: weights begin at 1, give or take this


class Shortcut(nn.Module):
    """alpha times the first input plus beta times the others, then the activation (shortcut_layer.c).

    fit(other, like): the other map in the shape of the first one: `by_channel` or `by_sampling`.
    """

    def __init__(
        self, *, fit: Fit, activation: nn.Module, alpha: float = 1.0, beta: float = 1.0
    ) -> None:
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
    """The sum of all inputs, each times a learned factor of all its channels or of each (AlexeyAB shortcut_layer.c).

    channels: 1, or those of the first input; factors: how weights `[inputs, channels]` become factors, one of
    `plain_factors`, `relu_factors`, `softmax_factors`; fit as in Shortcut.
    """

    def __init__(
        self, *, inputs: int, channels: int, factors: Factors, fit: Fit, activation: nn.Module
    ) -> None:
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
        """The weights, input by input (AlexeyAB parser.c load_shortcut_weights)."""
        return [("weights", self.weights)]


class Route(nn.Module):
    """Inputs side by side along the channels; with groups, slice `group_id` of *each* input (route_layer.c)."""

    def __init__(self, *, groups: int = 1, group_id: int = 0) -> None:
        super().__init__()
        self.groups = groups
        self.group_id = group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.groups > 1:
            inputs = tuple(features.chunk(self.groups, dim=1)[self.group_id] for features in inputs)
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)


class Multiply(nn.Module):
    """The second input times the first, then the activation.

    The first is a factor a channel, `[B, C, 1, 1]`, or a pixel, `[B, 1, H, W]` (scale_channels_layer.c), or a whole map
    (sam_layer.c).
    """

    def __init__(self, *, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, factors: Tensor, features: Tensor) -> Tensor:
        return self.activation(factors * features)


def by_channel(other: Tensor, like: Tensor) -> Tensor:
    """The channels that both maps have, zeros for those that only `like` has; height and width are the same.

    Both Darknets do this (pjreddie blas.c shortcut_cpu, AlexeyAB blas.c shortcut_multilayer_cpu).
    """
    missing = like.shape[1] - other.shape[1]
    if missing == 0:
        return other
    return other[:, : like.shape[1]] if missing < 0 else F.pad(other, (0, 0, 0, 0, 0, missing))


def by_sampling(other: Tensor, like: Tensor) -> Tensor:
    """Every n-th pixel of a larger map; a smaller map's, n apart with zeros between (pjreddie blas.c shortcut_cpu)."""
    taken, placed = [], []
    for theirs, ours in zip(other.shape[-2:], like.shape[-2:], strict=True):
        count = min(theirs, ours)
        taken.append(slice(0, count * max(1, theirs // ours), max(1, theirs // ours)))
        placed.append(slice(0, count * max(1, ours // theirs), max(1, ours // theirs)))
    channels = min(other.shape[1], like.shape[1])
    fitted = torch.zeros_like(like)
    fitted[:, :channels, placed[0], placed[1]] = other[:, :channels, taken[0], taken[1]]
    return fitted


def plain_factors(weights: Tensor) -> Tensor:
    """The weights themselves (weights_normalization=none)."""
    return weights


def relu_factors(weights: Tensor) -> Tensor:
    """Shares of the positive weights (weights_normalization=relu, avg_relu)."""
    positive = F.relu(weights)
    return positive / (positive.sum(dim=0) + WEIGHT_EPSILON)


def softmax_factors(weights: Tensor) -> Tensor:
    """Shares of the weights' exponentials (weights_normalization=softmax)."""
    powers = torch.exp(weights - weights.amax(dim=0))
    return powers / (powers.sum(dim=0) + WEIGHT_EPSILON)


WEIGHT_TYPES = ("none", "per_feature", "per_layer", "per_channel")

FACTORS: dict[str, Factors] = {
    "none": plain_factors,
    "relu": relu_factors,
    "avg_relu": relu_factors,  # AlexeyAB's other name for it
    "softmax": softmax_factors,
}


def build_shortcut(section: Section, before: BuildContext) -> Built:
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


def build_route(section: Section, before: BuildContext) -> Built:
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


def build_activation(section: Section, before: BuildContext) -> Built:
    """[activation] (parser.c parse_activation)."""
    layer = read_activation(section, default="linear")
    return Built(layer, (before.previous,), before.shape(before.previous))


def build_logistic(_section: Section, before: BuildContext) -> Built:
    """[logistic]: the end of a network for several labels an image (pjreddie logistic_layer.c)."""
    return Built(nn.Sigmoid(), (before.previous,), before.shape(before.previous))


def build_scale_channels(section: Section, before: BuildContext) -> Built:
    """[scale_channels] (parser.c parse_scale_channels): a map times a factor a channel, or with scale_wh a pixel."""
    source = find_layer(section, "from", section.integer("from"), before)
    channels, height, width = before.shape(source)
    expected = (1, height, width) if section.flag("scale_wh") else (channels, 1, 1)
    _check_factors(section, before, expected)
    layer = Multiply(activation=read_activation(section, default="linear"))
    return Built(layer, (before.previous, source), (channels, height, width))


def build_sam(section: Section, before: BuildContext) -> Built:
    """[sam] (parser.c parse_sam): two maps of one shape, value by value."""
    source = find_layer(section, "from", section.integer("from"), before)
    _check_factors(section, before, before.shape(source))
    layer = Multiply(activation=read_activation(section, default="linear"))
    return Built(layer, (before.previous, source), before.shape(source))


def _choose_fit(
    section: Section, before: BuildContext, shape: Shape, others: tuple[int, ...]
) -> Fit:
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


def _check_factors(section: Section, before: BuildContext, expected: Shape) -> None:
    found = before.shape(before.previous)
    if found != expected:
        raise section.error(
            "from", f"factors of shape {expected}", f"{found} in layer {before.previous}"
        )
