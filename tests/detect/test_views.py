"""yolo.detect.views: tiles, mirrored and scaled copies, and their boxes in the image's pixels."""

import numpy as np
import pytest
import torch

from tests.detect.test_all_heads import HEADS
from tests.detect.test_all_heads import network_of as head_network
from tests.detect.test_detector import CFG, detector_of, one_box_everywhere
from tests.helpers.golden import network_of
from tests.helpers.tiny_data import NAMES
from yolo.detect.detector import Detector
from yolo.detect.views import (
    ImageView,
    ViewPlan,
    _covered_cuts,
    _cut,
    detect_views,
    scaled_size,
    tile_regions,
    tta_sizes,
)
from yolo.records import Detections


@pytest.mark.parametrize("size, side, overlap", [((100, 250), 64, 0.2), ((64, 65), 64, 0.5), ((300, 70), 100, 0)])
def test_tiles_cover_the_image_and_overlap_as_asked(size, side, overlap):
    regions = tile_regions(size, side, overlap)
    covered = np.zeros(size, int)
    for x1, y1, x2, y2 in regions:
        assert 0 <= x1 < x2 <= size[1] and 0 <= y1 < y2 <= size[0]
        assert (x2 - x1, y2 - y1) == (min(side, size[1]), min(side, size[0]))
        covered[y1:y2, x1:x2] += 1
    assert covered.min() == 1
    lefts = sorted({region[0] for region in regions})
    assert all(b - a <= side * (1 - overlap) for a, b in zip(lefts, lefts[1:], strict=False))


def test_tiles_by_hand():
    assert tile_regions((50, 100), 50, 0.2) == [*((0, 0, 50, 50), (25, 0, 75, 50), (50, 0, 100, 50))]
    assert tile_regions((10, 20), 50, 0.2) == [(0, 0, 20, 10)]


def test_scaled_inputs_are_whole_strides():
    assert scaled_size((416, 320), 1.0, (32, 32)) == (416, 320)
    assert scaled_size((416, 320), 0.83, (32, 32)) == (352, 256)
    assert scaled_size((416, 320), 0.83, (64, 16)) == (320, 272)
    assert scaled_size((32, 48), 0.1, (32, 32)) == (32, 32)


# strides of 4, 8 and 16 of one axis; two maps are added that only whole strides make equal
TWO_STRIDES = """[net]
width=128
height=64
channels=3
[convolutional]
filters=4
size=3
stride_y=4
stride_x=8
pad=1
[convolutional]
filters=4
size=3
stride=2
pad=1
[upsample]
stride=2
[shortcut]
from=-3
[convolutional]
filters=7
size=1
[yolo]
mask=0
anchors=16,16
classes=2
num=1
"""


def test_the_views_of_a_network_are_whole_strides_of_its_own():
    # by hand: .83 and 1.25 of 64 in steps of 8 are 56 (53.1) and 80; of 128 in steps of 16 112 (106.2) and 160
    assert tta_sizes(network_of(TWO_STRIDES)) == ((56, 112), (64, 128), (80, 160))


@pytest.mark.parametrize("kind", HEADS)
def test_networks_of_one_input_size_are_mirrored_and_not_scaled(kind):
    detector = Detector(head_network(kind), NAMES)
    sizes = tta_sizes(detector.network)
    assert sizes == ((32, 48),)  # a [local] or a [connected] is before each head
    plan = ViewPlan(32, 0.2, mirrored=True, sizes=sizes)
    found = detect_views(detector, np.zeros((64, 96, 3), np.uint8), plan, batch=2)
    assert found.boxes.shape == (len(found), 4)


def test_a_plan_without_options_is_one_pass():
    plan = ViewPlan()
    assert plan.is_plain and plan.views((100, 200), (32, 48)) == [ImageView((0, 0, 200, 100), False, (32, 48))]


def test_an_image_no_larger_than_a_tile_is_seen_once():
    assert len(ViewPlan(tile=200).views((100, 200), (32, 48))) == 1


