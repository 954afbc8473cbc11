"""Convolutions: plain, with the weights of another layer, and with weights and inputs reduced to their signs.

Tensors are `[B, C, H, W]` in and out. A layer that stores parameters in a .weights file says so by `darknet_tensors()`:
the tensors in file order.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import (
    BuildContext,
    Built,
    check_output,
    find_layer,
    read_activation,
    read_blur_size,
    read_strides,
    refuse,
)
from yolo.model.layers.initialization import fill_uniform, untouched_zeros
from yolo.model.layers.pooling import Blur

BATCH_NORM_EPSILON = 1e-5  # AlexeyAB blas.c and both cuDNN builds; inside the root

BATCH_NORM_MOMENTUM = 0.01  # rolling average .99 / .01 (batchnorm_layer.c, GPU)


class Convolutional(nn.Module):
    """Convolution, batch norm if there is one, activation, and a blur if there is one (convolutional_layer.c).

    Weights are 0 until `reset_parameters` draws them.

    kernel, stride, padding are (vertical, horizontal). Without batch norm the convolution has a bias.
    blur: antialiasing, after the activation; the layer's own stride is then 1 and the blur's is the cfg's.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        filters: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: int,
        groups: int,
        batch_normalize: bool,
        activation: nn.Module,
        blur: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.utils.skip_init(
            nn.Conv2d,
            in_channels,
            filters,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            bias=not batch_normalize,
        )
        self.norm = batch_norm(filters) if batch_normalize else None
        self.activation = activation
        self.blur = blur
        self.conv.weight = untouched_zeros(*self.conv.weight.shape)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Darknet's start: weights uniform in ±sqrt(2 / fan_in) (AlexeyAB make_convolutional_layer), biases 0."""
        bound = math.sqrt(2 / self.conv.weight[0].numel())
        fill_uniform(self.conv.weight, bound)
        if self.conv.bias is not None:
            self.conv.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        return self.finish(self.conv(features))

    def finish(self, features: Tensor) -> Tensor:
        """What follows the convolution itself."""
        return _finished(features, self.norm, self.activation, self.blur)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """biases, [scales, rolling mean, rolling variance], weights (parser.c load_convolutional_weights)."""
        if self.norm is None:
            return [("biases", self.conv.bias), ("weights", self.conv.weight)]
        return [*batch_norm_tensors(self.norm), ("weights", self.conv.weight)]


class SharedConvolutional(nn.Module):
    """A convolution with the parameters of another layer, those of its batch norm included (share_index).

    stride, padding and dilation are its own. Nothing of it is stored (AlexeyAB parser.c load_weights_upto).
    """

    def __init__(
        self,
        *,
        owner: Convolutional,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: int,
        activation: nn.Module,
        blur: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.owner = owner
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.activation = activation
        self.blur = blur

    def forward(self, features: Tensor) -> Tensor:
        conv, norm = self.owner.conv, self.owner.norm
        features = F.conv2d(
            features, conv.weight, conv.bias, self.stride, self.padding, self.dilation, conv.groups
        )
        return _finished(features, norm, self.activation, self.blur)


class BinaryConvolutional(nn.Module):
    """A convolution whose weights count only by sign, times the mean size of their filter's weights (XNOR-Net).

    signs_in: whether the input too counts only by sign, as `xnor` says; `binary` leaves it as it is.
    Training sees the signs' gradient as that of the numbers themselves. Arithmetic as in pjreddie's
    convolutional_layer.c binarize_weights and binarize_cpu, AlexeyAB's when it trains: zeros around the map stay zeros.
    """

    def __init__(self, *, plain: Convolutional, signs_in: bool) -> None:
        super().__init__()
        self.plain = plain
        self.signs_in = signs_in

    def forward(self, features: Tensor) -> Tensor:
        conv = self.plain.conv
        if self.signs_in:
            features = _straight_through(features, _signs(features))
        sizes = conv.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        weights = _straight_through(conv.weight, _signs(conv.weight) * sizes)
        features = F.conv2d(
            features, weights, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        )
        return self.plain.finish(features)

    def reset_parameters(self) -> None:
        """As of the plain layer."""
        self.plain.reset_parameters()

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """As of the plain layer: what is stored are numbers, not signs."""
        return self.plain.darknet_tensors()


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the numbers of Darknet's GPU builds."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


def batch_norm_tensors(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> list[tuple[str, Tensor]]:
    """biases, scales, rolling mean, rolling variance, in the order of a .weights file."""
    return [
        ("biases", norm.bias),
        ("scales", norm.weight),
        ("rolling mean", norm.running_mean),
        ("rolling variance", norm.running_var),
    ]


def _finished(
    features: Tensor, norm: nn.Module | None, activation: nn.Module, blur: nn.Module | None
) -> Tensor:
    if norm is not None:
        features = norm(features)
    features = activation(features)
    return features if blur is None else blur(features)


def _signs(values: Tensor) -> Tensor:
    """1 above 0, else -1."""
    return torch.where(values > 0, 1.0, -1.0).to(values.dtype)


def _straight_through(values: Tensor, replaced: Tensor) -> Tensor:
    """`replaced` going forward, the gradient of `values` going back; exactly `replaced` where nothing is learned."""
    if not torch.is_grad_enabled():
        return replaced
    return values + (replaced - values).detach()


REFUSED = (
    "sway", "rotate", "stretch", "stretch_sway", "flipped", "dot", "reverse", "coordconv",
)  # fmt: skip

BATCH_NORM_NUMBERS = 4  # a filter: bias, scale, rolling mean and variance


def build_convolutional(section: Section, before: BuildContext) -> Built:
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
    section: Section, before: BuildContext, filters: int, size: int, window: dict[str, object]
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


def _find_owner(section: Section, before: BuildContext, share_index: int) -> Convolutional:
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
