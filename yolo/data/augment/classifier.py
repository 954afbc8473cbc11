"""Augmentation of a classifier's images in two steps: draw the changes, then apply them to pixels and labels.

Source: data.c load_image_augment_paths (both Darknets), image.c random_augment_image and rotate_crop_image, AlexeyAB
data.c load_data_augment. Darknet draws whether to mix once for many images, this module for each image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from yolo.data.augment.color import draw_factor, recolor
from yolo.records import Size
from yolo.settings import ColorSettings, CropSettings, MixingSettings, TrainingSettings

MIXUP_OPACITY = 0.5
CUTMIX_SIDES = 0.3, 0.8  # of the input's sides: 9 % to 64 % of the image
MOSAIC_CUT = 0.2, 0.8  # of the input's sides: where the four images meet
BLURRED_ONE_IN = 4
BLUR_WINDOW = 15  # pixels, if the cfg has blur=1


@dataclass(frozen=True)
class ClassifierSettings:
    """Limits of the changes of a classifier's images, from [net].

    width: of the network, in pixels; crop.smallest and crop.largest are scaled from it to the width of an input.
    wander: an image smaller than the input is placed at random (pjreddie), not in the middle (AlexeyAB).
    """

    crop: CropSettings
    color: ColorSettings
    mixing: MixingSettings
    flip: bool
    width: int
    wander: bool = False


@dataclass(frozen=True)
class View:
    """The change of one image: rotated counterclockwise by `turn` radians around its center.

    scale: network pixels per image pixel, vertically; horizontally it is scale / aspect.
    right, down: from the center of the image to that of the input, in network pixels before the rotation.
    flip: mirrored left to right; hue: turns of the color circle added; saturation, exposure: factors.
    """

    turn: float
    scale: float
    aspect: float
    right: float
    down: float
    flip: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0


@dataclass(frozen=True)
class Pane:
    """A part of the input, in its pixels, that shows another image; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int
    opacity: float = 1.0


def classifier_settings(training: TrainingSettings, width: int, dialect: str = "alexeyab") -> ClassifierSettings:
    """Return the limits that [net] sets. width: of the network, in pixels."""
    return ClassifierSettings(
        training.crop, training.color, training.mixing, training.flip, width, dialect == "pjreddie"
    )


def draw_view(settings: ClassifierSettings, image_size: Size, size: Size, rng: np.random.Generator) -> View:
    """Draw the change of an image (image.c random_augment_image).

    Args:
        settings: Limits of the changes.
        image_size: (height, width) of the image.
        size: (height, width) of the network input.
        rng: Source of the random numbers.
    """
    height, width = image_size
    side = max(size)  # Darknet cuts out a square and squeezes it if the input is not square
    aspect = draw_factor(settings.crop.aspect, rng)
    smaller = max(1, int(min(height, width * aspect)))  # as Darknet; the shown width is w / aspect
    scale = _cropped_side(settings, size[1], rng) / smaller
    right, down = (width * scale / aspect - side) / 2, (height * scale - side) / 2
    if not settings.wander:
        right, down = max(0.0, right), max(0.0, down)
    angle = math.radians(settings.crop.angle)
    return View(
        turn=_symmetric(angle, rng),
        scale=scale,
        aspect=aspect,
        right=_symmetric(right, rng),
        down=_symmetric(down, rng),
        flip=settings.flip and bool(rng.integers(2)),
        hue=_symmetric(settings.color.hue, rng),
        saturation=draw_factor(settings.color.saturation, rng),
        exposure=draw_factor(settings.color.exposure, rng),
    )


def view_matrix(view: View, image_size: Size, size: Size) -> np.ndarray:
    """Return float64 `[2, 3]`: (x, y, 1) of the input before its flip → (x, y) of the image (rotate_crop_image)."""
    side = max(size)
    squeeze_y, squeeze_x = ((side - 1) / max(1, length - 1) for length in size)  # resize_image
    cosine, sine = math.cos(view.turn) / view.scale, math.sin(view.turn) / view.scale
    turned = np.array([[cosine * view.aspect, -sine], [sine * view.aspect, cosine]])
    middle = np.array([view.right - side / 2, view.down - side / 2])
    shift = turned @ middle + (image_size[1] / 2, image_size[0] / 2)
    return np.concatenate((turned * (squeeze_x, squeeze_y), shift[:, None]), axis=1)