def test_the_whole_image_is_seen_beside_its_tiles():
    views = ViewPlan(tile=50, overlap=0).views((50, 100), (32, 48))
    assert [view.region for view in views] == [(0, 0, 100, 50), (0, 0, 50, 50), (50, 0, 100, 50)]


def bright_spot_detector(side=32):
    """A detector of a stride of 1 whose objectness is the pixel's brightness: it finds each white pixel."""
    network = network_of(CFG.format(channels=3).replace("width=48", f"width={side}"))
    with torch.no_grad():
        conv = network.layers[0].conv
        conv.weight.zero_()
        conv.bias.copy_(torch.tensor(([0.0] * 4 + [-20.0, -20.0, 20.0]) + [0.0] * 4 + [-20.0] * 3))
        conv.weight[4] = 20.0  # objectness: three channels of 1 x 20 - 20
    return Detector(network, ["cat", "dog"], score_thresh=0.9)


def spot_image(x, y, size=(128, 128)):
    image = np.zeros((*size, 3), np.uint8)
    image[y : y + 4, x : x + 4] = 255
    return image


@pytest.mark.parametrize("tile, tta", [(32, False), (None, True), (64, True)])
def test_every_view_gives_its_boxes_in_the_images_pixels(tile, tta):
    detector = bright_spot_detector()
    plan = ViewPlan(tile, 0.25, tta, tta_sizes(detector.network) if tta else ())
    found = detect_views(detector, spot_image(100, 20), plan, batch=3)
    assert len(found) > 0 and found.labels.tolist() == [1] * len(found)
    centers = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    # the spot's middle is (102, 22); a cell of the whole image is 4 pixels wide
    assert (centers - torch.tensor([102.0, 22.0])).abs().max() <= 6
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)


def test_a_spot_too_small_for_the_whole_image_is_found_in_a_tile():
    detector = bright_spot_detector()
    image = np.zeros((512, 512, 3), np.uint8)
    image[300:302, 400:402] = 255
    assert len(detector(image)) == 0
    found = detect_views(detector, image, ViewPlan(tile=32))
    assert len(found) > 0
    assert ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - torch.tensor([401.0, 301.0])).abs().max() <= 3


def test_one_view_gives_what_the_detector_gives():
    detector = detector_of(biases=one_box_everywhere())
    image = np.random.default_rng(0).integers(0, 256, (64, 144, 3), np.uint8)
    expected, found = detector(image), detect_views(detector, image, ViewPlan(tile=1000))
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_nms_runs_over_all_views_together():
    detector = bright_spot_detector()
    found = detect_views(detector, spot_image(64, 64), ViewPlan(mirrored=True, sizes=tta_sizes(detector.network)))
    from yolo.detect.nms import nms

    kept = nms(found.boxes, found.scores, found.labels, detector.nms_thresh, detector.diou_exponent)
    assert len(kept) == len(found)


def test_a_box_that_a_tile_cuts_gives_way_to_a_box_that_holds_it():
    boxes = torch.tensor(
        [
            [20, 10, 50, 30],  # cut at x = 50
            [20, 10, 80, 30],  # the same object, whole
            [20, 10, 80, 30],  # another class
            [0, 40, 50, 60],  # cut, and nothing holds it
            [45, 40, 55, 60],  # less than half of it
        ]
    ).float()
    labels = torch.tensor([0, 0, 1, 0, 0])
    tile = ImageView((0, 0, 50, 100), False, (32, 48))
    found = Detections(boxes, torch.ones(5), labels)
    cut = _cut(found, tile, np.zeros((100, 100, 3), np.uint8))
    assert cut.tolist() == [True, True, True, True, True]  # all end at or beyond the tile's edge
    whole_image = ImageView((0, 0, 100, 100), False, (32, 48))
    assert not _cut(found, whole_image, np.zeros((100, 100, 3), np.uint8)).any()
    cut = torch.tensor([True, False, False, True, False])
    assert _covered_cuts(boxes, labels, cut).tolist() == [True, False, False, False, False]
