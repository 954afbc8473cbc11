"""yolo.data.sample: boxes follow pixels through everything that is drawn, mixed and not; how often what is mixed."""

from functools import partial

import numpy as np
import pytest

from tests.helpers.bright_box import BRIGHT, DARK, image_of, pixel_box, seen, unit
from yolo.data.augment.geometry import AugmentationSettings
from yolo.data.sample import METHODS, Recipe, Source, draw_images, make_sample
from yolo.records import LabeledBoxes
from yolo.settings import ColorSettings, MixingSettings

WILD = AugmentationSettings(jitter=0.3, resize=1.5, flip=True)
MOSAIC = MixingSettings(mosaic=True, mosaic_bound=True)
NETWORKS = [(96, 128), (128, 96), (160, 160)]
IMAGES = [(48, 64), (97, 61), (120, 200), (401, 530)]  # the last one is mostly halved


def recipe_of(mixing=MOSAIC, settings=WILD, dialect="alexeyab", max_boxes=200):
    return Recipe(METHODS[dialect], settings, mixing, max_boxes)


def read_of(image, half):
    """Every second pixel stands for a half: crude, but in its place."""
    return np.ascontiguousarray(image[::2, ::2]) if half else image


def source_of(image, boxes, labels=None):
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels)
    return Source(image.shape[:2], LabeledBoxes(labels, boxes), partial(read_of, image))


def random_source(size, rng, channels=3, label=0):
    image, box = image_of(size, rng, channels)
    return source_of(image, unit(box, size), [label])


def empty_source(size, level=DARK, channels=3):
    return source_of(np.full((*size, channels), level, np.uint8), np.zeros((0, 4)))


