"""yolo.data.augment.mix: tiles and boxes of a mosaic against hand calculation and a slow version of Darknet's rule."""

import numpy as np
import pytest

from yolo.data.augment.geometry import Augmentation
from yolo.data.augment.mix import Tile, blend, draw_cut, into_corner, move_boxes, tile_of

SIZE = (100, 200)  # height, width of the network input
WHOLE = Augmentation(0, 0, 40, 30)  # of an image of 30 x 40
IMAGE = (30, 40)
CUT = (60, 50)  # y, x


def tiles_of(augmentation):
    return [tile_of(number, CUT, augmentation, IMAGE, SIZE) for number in range(4)]


def test_each_image_has_its_corner_at_the_cut_point():
    """Without borders: the lower right corner of the first image, the lower left one of the second, and so on."""
    assert tiles_of(WHOLE) == [
        Tile(0, 0, 50, 60, 50 - 200, 60 - 100),
        Tile(50, 0, 200, 60, 50, 60 - 100),
        Tile(0, 60, 50, 100, 50 - 200, 60),
        Tile(50, 60, 200, 100, 50, 60),
    ]


def test_a_tile_shows_its_part_of_the_image():
    """The first one's is the lower right corner of the image, of 50 x 60 pixels, and so on."""
    windows = [tile.window for tile in tiles_of(WHOLE)]
    expected = [(150, 40, 200, 100), (0, 40, 150, 100), (150, 0, 200, 40), (0, 0, 150, 40)]
    assert windows == expected


def test_borders_are_moved_beyond_the_cut_point():
    """4 of 40 columns on the left, 2 on the right, 3 of 30 rows above, 6 below: 20, 10, 10, 20 network pixels."""
    drawn = Augmentation(-4, -3, 46, 39)
    shifts = [(tile.shift_x, tile.shift_y) for tile in tiles_of(drawn)]
    assert shifts == [(-150 + 10, -40 + 20), (50 - 20, -40 + 20), (-150 + 10, 60 - 10), (30, 50)]
    mirrored = Augmentation(-4, -3, 46, 39, flip=True)
    shifts = [(tile.shift_x, tile.shift_y) for tile in tiles_of(mirrored)]
    assert shifts == [(-150 + 20, -40 + 20), (50 - 10, -40 + 20), (-150 + 20, 60 - 10), (40, 50)]


def test_no_image_is_moved_out_of_its_tile():
    """Borders as wide as the image: a tile still reads inside of it."""
    drawn = Augmentation(-40, -30, 120, 90)
    for tile in tiles_of(drawn):
        x1, y1, x2, y2 = tile.window
        assert 0 <= x1 <= x2 <= 200 and 0 <= y1 <= y2 <= 100


def test_an_image_goes_into_its_corner():
    drawn = Augmentation(3, 4, 20, 10)
    corners = [into_corner(drawn, IMAGE, number) for number in range(4)]
    assert [(each.left, each.top) for each in corners] == [(0, 0), (20, 0), (0, 20), (20, 20)]
    assert {(each.width, each.height) for each in corners} == {(20, 10)}
    mirrored = Augmentation(3, 4, 20, 10, flip=True)  # its left is the image's right
    corners = [into_corner(mirrored, IMAGE, number) for number in range(4)]
    assert [(each.left, each.top) for each in corners] == [(20, 0), (0, 0), (20, 20), (0, 20)]


def unit(x1, y1, x2, y2):
    return [(x1 + x2) / 400, (y1 + y2) / 200, (x2 - x1) / 200, (y2 - y1) / 100]


def corners(box):
    return [*((box[:2] - box[2:] / 2) * (200, 100)), *((box[:2] + box[2:] / 2) * (200, 100))]


def test_boxes_move_and_are_cut_by_hand():
    tile = Tile(0, 0, 50, 60, -150, -40)  # shows 150..200, 40..100
    boxes = np.array(
        [
            unit(160, 50, 190, 90),  # inside
            unit(140, 30, 180, 80),  # reaches out above on the left: cut at the mosaic's border
            unit(10, 10, 100, 90),  # not shown at all
            unit(149, 39, 150.5, 90),  # half a pixel of it is shown
        ]
    )
    moved, there = move_boxes(tile, boxes, SIZE, bound=False)
    assert there.tolist() == [True, True, False, False]
    np.testing.assert_allclose(corners(moved[0]), [10, 10, 40, 50], atol=1e-4)
    np.testing.assert_allclose(corners(moved[1]), [0, 0, 30, 40], atol=1e-4)
    assert moved.dtype == np.float32


def test_mosaic_bound_cuts_at_the_cut_point():
    tile = Tile(0, 0, 50, 60, -130, -20)  # the image goes on for 20 and 20 pixels beyond
    boxes = np.array([unit(150, 50, 190, 95), unit(181, 50, 195, 70)])
    loose, there = move_boxes(tile, boxes, SIZE, bound=False)
    np.testing.assert_allclose(corners(loose[0]), [20, 30, 60, 75], atol=1e-4)
    assert there.all()
    bound, there = move_boxes(tile, boxes, SIZE, bound=True)
    np.testing.assert_allclose(corners(bound[0]), [20, 30, 50, 60], atol=1e-4)
    assert there.tolist() == [True, False]


def darknet_box(tile, box, bound):
    """blend_truth_mosaic, one box with C's whole pixels: xyxy, or None."""
    height, width = SIZE
    x, y = box[0] + tile.shift_x / width, box[1] + tile.shift_y / height
    left, right = int((x - box[2] / 2) * width), int((x + box[2] / 2) * width)
    top, bottom = int((y - box[3] / 2) * height), int((y + box[3] / 2) * height)
    edges = (tile.left, tile.top, tile.right, tile.bottom) if bound else (0, 0, width, height)
    left, top = max(left, edges[0]), max(top, edges[1])
    right, bottom = min(right, edges[2]), min(bottom, edges[3])
    return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None


@pytest.mark.parametrize("bound", [False, True])
def test_boxes_are_those_of_darknets_rule(bound):
    rng = np.random.default_rng(3)
    kept = gone = 0
    for number in range(400):
        drawn = Augmentation(*rng.integers(-10, 10, 2), *rng.integers(20, 60, 2))
        tile = tile_of(number % 4, draw_cut(SIZE, rng), drawn, IMAGE, SIZE)
        low, sides = rng.uniform(0, 0.8, 2), rng.uniform(0.02, 0.2, 2)
        box = np.concatenate((low + sides / 2, sides))
        (moved,), (there,) = move_boxes(tile, box[None], SIZE, bound)
        expected = darknet_box(tile, box, bound)
        if expected is None:
            # C cuts to whole pixels: what it drops may have up to two and a bit.
            assert not there or (moved[2:] * (200, 100)).min() < 3
            gone += 1
        else:
            assert there
            assert np.abs(np.array(corners(moved)) - expected).max() <= 1.001
            kept += 1
    assert kept > 100 and gone > 50


def test_cuts_lie_between_a_fifth_and_four_fifths():
    rng = np.random.default_rng(0)
    cuts = np.array([draw_cut(SIZE, rng) for _ in range(3000)])
    assert cuts.min(axis=0).tolist() == [20, 40] and cuts.max(axis=0).tolist() == [80, 160]


def test_blending_is_half_and_half():
    first, second = np.full((2, 3, 1), 10, np.uint8), np.full((2, 3, 1), 50, np.uint8)
    assert (blend(first, second) == 30).all() and blend(first, second).shape == (2, 3, 1)
    assert (first == 10).all() and (second == 50).all()
