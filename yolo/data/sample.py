"""One training sample: an image, or several mixed into one, changed as drawn, with the boxes that it shows.

Source: data.c load_data_detection, in the version of AlexeyAB (with OpenCV) and that of pjreddie.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from yolo.data.augment.blur import (
    Noise,
    add_noise,
    blur_image,
    draw_blur,
    draw_noise,
    fitting_blur,
)
from yolo.data.augment.geometry import (
    Augmentation,
    AugmentationSettings,
    augment_boxes,
    draw_augmentation,
    halved,
    is_small,
    letterboxed,
    recolor,
    show_part,
    show_window,
)
from yolo.data.augment.mix import TILES, Tile, blend, draw_cut, into_corner, move_boxes, tile_of
from yolo.data.augment.pjreddie import draw_on_canvas, show_on_canvas
from yolo.records import LabeledBoxes
from yolo.settings import MixingSettings

Size = tuple[int, int]  # height, width

Window = tuple[int, int, int, int]  # xyxy, in pixels of the network input

Read = Callable[[bool], np.ndarray]  # at half its size? → the image, uint8 [H, W, C]

UNMIXED = MixingSettings()


@dataclass(frozen=True)
class View:
    """How a Darknet shows training images: what is drawn, how it is done, and whether it knows `MixingSettings`."""

    draw: Callable[[AugmentationSettings, Size, Size, np.random.Generator], Augmentation]
    show: Callable[[Augmentation, Read, Size, Window], np.ndarray]
    mixes: bool


@dataclass(frozen=True)
class Recipe:
    """How samples are made; max_boxes: the most that a sample keeps."""

    view: View
    settings: AugmentationSettings
    mixing: MixingSettings
    max_boxes: int


class Source(NamedTuple):
    """An image of (height, width), its ground truth, and how to read it."""

    size: Size
    ground_truth: LabeledBoxes
    read: Read


class Sample(NamedTuple):
    """image: uint8 `[H, W, C]`; labels: int64 `[M]`; boxes: float32 cxcywh `[M, 4]`, 0..1 of the image."""

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray


class Change(NamedTuple):
    """What happens to one image; order: the boxes that are looked at."""

    augmentation: Augmentation
    order: np.ndarray
    blur: int
    noise: Noise


def draw_images(recipe: Recipe, rng: np.random.Generator) -> int:
    """How many images a sample is made of: half of them of 4 with mosaic=1, else of 2 with mixup=1.

    mosaic goes before mixup (parser.c parse_net_options). Darknet tosses the coin once for the images that a thread
    loads together; here it is tossed for each.
    """
    mixing = recipe.mixing
    if not (recipe.view.mixes and (mixing.mosaic or mixing.mixup)) or not rng.integers(2):
        return 1
    return TILES if mixing.mosaic else 2


def make_sample(
    recipe: Recipe, sources: Sequence[Source], size: Size, rng: np.random.Generator
) -> Sample:
    """A sample of `size` made of as many images as `draw_images` said."""
    if len(sources) == TILES:
        return _mosaic(recipe, sources, size, rng)
    samples = [_alone(recipe, source, size, rng) for source in sources]
    if len(samples) == 1:
        return samples[0]
    image = blend(samples[0].image, samples[1].image)
    return _together(image, samples, recipe.max_boxes)


def _alone(recipe: Recipe, source: Source, size: Size, rng: np.random.Generator) -> Sample:
    change = _draw_change(recipe, source, size, rng)
    whole = Tile(0, 0, size[1], size[0], 0, 0)
    boxes, there = _boxes(change, source, size)
    boxes = boxes[there]
    image = recipe.view.show(change.augmentation, source.read, size, whole.window)
    labels = source.ground_truth.labels[change.order][there]
    return Sample(_finish(recipe, change, image, boxes, whole, size), labels, boxes)


def _mosaic(
    recipe: Recipe, sources: Sequence[Source], size: Size, rng: np.random.Generator
) -> Sample:
    """The first image above on the left, then above on the right, below on the left, below on the right."""
    cut = draw_cut(size, rng)
    samples, parts = [], []
    for number, source in enumerate(sources):
        change = _draw_change(recipe, source, size, rng)
        if rng.integers(2):
            corner = into_corner(change.augmentation, source.size, number)
            change = change._replace(augmentation=corner)
        tile = tile_of(number, cut, change.augmentation, source.size, size)
        boxes, there = _boxes(change, source, size)
        labels = source.ground_truth.labels[change.order][there]
        shown = recipe.view.show(change.augmentation, source.read, size, tile.window)
        part = _finish(recipe, change, shown, boxes[there], tile, size)
        parts.append(part)
        boxes, there = move_boxes(tile, boxes[there], size, recipe.mixing.mosaic_bound)
        samples.append(Sample(part, labels[there], boxes[there]))
    above, below = np.hstack(parts[:2]), np.hstack(parts[2:])
    return _together(np.vstack((above, below)), samples, recipe.max_boxes)


def _draw_change(recipe: Recipe, source: Source, size: Size, rng: np.random.Generator) -> Change:
    augmentation = recipe.view.draw(recipe.settings, source.size, size, rng)
    # Darknet shuffles the boxes and cuts them to `max` before it looks at them (data.c randomize_boxes).
    order = rng.permutation(len(source.ground_truth.labels))[: recipe.max_boxes]
    if not recipe.view.mixes:
        return Change(augmentation, order, 0, Noise())
    blur = draw_blur(recipe.mixing.blur, rng)
    return Change(augmentation, order, blur, draw_noise(recipe.mixing.gaussian_noise, rng))


def _boxes(change: Change, source: Source, size: Size) -> tuple[np.ndarray, np.ndarray]:
    boxes = source.ground_truth.boxes[change.order]
    return augment_boxes(change.augmentation, boxes, source.size, size)


def _finish(
    recipe: Recipe, change: Change, part: np.ndarray, boxes: np.ndarray, tile: Tile, size: Size
) -> np.ndarray:
    """Colors, blur and noise of what a tile shows of an image with `boxes`; Darknet does them before it cuts."""
    part = recolor(change.augmentation, part)
    blur = fitting_blur(change.blur, boxes, size)
    if blur:
        part = blur_image(blur, part, _corners(boxes, tile, size))
    return add_noise(change.noise, part)


def _corners(boxes: np.ndarray, tile: Tile, size: Size) -> np.ndarray:
    """Whole pixels xyxy `[M, 4]` of what the tile shows."""
    sides = (size[1], size[0])
    low = ((boxes[:, :2] - boxes[:, 2:] / 2) * sides).astype(int)
    high = low + (boxes[:, 2:] * sides).astype(int)
    from_corner = (tile.shift_x - tile.left, tile.shift_y - tile.top)
    return np.concatenate((low + from_corner, high + from_corner), axis=1)


def _together(image: np.ndarray, samples: Sequence[Sample], most: int) -> Sample:
    """The boxes of all samples, those of the first ones first, at most `most`."""
    labels = np.concatenate([sample.labels for sample in samples])[:most]
    return Sample(image, labels, np.concatenate([sample.boxes for sample in samples])[:most])


def _draw_cropped(
    settings: AugmentationSettings, image_size: Size, size: Size, rng: np.random.Generator
) -> Augmentation:
    augmentation = draw_augmentation(settings, image_size, rng)
    if settings.letter_box:
        return letterboxed(augmentation, image_size, size)
    return augmentation


def _show_cropped(augmentation: Augmentation, read: Read, size: Size, window: Window) -> np.ndarray:
    small = is_small(augmentation, size)
    image = read(small)
    if small:
        augmentation = halved(augmentation)
    if window == (0, 0, size[1], size[0]):
        return show_part(augmentation, image, size)
    return show_window(augmentation, image, size, window)


def _show_on_canvas(
    augmentation: Augmentation, read: Read, size: Size, window: Window
) -> np.ndarray:
    x1, y1, x2, y2 = window
    return show_on_canvas(augmentation, read(False), size)[y1:y2, x1:x2]


VIEWS = {  # dialect → its view
    "alexeyab": View(_draw_cropped, _show_cropped, mixes=True),
    "pjreddie": View(draw_on_canvas, _show_on_canvas, mixes=False),
}
