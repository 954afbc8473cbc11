"""`[connected]`, `[conn]` and `[local]`: layers in which each output value has its own weights.

Weights are 0 until `reset_parameters` draws them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, check_output_size, output_size, read_activation
from yolo.model.layers.parameters import (
    BATCH_NORM_VALUES,
    batch_norm,
    batch_norm_tensors,
    draw_weights,
    fill_uniform,
    with_zeros,
    zero_parameter,
)


class Connected(nn.Module):
    """Linear layer, optional batch norm, activation (connected_layer.c).

    `[B, C, H, W]` with C * H * W = inputs → `[B, outputs, 1, 1]`. Without batch norm the linear layer has a bias.
    """

    def __init__(self, *, inputs: int, outputs: int, batch_normalize: bool, activation: nn.Module) -> None:
        super().__init__()
        linear = nn.Linear(inputs, outputs, bias=not batch_normalize, device="meta")
        self.linear = with_zeros(linear)
        self.norm = batch_norm(outputs) if batch_normalize else None
        self.activation = activation

    def reset_parameters(self) -> None:
        """Draw the weights (make_connected_layer)."""
        draw_weights(self.linear)

    def forward(self, features: Tensor) -> Tensor:
        values = features.flatten(1)
        if values.shape[1] != self.linear.in_features:
            expected = f"{self.linear.in_features} values per image, as for the cfg's input size"
            raise ValueError(f"found a map of shape {list(features.shape)}, expected {expected}")
        values = self.linear(values)[..., None, None]
        if self.norm is not None:
            values = self.norm(values)
        return self.activation(values)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """Return biases, weights `[outputs, inputs]`, [scales, rolling mean, rolling variance].

        Source: parser.c load_connected_weights. pjreddie's transposed files hold the weights as `[inputs, outputs]`.
        """
        if self.norm is None:
            return [("biases", self.linear.bias), ("weights", self.linear.weight)]
        biases, *others = batch_norm_tensors(self.norm)
        return [biases, ("weights", self.linear.weight), *others]


class Local(nn.Module):
    """A convolution with different weights at each place, then the activation (local_layer.c).

    `[B, in_channels, H, W]` → `[B, filters, *out]`. Attributes: weights `[places, filters, in_channels * size * size]`,
    places row by row; biases `[filters * places]`, one per output value.

    Args:
        in_channels, filters: channels of input and output.
        size, stride: of the square windows, in both directions.
        padding: zeros on each side.
        out: (height, width) of the output.
        activation: applied at the end.
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
        self.weights = zero_parameter(places, filters, in_channels * size * size)
        self.biases = zero_parameter(filters * places)
        self.size = size
        self.stride = stride
        self.padding = padding
        self.out = out
        self.activation = activation

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the first place's weights uniformly from ±sqrt(2 / fan_in); all else is 0 (make_local_layer)."""
        bound = math.sqrt(2 / self.weights.shape[2])
        self.weights.zero_()
        fill_uniform(self.weights[0], bound)
        self.biases.zero_()

    def forward(self, features: Tensor) -> Tensor:
        places, filters, inputs = self.weights.shape
        windows = F.unfold(features, self.size, padding=self.padding, stride=self.stride)
        if windows.shape[1:] != (inputs, places):
            expected = f"{places} windows of {inputs} values, as for the cfg's input size"
            raise ValueError(f"found a map of shape {list(features.shape)}, expected {expected}")
        values = torch.bmm(self.weights, windows.permute(2, 1, 0))  # [places, filters, B]
        values = values.permute(2, 1, 0) + self.biases.view(filters, places)
        return self.activation(values.reshape(-1, filters, *self.out))

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """Return biases, weights (parser.c load_weights_upto, LOCAL)."""
        return [("biases", self.biases), ("weights", self.weights)]


def build_connected(section: Section, context: BuildContext) -> Built:
    """[connected], [conn] (parser.c parse_connected)."""
    outputs = section.integer("output", 1, minimum=1)
    normalize = section.flag("batch_normalize")
    activation = read_activation(section, default="logistic")
    channels, height, width = context.previous_shape
    inputs = channels * height * width
    values = outputs * (inputs + (BATCH_NORM_VALUES if normalize else 1))
    context.check_stored_values(section, "output", values)
    layer = Connected(inputs=inputs, outputs=outputs, batch_normalize=normalize, activation=activation)
    return Built(layer, (context.previous,), (outputs, 1, 1))


def build_local(section: Section, context: BuildContext) -> Built:
    """[local] (parser.c parse_local, local_layer.c)."""
    filters = section.integer("filters", 1, minimum=1)
    size, stride = section.integer("size", 1, minimum=1), section.integer("stride", 1, minimum=1)
    padding = section.integer("pad", 0, minimum=0)
    activation = read_activation(section, default="logistic")
    channels, height, width = context.previous_shape
    # With any `pad`, Darknet's local_out_height ignores the size of the window, but its windows do have `pad` zeros
    # around. Only values for which both agree can be computed.
    reach = size if padding == 0 else 1
    out = output_size((height, width), reach, (stride, stride), 0)
    check_output_size(section, "size", out, (height, width))
    if out != output_size((height, width), size, (stride, stride), 2 * padding):
        fitting = sorted({0, size // 2 if size % 2 else 0})
        raise section.error("pad", " or ".join(map(str, fitting)), f"{padding} with size={size}")
    places = out[0] * out[1]
    context.check_stored_values(section, "filters", filters * places * (channels * size**2 + 1))
    layer = Local(
        in_channels=channels,
        filters=filters,
        size=size,
        stride=stride,
        padding=padding,
        out=out,
        activation=activation,
    )
    return Built(layer, (context.previous,), (filters, *out))
