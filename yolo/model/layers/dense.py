"""Layers whose every output value has weights of its own: connected, locally connected.

A layer's `darknet_tensors()` are its tensors in the order of a .weights file. Weights are 0 until `reset_parameters`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, check_output, read_activation
from yolo.model.layers.convolution import batch_norm, batch_norm_tensors
from yolo.model.layers.initialization import fill_uniform, untouched_zeros
from yolo.model.layers.normalization import BATCH_NORM_NUMBERS


class Connected(nn.Module):
    """Every output a weighted sum of all inputs, batch norm if there is one, activation (connected_layer.c).

    `[B, C, H, W]` with C * H * W = inputs → `[B, outputs, 1, 1]`. Without batch norm the sum has a bias.
    """

    def __init__(
        self, *, inputs: int, outputs: int, batch_normalize: bool, activation: nn.Module
    ) -> None:
        super().__init__()
        self.linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=not batch_normalize)
        self.linear.weight = untouched_zeros(outputs, inputs)
        if self.linear.bias is not None:
            nn.init.zeros_(self.linear.bias)
        self.norm = batch_norm(outputs) if batch_normalize else None
        self.activation = activation

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Darknet's start: weights uniform in ±sqrt(2 / inputs), biases 0 (make_connected_layer)."""
        bound = math.sqrt(2 / self.linear.in_features)
        fill_uniform(self.linear.weight, bound)
        if self.linear.bias is not None:
            self.linear.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        values = features.flatten(1)
        if values.shape[1] != self.linear.in_features:
            expected = f"{self.linear.in_features} values an image, as of the cfg's input size"
            raise ValueError(f"found a map of {list(features.shape)}, expected {expected}")
        values = self.linear(values)[..., None, None]
        if self.norm is not None:
            values = self.norm(values)
        return self.activation(values)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """biases, weights `[outputs, inputs]`, [scales, rolling mean, rolling variance].

        As parser.c load_connected_weights; pjreddie's transposed files have the weights the other way.
        """
        if self.norm is None:
            return [("biases", self.linear.bias), ("weights", self.linear.weight)]
        biases, *others = batch_norm_tensors(self.norm)
        return [biases, ("weights", self.linear.weight), *others]


class Local(nn.Module):
    """A convolution with other weights at each place, then the activation (local_layer.c).

    `[B, channels, H, W]` → `[B, filters, *out]`, out being (height, width): as many windows as fit with `padding`
    zeros on each side.
    weights: `[places, filters, channels * size * size]`, places row by row; biases: `[filters * places]`, one a value.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        filters: int,
        size: int,
        stride: int,
        padding: int,
        out: tuple[int, int],
        activation: nn.Module,
    ) -> None:
        super().__init__()
        places = out[0] * out[1]
        self.weights = untouched_zeros(places, filters, in_channels * size * size)
        self.biases = untouched_zeros(filters * places)
        self.size = size
        self.stride = stride
        self.padding = padding
        self.out = out
        self.activation = activation

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Darknet's start: the first place's weights uniform in ±sqrt(2 / fan_in), all others 0 (make_local_layer)."""
        bound = math.sqrt(2 / self.weights.shape[2])
        self.weights.zero_()
        fill_uniform(self.weights[0], bound)
        self.biases.zero_()

    def forward(self, features: Tensor) -> Tensor:
        places, filters, inputs = self.weights.shape
        windows = F.unfold(features, self.size, padding=self.padding, stride=self.stride)
        if windows.shape[1:] != (inputs, places):
            expected = f"a map with {places} windows of {inputs} values, as of the cfg's input size"
            raise ValueError(f"found a map of {list(features.shape)}, expected {expected}")
        values = torch.bmm(self.weights, windows.permute(2, 1, 0))  # [places, filters, B]
        values = values.permute(2, 1, 0) + self.biases.view(filters, places)
        return self.activation(values.reshape(-1, filters, *self.out))

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """biases, weights (parser.c load_weights_upto, LOCAL)."""
        return [("biases", self.biases), ("weights", self.weights)]


def build_connected(section: Section, before: BuildContext) -> Built:
    """[connected], [conn] (parser.c parse_connected)."""
    outputs = section.integer("output", 1, minimum=1)
    normalize = section.flag("batch_normalize")
    activation = read_activation(section, default="logistic")
    channels, height, width = before.shape(before.previous)
    inputs = channels * height * width
    numbers = outputs * (inputs + (BATCH_NORM_NUMBERS if normalize else 1))
    before.afford(section, "output", numbers)
    layer = Connected(
        inputs=inputs, outputs=outputs, batch_normalize=normalize, activation=activation
    )
    return Built(layer, (before.previous,), (outputs, 1, 1))


def build_local(section: Section, before: BuildContext) -> Built:
    """[local] (parser.c parse_local, local_layer.c)."""
    filters = section.integer("filters", 1, minimum=1)
    size, stride = section.integer("size", 1, minimum=1), section.integer("stride", 1, minimum=1)
    padding = section.integer("pad", 0, minimum=0)
    activation = read_activation(section, default="logistic")
    channels, height, width = before.shape(before.previous)
    # With any `pad` local_out_height leaves the size of the window out; the windows themselves have `pad` zeros around.
    reach = size if padding == 0 else 1
    out = (height - reach) // stride + 1, (width - reach) // stride + 1
    check_output(section, "size", out, (height, width))
    filled = tuple((length + 2 * padding - size) // stride + 1 for length in (height, width))
    if out != filled:
        fitting = sorted({0, size // 2 if size % 2 else 0})
        raise section.error("pad", " or ".join(map(str, fitting)), f"{padding} with size={size}")
    places = out[0] * out[1]
    before.afford(section, "filters", filters * places * (channels * size**2 + 1))
    layer = Local(
        in_channels=channels,
        filters=filters,
        size=size,
        stride=stride,
        padding=padding,
        out=out,
        activation=activation,
    )
    return Built(layer, (before.previous,), (filters, *out))
