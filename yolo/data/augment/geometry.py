"""Geometric augmentation in two steps: draw a change, then apply it to the image and to its boxes.

Source: AlexeyAB data.c load_data_detection and fill_truth_detection, image_opencv.cpp image_data_augmentation.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from yolo.data.augment.color import draw_factor
from yolo.records import Size
from yolo.settings import ColorSettings

# Network pixels; training drops smaller boxes (AlexeyAB data.c fill_truth_detection: lowest_w = 1 / w).
SMALLEST_SIDE = 1


@dataclass(frozen=True)
class AugmentationSettings:
    """Limits of the changes, in Darknet's words.

    jitter: largest fraction by which each side is cut or widened; resize: largest zoom factor;
    letter_box: keep the aspect of the image.
    """

    jitter: float = 0.0
    resize: float = 1.0
    flip: bool = False
    color: ColorSettings = ColorSettings(hue=0.0, saturation=1.0, exposure=1.0)
    letter_box: bool = False


@dataclass(frozen=True)
class Augmentation:
    """The change of one image.

    left, top, width, height: the part that fills the network input, in image pixels; it may reach outside the image,
    and `show_part` needs whole numbers. flip: mirrored left to right. hue: turns added; saturation, exposure: factors.
    """

    left: float
    top: float
    width: float
    height: float
    flip: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0


def draw_augmentation(settings: AugmentationSettings, image_size: Size, rng: np.random.Generator) -> Augmentation:
    """Draw an augmentation for an image of (height, width)."""
    height, width = image_size
    cuts = rng.uniform(-settings.jitter, settings.jitter, 4)  # left, right, top, bottom
    most = max(settings.resize, 1 / settings.resize)  # below 1 the image only gets smaller
    zoom = rng.uniform(0.5 * (1 - most), 0.5 * (1 - 1 / most) if settings.resize > 1 else 0, 2)
    cuts += (zoom[0], zoom[1], zoom[0], zoom[1])
    left, right = (int(cut * width) for cut in cuts[:2])
    top, bottom = (int(cut * height) for cut in cuts[2:])
    return draw_flip_and_colors(
        settings,
        rng,
        left=left,
        top=top,
        width=max(1, width - left - right),
        height=max(1, height - top - bottom),
    )


def draw_flip_and_colors(settings: AugmentationSettings, rng: np.random.Generator, **part: float) -> Augmentation:
    """Draw flip and colors for the `part` (left, top, width, height) of an image."""
    return Augmentation(
        **part,
        flip=settings.flip and bool(rng.integers(2)),
        hue=rng.uniform(-settings.color.hue, settings.color.hue),
        saturation=draw_factor(settings.color.saturation, rng),
        exposure=draw_factor(settings.color.exposure, rng),
    )


def keep_aspect(augmentation: Augmentation, image_size: Size, size: Size) -> Augmentation:
    """Widen or heighten the part so that the image keeps its aspect in a network input of `size` (height, width).

    Source: AlexeyAB data.c load_data_detection, letter_box: the sides of the whole image decide, not those of the part.
    """
    height, width = image_size
    more_height = max(0, int((width * size[0] / size[1] - height) / 2))
    more_width = max(0, int((height * size[1] / size[0] - width) / 2))
    return replace(
        augmentation,
        left=augmentation.left - more_width,
        top=augmentation.top - more_height,
        width=augmentation.width + 2 * more_width,
        height=augmentation.height + 2 * more_height,
    )


def is_small(augmentation: Augmentation, size: Size) -> bool:
    """Return whether the part has at least twice the width and height of a network input of `size`.

    Then an image of half its size is enough, see `halved`: Darknet's linear resizing skips pixels there.
    """
    return augmentation.width >= 2 * size[1] and augmentation.height >= 2 * size[0]


def halved(augmentation: Augmentation) -> Augmentation:
    """Return the same change for the image at half its size, in whole pixels: off by a quarter of a pixel at most.

    Decoding at half the size costs a third. Compared with resizing the whole of an image by 1/2 to 1/4, it changes six
    photographs by a mean of 2.2 to 4.4 of 255 (one of fine leaves by 13). The resizing of detection, with aligned
    corners, differs from this one by 3.1 to 8.6 (20), and from images that were halved first by no more than that.
    """
    left, top = round(augmentation.left / 2), round(augmentation.top / 2)
    right = round((augmentation.left + augmentation.width) / 2)
    bottom = round((augmentation.top + augmentation.height) / 2)
    return replace(augmentation, left=left, top=top, width=right - left, height=bottom - top)


def show_part(augmentation: Augmentation, image: np.ndarray, size: Size) -> np.ndarray:
    """Return the part, resized to the network input and mirrored; the image's mean color outside the image.

    Args:
        augmentation: Its part is in whole pixels.
        image: uint8 `[H, W, C]`.
        size: (height, width) of the network input.

    Returns:
        uint8 `[*size, C]`.
    """
    shown = _crop(augmentation, image)
    # Mirror last: a smaller image takes less time.
    resized = cv2.resize(shown, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    if augmentation.flip:
        resized = cv2.flip(resized, 1)
    return resized.reshape(*size, image.shape[2])


def show_window(
    augmentation: Augmentation, image: np.ndarray, size: Size, window: tuple[int, int, int, int]
) -> np.ndarray:
    """Compute only the pixels `window` of the result of `show_part`.

    There are two differences: OpenCV rounds places to 32nds of a pixel, and pixels at the border of the part are
    interpolated with their neighbors beyond it.

    Args:
        augmentation: The change of the image.
        image: uint8 `[H, W, C]`.
        size: (height, width) of the network input.
        window: xyxy, in pixels of the network input.

    Returns:
        uint8, of the size of the window.
    """
    x1, y1, x2, y2 = window
    if x1 == x2 or y1 == y2:
        return np.empty((y2 - y1, x2 - x1, image.shape[2]), np.uint8)
    step_x, step_y = augmentation.width / size[1], augmentation.height / size[0]
    first_x = augmentation.left + (x1 + 0.5) * step_x
    first_y = augmentation.top + (y1 + 0.5) * step_y
    if augmentation.flip:
        first_x, step_x = augmentation.left + (size[1] - x1 - 0.5) * step_x, -step_x
    shown = cv2.warpAffine(
        image,
        np.array([[step_x, 0, first_x - 0.5], [0, step_y, first_y - 0.5]]),
        (x2 - x1, y2 - y1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_mean(image),
    )
    return shown.reshape(y2 - y1, x2 - x1, image.shape[2])


def augment_boxes(
    augmentation: Augmentation, boxes: np.ndarray, image_size: Size, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Move boxes as `show_part` moves pixels, and cut them at the border of the network input.

    Args:
        augmentation: The change of the image.
        boxes: `[M, 4]` cxcywh, 0..1 of the image.
        image_size: (height, width) of the image.
        size: (height, width) of the network input.

    Returns:
        float32 `[M, 4]` cxcywh, 0..1 of the network input; bool `[M]`: at least a network pixel wide and high.
    """
    height, width = image_size
    scale = np.array([width / augmentation.width, height / augmentation.height])
    shift = np.array([augmentation.left / augmentation.width, augmentation.top / augmentation.height])
    low = (boxes[:, :2] - boxes[:, 2:] / 2) * scale - shift
    high = (boxes[:, :2] + boxes[:, 2:] / 2) * scale - shift
    if augmentation.flip:
        low[:, 0], high[:, 0] = 1 - high[:, 0], 1 - low[:, 0]
    return visible_boxes(low.clip(0, 1), high.clip(0, 1), size)