def pixel_of(image_size, network):
    """Network pixels that a box may be off by: the edge of what is shown is as wide as an image's pixel, at most
    as large as where half of the sides is cut off and resize zooms in."""
    shown = 1 - 2 * WILD.jitter - (1 - 1 / WILD.resize)
    return 1.5 + max(network[0] / image_size[0], network[1] / image_size[1]) / (2 * shown)


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_follow_pixels_alone(dialect, channels):
    recipe = recipe_of(MixingSettings(), dialect=dialect)
    compared = 0
    for number in range(160):
        rng = np.random.default_rng((1, number))
        image_size, network = IMAGES[number % 4], NETWORKS[number % 3]
        source = random_source(image_size, rng, channels)
        image, labels, boxes = make_sample(recipe, [source], network, rng)
        assert image.shape == (*network, channels) and image.dtype == np.uint8
        if len(boxes) == 0 or (boxes[0, 2:] * network[::-1]).min() < 4:
            continue
        assert labels.tolist() == [0] and boxes.dtype == np.float32
        expected = pixel_box(boxes[0], network)
        assert np.abs(expected - seen(image)).max() <= pixel_of(image_size, network)
        compared += 1
    assert compared > 120


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_follow_pixels_into_every_tile_of_a_mosaic(channels):
    """One of four images has a box; mosaic_bound=1, so that it ends where its pixels end."""
    compared = np.zeros(4, int)
    for number in range(400):
        rng = np.random.default_rng((2, number))
        image_size, network = IMAGES[number // 4 % 4], NETWORKS[number % 3]
        sources = [empty_source(IMAGES[n], channels=channels) for n in range(4)]
        place = number % 4
        sources[place] = random_source(image_size, rng, channels, label=place)
        image, labels, boxes = make_sample(recipe_of(), sources, network, rng)
        assert image.shape == (*network, channels)
        found = seen(image)
        if len(boxes) == 0:
            assert found is None or (found[2:] - found[:2]).min() <= 2
            continue
        expected = pixel_box(boxes[0], network)
        if (expected[2:] - expected[:2]).min() < 5:
            continue
        assert labels.tolist() == [place]
        assert np.abs(expected - found).max() <= pixel_of(image_size, network), number
        compared[place] += 1
    assert compared.min() > 20


def test_without_mosaic_bound_a_box_covers_its_pixels_at_least():
    """It may go on beyond its tile, over what the next one shows, but not end before its pixels do."""
    recipe = recipe_of(MixingSettings(mosaic=True))
    wider = compared = 0
    for number in range(300):
        rng = np.random.default_rng((3, number))
        image_size, network = IMAGES[2 + number % 2], NETWORKS[number % 3]
        sources = [empty_source(image_size) for _ in range(4)]
        sources[number % 4] = random_source(image_size, rng)
        image, _, boxes = make_sample(recipe, sources, network, rng)
        found, pixel = seen(image), pixel_of(image_size, network)
        if len(boxes) == 0 or found is None:
            continue
        expected = pixel_box(boxes[0], network)
        assert (expected[:2] <= found[:2] + pixel).all() and (expected[2:] >= found[2:] - pixel).all()
        compared += 1
        wider += np.abs(expected - found).max() > pixel
    assert compared > 100 and wider > 3


def test_the_tiles_of_a_mosaic_lie_around_a_cut_point():
    """Four plain images: one corner of the sample each, and nothing between them."""
    levels = (10, 80, 150, 220)
    for number in range(50):
        rng = np.random.default_rng((4, number))
        sources = [empty_source(IMAGES[n], levels[n]) for n in range(4)]
        image = make_sample(recipe_of(), sources, (100, 200), rng).image[:, :, 0]
        assert [image[0, 0], image[0, -1], image[-1, 0], image[-1, -1]] == list(levels)
        assert set(np.unique(image)) == set(levels)
        x, y = (image[0] == 10).sum(), (image[:, 0] == 10).sum()
        assert 40 <= x <= 160 and 20 <= y <= 80
        assert (image[:y, :x] == 10).all() and (image[y:, x:] == 220).all()


def test_mixup_shows_both_images_half_and_all_their_boxes():
    """One bright box an image: either is seen half as bright; boxes come first image first."""
    recipe, compared = recipe_of(MixingSettings(mixup=True), AugmentationSettings(jitter=0.2)), 0
    network = (128, 160)
    for number in range(100):
        rng = np.random.default_rng((5, number))
        first, second = random_source((60, 80), rng, label=3), empty_source((97, 61))
        image, labels, boxes = make_sample(recipe, [first, second], network, rng)
        if len(boxes) and (boxes[0, 2:] * network[::-1]).min() >= 5:
            assert image.max() == (BRIGHT + DARK) / 2
            half = (DARK + image.max()) // 2
            assert np.abs(pixel_box(boxes[0], network) - seen(image, half)).max() <= 4.5
            compared += 1
        both = make_sample(recipe, [first, random_source((97, 61), rng, label=5)], network, rng)
        assert both.labels.tolist() in ([3, 5], [3], [5], [])
    assert compared > 80
    plain = recipe_of(MixingSettings(mixup=True), AugmentationSettings())
    both = make_sample(plain, [first, random_source((97, 61), rng, label=5)], network, rng)
    assert both.labels.tolist() == [3, 5]


def test_the_same_seed_gives_the_same_sample():
    settings = AugmentationSettings(0.3, 1.5, True, ColorSettings(0.1, 1.5, 1.5), letter_box=True)
    mixing = MixingSettings(mosaic=True, blur=9, gaussian_noise=20)
    sources = [random_source(IMAGES[n], np.random.default_rng(n)) for n in range(4)]

    def sample(seed):
        return make_sample(recipe_of(mixing, settings), sources, (96, 128), np.random.default_rng(seed))

    for seed in range(5):
        for first, again in zip(sample(seed), sample(seed), strict=True):
            np.testing.assert_array_equal(first, again)
    assert (sample(1).image != sample(2).image).any()


def test_boxes_stay_sharp_in_every_tile_where_the_background_is_blurred():
    """Four images of fine stripes, as large as the network: what is inside a box is as it was."""
    stripes = np.tile(np.array([0, 200], np.uint8), (60, 40))[:, :, None]  # [60, 80, 1]
    source = source_of(stripes, unit((10, 8, 70, 52), (60, 80)))
    recipe = recipe_of(MixingSettings(mosaic=True, mosaic_bound=True, blur=1), AugmentationSettings())
    blurred = 0
    for seed in range(40):
        sample = make_sample(recipe, [source] * 4, (60, 80), np.random.default_rng(seed))
        inside, edges = np.zeros((2, 60, 80), bool)
        for box in sample.boxes:
            x1, y1, x2, y2 = np.round(pixel_box(box, (60, 80))).astype(int)
            # Darknet cuts corners and sides down to whole pixels: one may be missing.
            inside[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] = True
            edges[y1:y2, x1:x2] = True
        levels = sample.image[:, :, 0]
        assert set(np.unique(levels[inside])) == {0, 200}
        blurred += ((levels[~edges] > 20) & (levels[~edges] < 180)).any()
    assert blurred > 20


def counts(mixing, dialect="alexeyab"):
    rng = np.random.default_rng(0)
    drawn = [draw_images(recipe_of(mixing, dialect=dialect), rng) for _ in range(1000)]
    return {number: drawn.count(number) for number in sorted(set(drawn))}


def test_every_second_sample_is_mixed_and_mosaic_goes_before_mixup():
    assert counts(MixingSettings()) == {1: 1000}
    assert list(counts(MixingSettings(mosaic=True))) == [1, 4]
    assert 450 < counts(MixingSettings(mosaic=True))[4] < 550
    assert list(counts(MixingSettings(mixup=True))) == [1, 2]
    assert list(counts(MixingSettings(mosaic=True, mixup=True))) == [1, 4]
    assert counts(MixingSettings(mosaic=True, mixup=True), "pjreddie") == {1: 1000}


def test_pjreddies_view_has_no_blur_and_no_noise():
    mixing = MixingSettings(blur=1, gaussian_noise=100)
    flat = empty_source((50, 50), level=90)
    for seed in range(20):
        recipe = recipe_of(mixing, AugmentationSettings(), "pjreddie")
        image = make_sample(recipe, [flat], (50, 50), np.random.default_rng(seed)).image
        assert (image == 90).all()
    images = [make_sample(recipe_of(mixing), [flat], (50, 50), np.random.default_rng(seed)).image for seed in range(20)]
    assert 4 <= sum(image.std() > 5 for image in images) <= 16


@pytest.mark.parametrize("count", [1, 2, 4])
def test_at_most_max_boxes_are_kept(count):
    rng = np.random.default_rng(0)
    boxes = np.tile([[0.5, 0.5, 0.9, 0.9]], (7, 1))
    image = np.zeros((40, 40, 3), np.uint8)
    sources = [source_of(image, boxes, [n] * 7) for n in range(count)]
    recipe = recipe_of(MixingSettings(mosaic=True), AugmentationSettings(), max_boxes=9)
    expected = {1: [0] * 7, 2: [0] * 7 + [1] * 2, 4: [0] * 7 + [1] * 2}[count]
    assert make_sample(recipe, sources, (50, 50), rng).labels.tolist() == expected
    few = recipe_of(MixingSettings(mosaic=True), AugmentationSettings(), max_boxes=3)
    assert make_sample(few, sources, (50, 50), rng).labels.tolist() == [0] * 3


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_images_of_one_pixel_without_boxes_are_ordinary(size, count):
    mixing = MixingSettings(mosaic=True, blur=31, gaussian_noise=10)
    for channels in (1, 3):
        sources = [empty_source(size, channels=channels) for _ in range(count)]
        for seed in range(15):
            for network in ((48, 64), (1, 1)):
                rng = np.random.default_rng(seed)
                image, labels, boxes = make_sample(recipe_of(mixing), sources, network, rng)
                assert image.shape == (*network, channels)
                assert labels.shape == (0,) and boxes.shape == (0, 4)


def test_a_mosaic_of_letterboxed_images_keeps_their_aspect():
    """A square of a 2:1 image, on a square network: stretched to 1:2 without letter_box, square with it."""
    image = np.full((60, 120, 3), DARK, np.uint8)
    image[20:40, 50:70] = BRIGHT
    box = unit((50, 20, 70, 40), (60, 120))
    for letter_box, height in ((False, 80), (True, 40)):
        recipe, whole = recipe_of(settings=AugmentationSettings(letter_box=letter_box)), 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            sources = [source_of(image, box), *(empty_source((60, 60)) for _ in range(3))]
            mixed, _, boxes = make_sample(recipe, sources, (240, 240), rng)
            sides = boxes[0, 2:] * 240 if len(boxes) else np.zeros(2)
            if sides[0] > 39.9 and sides[1] > height - 0.1:  # not cut; 40 pixels wide either way
                x1, y1, x2, y2 = seen(mixed)
                assert abs(x2 - x1 - 40) <= 3 and abs(y2 - y1 - height) <= 3  # a blurred edge each
                whole += 1
        assert whole > 5
