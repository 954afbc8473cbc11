"""Mix several images into one: four around a cut point (mosaic), or two blended (mixup).

Every image has the size of the network input. Boxes are cxcywh, 0..1 of the network input.
Source: AlexeyAB data.c load_data_detection, blend_truth_mosaic, blend_truth.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from yolo.data.augment.geometry import Augmentation, visible_boxes
from yolo.records import Size

CUT = 0.2, 0.8  # the cut point is between these fractions of the input's sides
TILES = 4
OPACITY = 0.5  # of each image of a mixup


@dataclass(frozen=True)
class Tile:
    """The part of a mosaic that shows one image.

    left, top, right, bottom: in pixels of the mosaic; shift_x, shift_y: from a pixel of the image to the mosaic's.
    """

    left: int
    top: int
    right: int
    bottom: int
    shift_x: int
    shift_y: int

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The part of the image that is visible: xyxy in pixels of the network input."""
        return (
            self.left - self.shift_x,
            self.top - self.shift_y,
            self.right - self.shift_x,
            self.bottom - self.shift_y,
        )


def draw_cut(size: Size, rng: np.random.Generator) -> tuple[int, int]:
    """Draw the cut point (y, x) in pixels, for a mosaic of `size` (height, width)."""
    y, x = (int(rng.integers(int(CUT[0] * side), int(CUT[1] * side) + 1)) for side in size)
    return y, x


def into_corner(augmentation: Augmentation, image_size: Size, number: int) -> Augmentation:
    """Move the part of an image of (height, width) to the corner of the image that matches its place in the mosaic.

    number: 0 top left, 1 top right, 2 bottom left, 3 bottom right. Darknet does this in every second image.
    """
    right = (number % 2 == 1) != augmentation.flip
    return replace(
        augmentation,
        left=image_size[1] - augmentation.width if right else 0,
        top=image_size[0] - augmentation.height if number >= 2 else 0,
    )


def tile_of(number: int, cut: tuple[int, int], augmentation: Augmentation, image_size: Size, size: Size) -> Tile:
    """Return the tile of one image: a corner of the image is at the cut point, its filled borders are beyond it.

    The shift that hides these borders is Darknet's estimate. It depends on the border alone, not on the size of the
    visible part, so it hides slightly more than the border.

    Args:
        number: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
        cut: (y, x) from `draw_cut`.
        augmentation: The change of the image.
        image_size: (height, width) of the image.
        size: (height, width) of the mosaic.
    """
    (height, width), (cut_y, cut_x) = size, cut
    left, top = augmentation.left, augmentation.top
    right = image_size[1] - left - augmentation.width
    bottom = image_size[0] - top - augmentation.height
    if augmentation.flip:
        left, right = right, left
    x1, x2, shift_x = _span(number % 2 == 0, cut_x, width, (left, right), image_size[1])
    y1, y2, shift_y = _span(number < 2, cut_y, height, (top, bottom), image_size[0])
    return Tile(x1, y1, x2, y2, shift_x, shift_y)


def move_boxes(tile: Tile, boxes: np.ndarray, size: Size, bound: bool) -> tuple[np.ndarray, np.ndarray]:
    """Move the boxes of an image into the mosaic.

    Args:
        tile: The tile of the image.
        boxes: `[M, 4]` cxcywh, 0..1 of the network input.
        size: (height, width) of the mosaic.
        bound: Cut boxes at the border of the tile, otherwise only at that of the mosaic ([net] mosaic_bound).

    Returns:
        float32 `[M, 4]` cxcywh, 0..1 of the mosaic; bool `[M]`: at least a network pixel wide and high.
    """
    sides = np.array([size[1], size[0]], np.float64)
    shift = (tile.shift_x, tile.shift_y) / sides
    low = boxes[:, :2] - boxes[:, 2:] / 2 + shift
    high = boxes[:, :2] + boxes[:, 2:] / 2 + shift
    border = (tile.left, tile.top) / sides, (tile.right, tile.bottom) / sides
    least, most = border if bound else (0, 1)
    return visible_boxes(low.clip(least, most), high.clip(least, most), size)


def blend(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Average two images uint8 `[H, W, C]`."""
    blended = cv2.addWeighted(first, OPACITY, second, 1 - OPACITY, 0)
    return blended.reshape(first.shape)


def _span(first: bool, cut: int, side: int, beyond: tuple[float, float], image_side: int) -> tuple[int, int, int]:
    """Return where a tile begins and ends along one axis, and the shift of its image.

    Args:
        first: The tile is before the cut, else after it.
        cut: The cut point, in pixels of the mosaic.
        side: Length of the mosaic, in its pixels.
        beyond: From the part to the image's border, before and after the part; negative where the part is outside.
        image_side: Length of the image, in its pixels.
    """
    if first:
        return 0, cut, cut - side + min(side - cut, _border(beyond[1], side, image_side))
    return cut, side, cut - min(cut, _border(beyond[0], side, image_side))


def _border(beyond: float, side: int, image_side: int) -> int:
    """Return how many pixels of the network input show what is beyond the border of an image."""
    return max(0, int(-beyond * side / image_side))
