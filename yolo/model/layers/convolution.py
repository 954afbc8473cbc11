"""`[convolutional]`, `[conv]`: plain, with the weights of another layer, or with binary weights and inputs.

Tensors are `[B, C, H, W]` in and out. A layer that stores tensors in a .weights file has `darknet_tensors()`, in file
order.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import (
    BuildContext,
    Built,
    check_output_size,
    output_size,
    read_activation,
    read_strides,
    require_zero,
    resolve_layer,
)
from yolo.model.layers.parameters import (
    BATCH_NORM_VALUES,
    batch_norm,
    batch_norm_tensors,
    draw_weights,
    with_zeros,
)
from yolo.model.layers.pooling import Blur, read_blur_size

UNSUPPORTED_KEYS = (
    "sway", "rotate", "stretch", "stretch_sway", "flipped", "dot", "reverse", "coordconv",
)  # fmt: skip


class Convolutional(nn.Module):
    """Convolution, optional batch norm, activation, optional blur (convolutional_layer.c).

    Weights are 0 until `reset_parameters` draws them. Without batch norm the convolution has a bias.

    Args:
        in_channels, filters, dilation, groups: as nn.Conv2d's in_channels, out_channels, dilation, groups.
        kernel, stride, padding: (vertical, horizontal).
        batch_normalize: whether there is a batch norm.
        activation: applied after batch norm.
        blur: antialiasing, applied after the activation. The cfg's stride is then the blur's, and `stride` is 1.
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
        conv = nn.Conv2d(
            in_channels, filters, kernel, stride, padding, dilation, groups,
            bias=not batch_normalize, device="meta",
        )  # fmt: skip
        self.conv = with_zeros(conv)
        self.norm = batch_norm(filters) if batch_normalize else None
        self.activation = activation
        self.blur = blur

    def reset_parameters(self) -> None:
        """Draw the weights (AlexeyAB make_convolutional_layer)."""
        draw_weights(self.conv)

    def forward(self, features: Tensor) -> Tensor:
        return self.finish(self.conv(features))

    def finish(self, features: Tensor) -> Tensor:
        """Apply what follows the convolution."""
        return _finish(features, self.norm, self.activation, self.blur)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """Return biases, [scales, rolling mean, rolling variance], weights (parser.c load_convolutional_weights)."""
        if self.norm is None:
            return [("biases", self.conv.bias), ("weights", self.conv.weight)]
        return [*batch_norm_tensors(self.norm), ("weights", self.conv.weight)]


