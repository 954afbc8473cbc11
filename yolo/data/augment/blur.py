"""Blur and noise: drawn first, then done to an image that has the network's size.

Source: AlexeyAB data.c load_data_detection, image_opencv.cpp image_data_augmentation.
"""

from dataclasses import dataclass

import cv2
import numpy as np

BACKGROUND = 1  # as a kind of blur: everything but the boxes

BACKGROUND_WINDOW = 17  # pixels, whatever the cfg says

WINDOWS_A_BOX = 8  # so many blurring windows fit at least into the shorter side of the smallest box

MOST_NOISE = 127


@dataclass(frozen=True)
class Noise:
    """strength: standard deviation, of 255, 0 for none; seed: of the numbers that are added."""

    strength: int = 0
    seed: int = 0


def draw_blur(blur: int, rng: np.random.Generator) -> int:
    """One of three, equally likely: 0, no blur; BACKGROUND; `blur` as [net] has it, the window in pixels.

    So blur=1 means the background, in two images of three.
    """
    return (0, BACKGROUND, blur)[rng.integers(3)] if blur else 0


def fitting_blur(blur: int, boxes: np.ndarray, size: tuple[int, int]) -> int:
    """The same, the window narrowed to an eighth of the shortest side of `boxes` (cxcywh `[M, 4]`, 0..1 of `size`).

    As in Darknet, what has no boxes is then not blurred at all, and a window of 1 is the background's blur.
    """
    if blur <= BACKGROUND:
        return blur
    sides = (boxes[:, 2:] * (size[1], size[0])).astype(int)
    return min(blur, int(sides.min()) // WINDOWS_A_BOX) if len(boxes) else 0


def blur_image(blur: int, image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, C]`, blurred as `draw_blur` says; corners: whole pixels xyxy `[M, 4]` that BACKGROUND leaves sharp.

    They may reach outside of the image.
    """
    if not blur or image.size == 0:
        return image
    window = BACKGROUND_WINDOW if blur == BACKGROUND else blur // 2 * 2 + 1
    blurred = cv2.GaussianBlur(image, (window, window), 0).reshape(image.shape)
    if blur == BACKGROUND:
        for x1, y1, x2, y2 in corners.clip(min=0):
            blurred[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    return blurred


def draw_noise(strength: float, rng: np.random.Generator) -> Noise:
    """Noise of [net]'s gaussian_noise for one image of two."""
    if not strength or not rng.integers(2):
        return Noise()
    return Noise(min(int(strength), MOST_NOISE), int(rng.integers(2**32)))


def add_noise(noise: Noise, image: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, C]` with normal noise added.

    Darknet keeps the noise in 8 bits, where what is below 0 is 0: it makes half of the pixels brighter and none
    darker. So does this.
    """
    if not noise.strength or image.size == 0:
        return image
    normal = np.random.default_rng(noise.seed).standard_normal(image.shape, np.float32)
    added = (normal * noise.strength).clip(0, 255).round().astype(np.uint8)
    return cv2.add(image, added).reshape(image.shape)
