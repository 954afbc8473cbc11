"""Augmentation in two steps: draw what will be done, then do it to the image and its boxes alike.

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
    """How far images may be changed, in Darknet's words.

    jitter: each side is cut or widened by at most this share; resize: zoom by at most this factor;
    hue: in turns of the color circle; saturation, exposure: at most this factor or its inverse; letter_box: keep the
    images' aspect.
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
    """What happens to one image.

    left, top, width, height: the part that is shown, in image pixels, whole ones for `augment_image`; it may
    reach outside. flip: mirrored left to right. hue: turns added; saturation, exposure: factors.
    """

    left: float
    top: float
    width: float
    height: float
    flip: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0


def draw_augmentation(
    settings: AugmentationSettings, image_size: tuple[int, int], rng: np.random.Generator
) -> Augmentation:
    """Draw an augmentation for an image of (height, width)."""
    height, width = image_size
    cuts = rng.uniform(-settings.jitter, settings.jitter, 4)  # left, right, top, bottom
    most = max(settings.resize, 1 / settings.resize)  # below 1 the image only gets smaller
    zoom = rng.uniform(0.5 * (1 - most), 0.5 * (1 - 1 / most) if settings.resize > 1 else 0, 2)
    cuts += (zoom[0], zoom[1], zoom[0], zoom[1])
    left, right = (int(cut * width) for cut in cuts[:2])
    top, bottom = (int(cut * height) for cut in cuts[2:])
    return draw_look(
        settings,
        rng,
        left=left,
        top=top,
        width=max(1, width - left - right),
        height=max(1, height - top - bottom),
    )


def draw_look(
    settings: AugmentationSettings, rng: np.random.Generator, **part: float
) -> Augmentation:
    """Draw flip and colors for the `part` (left, top, width, height) of an image."""
    return Augmentation(
        **part,
        flip=settings.flip and bool(rng.integers(2)),
        hue=rng.uniform(-settings.hue, settings.hue),
        saturation=draw_factor(settings.saturation, rng),
        exposure=draw_factor(settings.exposure, rng),
    )


def letterboxed(
    augmentation: Augmentation, image_size: tuple[int, int], size: tuple[int, int]
) -> Augmentation:
    """The same, shown so much wider or higher that the image keeps its aspect in a network input of `size`.

    Source: AlexeyAB data.c load_data_detection, letter_box: the image's own sides decide, not the cut ones.
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


def is_small(augmentation: Augmentation, size: tuple[int, int]) -> bool:
    """Whether what is shown has twice the pixels of a network input of `size`, or more, both ways.

    Then an image of half its size shows as much, see `halved`: Darknet's linear resizing skips pixels there.
    """
    return augmentation.width >= 2 * size[1] and augmentation.height >= 2 * size[0]


def halved(augmentation: Augmentation) -> Augmentation:
    """The same for the image at half its size; in whole pixels, so up to a quarter of a network pixel off.

    Decoding at half the size costs a third. Against resizing the whole of an image by 1/2 to 1/4 it changes six
    photographs by 2.2 to 4.4 of 255 on average (one of fine leaves by 13); detection's resizing, with its corners
    aligned, differs from this one by 3.1 to 8.6 (20), and from images halved first by no more than that.
    """
    left, top = round(augmentation.left / 2), round(augmentation.top / 2)
    right = round((augmentation.left + augmentation.width) / 2)
    bottom = round((augmentation.top + augmentation.height) / 2)
    return replace(augmentation, left=left, top=top, width=right - left, height=bottom - top)


def augment_image(
    augmentation: Augmentation, image: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """uint8 `[H, W, C]` → uint8 `[*size, C]`; size: (height, width) of the network input.

    Outside the image its mean color stands.
    """
    return recolor(augmentation, show_part(augmentation, image, size))


def show_part(augmentation: Augmentation, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The first half of `augment_image`: the part that is shown, as large as the network input, mirrored."""
    shown = _crop(augmentation, image)
    # The flip comes last in effect and first in cost: a smaller image is quicker to mirror.
    resized = cv2.resize(shown, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    if augmentation.flip:
        resized = cv2.flip(resized, 1)
    return resized.reshape(*size, image.shape[2])


def show_window(
    augmentation: Augmentation,
    image: np.ndarray,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
) -> np.ndarray:
    """The pixels xyxy `window` of `show_part`'s image, and no others computed.

    The same but for OpenCV's rounding of places to 32nds of a pixel, and for pixels at the border of what is shown,
    which here see their neighbors beyond it.
    """
    x1, y1, x2, y2 = window
    if x1 == x2 or y1 == y2:
        return np.empty((y2 - y1, x2 - x1, image.shape[2]), np.uint8)
    step_x, step_y = augmentation.width / size[1], augmentation.height / size[0]
    first_x, first_y = (
        augmentation.left + (x1 + 0.5) * step_x,
        augmentation.top + (y1 + 0.5) * step_y,
    )
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


def recolor(augmentation: Augmentation, image: np.ndarray) -> np.ndarray:
    """The second half: uint8 `[H, W, C]` with hue, saturation and value changed, each by a table of 256 entries.

    A gray image has its exposure alone.
    """
    unchanged = (augmentation.hue, augmentation.saturation, augmentation.exposure) == (0, 1, 1)
    if unchanged or image.size == 0:
        return image
    if image.shape[2] == 1:
        exposed = cv2.LUT(image, _table(LEVELS * augmentation.exposure))
        return exposed.reshape(image.shape)
    changed = (
        (LEVELS + augmentation.hue * HUES) % HUES,
        LEVELS * augmentation.saturation,
        LEVELS * augmentation.exposure,
    )
    tables = _table(np.stack(changed, axis=-1)[None])
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def augment_boxes(
    augmentation: Augmentation,
    boxes: np.ndarray,
    image_size: tuple[int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """cxcywh `[M, 4]` relative to the image → the same relative to the network input, and bool `[M]`: still there.

    Boxes are cut at the border; one of which less than a network pixel is left is not there any more.
    """
    height, width = image_size
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


def draw_factor(most: float, rng: np.random.Generator) -> float:
    """A factor between 1 and `most`, which may be below 1, or its inverse (utils.c rand_scale); 0 changes nothing."""
    factor = rng.uniform(min(1, most), max(1, most)) if most > 0 and most != 1 else 1.0
    return factor if rng.integers(2) else 1 / factor


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
    border = cv2.BORDER_CONSTANT  # some 40 times quicker than to fill an array and copy into it
    return cv2.copyMakeBorder(inside, above, below, before, behind, border, value=mean)


def _mean(image: np.ndarray) -> list[int]:
    return [round(level) for level in cv2.mean(image)]


def _table(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)
