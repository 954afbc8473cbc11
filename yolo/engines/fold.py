"""A network's own copy for inference, with batch norm folded into the weights of the layer before it."""

import copy

import torch
from torch import Tensor, nn

from yolo.model.layers.convolution import BinaryConvolutional, Convolutional
from yolo.model.layers.dense import Connected
from yolo.model.network import Network


def folded(network: Network) -> Network:
    """Return a copy of a network for inference; the network itself is not changed.

    The copy is in evaluation mode, its parameters need no gradient, and the batch norm of convolutions and of fully
    connected layers is part of their weights and biases: w' = w * s, b' = bias - mean * s, with
    s = scale / sqrt(variance + epsilon). It is computed in float64 and rounded once; in float32, small variances
    make the result differ by 2e-4 of the largest value. Binary convolutions keep their batch norm, since the mean of
    their weights decides their size. A [batchnorm] section is also kept.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    binary = {id(layer.plain) for layer in network.modules() if isinstance(layer, BinaryConvolutional)}
    for layer in network.modules():
        if id(layer) in binary or getattr(layer, "norm", None) is None:
            continue
        if isinstance(layer, Convolutional):
            _fold(layer.conv, layer.norm)
            layer.norm = None
        elif isinstance(layer, Connected):
            _fold(layer.linear, layer.norm)
            layer.norm = None
    return network


@torch.no_grad()
def _fold(layer: nn.Conv2d | nn.Linear, norm: nn.Module) -> None:
    """Replace weights and bias of a layer without a bias by those that include the batch norm after it."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias.double() - norm.running_mean.double() * scale
    layer.weight = _frozen(layer.weight.double() * scale.view(-1, *[1] * (layer.weight.ndim - 1)), layer.weight)
    layer.bias = _frozen(bias, layer.weight)


def _frozen(values: Tensor, like: Tensor) -> nn.Parameter:
    """Return values as a parameter of the dtype of `like` that needs no gradient."""
    return nn.Parameter(values.to(like.dtype), requires_grad=False)
