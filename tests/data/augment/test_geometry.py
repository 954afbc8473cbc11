"""yolo.data.augment.geometry: boxes follow pixels, draws keep to their limits, colors change as Darknet changes
them."""

import cv2
import numpy as np
import pytest

from tests.helpers.bright_box import pixel_box, unit
from tests.helpers.tiny_data import COLORS, GROUND, SIZE, draw
from yolo.data.augment.color import draw_factor, recolor
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
from yolo.settings import ColorSettings

WHOLE = Augmentation(left=0, top=0, width=64, height=48)
WILD = AugmentationSettings(jitter=0.4, resize=1.5, flip=True)
ALMOST = 60  # of 255: how far a color may be from a box's and still be the box


def augment_image(augmentation, image, size):
    part = show_part(augmentation, image, size)
    return recolor(part, augmentation.hue, augmentation.saturation, augmentation.exposure)


def seen(image, label=0):
    """xyxy pixels around everything of a class's color, or None."""
    distance = np.abs(image.astype(int) - COLORS[label].astype(int)).max(axis=2)
    rows, columns = np.nonzero(distance < ALMOST)
    if len(rows) == 0:
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_boxes_follow_pixels_through_many_random_draws():
    """Images and networks of several sizes; crops, zooms, flips and parts outside the image."""
    rng = np.random.default_rng(7)
    compared = outside = flipped = gone = 0
    for number in range(300):
        image_size = [(48, 64), (97, 61), (120, 200)][number % 3]
        network = [(96, 128), (64, 96)][number % 2]
        height, width = image_size
        x1, y1 = rng.integers(0, width - 12), rng.integers(0, height - 12)
        # Not so large that the image's mean, which stands outside, comes near the box's color.
        x2, y2 = x1 + rng.integers(8, width // 2), y1 + rng.integers(8, height // 2)
        x2, y2 = min(x2, width), min(y2, height)
        drawn = draw_augmentation(WILD, image_size, rng)
        image = augment_image(drawn, draw([(x1, y1, x2, y2, 0)], image_size), network)
        assert image.shape == (*network, 3)
        boxes, there = augment_boxes(drawn, unit((x1, y1, x2, y2), image_size), image_size, network)
        found = seen(image)
        if not there[0]:
            gone += 1
            # At most a sliver of it may still be seen.
            assert found is None or (found[2:] - found[:2]).min() <= 1
            continue
        box = pixel_box(boxes[0], network)
        if (box[2:] - box[:2]).min() < 4:
            continue  # too thin for blurred borders to be measured
        pixel = max(1, network[0] / drawn.height, network[1] / drawn.width)
        assert np.abs(box - found).max() <= pixel, (drawn, box, found)
        compared += 1
        flipped += drawn.flip
        outside += drawn.left < 0 or drawn.top < 0 or drawn.left + drawn.width > width
    assert compared > 200 and gone > 0
    assert flipped > 80 and outside > 80  # the draws were as wild as they were meant to be


def test_the_whole_image_at_its_own_size_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(augment_image(WHOLE, image, (48, 64)), image)
    boxes, there = augment_boxes(WHOLE, unit((8, 8, 24, 40), SIZE), SIZE, (48, 64))
    np.testing.assert_allclose(boxes, unit((8, 8, 24, 40), SIZE))
    assert there.all() and boxes.dtype == np.float32


def test_a_crop_and_a_flip_by_hand():
    # Columns 16..48 and rows 12..36 of 64 x 48 are shown: everything twice as large.
    crop = Augmentation(left=16, top=12, width=32, height=24)
    boxes, _ = augment_boxes(crop, unit((24, 18, 32, 30), SIZE), SIZE, SIZE)
    np.testing.assert_allclose(pixel_box(boxes[0], SIZE), [16, 12, 32, 36])
    mirrored = Augmentation(left=16, top=12, width=32, height=24, flip=True)
    boxes, _ = augment_boxes(mirrored, unit((24, 18, 32, 30), SIZE), SIZE, SIZE)
    np.testing.assert_allclose(pixel_box(boxes[0], SIZE), [32, 12, 48, 36])


def test_boxes_are_cut_at_the_border_and_gone_below_a_pixel():
    crop = Augmentation(left=32, top=0, width=32, height=48)
    cases = np.concatenate((unit((16, 8, 48, 24), SIZE), unit((0, 8, 32.4, 24), SIZE), unit((0, 8, 30, 24), SIZE)))
    boxes, there = augment_boxes(crop, cases, SIZE, SIZE)
    np.testing.assert_allclose(pixel_box(boxes[0], SIZE), [0, 8, 32, 24])
    # 0.4 image pixels of the second are left: 0.8 network pixels, too little.
    assert there.tolist() == [True, False, False]


def test_no_boxes_are_ordinary():
    boxes, there = augment_boxes(WHOLE, np.zeros((0, 4)), SIZE, SIZE)
    assert boxes.shape == (0, 4) and there.shape == (0,)


def test_outside_the_image_is_its_mean_color():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, :2] = (200, 100, 40)
    wide = Augmentation(left=-4, top=-4, width=12, height=12)
    shown = augment_image(wide, image, (12, 12))
    assert (shown[:4] == (100, 50, 20)).all() and (shown[:, 8:] == (100, 50, 20)).all()
    np.testing.assert_array_equal(shown[4:8, 4:8], image)