def show(view: View, image: np.ndarray, size: Size) -> np.ndarray:
    """Apply the change to an image uint8 `[H, W, C]`; returns uint8 `[*size, C]`, black outside the image."""
    height, width = size
    part = cv2.warpAffine(
        image,
        view_matrix(view, image.shape[:2], size),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).reshape(height, width, image.shape[2])
    if view.flip:
        part = cv2.flip(part, 1).reshape(part.shape)
    return recolor(part, view.hue, view.saturation, view.exposure)


def draw_panes(mixing: MixingSettings, size: Size, rng: np.random.Generator) -> tuple[Pane, ...]:
    """Draw the panes of an input of (height, width) that show other images. In half of all cases there are none.

    With mosaic and cutmix, one of the two is drawn. Both override mixup (AlexeyAB parser.c parse_net_options).
    """
    kinds = [_cutmix] * mixing.cutmix + [_mosaic] * mixing.mosaic or [_mixup] * mixing.mixup
    if not kinds or rng.integers(2) == 0:
        return ()
    return kinds[rng.integers(len(kinds))](size, rng)


def paste(images: Sequence[np.ndarray], panes: Sequence[Pane]) -> np.ndarray:
    """Return the first image uint8 `[H, W, C]` with one of the others in each pane, at the same place."""
    base, *others = images
    mixed = base.copy()
    for other, pane in zip(others, panes, strict=True):
        place = np.s_[pane.top : pane.bottom, pane.left : pane.right]
        if pane.opacity < 1:
            blend = cv2.addWeighted(mixed[place], 1 - pane.opacity, other[place], pane.opacity, 0)
            mixed[place] = blend.reshape(mixed[place].shape)
        else:
            mixed[place] = other[place]
    return mixed


def image_fractions(panes: Sequence[Pane], size: Size) -> np.ndarray:
    """Return the fraction of an input of (height, width) that each image fills: float64 `[1 + panes]`, sum 1."""
    others = [
        pane.opacity * (pane.right - pane.left) * (pane.bottom - pane.top) / (size[0] * size[1]) for pane in panes
    ]
    return np.array([1 - sum(others), *others])


def draw_blur_window(mixing: MixingSettings, rng: np.random.Generator) -> int:
    """Draw the odd window of a blur in pixels; 0, for none, in three of four cases."""
    if not mixing.blur or rng.integers(BLURRED_ONE_IN) > 0:
        return 0
    return (BLUR_WINDOW if mixing.blur == 1 else mixing.blur) | 1  # OpenCV takes odd ones only


def blur(image: np.ndarray, window: int) -> np.ndarray:
    """Blur uint8 `[H, W, C]` by a Gaussian of `window` pixels (image_opencv.cpp blur_image); 0 changes nothing."""
    if window == 0:
        return image
    return cv2.GaussianBlur(image, (window, window), 0).reshape(image.shape)


def _cropped_side(settings: ClassifierSettings, width: int, rng: np.random.Generator) -> int:
    """Draw the length of the image's smaller side, in pixels, for a network of that width."""
    ends = (settings.crop.smallest, settings.crop.largest)
    low, high = sorted(int(end * width / settings.width) for end in ends)  # as rand_int does
    return max(1, int(rng.integers(low, high + 1)))


def _mixup(size: Size, _rng: np.random.Generator) -> tuple[Pane, ...]:
    return (Pane(0, 0, size[1], size[0], MIXUP_OPACITY),)


def _cutmix(size: Size, rng: np.random.Generator) -> tuple[Pane, ...]:
    height, width = (_between(length, CUTMIX_SIDES, rng) for length in size)
    left = int(rng.integers(size[1] - width))
    top = int(rng.integers(size[0] - height))
    return (Pane(left, top, left + width, top + height),)


def _mosaic(size: Size, rng: np.random.Generator) -> tuple[Pane, ...]:
    """Return the panes: the first image is above and left of the cut, the others right of it, below it, and both."""
    y, x = (_between(length, MOSAIC_CUT, rng) for length in size)
    height, width = size
    return Pane(x, 0, width, y), Pane(0, y, x, height), Pane(x, y, width, height)


def _between(length: int, ends: tuple[float, float], rng: np.random.Generator) -> int:
    """Draw a whole number from ends[0] to ends[1] times `length`."""
    return int(rng.integers(int(length * ends[0]), int(length * ends[1]) + 1))


def _symmetric(most: float, rng: np.random.Generator) -> float:
    """Draw a number from -most to most."""
    return float(rng.uniform(-abs(most), abs(most)))
