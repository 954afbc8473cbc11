"""yolo.data.augment.blur: which images are blurred and how far, what stays sharp, noise that can be repeated."""

import numpy as np
import pytest

from yolo.data.augment.blur import BACKGROUND, Noise, add_noise, blur_image, draw_blur, draw_noise, fitting_blur

STRIPES = np.tile(np.array([0, 200], np.uint8), (40, 20))[:, :, None]  # [40, 40, 1]
NO_BOXES = np.zeros((0, 4), int)
SIZE = (100, 200)


def contrast(part):
    return int(part.max()) - int(part.min())


def test_a_third_is_sharp_a_third_has_its_background_blurred():
    rng = np.random.default_rng(0)
    drawn = [draw_blur(31, rng) for _ in range(3000)]
    for kind in (0, BACKGROUND, 31):
        assert 900 < drawn.count(kind) < 1100
    drawn = [draw_blur(1, rng) for _ in range(3000)]
    assert set(drawn) == {0, BACKGROUND} and 900 < drawn.count(0) < 1100


def test_the_window_is_an_eighth_of_the_smallest_box_at_most():
    boxes = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.2, 0.331]])  # sides 100, 50, 40, 33.1
    assert fitting_blur(31, boxes, SIZE) == 4  # 33 // 8
    assert fitting_blur(3, boxes, SIZE) == 3
    assert fitting_blur(31, np.array([[0.5, 0.5, 0.5, 0.1]]), SIZE) == BACKGROUND  # 10 // 8
    assert fitting_blur(31, np.array([[0.5, 0.5, 0.5, 0.05]]), SIZE) == 0
    assert fitting_blur(31, np.zeros((0, 4)), SIZE) == 0
    assert fitting_blur(BACKGROUND, boxes, SIZE) == BACKGROUND and fitting_blur(0, boxes, SIZE) == 0


def test_the_background_alone_is_blurred():
    corners = np.array([[8, 10, 20, 22], [36, -3, 60, 4]])  # the second one reaches outside
    blurred = blur_image(BACKGROUND, STRIPES, corners)
    np.testing.assert_array_equal(blurred[10:22, 8:20], STRIPES[10:22, 8:20])
    np.testing.assert_array_equal(blurred[:4, 36:], STRIPES[:4, 36:])
    assert contrast(blurred[24:, :]) < 10 and contrast(STRIPES[24:, :]) == 200


def test_all_of_an_image_is_blurred_by_its_window():
    # OpenCV's weights for a window of 3 are 1/4, 1/2, 1/4; an even one is one more.
    for window in (2, 3):
        blurred = blur_image(window, STRIPES, np.array([[0, 0, 40, 40]]))
        assert (blurred == 100).all()


@pytest.mark.parametrize("blur, window", [(2, 3), (3, 3), (4, 5), (15, 15)])
def test_a_point_becomes_as_wide_as_the_window(blur, window):
    point = np.zeros((41, 41, 1), np.uint8)
    point[20, 20] = 255
    # Row and column sums, as single corners of a wide window round to 0.
    rows = blur_image(blur, np.repeat(point, 41, axis=1).max(axis=1, keepdims=True), NO_BOXES)
    assert (rows > 0).sum() == window


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 1), (0, 5, 3)])
def test_images_of_a_pixel_or_none_are_ordinary(shape):
    image = np.full(shape, 50, np.uint8)
    for blur in (BACKGROUND, 31):
        np.testing.assert_array_equal(blur_image(blur, image, NO_BOXES), image)
    assert add_noise(Noise(20, 1), image).shape == shape


def test_every_second_image_has_noise_with_numbers_of_its_own():
    rng = np.random.default_rng(0)
    drawn = [draw_noise(10.7, rng) for _ in range(2000)]
    noisy = [noise for noise in drawn if noise]
    assert 900 < len(noisy) < 1100 and len({noise.seed for noise in noisy}) == len(noisy)
    assert {noise.strength for noise in noisy} == {10}
    strong = [draw_noise(500, rng) for _ in range(20)]
    assert {noise.strength for noise in strong if noise} == {127}


def test_noise_makes_half_of_the_pixels_brighter_and_none_darker():
    """A half-normal: mean strength / sqrt(2 pi), half of it zero."""
    image = np.full((200, 200, 3), 100, np.uint8)
    added = add_noise(Noise(20, 3), image).astype(int) - 100
    assert added.min() == 0 and 0.49 < (added == 0).mean() < 0.53
    assert abs(added.mean() - 20 / np.sqrt(2 * np.pi)) < 0.2
    np.testing.assert_array_equal(add_noise(Noise(20, 3), image), image + added)
    assert (add_noise(Noise(20, 4), image) != image + added).any()
    assert add_noise(Noise(127, 3), np.full((9, 9, 1), 250, np.uint8)).min() == 250  # no wrapping
