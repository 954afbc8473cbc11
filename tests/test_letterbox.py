"""yolo.letterbox: placing an image in the network input and boxes back, non-square everywhere."""

import numpy as np
import pytest
import torch

from tests.helpers import slow_core
from yolo.letterbox import Placement, batch_of, letterboxed, place, resize, resized_pixels, stretched, to_image


def test_a_stretched_image_fills_the_input():
    assert stretched((480, 640), (416, 608)) == Placement((480, 640), (416, 608), (416, 608), (0, 0))


@pytest.mark.parametrize(
    ("image", "network", "content", "offset"),
    [
        ((480, 640), (416, 416), (312, 416), (52, 0)),  # wide: bars above and below
        ((640, 480), (416, 416), (416, 312), (0, 52)),  # tall: bars left and right
        ((300, 400), (96, 256), (96, 128), (0, 64)),
        (
            (100, 333),
            (64, 64),
            (19, 64),
            (22, 0),
        ),  # 100*64/333 = 19.2; 45 rows left, the odd one below
        ((50, 50), (64, 64), (64, 64), (0, 0)),
        ((1, 5000), (64, 64), (1, 64), (31, 0)),  # never thinner than a pixel
    ],
)
def test_a_letterboxed_image_keeps_its_aspect_in_whole_pixels(image, network, content, offset):
    assert letterboxed(image, network) == Placement(image, network, content, offset)


@pytest.mark.parametrize("size", [(9, 14), (3, 4), (7, 5)])
def test_resize_aligns_corners_as_the_loop_does(size):
    image = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    found = resize(image, size)
    assert found.shape == (2, *size)
    for (channel, row, column), value in np.ndenumerate(found.numpy()):
        slow = slow_core.resized_pixel(image[channel].numpy(), size, row, column)
        assert value == pytest.approx(slow, abs=1e-6)


def test_resize_to_the_same_size_changes_nothing():
    image = torch.rand(3, 4, 6)
    assert torch.equal(resize(image, (4, 6)), image)


def test_place_gives_channels_first_in_0_to_1_and_gray_bars():
    image = np.zeros((2, 4, 3), np.uint8)
    image[..., 0], image[..., 2] = 255, 51
    placed = place(image, letterboxed((2, 4), (9, 8)))  # content 4 x 8 at row 2, three rows below
    assert placed.shape == (3, 9, 8) and placed.dtype == torch.float32
    color = torch.tensor([1.0, 0.0, 0.2])[:, None, None]
    torch.testing.assert_close(placed[:, 2:6], color.expand(3, 4, 8))
    assert (placed[:, :2] == 0.5).all() and (placed[:, 6:] == 0.5).all()


def test_place_takes_images_with_negative_strides():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    flipped = image[:, ::-1, ::-1]  # as a BGR image of OpenCV becomes RGB
    expected = place(flipped.copy(), stretched((2, 3), (4, 6)))
    assert torch.equal(place(flipped, stretched((2, 3), (4, 6))), expected)


def test_boxes_are_converted_to_image_pixels_by_hand():
    box = torch.tensor([[0.25, 0.5, 0.5, 0.75]])
    wide = to_image(box, stretched((100, 200), (64, 96)))
    assert wide.tolist() == [[50, 50, 100, 75]]
    # 480x640 in 416x416: rows 52 to 364 are the image; y 0.5 is its middle, x goes straight
    boxed = to_image(box, letterboxed((480, 640), (416, 416)))
    torch.testing.assert_close(boxed, torch.tensor([[160.0, 240.0, 320.0, 400.0]]))


def test_boxes_use_half_the_padding_without_rounding_as_darknet_does():
    # 45 rows or columns of padding: the image begins at pixel 22, but correct_yolo_boxes takes 22.5
    first, last = 22.5 / 64, (22.5 + 19) / 64
    wide = to_image(torch.tensor([[0.0, first, 1.0, last]]), letterboxed((100, 333), (64, 64)))
    torch.testing.assert_close(wide, torch.tensor([[0.0, 0.0, 333.0, 100.0]]))
    tall = to_image(torch.tensor([[first, 0.0, last, 1.0]]), letterboxed((333, 100), (64, 64)))
    torch.testing.assert_close(tall, torch.tensor([[0.0, 0.0, 100.0, 333.0]]))


def test_no_boxes_give_no_boxes():
    placement = letterboxed((480, 640), (416, 416))
    assert to_image(torch.zeros(0, 4), placement).shape == (0, 4)


@pytest.mark.parametrize("size", [(7, 5), (40, 60), (31, 1), (1, 90), (97, 90)])
def test_large_images_are_resized_as_small_ones_are(size, monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (40, 61, 3), dtype=np.uint8)
    whole = resize(torch.from_numpy(image).permute(2, 0, 1).float() / 255, size)
    monkeypatch.setattr("yolo.letterbox.FEW_PIXELS", 0)
    found = resized_pixels(image, size)
    assert found.shape == whole.shape and found.is_contiguous()
    torch.testing.assert_close(found, whole, rtol=0, atol=3e-7)


@pytest.mark.parametrize("placed", [stretched, letterboxed])
@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_keeps_the_layout_that_placed_images_have(placed, count):
    image = np.random.default_rng(2).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    inputs = [place(each, placed((20, 31), (16, 16))) for each in (image, image[::-1], 255 - image)][:count]
    batch = batch_of(inputs)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, torch.stack(inputs))
    assert (batch.data_ptr() == inputs[0].data_ptr()) == (count == 1)


def test_a_batch_of_images_channel_after_channel_stays_so():
    inputs = list(torch.rand(2, 3, 4, 5))
    batch = batch_of(inputs)
    assert batch.is_contiguous() and torch.equal(batch, torch.stack(inputs))
