"""Place a training image at random on a gray canvas, as pjreddie's Darknet does.

Source: pjreddie data.c load_data_detection, image.c place_image.
"""

import cv2
import numpy as np

from yolo.data.augment.geometry import Augmentation, AugmentationSettings, draw_flip_and_colors
from yolo.records import Size

GRAY = 128  # Darknet's .5


def draw_on_canvas(
    settings: AugmentationSettings, image_size: Size, size: Size, rng: np.random.Generator
) -> Augmentation:
    """Draw an augmentation for an image on a canvas, for `show_on_canvas`.

    `jitter` changes the aspect of the image, which then fills the width or the height of the canvas. On a canvas that
    is not square it may reach outside, as in pjreddie's Darknet. `resize` has no effect.

    Args:
        settings: Limits of the changes.
        image_size: (height, width) of the image.
        size: (height, width) of the canvas.
        rng: Source of the random numbers.
    """
    (height, width), (rows, columns) = image_size, size
    more = 1 + rng.uniform(-settings.jitter, settings.jitter, 2)
    aspect = max(1, width * more[0]) / max(1, height * more[1])
    fit = (rows * aspect, rows) if aspect < 1 else (columns, columns / aspect)
    content = max(1, int(fit[0])), max(1, int(fit[1]))
    free = columns - content[0], rows - content[1]
    offset = [int(rng.uniform(min(0, each), max(0, each))) for each in free]
    return draw_flip_and_colors(
        settings,
        rng,
        left=-offset[0] * width / content[0],
        top=-offset[1] * height / content[1],
        width=columns * width / content[0],
        height=rows * height / content[1],
    )


def show_on_canvas(augmentation: Augmentation, image: np.ndarray, size: Size) -> np.ndarray:
    """Return the image uint8 `[H, W, C]` on a gray canvas uint8 `[*size, C]`, mirrored if so drawn.

    As in place_image, column x of w shows the place x / w of the image, and pixels beyond its last one are black.
    """
    (height, width), channels = image.shape[:2], image.shape[2]
    step_x, step_y = augmentation.width / size[1], augmentation.height / size[0]
    content = round(width / step_x), round(height / step_y)
    left, top = round(-augmentation.left / step_x), round(-augmentation.top / step_y)
    placed = cv2.warpAffine(
        image,
        np.array([[step_x, 0, 0], [0, step_y, 0]]),
        content,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    ).reshape(content[1], content[0], channels)
    canvas = np.full((*size, channels), GRAY, np.uint8)
    right, bottom = min(size[1], left + content[0]), min(size[0], top + content[1])
    inside = placed[max(0, -top) : bottom - top, max(0, -left) : right - left]
    canvas[max(0, top) : bottom, max(0, left) : right] = inside
    return cv2.flip(canvas, 1).reshape(canvas.shape) if augmentation.flip else canvas