def visible_boxes(low: np.ndarray, high: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes, float32 `[M, 4]` cxcywh, and whether each is at least a network pixel wide and high, bool `[M]`.

    low, high: `[M, 2]` corners, 0..1 of a network input of `size` (height, width).
    """
    sides = high - low
    visible = (sides * (size[1], size[0]) >= SMALLEST_SIDE).all(axis=1)
    return np.concatenate(((low + high) / 2, sides), axis=1).astype(np.float32), visible


def _crop(augmentation: Augmentation, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    left, top = augmentation.left, augmentation.top
    right, bottom = left + augmentation.width, top + augmentation.height
    inside = image[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if inside.shape[:2] == (augmentation.height, augmentation.width):
        return inside
    mean = _mean(image)
    if inside.size == 0:
        channels = image.shape[2]
        canvas = np.empty((augmentation.height, augmentation.width, channels), np.uint8)
        canvas[:] = mean[:channels]
        return canvas
    above, before = max(0, -top), max(0, -left)
    below, behind = max(0, bottom - height), max(0, right - width)
    border = cv2.BORDER_CONSTANT  # some 40 times faster than filling an array and copying into it
    return cv2.copyMakeBorder(inside, above, below, before, behind, border, value=mean)


def _mean(image: np.ndarray) -> list[int]:
    return [round(level) for level in cv2.mean(image)]
