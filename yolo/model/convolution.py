"""Convolutions: plain, with the weights of another layer, and with weights and inputs reduced to their signs.

Tensors are `[B, C, H, W]` in and out. A layer that stores parameters in a .weights file says so by `darknet_tensors()`:
the tensors in file order.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.model.initialise import fill_uniform, untouched_zeros

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
    """`replaced` going forward, the gradient of `values` going back; exactly `replaced` where nothing is learnt."""
    if not torch.is_grad_enabled():
        return replaced
    return values + (replaced - values).detach()
