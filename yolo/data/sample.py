"""One training sample: an image, or several mixed into one, augmented as drawn, with the boxes that are visible in it.

Source: data.c load_data_detection, in the version of AlexeyAB (with OpenCV) and that of pjreddie.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from yolo.data.augment.blur import Noise, add_noise, blur_image, draw_blur, draw_noise, fitting_blur
from yolo.data.augment.color import recolor
from yolo.data.augment.geometry import (
    Augmentation,
    AugmentationSettings,
    augment_boxes,
    draw_augmentation,
    halved,
    is_small,
    keep_aspect,
    show_part,
    show_window,
)
from yolo.data.augment.mix import TILES, blend, draw_cut, into_corner, move_boxes, tile_of
from yolo.data.augment.pjreddie import draw_on_canvas, show_on_canvas
from yolo.records import LabeledBoxes, Size
from yolo.settings import MixingSettings

Window = tuple[int, int, int, int]  # xyxy, in pixels of the network input
Read = Callable[[bool], np.ndarray]  # True: at half its size → the image, uint8 [H, W, C]


@dataclass(frozen=True)
class AugmentationMethod:
    """How a Darknet augments: `draw` a change, `show` a window of the result; `mixes`: with MixingSettings."""

    draw: Callable[[AugmentationSettings, Size, Size, np.random.Generator], Augmentation]
    show: Callable[[Augmentation, Read, Size, Window], np.ndarray]
    mixes: bool


@dataclass(frozen=True)
class Recipe:
    """How samples are made. max_boxes: the largest number of boxes of a sample; a random choice if there are more."""

    method: AugmentationMethod
    settings: AugmentationSettings
    mixing: MixingSettings
    max_boxes: int


class Source(NamedTuple):
    """An image of (height, width), its ground truth, and the function that reads it."""

    size: Size
    ground_truth: LabeledBoxes
    read: Read


class Sample(NamedTuple):
    """image: uint8 `[H, W, C]`; labels: int64 `[M]`; boxes: float32 cxcywh `[M, 4]`, 0..1 of the image."""

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray


class DrawnChange(NamedTuple):
    """All changes of one image. order: int64 `[M]`, the boxes that are used; blur: see `draw_blur`, 0 for none."""

    augmentation: Augmentation
    order: np.ndarray
    blur: int = 0
    noise: Noise | None = None


def draw_images(recipe: Recipe, rng: np.random.Generator) -> int:
    """Draw the number of images of a sample: with mosaic=1 half of the samples have 4, with mixup=1 half have 2.

    mosaic overrides mixup (parser.c parse_net_options). Darknet draws once for all images that a thread loads
    together, this function for each sample.
    """
    mixing = recipe.mixing
    if not (recipe.method.mixes and (mixing.mosaic or mixing.mixup)) or not rng.integers(2):
        return 1
    return TILES if mixing.mosaic else 2


def make_sample(recipe: Recipe, sources: Sequence[Source], size: Size, rng: np.random.Generator) -> Sample:
    """Make a sample.

    Args:
        recipe: Limits of the changes.
        sources: As many images as `draw_images` returned.
        size: (height, width) of the network input.
        rng: Source of all random numbers; their order is fixed, so that a resumed run repeats them.
    """
    if len(sources) == TILES:
        return _mosaic(recipe, sources, size, rng)
    whole = 0, 0, size[1], size[0]
    samples = [_show(recipe, source, _draw_change(recipe, source, size, rng), size, whole) for source in sources]
    if len(samples) == 1:
        return samples[0]
    image = blend(samples[0].image, samples[1].image)
    return _together(image, samples, recipe.max_boxes)


def _mosaic(recipe: Recipe, sources: Sequence[Source], size: Size, rng: np.random.Generator) -> Sample:
    """Place four images: top left, top right, bottom left, bottom right."""
    cut = draw_cut(size, rng)
    samples = []
    for number, source in enumerate(sources):
        change = _draw_change(recipe, source, size, rng)
        if rng.integers(2):
            corner = into_corner(change.augmentation, source.size, number)
            change = change._replace(augmentation=corner)
        tile = tile_of(number, cut, change.augmentation, source.size, size)
        image, labels, boxes = _show(recipe, source, change, size, tile.window)
        boxes, visible = move_boxes(tile, boxes, size, recipe.mixing.mosaic_bound)
        samples.append(Sample(image, labels[visible], boxes[visible]))
    parts = [sample.image for sample in samples]
    image = np.vstack((np.hstack(parts[:2]), np.hstack(parts[2:])))
    return _together(image, samples, recipe.max_boxes)


def _draw_change(recipe: Recipe, source: Source, size: Size, rng: np.random.Generator) -> DrawnChange:
    augmentation = recipe.method.draw(recipe.settings, source.size, size, rng)
    # Darknet shuffles the boxes and keeps the first `max` before it drops any (data.c randomize_boxes).
    order = rng.permutation(len(source.ground_truth.labels))[: recipe.max_boxes]
    if not recipe.method.mixes:
        return DrawnChange(augmentation, order)
    mixing = recipe.mixing
    blur = draw_blur(mixing.blur, rng) if mixing.blur else 0
    noise = draw_noise(mixing.gaussian_noise, rng) if mixing.gaussian_noise else None
    return DrawnChange(augmentation, order, blur, noise)


def _show(recipe: Recipe, source: Source, change: DrawnChange, size: Size, window: Window) -> Sample:
    """Return the pixels of a window of the augmented image, and the boxes of all of it, 0..1 of the network input.

    Darknet changes colors, blurs and adds noise before it cuts the window out. There the size of a box limits its blur.
    """
    boxes, visible = augment_boxes(change.augmentation, source.ground_truth.boxes[change.order], source.size, size)
    labels, boxes = source.ground_truth.labels[change.order][visible], boxes[visible]
    image = recipe.method.show(change.augmentation, source.read, size, window)
    colors = change.augmentation.hue, change.augmentation.saturation, change.augmentation.exposure
    image = recolor(image, *colors)
    if change.blur and (blur := fitting_blur(change.blur, boxes, size)):
        image = blur_image(blur, image, _corners(boxes, window, size))
    if change.noise:
        image = add_noise(change.noise, image)
    return Sample(image, labels, boxes)


def _corners(boxes: np.ndarray, window: Window, size: Size) -> np.ndarray:
    """Return boxes as xyxy `[M, 4]` in whole pixels of the window."""
    sides = (size[1], size[0])
    low = ((boxes[:, :2] - boxes[:, 2:] / 2) * sides).astype(int)
    high = low + (boxes[:, 2:] * sides).astype(int)
    return np.concatenate((low - window[:2], high - window[:2]), axis=1)


def _together(image: np.ndarray, samples: Sequence[Sample], most: int) -> Sample:
    """Join the boxes of all samples in their order, at most `most`."""
    labels = np.concatenate([sample.labels for sample in samples])[:most]
    return Sample(image, labels, np.concatenate([sample.boxes for sample in samples])[:most])


def _draw_cropped(
    settings: AugmentationSettings, image_size: Size, size: Size, rng: np.random.Generator
) -> Augmentation:
    augmentation = draw_augmentation(settings, image_size, rng)
    if settings.letter_box:
        return keep_aspect(augmentation, image_size, size)
    return augmentation


def _show_cropped(augmentation: Augmentation, read: Read, size: Size, window: Window) -> np.ndarray:
    small = is_small(augmentation, size)
    image = read(small)
    if small:
        augmentation = halved(augmentation)
    if window == (0, 0, size[1], size[0]):
        return show_part(augmentation, image, size)
    return show_window(augmentation, image, size, window)


def _show_on_canvas(augmentation: Augmentation, read: Read, size: Size, window: Window) -> np.ndarray:
    x1, y1, x2, y2 = window
    return show_on_canvas(augmentation, read(False), size)[y1:y2, x1:x2]


METHODS = {  # by dialect
    "alexeyab": AugmentationMethod(_draw_cropped, _show_cropped, mixes=True),
    "pjreddie": AugmentationMethod(draw_on_canvas, _show_on_canvas, mixes=False),
}