class SharedConvolutional(nn.Module):
    """A convolution with the parameters and the batch norm of another layer, `owner` (share_index).

    Stride, padding, dilation, activation and blur are its own. It stores nothing in a .weights file (AlexeyAB parser.c
    load_weights_upto).
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
        features = F.conv2d(features, conv.weight, conv.bias, self.stride, self.padding, self.dilation, conv.groups)
        return _finish(features, norm, self.activation, self.blur)


class BinaryConvolutional(nn.Module):
    """A convolution whose weights are replaced by their signs times the filter's mean absolute weight (XNOR-Net).

    Gradients pass as if nothing were replaced. Arithmetic as in pjreddie's convolutional_layer.c binarize_weights and
    binarize_cpu, and in AlexeyAB's training: padding stays 0.

    Args:
        plain: the layer with the real weights.
        signs_in: replace the inputs by their signs too, as `xnor` does and `binary` does not.
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
        features = F.conv2d(features, weights, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
        return self.plain.finish(features)

    def reset_parameters(self) -> None:
        """Draw the weights of the plain layer."""
        self.plain.reset_parameters()

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """Return the tensors of the plain layer: .weights files hold its real weights."""
        return self.plain.darknet_tensors()


def _finish(features: Tensor, norm: nn.Module | None, activation: nn.Module, blur: nn.Module | None) -> Tensor:
    if norm is not None:
        features = norm(features)
    features = activation(features)
    return features if blur is None else blur(features)


def _signs(values: Tensor) -> Tensor:
    """Return 1 for positive values and -1 for all others."""
    return torch.where(values > 0, 1.0, -1.0).to(values.dtype)


def _straight_through(values: Tensor, replaced: Tensor) -> Tensor:
    """Return `replaced` with the gradient of `values`; without autograd exactly `replaced`."""
    if not torch.is_grad_enabled():
        return replaced
    return values + (replaced - values).detach()


class _Window(NamedTuple):
    """What a convolution does not take from its owner, if it has the weights of another layer."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: int
    activation: nn.Module
    blur: Blur | None


def build_convolutional(section: Section, context: BuildContext) -> Built:
    """[convolutional] (AlexeyAB parser.c parse_convolutional, convolutional_layer.c make_convolutional_layer)."""
    require_zero(section, UNSUPPORTED_KEYS, "this kind of convolution")
    stride, blur_size = read_strides(section), read_blur_size(section)
    size = section.integer("size", 1, minimum=1)
    dilation = section.integer("dilation", 1, minimum=1)
    if size == 1:
        dilation = 1  # parse_convolutional
    padding = section.integer("padding", 0, minimum=0)
    padding = dilation * (size // 2 if section.flag("pad") else padding)
    filters = section.integer("filters", 1, minimum=1)
    context.check_stored_values(section, "filters", filters)
    window = _Window(
        stride=(1, 1) if blur_size else stride,
        padding=(padding, padding),
        dilation=dilation,
        activation=read_activation(section, default="logistic"),
        blur=Blur(channels=filters, size=blur_size, stride=stride) if blur_size else None,
    )
    layer = _build_layer(section, context, filters, size, window)
    _, height, width = context.previous_shape
    # AlexeyAB leaves dilation out of the output's size; with its own `pad` and odd sizes both agree.
    reach = dilation * (size - 1) + 1
    out = output_size((height, width), reach, window.stride, 2 * padding)
    check_output_size(section, "size", out, (height, width))
    if window.blur is not None:
        out = window.blur.output_size(out)
        check_output_size(section, "antialiasing", out, (height, width))
    return Built(layer, (context.previous,), (filters, *out))


def _build_layer(section: Section, context: BuildContext, filters: int, size: int, window: _Window) -> nn.Module:
    """Return the layer, with its own or shared parameters, real or binary."""
    xnor, binary = section.flag("xnor"), section.flag("binary")
    normalize = section.flag("batch_normalize") | section.flag("cbn")
    groups = section.integer("groups", 1, minimum=1)
    shares, share_index = section.has("share_index"), section.integer("share_index", -1)
    if section.flag("bin_output") and not xnor:
        raise section.error("bin_output", "0, or xnor=1: only the output of such a layer is signs")
    if xnor and context.dialect == "alexeyab":
        groups = 1  # AlexeyAB make_convolutional_layer
    channels = context.previous_shape[0]
    for key, count in (("groups", channels), ("filters", filters)):
        if count % groups:
            expected = f"groups={groups} to divide {channels} channels and {filters} filters"
            raise section.error(key, expected)
    if shares:
        if xnor or binary:
            raise section.error("share_index", "no such key where xnor or binary is 1")
        owner = _find_owner(section, context, share_index)
        _check_owner(section, owner, (filters, channels // groups, size, size), normalize)
        return SharedConvolutional(owner=owner, **window._asdict())
    weights = filters * (channels // groups) * size**2
    context.check_stored_values(section, "filters", weights + BATCH_NORM_VALUES * filters)
    layer = Convolutional(
        in_channels=channels,
        filters=filters,
        kernel=(size, size),
        groups=groups,
        batch_normalize=normalize,
        **window._asdict(),
    )
    return BinaryConvolutional(plain=layer, signs_in=xnor) if xnor or binary else layer


def _find_owner(section: Section, context: BuildContext, share_index: int) -> Convolutional:
    owner = context.built[resolve_layer(section, "share_index", share_index, context)].module
    while isinstance(owner, SharedConvolutional):
        owner = owner.owner
    if not isinstance(owner, Convolutional):
        raise section.error("share_index", "a [convolutional] layer")
    return owner


def _check_owner(section: Section, owner: Convolutional, shape: tuple[int, ...], normalize: bool) -> None:
    """Raise CfgError unless the owner has the weights and the batch norm that this section describes."""
    owners = tuple(owner.conv.weight.shape)
    if owners != shape or (owner.norm is not None) != normalize:
        found = f"a layer of weights {list(owners)}, batch_normalize={int(owner.norm is not None)}"
        expected = f"one of weights {list(shape)}, batch_normalize={int(normalize)}, as here"
        raise section.error("share_index", expected, found)
