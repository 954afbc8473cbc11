"""Draw maps as transparent images over a photo: cells, classes and heat, as data URIs."""

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from yolo.explain.boxed_images import scaled_to
from yolo.pages.page import data_uri

LONG_SIDE = 720  # pixels of a photo on a page
HEAT_SIDE = 112  # pixels of a heat map; the browser enlarges it smoothly
OPACITIES = 16  # steps of opacity, so that the images of many classes stay small
HEAT_OPACITY = 0.92  # where the heat is largest
NEAR = 1e-12  # a map whose largest value is below is not shown

Color = tuple[int, int, int]


def photo_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image `[H, W, C]`, C 1 or 3, as a JPEG whose longer side has at most LONG_SIDE pixels."""
    return data_uri(_three_channels(scaled_to(pixels, LONG_SIDE)))


def input_uri(network_input: Tensor) -> str:
    """Return a network input, float `[C, H, W]` in 0..1, pixel by pixel."""
    pixels = (network_input.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return data_uri(_three_channels(np.ascontiguousarray(pixels)), ".png")


def cells_uri(opacity: Tensor, color: Color) -> str:
    """Return a map `[H, W]` in 0..1 as cells of one color, which are as opaque as the numbers are large."""
    image = np.empty((*opacity.shape, 4), np.uint8)
    image[..., :3] = color
    image[..., 3] = _opacities(opacity)
    return data_uri(image, ".png")


def classes_uri(labels: Tensor, opacity: Tensor, colors: NDArray[np.uint8]) -> str:
    """Return cells in the color of their class; labels, opacity: `[H, W]`; colors: `[classes, 3]`."""
    image = np.concatenate((colors[labels.numpy()], _opacities(opacity)[..., None]), axis=-1)
    return data_uri(np.ascontiguousarray(image), ".png")


def stacked_uri(maps: Tensor, colors: NDArray[np.uint8]) -> str:
    """Return N maps `[N, H, W]` in 0..1 below each other in one image, each in its color; colors: `[N, 3]`."""
    count, height, width = maps.shape
    image = np.empty((count, height, width, 4), np.uint8)
    image[..., :3] = colors[:, None, None]
    image[..., 3] = _opacities(maps)
    return data_uri(image.reshape(count * height, width, 4), ".png")


def heat_uri(values: Tensor) -> str | None:
    """Return a map `[H, W]`, at least 0, as heat from clear over violet to yellow; None if it is 0 everywhere."""
    largest = float(values.max())
    if not largest > NEAR:
        return None
    height, width = values.shape
    scale = HEAT_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    heat = cv2.resize((values.float() / largest).numpy(), size, interpolation=method)
    heat = np.clip(heat / max(float(heat.max()), NEAR), 0, 1)
    colors = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = (255 * HEAT_OPACITY * np.minimum(1, 1.6 * heat)).astype(np.uint8)
    return data_uri(np.ascontiguousarray(np.concatenate((colors, opacity[..., None]), axis=-1)), ".png")


def channel_uri(values: Tensor) -> str:
    """Return a channel `[H, W]` of a layer, its smallest value dark and its largest bright."""
    low, high = float(values.min()), float(values.max())
    scaled = ((values.float() - low) / max(high - low, NEAR) * 255).byte().numpy()
    return data_uri(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS)[..., ::-1], ".png")


def _opacities(values: Tensor) -> NDArray[np.uint8]:
    """Return 0..1 as 0..255, in OPACITIES steps."""
    steps = OPACITIES - 1
    return (values.float().nan_to_num(0, 1, 0).clamp(0, 1) * steps).round().numpy().astype(np.uint8) * (255 // steps)


def _three_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels[..., :1], 3, axis=2)
