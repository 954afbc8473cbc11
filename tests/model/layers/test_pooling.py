"""yolo.model.layers.pooling: every pooling by hand or against loops, with every axis of its own length."""

import math

import numpy as np
import pytest
import torch

from tests.helpers import slow_core
from yolo.model.layers.pooling import AveragePool, Blur, DepthMaxPool, LocalAveragePool, MaxPool


def ramp(*shape):
    """A tensor whose every value is another one."""
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 3), (2, 1), (1, 3)])
@pytest.mark.parametrize("padding", [0, 1, 2, 3, 4])
def test_maxpool_is_the_loop_with_negative_inputs_and_uneven_sizes(size, stride, padding):
    # all inputs negative: a padding of zeros would win everywhere
    features = -torch.rand(2, 3, 7, 10, generator=torch.Generator().manual_seed(0)) - 1
    layer = MaxPool(size=size, stride=stride, padding=padding)
    found = layer(features)
    assert found.shape[2:] == layer.output_size((7, 10))
    for image, channel in np.ndindex(2, 3):
        slow = slow_core.maxpool(features[image, channel].numpy(), size, stride, padding)
        assert np.array_equal(found[image, channel].numpy(), slow.astype(np.float32))


def test_a_maxpool_of_two_rounds_an_odd_size_up():
    layer = MaxPool(size=2, stride=(2, 2), padding=1)
    found = layer(-ramp(1, 1, 3, 5) - 1)
    assert found.tolist() == [[[[-1, -3, -5], [-11, -13, -15]]]]


def test_a_maxpool_of_two_by_one_looks_right_and_down():
    layer = MaxPool(size=2, stride=(1, 1), padding=1)  # yolov3-tiny's layer 11
    assert layer(ramp(1, 1, 2, 3) - 9).tolist() == [[[[-5, -4, -4], [-5, -4, -4]]]]


def test_average_pool_is_the_mean_of_each_channel():
    assert AveragePool()(ramp(1, 2, 2, 3)).tolist() == [[[[2.5]], [[8.5]]]]


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, (2, 2), 1), (3, (2, 1), 2), (3, (1, 3), 4)])
def test_local_average_pool_divides_by_the_pixels_inside_the_map(size, stride, padding):
    features = torch.rand(2, 3, 7, 10)
    found = LocalAveragePool(size=size, stride=stride, padding=padding)(features)
    for image, channel, row, column in np.ndindex(*found.shape):
        top, left = row * stride[0] - padding // 2, column * stride[1] - padding // 2
        window = features[image, channel, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
        assert found[image, channel, row, column].item() == pytest.approx(window.mean().item())


@pytest.mark.parametrize("out_channels", [1, 2, 3, 5, 6])
def test_depth_max_pool_is_the_maximum_of_every_nth_channel(out_channels):
    features = -torch.rand(2, 6, 3, 4) - 1
    found = DepthMaxPool(out_channels=out_channels)(features)
    assert found.shape == (2, out_channels, 3, 4)
    for group in range(out_channels):
        assert torch.equal(found[:, group], features[:, group::out_channels].amax(dim=1))


@pytest.mark.parametrize(("size", "pad"), [(3, 1), (2, 0)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 3)])
def test_a_blur_is_the_binomial_mean_of_each_channel_and_then_strides(size, pad, stride):
    features = torch.rand(2, 3, 7, 8)
    layer = Blur(channels=3, size=size, stride=stride)
    found = layer(features)
    assert found.shape[2:] == layer.output_size((7, 8))
    row = {2: (0.5, 0.5), 3: (0.25, 0.5, 0.25)}[size]
    padded = np.pad(features.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for image, channel, y, x in np.ndindex(*found.shape):
        top, left = y * stride[0], x * stride[1]
        window = padded[image, channel, top : top + size, left : left + size]
        expected = sum(row[i] * row[j] * window[i, j] for i in range(size) for j in range(size))
        assert found[image, channel, y, x].item() == pytest.approx(expected, rel=1e-5)
