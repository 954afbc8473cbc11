"""Several images made into one: four around a cut point (mosaic), two over each other (mixup).

Every image comes as large as the network input. Boxes are cxcywh, 0..1 of the network input.
Source: AlexeyAB data.c load_data_detection, blend_truth_mosaic, blend_truth.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from yolo.data.augment.geometry import SMALLEST_SIDE, Augmentation

CUT = 0.2, 0.8  # the cut point lies between these shares of the input's sides

TILES = 4

OPACITY = 0.5  # of each image of a mixup


@dataclass(frozen=True)
class Tile:
    """Where one image of a mosaic stands.

    left, top, right, bottom: of its part of the mosaic, in pixels; shift_x, shift_y: from a place in the image to
    that in the mosaic.
    """

    left: int
    top: int
    right: int
    bottom: int
    shift_x: int
    shift_y: int

    @property
    def window(self) -> tuple[int, int, int, int]:
        """What it shows of its image: xyxy in pixels of the network input."""
        return (
            self.left - self.shift_x,
            self.top - self.shift_y,
            self.right - self.shift_x,
            self.bottom - self.shift_y,
        )


def draw_cut(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """(y, x) in pixels, for a mosaic of `size` (height, width)."""
    y, x = (int(rng.integers(int(CUT[0] * side), int(CUT[1] * side) + 1)) for side in size)
    return y, x


def into_corner(
    augmentation: Augmentation, image_size: tuple[int, int], number: int
) -> Augmentation:
    """The same part of an image of (height, width), moved to that corner of it where `number` of a mosaic stands.

    0, 1 above, 2, 3 below; 0, 2 on the left, 1, 3 on the right. Darknet does so to one image of two.
    """
    right = (number % 2 == 1) != augmentation.flip
    return replace(
        augmentation,
        left=image_size[1] - augmentation.width if right else 0,
        top=image_size[0] - augmentation.height if number >= 2 else 0,
    )


def tile_of(
    number: int,
    cut: tuple[int, int],
    augmentation: Augmentation,
    image_size: tuple[int, int],
    size: tuple[int, int],
) -> Tile:
    """Where image `number` of a mosaic of `size` stands: its corner at the cut point, its filled borders beyond.

    How far it is moved so that they lie beyond is Darknet's estimate, which grows with the border alone, not with the
    part that is shown: it hides a little more than the border.
    """
    (height, width), (cut_y, cut_x) = size, cut
    left, top = augmentation.left, augmentation.top
    right = image_size[1] - left - augmentation.width
    bottom = image_size[0] - top - augmentation.height
    if augmentation.flip:
        left, right = right, left
    if number % 2 == 0:
        columns = 0, cut_x
        shift_x = cut_x - width + min(width - cut_x, _border(right, width, image_size[1]))
    else:
        columns = cut_x, width
        shift_x = cut_x - min(cut_x, _border(left, width, image_size[1]))
    if number < 2:
        rows = 0, cut_y
        shift_y = cut_y - height + min(height - cut_y, _border(bottom, height, image_size[0]))
    else:
        rows = cut_y, height
        shift_y = cut_y - min(cut_y, _border(top, height, image_size[0]))
    return Tile(columns[0], rows[0], columns[1], rows[1], shift_x, shift_y)


def move_boxes(
    tile: Tile, boxes: np.ndarray, size: tuple[int, int], bound: bool
) -> tuple[np.ndarray, np.ndarray]:
    """An image's boxes `[M, 4]` → the same in the mosaic, and bool `[M]`: still there.

    bound: cut at the border of the tile, else at that of the mosaic only, so that a box may cover what its tile does
    not show ([net] mosaic_bound). One of which less than a network pixel is left is not there any more.
    """
    sides = np.array([size[1], size[0]], np.float64)
    shift = (tile.shift_x, tile.shift_y) / sides
    low = boxes[:, :2] - boxes[:, 2:] / 2 + shift
    high = boxes[:, :2] + boxes[:, 2:] / 2 + shift
    least, most = ((tile.left, tile.top) / sides, (tile.right, tile.bottom) / sides)
    if not bound:
        least, most = np.zeros(2), np.ones(2)
    low, high = low.clip(least, most), high.clip(least, most)
    there = ((high - low) * sides >= SMALLEST_SIDE).all(axis=1)
    return np.concatenate(((low + high) / 2, high - low), axis=1).astype(np.float32), there


def blend(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two images uint8 `[H, W, C]` over each other."""
    blended = cv2.addWeighted(first, OPACITY, second, 1 - OPACITY, 0)
    return blended.reshape(first.shape)


def _border(beyond: float, side: int, image_side: int) -> int:
    """Pixels of the network input that are kept free for what is shown beyond an image's border."""
    return max(0, int(-beyond * side / image_side))