def test_a_part_wholly_outside_is_mean_color_everywhere():
    away = Augmentation(left=500, top=0, width=32, height=48)
    shown = augment_image(away, draw([]), (24, 32))
    assert (shown == GROUND).all()


def test_draws_are_the_same_for_the_same_seed_and_differ_for_others():
    draws = [draw_augmentation(WILD, (480, 640), np.random.default_rng((5, 1, n))) for n in range(20)]
    again = [draw_augmentation(WILD, (480, 640), np.random.default_rng((5, 1, n))) for n in range(20)]
    assert draws == again
    assert len({(each.left, each.top) for each in draws}) == 20


def test_draws_keep_to_their_limits_and_reach_them():
    settings = AugmentationSettings(jitter=0.2, flip=True, color=ColorSettings(0.1, 1.5, 2.0))
    rng = np.random.default_rng(0)
    draws = [draw_augmentation(settings, (100, 200), rng) for _ in range(2000)]
    lefts = [each.left for each in draws]
    assert min(lefts) >= -40 and max(lefts) <= 40 and min(lefts) < -38 and max(lefts) > 38
    tops = [each.top for each in draws]
    assert min(tops) >= -20 and max(tops) <= 20
    widths = [each.width for each in draws]
    assert min(widths) >= 120 and max(widths) <= 280
    assert 850 < sum(each.flip for each in draws) < 1150
    saturations = [each.saturation for each in draws]
    assert 1 / 1.5 <= min(saturations) < 0.68 and 1.48 < max(saturations) <= 1.5
    exposures = [each.exposure for each in draws]
    assert 0.5 <= min(exposures) < 0.52 and 1.96 < max(exposures) <= 2
    hues = [each.hue for each in draws]
    assert -0.1 <= min(hues) < -0.095 and 0.095 < max(hues) <= 0.1


def test_factors_below_1_are_factors_too():
    rng = np.random.default_rng(0)
    factors = [draw_factor(0.75, rng) for _ in range(1000)]
    assert 0.75 <= min(factors) < 0.76 and 1.32 < max(factors) <= 1 / 0.75
    assert draw_factor(1, rng) == draw_factor(0, rng) == 1


def test_without_settings_nothing_is_changed():
    drawn = draw_augmentation(AugmentationSettings(), (48, 64), np.random.default_rng(0))
    assert drawn == WHOLE


def test_resize_zooms_in_and_out_by_its_factor_at_most():
    """image_data_augmentation: each side shows between 1 / resize and resize of the image."""
    rng = np.random.default_rng(0)
    settings = AugmentationSettings(resize=2.0)
    fractions = [draw_augmentation(settings, (1000, 1000), rng).width / 1000 for _ in range(2000)]
    assert 0.5 <= min(fractions) < 0.54 and 1.85 < max(fractions) <= 2.0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_images_of_one_pixel_survive_the_wildest_draws(size):
    image = np.full((*size, 3), 50, np.uint8)
    for seed in range(50):
        drawn = draw_augmentation(WILD, size, np.random.default_rng(seed))
        assert augment_image(drawn, image, (48, 64)).shape == (48, 64, 3)


def test_gray_images_keep_one_channel_and_change_in_exposure_alone():
    image = np.full((48, 64, 1), 50, np.uint8)
    drawn = Augmentation(-10, -10, 90, 70, True, hue=0.1, saturation=1.4, exposure=1.4)
    shown = augment_image(drawn, image, (24, 32))
    assert shown.shape == (24, 32, 1) and (shown == 70).all()  # 50 x 1.4


def colors(rgb, **change):
    image = np.array([[rgb]], np.uint8)
    return augment_image(Augmentation(0, 0, 1, 1, **change), image, (1, 1))[0, 0].tolist()


def test_color_changes_by_hand():
    assert colors((255, 0, 0), hue=1 / 3) == [0, 255, 0]  # a third of a turn: red to green
    assert colors((255, 0, 0), hue=-1 / 3) == [0, 0, 255]
    assert colors((100, 40, 40), exposure=2.0) == [200, 80, 80]
    assert colors((200, 200, 200), exposure=1.5) == [255, 255, 255]  # clipped, not wrapped
    red, green, blue = colors((200, 100, 100), saturation=0.5)  # half as far from gray
    assert red == 200 and abs(green - 150) <= 2 and abs(blue - 150) <= 2


