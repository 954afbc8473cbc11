"""yolo.data.augment.classifier: content follows the transform, draws keep to Darknet's limits, fractions are areas."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from yolo.cfg import parse_cfg
from yolo.data.augment.classifier import (
    ClassifierSettings,
    Pane,
    View,
    blur,
    classifier_settings,
    draw_blur_window,
    draw_panes,
    draw_view,
    image_fractions,
    paste,
    show,
    view_matrix,
)
from yolo.settings import ColorSettings, CropSettings, MixingSettings, read_training

STILL = ColorSettings(0.0, 1.0, 1.0)
PLAIN = ClassifierSettings(CropSettings(0.0, 1.0, 32, 32), STILL, MixingSettings(), False, 32)
WILD = ClassifierSettings(CropSettings(30.0, 0.6, 24, 80), STILL, MixingSettings(), True, 32)


def noise(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def slow_show(view, image, size):
    """rotate_crop_image and bilinear_interpolate, pixel by pixel, for a square input."""
    height, width, channels = image.shape
    padded = np.zeros((height + 2, width + 2, channels))
    padded[1:-1, 1:-1] = image  # 0 beyond the border
    shown = np.zeros((*size, channels))
    for y in range(size[0]):
        for x in range(size[1]):
            u = (x - size[1] / 2 + view.right) / view.scale * view.aspect
            v = (y - size[0] / 2 + view.down) / view.scale
            rx = math.cos(view.turn) * u - math.sin(view.turn) * v + width / 2
            ry = math.sin(view.turn) * u + math.cos(view.turn) * v + height / 2
            ix, iy = math.floor(rx), math.floor(ry)
            if not (-1 <= ix < width and -1 <= iy < height):
                continue
            dx, dy = rx - ix, ry - iy
            corner = padded[iy + 1 : iy + 3, ix + 1 : ix + 3]
            shown[y, x] = (1 - dy) * ((1 - dx) * corner[0, 0] + dx * corner[0, 1])
            shown[y, x] += dy * ((1 - dx) * corner[1, 0] + dx * corner[1, 1])
    return shown


@pytest.mark.parametrize("seed", range(8))
def test_a_view_is_darknets_rotate_crop(seed):
    rng = np.random.default_rng(seed)
    size = (20, 20)
    image = cv2.GaussianBlur(noise(31, 45, seed=seed), (5, 5), 0)
    view = replace(draw_view(WILD, (31, 45), size, rng), flip=False)
    # OpenCV before 5 counts 32nds of a pixel: neighbors that differ by up to 150 are then some 3 apart
    np.testing.assert_allclose(show(view, image, size), slow_show(view, image, size), atol=6)


def test_the_whole_image_at_its_own_size_stays_as_it_is():
    image = noise(32, 32)
    view = View(turn=0.0, scale=1.0, aspect=1.0, right=0.0, down=0.0)
    np.testing.assert_array_equal(show(view, image, (32, 32)), image)
    flipped = show(replace(view, flip=True), image, (32, 32))
    np.testing.assert_array_equal(flipped, image[:, ::-1])


def test_a_quarter_turn_by_hand():
    """What is right of the image's middle appears above it: input (8, 3) shows image (13, 8)."""
    image = np.zeros((16, 16, 3), np.uint8)
    image[8, 13] = 255
    view = View(turn=math.pi / 2, scale=1.0, aspect=1.0, right=0.0, down=0.0)
    shown = show(view, image, (16, 16))
    assert np.argwhere(shown[:, :, 0] > 200).tolist() == [[3, 8]]


def test_a_mark_is_found_where_the_transform_puts_it():
    """Its middle within 1.5 pixels: 1 for its outline, cut at whole pixels twice, 0.5 for the middle between them."""
    rng = np.random.default_rng(5)
    found = 0
    for number in range(200):
        image_size = [(90, 140), (150, 80), (100, 100)][number % 3]
        size = [(64, 64), (48, 96), (96, 64)][number % 3]
        place = rng.uniform(0.3, 0.7, 2) * image_size[::-1]
        image = np.zeros((*image_size, 3), np.uint8)
        cv2.circle(image, tuple(int(v) for v in place), 8, (255, 255, 255), -1)
        view = draw_view(replace(WILD, width=size[1]), image_size, size, rng)
        matrix = view_matrix(view, image_size, size)
        x, y = np.linalg.solve(matrix[:, :2], place.astype(int) - matrix[:, 2])
        x = size[1] - 1 - x if view.flip else x
        if not (16 < x < size[1] - 16 and 16 < y < size[0] - 16):
            continue  # partly outside, perhaps
        weights = show(view, image, size)[:, :, 0].astype(float)
        if weights[[0, -1]].any() or weights[:, [0, -1]].any():
            continue
        rows, columns = np.indices(size)
        middle = [(weights * each).sum() / weights.sum() for each in (columns, rows)]
        assert np.abs(np.array(middle) - (x, y)).max() < 1.5, view
        found += 1
    assert found > 40


