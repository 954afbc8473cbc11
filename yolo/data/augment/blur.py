"""Blur and noise: drawn first, then applied to an image of the network's size.

Source: AlexeyAB data.c load_data_detection, image_opencv.cpp image_data_augmentation.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from yolo.records import Size

BACKGROUND = 1  # as a value of `blur`: everything except the boxes
BACKGROUND_WINDOW = 17  # pixels, for any value in the cfg
WINDOWS_A_BOX = 8  # the shorter side of the smallest box is at least that many windows long
MOST_NOISE = 127


@dataclass(frozen=True)
class Noise:
    """strength: standard deviation, of 255; seed: of the numbers that are added."""

    strength: int
    seed: int


def draw_blur(blur: int, rng: np.random.Generator) -> int:
    """Draw one of three values with equal probability: 0, no blur; BACKGROUND; `blur` of [net], the window in pixels.

    So blur=1 blurs the background in two images of three.
    """
    return (0, BACKGROUND, blur)[rng.integers(3)]


def fitting_blur(blur: int, boxes: np.ndarray, size: Size) -> int:
    """Narrow the window to an eighth of the shortest side of `boxes` (cxcywh `[M, 4]`, 0..1 of `size`).

    As in Darknet, an image without boxes is then not blurred, and a window of 1 blurs the background.
    """
    if blur <= BACKGROUND:
        return blur
    sides = (boxes[:, 2:] * (size[1], size[0])).astype(int)
    return min(blur, int(sides.min()) // WINDOWS_A_BOX) if len(boxes) else 0


def blur_image(blur: int, image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Blur an image uint8 `[H, W, C]`.

    corners: xyxy `[M, 4]` in whole pixels, which BACKGROUND leaves sharp. They may reach outside the image.
    """
    if image.size == 0:
        return image
    window = BACKGROUND_WINDOW if blur == BACKGROUND else blur // 2 * 2 + 1
    blurred = cv2.GaussianBlur(image, (window, window), 0).reshape(image.shape)
    if blur == BACKGROUND:
        for x1, y1, x2, y2 in corners.clip(min=0):
            blurred[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    return blurred


def draw_noise(strength: float, rng: np.random.Generator) -> Noise | None:
    """Draw noise of [net]'s gaussian_noise, in one image of two."""
    if not rng.integers(2):
        return None
    return Noise(min(int(strength), MOST_NOISE), int(rng.integers(2**32)))


def add_noise(noise: Noise, image: np.ndarray) -> np.ndarray:
    """Add normal noise to an image uint8 `[H, W, C]`.

    Darknet keeps the noise in 8 bits, where values below 0 become 0: half of the pixels get brighter, none darker.
    """
    if image.size == 0:
        return image
    normal = np.random.default_rng(noise.seed).standard_normal(image.shape, np.float32)
    added = (normal * noise.strength).clip(0, 255).round().astype(np.uint8)
    return cv2.add(image, added).reshape(image.shape)
