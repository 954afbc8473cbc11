"""LayerCAM of a classifier: find the places of an image that raise the score of a class."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from yolo.explain.layer_cam import layer_cam, score_gradients, traced_pass
from yolo.model.building import stored_tensors
from yolo.model.network import IMAGE, Network

STRONGEST = 0.75  # opacity of the map where it is largest
GRAY = 0.75  # brightness of the image below the map, so that its colors are seen


def map_layer(network: Network) -> int:
    """Return the layer whose values LayerCAM weighs: the last one with more than one pixel.

    A map of the classes themselves, as in Darknet19 before its [avgpool], is left out, because only one of its
    channels affects a class. IMAGE if no layer has more than one pixel.
    """
    last = max((at for at, (_, height, width) in enumerate(network.shapes) if height * width > 1), default=IMAGE)
    learned_after = any(stored_tensors(layer) for layer in network.layers[last + 1 :])
    if last != IMAGE and network.shapes[last][0] == network.classes and not learned_after:
        return network.sources[last][0]
    return last


def class_maps(network: Network, image: Tensor, classes: Sequence[int], layer: int) -> list[np.ndarray]:
    """Return the LayerCAM map of each class for one image.

    Args:
        network: a classifier in evaluation mode.
        image: float32 `[C, H, W]`, the network input, on the network's device.
        classes: their numbers.
        layer: see `map_layer`.

    Returns:
        float32 `[h, w]` for each class, of the layer's size, from 0 to 1 at the strongest place; 0 everywhere if
        nothing raises the class.
    """
    traced = traced_pass(network, image[None], (layer,))
    scores = traced.raw[0].flatten(1)[0]  # before the softmax, which would mix the other classes in
    maps = []
    for label in classes:
        gradient = score_gradients(traced, scores[label], (layer,))[layer]
        found = layer_cam(traced.features[layer], gradient)[0]
        maps.append((found / found.max().clamp(min=torch.finfo(found.dtype).tiny)).cpu().numpy())
    return maps


def heat_image(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return the image in gray with a map drawn over it, uint8 RGB `[H, W, 3]`.

    Args:
        image: uint8 RGB `[H, W, 3]`.
        heat: float32 `[h, w]` in 0..1; it is stretched over the image.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) * GRAY
    colors = cv2.applyColorMap((heat * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = STRONGEST * np.sqrt(heat)[..., None]
    return (gray * (1 - opacity) + colors * opacity).round().astype(np.uint8)