def test_the_image_ends_in_black():
    view = View(turn=0.0, scale=0.5, aspect=1.0, right=0.0, down=0.0)
    shown = show(view, np.full((32, 32, 3), 200, np.uint8), (32, 32))
    assert (shown[10:22, 10:22] == 200).all()
    assert not shown[:7].any() and not shown[:, 25:].any()


def test_colors_and_gray_images():
    view = View(0.0, 1.0, 1.0, 0.0, 0.0, hue=1 / 3, saturation=1.0, exposure=0.5)
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 200
    assert (show(view, red, (8, 8)) == (0, 100, 0)).all()  # a third of a turn on, half as bright
    gray = show(view, np.full((8, 8, 1), 80, np.uint8), (8, 8))
    assert gray.shape == (8, 8, 1) and (gray == 40).all()


@pytest.mark.parametrize("size", [(48, 96), (96, 48)])
def test_an_input_that_is_no_square_shows_the_whole_square_squeezed(size):
    """AlexeyAB: a square crop of the longer side, resized; its corners come to lie on the input's corners."""
    view = View(turn=0.3, scale=0.7, aspect=1.2, right=5.0, down=-3.0)
    square, squeezed = (view_matrix(view, (90, 140), each) for each in ((96, 96), size))
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        np.testing.assert_allclose(squeezed @ (x * (size[1] - 1), y * (size[0] - 1), 1), square @ (x * 95, y * 95, 1))


@pytest.mark.parametrize("image_size", [(1, 1), (1, 300), (300, 1)])
def test_images_of_one_pixel_survive_the_wildest_draws(image_size):
    for seed in range(30):
        view = draw_view(WILD, image_size, (24, 32), np.random.default_rng(seed))
        assert show(view, noise(*image_size), (24, 32)).shape == (24, 32, 3)


def views(settings, image_size, size, count=2000):
    rng = np.random.default_rng(0)
    return [draw_view(settings, image_size, size, rng) for _ in range(count)]


def test_without_settings_the_smaller_side_fills_the_input():
    """Smaller side 60 of 60 x 100 becomes 32: scale 32 / 60, and the rest of the width is drawn."""
    drawn = views(PLAIN, (60, 100), (32, 32), 500)
    assert {(each.turn, each.aspect, each.down, each.flip, each.hue) for each in drawn} == {(0.0, 1.0, 0.0, False, 0.0)}
    assert {each.scale for each in drawn} == {32 / 60}
    rights = [each.right for each in drawn]
    most = (100 * 32 / 60 - 32) / 2
    assert -most <= min(rights) < -0.95 * most and 0.95 * most < max(rights) <= most


def test_draws_keep_to_their_limits_and_reach_them():
    color = ColorSettings(0.1, 0.75, 1.5)
    crop = CropSettings(7.0, 0.75, 128, 448)
    settings = ClassifierSettings(crop, color, MixingSettings(), True, 256)
    drawn = views(settings, (500, 500), (256, 256))
    turns = np.degrees([each.turn for each in drawn])
    assert -7 <= turns.min() < -6.9 and 6.9 < turns.max() <= 7
    for name, most in (("aspect", 0.75), ("saturation", 0.75), ("exposure", 1.5)):
        factors = np.array([getattr(each, name) for each in drawn])
        ends = min(most, 1 / most), max(most, 1 / most)
        assert ends[0] <= factors.min() < ends[0] * 1.01, name
        assert ends[1] * 0.99 < factors.max() <= ends[1], name
    # random_augment_image: the smaller of height and width x aspect becomes min_crop to max_crop
    sides = np.array([round(each.scale * int(min(500, 500 * each.aspect))) for each in drawn])
    assert sides.min() in range(128, 132) and sides.max() in range(445, 449)
    assert 900 < sum(each.flip for each in drawn) < 1100


def test_the_input_moves_as_far_as_the_stretched_image_reaches():
    """random_augment_image: dx within half of what w * scale / aspect, the width as shown, has beyond the input."""
    stretched = replace(PLAIN, crop=CropSettings(0.0, 2.0, 32, 32))
    drawn = views(stretched, (60, 300), (32, 32))
    reach = [2 * each.right / (300 * each.scale / each.aspect - 32) for each in drawn]
    assert -1 <= min(reach) < -0.99 and 0.99 < max(reach) <= 1


def test_crops_grow_with_the_input():
    drawn = views(PLAIN, (60, 60), (64, 64), 5)
    assert {each.scale for each in drawn} == {64 / 60}


def test_a_small_image_is_in_the_middle_and_pjreddies_anywhere():
    small = replace(PLAIN, crop=CropSettings(0.0, 1.0, 16, 16))
    assert {(each.right, each.down) for each in views(small, (40, 40), (32, 32), 20)} == {(0, 0)}
    rights = [each.right for each in views(replace(small, wander=True), (40, 40), (32, 32), 500)]
    assert -8 <= min(rights) < -7.5 and 7.5 < max(rights) <= 8


def test_the_same_seed_draws_the_same():
    first, second = (draw_view(WILD, (50, 70), (32, 32), np.random.default_rng((3, 1, 2))) for _ in "ab")
    assert first == second


