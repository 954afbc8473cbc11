"""yolo.data.augment.pjreddie: pjreddie's placement, against numbers recorded from his compiled place_image; boxes on
pixels."""

import numpy as np
import pytest

from tests.helpers.bright_box import image_of, pixel_box, seen, unit
from yolo.data.augment.geometry import Augmentation, AugmentationSettings, augment_boxes
from yolo.data.augment.pjreddie import GRAY, draw_on_canvas, show_on_canvas

IMAGE = np.array(
    [[185, 241, 225, 130, 240], [249, 248, 20, 116, 155], [72, 96, 160, 205, 148], [44, 173, 223, 56, 139]],
    np.uint8,
)[:, :, None]  # fmt: skip
# libdarknet.so, place_image(IMAGE / 255, w, h, dx, dy, a canvas of .5), times 255
LARGER = [  # 8 x 6 at (0, 1) of 8 x 8
    [127.5] * 8,
    [185.0, 220.0, 237.0, 227.0, 177.5, 143.75, 212.5, 150.0],
    [227.67, 238.92, 206.33, 108.0, 104.5, 128.5, 167.67, 114.58],
    [190.0, 194.58, 164.67, 83.0, 106.17, 146.54, 150.92, 95.42],
    [72.0, 87.0, 112.0, 152.0, 182.5, 197.88, 162.25, 92.5],
    [53.33, 112.08, 161.0, 195.17, 153.83, 110.21, 132.92, 88.75],
    [29.33, 83.08, 123.67, 144.5, 93.0, 44.25, 78.83, 57.92],
    [127.5] * 8,
]
OUTSIDE = [  # 4 x 3 at (2, -1) of 6 x 4: its first row is cut off
    [127.5, 127.5, 190.0, 164.67, 106.17, 150.92],
    [127.5, 127.5, 53.33, 161.0, 153.83, 132.92],
    [127.5] * 6,
    [127.5] * 6,
]


def placed(content, offset, size, image_size=(4, 5), **look):
    """The augmentation that puts an image as `content` (w, h) at `offset` (x, y) of a canvas (h, w)."""
    step_x, step_y = image_size[1] / content[0], image_size[0] / content[1]
    return Augmentation(-offset[0] * step_x, -offset[1] * step_y, size[1] * step_x, size[0] * step_y, **look)


@pytest.mark.parametrize("content, offset, expected", [((8, 6), (0, 1), LARGER), ((4, 3), (2, -1), OUTSIDE)])
def test_pixels_are_those_of_place_image(content, offset, expected):
    expected = np.array(expected)
    shown = show_on_canvas(placed(content, offset, expected.shape), IMAGE, expected.shape)
    # OpenCV counts places in 32nds of a pixel, and neighbors here differ by up to 228.
    assert np.abs(shown[:, :, 0] - expected).max() <= 228 / 32


def test_a_flip_mirrors_the_whole_canvas():
    size = (4, 6)
    straight = show_on_canvas(placed((4, 3), (2, -1), size), IMAGE, size)
    mirrored = show_on_canvas(placed((4, 3), (2, -1), size, flip=True), IMAGE, size)
    np.testing.assert_array_equal(mirrored, straight[:, ::-1])


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_follow_pixels_through_many_random_draws(channels):
    """Non-square images on non-square canvases, where content also reaches outside."""
    rng = np.random.default_rng(5)
    settings = AugmentationSettings(jitter=0.3, flip=True)
    compared = flipped = outside = 0
    for number in range(200):
        image_size = [(48, 64), (97, 61), (120, 200)][number % 3]
        network = [(96, 128), (128, 96), (100, 100)][number % 3 - number % 2]
        image, box = image_of(image_size, rng, channels)
        drawn = draw_on_canvas(settings, image_size, network, rng)
        shown = show_on_canvas(drawn, image, network)
        assert shown.shape == (*network, channels)
        boxes, there = augment_boxes(drawn, unit(box, image_size), image_size, network)
        expected = pixel_box(boxes[0], network)
        if not there[0] or (expected[2:] - expected[:2]).min() < 4:
            continue  # too thin for blurred borders to be measured
        # One pixel of either image: edges are blurred over one, and column x shows the place x / w, not its middle.
        pixel = 1 + max(network[0] / drawn.height, network[1] / drawn.width)
        assert np.abs(expected - seen(shown)).max() <= pixel
        compared += 1
        flipped += drawn.flip
        outside += drawn.left > 0 or drawn.top > 0
    assert compared > 150 and flipped > 50 and outside > 10


def test_the_image_fills_the_width_or_the_height_of_a_square_canvas_and_is_inside():
    rng = np.random.default_rng(1)
    settings = AugmentationSettings(jitter=0.2)
    aspects = []
    for _ in range(500):
        drawn = draw_on_canvas(settings, (100, 200), (300, 300), rng)
        content_w, content_h = 300 * 200 / drawn.width, 300 * 100 / drawn.height
        assert max(content_w, content_h) == pytest.approx(300)
        assert drawn.left <= 0 and drawn.top <= 0
        aspects.append(content_w / content_h)
    # (200 ± 40) / (100 ± 20), the height rounded down to a pixel
    assert 160 / 120 <= min(aspects) < 1.45 and 2.8 < max(aspects) <= 240 / 80 + 0.03


def test_around_the_image_is_gray():
    drawn = placed((2, 2), (1, 1), (5, 5), (4, 4))
    shown = show_on_canvas(drawn, np.zeros((4, 4, 3), np.uint8), (5, 5))
    assert (shown[1:3, 1:3] == 0).all()
    assert (shown == GRAY).sum() == 3 * (25 - 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_images_of_one_pixel_survive(size):
    image = np.full((*size, 3), 50, np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = draw_on_canvas(AugmentationSettings(jitter=0.9), size, (48, 64), rng)
        assert show_on_canvas(drawn, image, (48, 64)).shape == (48, 64, 3)
