"""Augmentation of a classifier's images in two steps: draw what will be done, then do it to pixels and label shares.

Source: data.c load_image_augment_paths (both Darknets), image.c random_augment_image and rotate_crop_image, AlexeyAB
data.c load_data_augment. Darknet tosses the coin for mixing once for many images, this for each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from yolo.data.augment.geometry import Augmentation, augment_image, draw_factor
from yolo.settings import ColorSettings, CropSettings, MixingSettings, TrainingSettings

MIXUP_OPACITY = 0.5

CUTMIX_SIDES = 0.3, 0.8  # of the input's sides: 9 % to 64 % of the image

MOSAIC_CUT = 0.2, 0.8  # of the input's sides: where the four images meet

BLURRED_ONE_IN = 4

BLUR_WINDOW = 15  # pixels, where the cfg says blur=1


@dataclass(frozen=True)
class ClassifierSettings:
    """How far a classifier's images may be changed, as [net] says.

    width: of the network, in pixels, for which crop.smallest and crop.largest are meant; they grow with the input.
    wander: an image smaller than the input stands anywhere in it (pjreddie's), not in its middle (AlexeyAB's).
    """

    crop: CropSettings
    color: ColorSettings
    mixing: MixingSettings
    flip: bool
    width: int
    wander: bool = False


@dataclass(frozen=True)
class View:
    """How one image is shown: turned by `turn` radians around its middle, against the clock.

    scale: network pixels an image pixel, vertically; horizontally it is scale / aspect.
    right, down: how far the input's middle lies from the image's, in network pixels before the turn.
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
    """A part of the input, in its pixels, where another image shows; right and bottom are not inside."""

    left: int
    top: int
    right: int
    bottom: int
    opacity: float = 1.0


def classifier_settings(
    training: TrainingSettings, width: int, dialect: str = "alexeyab"
) -> ClassifierSettings:
    """What [net] says about a classifier's images; width: of its network, in pixels."""
    return ClassifierSettings(
        training.crop, training.color, training.mixing, training.flip, width, dialect == "pjreddie"
    )


def draw_view(
    settings: ClassifierSettings,
    image_size: tuple[int, int],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> View:
    """Draw a view of an image for a network input, both (height, width) (image.c random_augment_image)."""
    height, width = image_size
    side = max(size)  # Darknet cuts out a square and squeezes it where the input is none
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


def view_matrix(view: View, image_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """float64 `[2, 3]`: (x, y, 1) of the input before its flip → (x, y) of the image (image.c rotate_crop_image)."""
    side = max(size)
    squeeze_y, squeeze_x = ((side - 1) / max(1, length - 1) for length in size)  # resize_image
    cosine, sine = math.cos(view.turn) / view.scale, math.sin(view.turn) / view.scale
    turned = np.array([[cosine * view.aspect, -sine], [sine * view.aspect, cosine]])
    middle = np.array([view.right - side / 2, view.down - side / 2])
    shift = turned @ middle + (image_size[1] / 2, image_size[0] / 2)
    return np.concatenate((turned * (squeeze_x, squeeze_y), shift[:, None]), axis=1)


def show(view: View, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 `[H, W, C]` → what the view shows of it, uint8 `[*size, C]`; black where the image ends."""
    height, width = size
    cut = cv2.warpAffine(
        image,
        view_matrix(view, image.shape[:2], size),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).reshape(height, width, image.shape[2])
    colors = Augmentation(0, 0, width, height, view.flip, view.hue, view.saturation, view.exposure)
    return augment_image(colors, cut, size)


def draw_panes(
    mixing: MixingSettings, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Pane, ...]:
    """Draw where other images show in an input of (height, width): nowhere in half of all cases.

    With mosaic and cutmix either of the two; both go before mixup (AlexeyAB parser.c parse_net_options).
    """
    kinds = [
        draw for wanted, draw in ((mixing.cutmix, _cutmix), (mixing.mosaic, _mosaic)) if wanted
    ] or [_mixup] * mixing.mixup
    if not kinds or rng.integers(2) == 0:
        return ()
    return kinds[rng.integers(len(kinds))](size, rng)


def paste(images: Sequence[np.ndarray], panes: Sequence[Pane]) -> np.ndarray:
    """The first of the images uint8 `[H, W, C]`, the others, one a pane, showing in it at the same places."""
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


def shares(panes: Sequence[Pane], size: tuple[int, int]) -> np.ndarray:
    """How much of an input of (height, width) each image holds: float64 `[1 + panes]`, the first's first, sum 1."""
    others = [
        pane.opacity * (pane.right - pane.left) * (pane.bottom - pane.top) / (size[0] * size[1])
        for pane in panes
    ]
    return np.array([1 - sum(others), *others])


def draw_blur(mixing: MixingSettings, rng: np.random.Generator) -> int:
    """Draw the window of a blur in pixels, odd; 0, for none, three times of four."""
    if not mixing.blur or rng.integers(BLURRED_ONE_IN) > 0:
        return 0
    return (BLUR_WINDOW if mixing.blur == 1 else mixing.blur) | 1  # OpenCV takes odd ones only


def blur(image: np.ndarray, window: int) -> np.ndarray:
    """uint8 `[H, W, C]`, softened by a Gaussian of `window` pixels (image_opencv.cpp blur_image); 0: as it is."""
    if window == 0:
        return image
    return cv2.GaussianBlur(image, (window, window), 0).reshape(image.shape)


def _cropped_side(settings: ClassifierSettings, width: int, rng: np.random.Generator) -> int:
    """How long the image's smaller side is to become, in pixels, for a network of that width."""
    ends = (settings.crop.smallest, settings.crop.largest)
    low, high = sorted(int(end * width / settings.width) for end in ends)  # as rand_int does
    return max(1, int(rng.integers(low, high + 1)))


def _mixup(size: tuple[int, int], _rng: np.random.Generator) -> tuple[Pane, ...]:
    return (Pane(0, 0, size[1], size[0], MIXUP_OPACITY),)


def _cutmix(size: tuple[int, int], rng: np.random.Generator) -> tuple[Pane, ...]:
    height, width = (_between(length, CUTMIX_SIDES, rng) for length in size)
    left = int(rng.integers(size[1] - width))
    top = int(rng.integers(size[0] - height))
    return (Pane(left, top, left + width, top + height),)


def _mosaic(size: tuple[int, int], rng: np.random.Generator) -> tuple[Pane, ...]:
    """The first image shows above and left of the cut, the others right of it, below it, and both."""
    y, x = (_between(length, MOSAIC_CUT, rng) for length in size)
    height, width = size
    return (
        Pane(x, 0, width, y),
        Pane(0, y, x, height),
        Pane(x, y, width, height),
    )


def _between(length: int, ends: tuple[float, float], rng: np.random.Generator) -> int:
    """A whole number from ends[0] to ends[1] of `length`."""
    return int(rng.integers(int(length * ends[0]), int(length * ends[1]) + 1))


def _symmetric(most: float, rng: np.random.Generator) -> float:
    """A number from -most to most."""
    return float(rng.uniform(-abs(most), abs(most)))
