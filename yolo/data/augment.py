"""Augmentation in two steps: draw what will be done, then do it to the picture and its boxes alike.

Source: AlexeyAB data.c load_data_detection and fill_truth_detection, image_opencv.cpp image_data_augmentation.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

HUES = 180  # OpenCV's 8-bit hue counts half degrees
LEVELS = np.arange(256, dtype=np.float64)
SMALLEST_SIDE = (
    1  # network pixels; a box cut down to less is gone (fill_truth_detection: lowest_w = 1 / w)
)


@dataclass(frozen=True)
class AugmentationSettings:
    """How far pictures may be changed, in Darknet's words.

    jitter: each side is cut or widened by at most this share; resize: zoom by at most this factor;
    hue: in turns of the colour circle; saturation, exposure: at most this factor or its inverse; letter_box: keep the
    pictures' aspect.
    """

    jitter: float = 0.0
    resize: float = 1.0
    flip: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    letter_box: bool = False


@dataclass(frozen=True)
class Augmentation:
    """What happens to one picture.

    left, top, width, height: the part that is shown, in picture pixels; it may reach outside, where the picture's
    mean colour stands. flip: mirrored left to right. hue: turns added; saturation, exposure: factors.
    """

    left: int
    top: int
    width: int
    height: int
    flip: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0


def draw_augmentation(
    settings: AugmentationSettings, picture_size: tuple[int, int], rng: np.random.Generator
) -> Augmentation:
    """Draw an augmentation for a picture of (height, width)."""
    height, width = picture_size
    cuts = rng.uniform(-settings.jitter, settings.jitter, 4)  # left, right, top, bottom
    most = max(settings.resize, 1 / settings.resize)  # below 1 the picture only gets smaller
    zoom = rng.uniform(0.5 * (1 - most), 0.5 * (1 - 1 / most) if settings.resize > 1 else 0, 2)
    cuts += (zoom[0], zoom[1], zoom[0], zoom[1])
    left, right = (int(cut * width) for cut in cuts[:2])
    top, bottom = (int(cut * height) for cut in cuts[2:])
    return Augmentation(
        left=left,
        top=top,
        width=max(1, width - left - right),
        height=max(1, height - top - bottom),
        flip=settings.flip and bool(rng.integers(2)),
        hue=rng.uniform(-settings.hue, settings.hue),
        saturation=_factor(settings.saturation, rng),
        exposure=_factor(settings.exposure, rng),
    )


def letterboxed(
    augmentation: Augmentation, picture_size: tuple[int, int], size: tuple[int, int]
) -> Augmentation:
    """The same, shown so much wider or higher that the picture keeps its aspect in a network input of `size`.

    Source: AlexeyAB data.c load_data_detection, letter_box: the picture's own sides decide, not the cut ones.
    """
    height, width = picture_size
    more_height = max(0, int((width * size[0] / size[1] - height) / 2))
    more_width = max(0, int((height * size[1] / size[0] - width) / 2))
    return replace(
        augmentation,
        left=augmentation.left - more_width,
        top=augmentation.top - more_height,
        width=augmentation.width + 2 * more_width,
        height=augmentation.height + 2 * more_height,
    )


def augment_picture(
    augmentation: Augmentation, picture: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """uint8 `[H, W, C]` → uint8 `[*size, C]`; size: (height, width) of the network input."""
    shown = _crop(augmentation, picture)
    # The flip comes last in effect and first in cost: a smaller picture is quicker to mirror.
    resized = cv2.resize(shown, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    if augmentation.flip:
        resized = cv2.flip(resized, 1)
    resized = resized.reshape(*size, picture.shape[2])
    if picture.shape[2] == 1:
        return cv2.LUT(resized, _table(LEVELS * augmentation.exposure))[:, :, None]
    return _change_colours(augmentation, resized)


def augment_boxes(
    augmentation: Augmentation,
    boxes: np.ndarray,
    picture_size: tuple[int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """cxcywh `[M, 4]` relative to the picture → the same relative to the network input, and bool `[M]`: still there.

    Boxes are cut at the border; one of which less than a network pixel is left is not there any more.
    """
    height, width = picture_size
    scale = np.array([width / augmentation.width, height / augmentation.height])
    shift = np.array(
        [augmentation.left / augmentation.width, augmentation.top / augmentation.height]
    )
    low = (boxes[:, :2] - boxes[:, 2:] / 2) * scale - shift
    high = (boxes[:, :2] + boxes[:, 2:] / 2) * scale - shift
    if augmentation.flip:
        low[:, 0], high[:, 0] = 1 - high[:, 0], 1 - low[:, 0]
    low, high = low.clip(0, 1), high.clip(0, 1)
    sides = high - low
    there = (sides * (size[1], size[0]) >= SMALLEST_SIDE).all(axis=1)
    return np.concatenate(((low + high) / 2, sides), axis=1).astype(np.float32), there


def _factor(most: float, rng: np.random.Generator) -> float:
    """A factor in 1..most or its inverse (utils.c rand_scale)."""
    factor = rng.uniform(1, most) if most > 1 else 1.0
    return factor if rng.integers(2) else 1 / factor


def _crop(augmentation: Augmentation, picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    left, top = augmentation.left, augmentation.top
    right, bottom = left + augmentation.width, top + augmentation.height
    inside = picture[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    if inside.shape[:2] == (augmentation.height, augmentation.width):
        return inside
    mean = cv2.mean(picture)[: picture.shape[2]]
    canvas = np.empty((augmentation.height, augmentation.width, picture.shape[2]), np.uint8)
    canvas[:] = np.round(mean).astype(np.uint8)
    y, x = max(0, -top), max(0, -left)
    canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return canvas


def _change_colours(augmentation: Augmentation, picture: np.ndarray) -> np.ndarray:
    """Turn the hue, scale saturation and value, each by a table of 256 entries."""
    unchanged = (augmentation.hue, augmentation.saturation, augmentation.exposure) == (0, 1, 1)
    if unchanged:
        return picture
    changed = (
        (LEVELS + augmentation.hue * HUES) % HUES,
        LEVELS * augmentation.saturation,
        LEVELS * augmentation.exposure,
    )
    tables = _table(np.stack(changed, axis=-1)[None])
    hsv = cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), tables)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _table(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)
