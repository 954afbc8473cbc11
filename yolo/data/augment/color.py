"""Color augmentation: hue, saturation and exposure of an image, drawn within the limits of [net].

Source: AlexeyAB image_opencv.cpp image_data_augmentation, utils.c rand_scale.
"""

import cv2
import numpy as np

HUES = 180  # OpenCV's 8-bit hue counts half degrees
LEVELS = np.arange(256, dtype=np.float64)


def draw_factor(most: float, rng: np.random.Generator) -> float:
    """Draw a factor between 1 and `most`, or its inverse (utils.c rand_scale). `most` may be below 1; 0 gives 1."""
    factor = rng.uniform(min(1, most), max(1, most)) if most > 0 and most != 1 else 1.0
    return factor if rng.integers(2) else 1 / factor


def recolor(image: np.ndarray, hue: float, saturation: float, exposure: float) -> np.ndarray:
    """Change hue, saturation and value, each by a table of 256 entries.

    Args:
        image: uint8 `[H, W, C]`, RGB. Of a gray image only the exposure changes.
        hue: Turns of the color circle, added.
        saturation: Factor.
        exposure: Factor of the value.

    Returns:
        uint8 `[H, W, C]`; `image` itself when nothing changes.
    """
    if (hue, saturation, exposure) == (0, 1, 1) or image.size == 0:
        return image
    if image.shape[2] == 1:
        return cv2.LUT(image, _table(LEVELS * exposure)).reshape(image.shape)
    changed = (LEVELS + hue * HUES) % HUES, LEVELS * saturation, LEVELS * exposure
    tables = _table(np.stack(changed, axis=-1)[None])
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _table(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)
