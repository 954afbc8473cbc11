"""LayerCAM: find the places of an image that raise a score, at any layer of a network.

Source: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", equations 5 to 7.
Grad-CAM weighs the channels by the mean gradient of the whole map, which mixes all objects of an image.
LayerCAM keeps the gradient of each place, so that the map of one detection shows that detection alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.model.network import IMAGE, Network


@dataclass(frozen=True)
class TracedPass:
    """A forward pass with its graph for gradients.

    features: by Darknet's number the outputs `[B, C, H, W]` of chosen layers; IMAGE, -1, is the network input.
    raw: the raw maps, as `Network.forward` returns them. All of them have a gradient with respect to the input.
    """

    features: Mapping[int, Tensor]
    raw: list[Tensor]


def traced_pass(network: Network, images: Tensor, layers: Collection[int]) -> TracedPass:
    """Compute the raw maps of a network in evaluation mode, and keep the outputs of `layers`.

    Args:
        network: a detector or a classifier; it is not changed.
        images: float32 `[B, C, H, W]`, as `Network.forward` takes them.
        layers: Darknet's numbers, from 0 on, or IMAGE.

    Raises:
        ValueError: the network has no layer of a number, or is in training mode.
    """
    if network.training:
        raise ValueError("found a network in training mode, expected network.eval()")
    if wrong := [layer for layer in layers if not IMAGE <= layer < len(network.layers)]:
        raise ValueError(f"found layer {wrong[0]}, expected 0 to {len(network.layers) - 1}")
    features: dict[int, Tensor] = {}
    hooks = [
        network.layers[layer].register_forward_hook(
            lambda _module, _inputs, output, layer=layer: features.__setitem__(layer, output)
        )
        for layer in set(layers) - {IMAGE}
    ]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            features[IMAGE] = images.detach().clone().requires_grad_()
            raw = network(features[IMAGE])
    finally:
        for hook in hooks:
            hook.remove()
    return TracedPass(features, raw)


def score_gradients(traced: TracedPass, score: Tensor, layers: Collection[int]) -> dict[int, Tensor]:
    """Return d(score)/d(features) `[B, C, H, W]` at each of `layers`; 0 where the score does not depend on a layer.

    `score` is a number computed from `traced.raw`. The pass can be used again for another score.
    """
    chosen = list(dict.fromkeys(layers))
    inputs = [traced.features[layer] for layer in chosen]
    found = torch.autograd.grad(score, inputs, retain_graph=True, allow_unused=True)
    return {
        layer: torch.zeros_like(features) if gradient is None else gradient
        for layer, features, gradient in zip(chosen, inputs, found, strict=True)
    }


def layer_cam(features: Tensor, gradient: Tensor) -> Tensor:
    """Return the LayerCAM map of a layer: `[B, C, H, W]` twice → `[B, H, W]`, at least 0, without a unit.

    Equations 6 and 7: the positive part of the gradient weighs each value; the sum over the channels is cut at 0.
    """
    return (gradient.clamp(min=0) * features.detach()).sum(dim=1).clamp(min=0)