def test_the_settings_come_from_net():
    text = "[net]\nwidth=64\nheight=64\nangle=7\naspect=.75\nmax_crop=448\nhue=.1\ncutmix=1\nblur=1\n"
    training = read_training(parse_cfg(text, "x.cfg")[0])
    settings = classifier_settings(training, 64)
    assert settings.crop == CropSettings(7.0, 0.75, 64, 448)
    assert settings.mixing == MixingSettings(cutmix=True, blur=1)
    assert settings.flip and settings.color.hue == 0.1 and not settings.wander
    assert classifier_settings(training, 64, "pjreddie").wander


def panes_of(size=(40, 60), count=1000, **kinds):
    rng = np.random.default_rng(1)
    return [draw_panes(MixingSettings(**kinds), size, rng) for _ in range(count)]


def test_half_of_the_images_are_mixed_and_none_without_settings():
    assert panes_of(count=20) == [()] * 20
    for kind in ("mixup", "cutmix", "mosaic"):
        assert 450 < sum(bool(each) for each in panes_of(**{kind: True})) < 550


def test_mixup_is_half_of_each():
    assert set(panes_of(mixup=True, count=20)) == {(), (Pane(0, 0, 60, 40, 0.5),)}
    images = [np.full((4, 6, 3), value, np.uint8) for value in (100, 50)]
    panes = (Pane(0, 0, 6, 4, 0.5),)
    assert (paste(images, panes) == 75).all()
    assert image_fractions(panes, (4, 6)).tolist() == [0.5, 0.5]


def test_cutmix_cuts_sides_of_three_to_eight_tenths():
    panes = [each[0] for each in panes_of(cutmix=True) if each]
    widths, heights = ([p.right - p.left for p in panes], [p.bottom - p.top for p in panes])
    assert (min(widths), max(widths), min(heights), max(heights)) == (18, 48, 12, 32)
    assert min(p.left for p in panes) == 0 and max(p.right for p in panes) == 59  # as rand_int
    assert min(p.top for p in panes) == 0 and max(p.bottom for p in panes) == 39


def test_cutmix_by_hand():
    images = [noise(4, 5, seed=seed) for seed in (1, 2)]
    mixed = paste(images, (Pane(1, 2, 4, 4),))
    np.testing.assert_array_equal(mixed[2:4, 1:4], images[1][2:4, 1:4])
    kept = np.ones((4, 5), bool)
    kept[2:4, 1:4] = False
    np.testing.assert_array_equal(mixed[kept], images[0][kept])
    assert image_fractions((Pane(1, 2, 4, 4),), (4, 5)).tolist() == [0.7, 0.3]  # 6 of 20 pixels


def test_a_mosaic_has_four_quarters_that_fill_the_input():
    mosaics = [each for each in panes_of(mosaic=True) if each]
    assert {len(each) for each in mosaics} == {3}
    cuts = [(each[2].left, each[2].top) for each in mosaics]
    assert {x for x, _ in cuts} == set(range(12, 49)) and {y for _, y in cuts} == set(range(8, 33))
    panes = mosaics[0]
    x, y = cuts[0]
    images = [np.full((40, 60, 3), value, np.uint8) for value in range(4)]
    mixed = paste(images, panes)[:, :, 0]
    expected = np.zeros((40, 60))
    expected[:y, x:], expected[y:, :x], expected[y:, x:] = 1, 2, 3
    np.testing.assert_array_equal(mixed, expected)
    counted = [(expected == value).mean() for value in range(4)]
    np.testing.assert_allclose(image_fractions(panes, (40, 60)), counted)


def test_mosaic_and_cutmix_take_turns_and_go_before_mixup():
    """parser.c parse_net_options: with both, either is drawn; mixup counts only without them."""
    lengths = [len(each) for each in panes_of(mosaic=True, cutmix=True, mixup=True) if each]
    assert 0.4 < lengths.count(1) / len(lengths) < 0.6 and set(lengths) == {1, 3}
    drawn = [each[0] for each in panes_of(cutmix=True, mixup=True) if each]
    assert {each.opacity for each in drawn} == {1.0}


def test_gray_images_are_mixed_too():
    images = [np.full((4, 6, 1), value, np.uint8) for value in (100, 50)]
    assert paste(images, (Pane(0, 0, 6, 4, 0.5),)).shape == (4, 6, 1)
    assert blur(images[0], 3).shape == (4, 6, 1)


def test_one_of_four_images_is_blurred():
    rng = np.random.default_rng(0)
    windows = [draw_blur_window(MixingSettings(blur=1), rng) for _ in range(1000)]
    assert set(windows) == {0, 15} and 200 < windows.count(15) < 300
    assert {draw_blur_window(MixingSettings(blur=6), rng) for _ in range(50)} == {
        0,
        7,
    }  # OpenCV: odd
    assert draw_blur_window(MixingSettings(), rng) == 0


def test_blur_softens_and_no_blur_leaves_alone():
    image = noise(20, 20)
    assert blur(image, 0) is image
    assert blur(image, 15).std() < image.std() / 3