def test_augmenting_leaves_the_image_and_boxes_it_was_given_alone():
    image, boxes = draw([(8, 8, 24, 24, 0)]), unit((8, 8, 24, 24), SIZE)
    kept, kept_boxes = image.copy(), boxes.copy()
    change = Augmentation(0, 0, 64, 48, True, hue=0.1, saturation=1.5, exposure=1.5)
    augment_image(change, image, SIZE)
    augment_boxes(change, boxes, SIZE, SIZE)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(boxes, kept_boxes)


def test_the_flip_may_come_after_the_resizing():
    """Mirroring first, as Darknet does, gives the same pixels within a rounding."""
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    ours = augment_image(Augmentation(0, 0, 70, 50, flip=True), image, (48, 64))
    first = cv2.resize(cv2.flip(image, 1), (64, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(ours.astype(int) - first.astype(int)).max() <= 1


def test_letterboxing_keeps_the_aspect_and_the_middle():
    whole = Augmentation(0, 0, 60, 20)
    assert keep_aspect(whole, (20, 60), (30, 30)) == Augmentation(0, -20, 60, 60)
    assert keep_aspect(Augmentation(3, 5, 20, 60), (60, 20), (30, 30)) == Augmentation(-17, 5, 60, 60)
    assert keep_aspect(whole, (20, 60), (10, 30)) == whole


def test_a_resize_below_one_only_makes_images_smaller():
    settings = AugmentationSettings(resize=0.5)
    rng = np.random.default_rng(1)
    widths = [draw_augmentation(settings, (100, 100), rng).width for _ in range(200)]
    assert min(widths) >= 100 and 190 < max(widths) <= 200


def test_a_window_is_what_the_whole_shows_there():
    """Crops, borders, flips, windows of every size; on smooth images, for places are rounded to 32nds of a pixel."""
    rng = np.random.default_rng(3)
    for number in range(200):
        size = [(48, 64), (97, 61), (300, 200)][number % 3]
        channels = 1 + 2 * (number % 2)
        small = rng.integers(0, 256, (5, 6, channels), dtype=np.uint8)
        image = cv2.resize(small, size[::-1]).reshape(*size, channels)
        network = (96, 128)
        drawn = draw_augmentation(WILD, size, rng)
        x1, x2 = np.sort(rng.integers(0, 129, 2))
        y1, y2 = np.sort(rng.integers(0, 97, 2))
        shown = show_window(drawn, image, network, (x1, y1, x2, y2))
        assert shown.shape == (y2 - y1, x2 - x1, channels)
        whole = show_part(drawn, image, network).astype(int)
        # Where the image's border is seen, it is as steep as the mean is far from its pixels.
        outside = drawn.left < 0 or drawn.top < 0
        outside |= drawn.left + drawn.width > size[1] or drawn.top + drawn.height > size[0]
        off = np.zeros(whole.shape)
        off[y1:y2, x1:x2] = np.abs(shown - whole[y1:y2, x1:x2])
        # An image's pixel at the border of what is shown has a neighbor beyond it only in the window.
        margin = 1 + max(network[0] // drawn.height, network[1] // drawn.width)
        assert off[margin:-margin, margin:-margin].max() <= (255 / 32 + 1 if outside else 4)


def test_small_is_what_has_two_pixels_for_every_one_both_ways():
    assert is_small(Augmentation(0, 0, 128, 96), (48, 64))
    assert not is_small(Augmentation(0, 0, 127, 96), (48, 64))
    assert not is_small(Augmentation(0, 0, 128, 95), (48, 64))


def test_half_the_image_shows_the_same_part_by_hand():
    drawn = Augmentation(-10, 6, 100, 51, True, hue=0.1)
    # 57 / 2 is 28.5, which Python rounds to the even 28
    assert halved(drawn) == Augmentation(-5, 3, 50, 25, True, hue=0.1)


def test_boxes_follow_pixels_of_halved_images():
    """As of whole ones, within half a network pixel more."""
    rng = np.random.default_rng(11)
    compared = 0
    for number in range(150):
        size, network = [(401, 530), (640, 333)][number % 2], (96, 128)
        x1, y1 = rng.integers(0, size[1] - 120), rng.integers(0, size[0] - 120)
        x2, y2 = x1 + rng.integers(60, 120), y1 + rng.integers(60, 120)
        drawn = draw_augmentation(WILD, size, rng)
        if not is_small(drawn, network):
            continue
        image = draw([(x1, y1, x2, y2, 0)], size)
        half = cv2.resize(image, ((size[1] + 1) // 2, (size[0] + 1) // 2), interpolation=cv2.INTER_AREA)
        boxes, there = augment_boxes(drawn, unit((x1, y1, x2, y2), size), size, network)
        box = pixel_box(boxes[0], network)
        if there[0] and (box[2:] - box[:2]).min() >= 4:
            found = seen(augment_image(halved(drawn), half, network))
            assert np.abs(box - found).max() <= 1.5
            compared += 1
    assert compared > 40
