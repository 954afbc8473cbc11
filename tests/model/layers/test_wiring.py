"""yolo.model.layers.wiring: maps brought together and rearranged, by hand or against loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import slow_core
from yolo.model.layers.resampling import DepthToSpace, Downsample, Reorg, SpaceToDepth, Upsample
from yolo.model.layers.wiring import (
    Multiply,
    Route,
    Shortcut,
    WeightedShortcut,
    by_channel,
    by_sampling,
    plain_factors,
    relu_factors,
    softmax_factors,
)


def ramp(*shape):
    """A tensor whose every value is another one."""
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)


def test_shortcut_adds_all_others_and_then_activates():
    layer = Shortcut(fit=by_channel, activation=nn.ReLU())
    first, second, third = ramp(2, 3, 4, 5), ramp(2, 3, 4, 5) * 2, -ramp(2, 3, 4, 5) * 4
    assert torch.equal(layer(first, second), first * 3)
    assert torch.equal(layer(first, second, third), torch.zeros(2, 3, 4, 5))


def test_shortcut_of_different_channels_keeps_the_channels_of_the_first_input():
    layer = Shortcut(fit=by_channel, activation=nn.Identity())
    shallow, deep = torch.ones(1, 2, 3, 4), torch.full((1, 5, 3, 4), 10.0)
    assert torch.equal(layer(shallow, deep), torch.full((1, 2, 3, 4), 11.0))
    assert layer(deep, shallow)[0, :, 0, 0].tolist() == [11, 11, 10, 10, 10]
    assert torch.equal(deep, torch.full((1, 5, 3, 4), 10.0))  # arguments stay as they are


def test_route_concatenates_its_inputs_in_order():
    first, second = torch.zeros(2, 3, 4, 5), torch.ones(2, 1, 4, 5)
    assert Route()(second, first)[0, :, 0, 0].tolist() == [1, 0, 0, 0]
    assert torch.equal(Route()(first), first)


def test_route_groups_slice_each_input_and_not_their_sum():
    first, second = ramp(1, 4, 1, 1), ramp(1, 2, 1, 1) + 10
    assert Route(groups=2, group_id=1)(first, second).flatten().tolist() == [2, 3, 11]
    assert Route(groups=2, group_id=0)(first).flatten().tolist() == [0, 1]


def test_upsample_repeats_each_pixel_and_scales():
    found = Upsample(stride=2)(ramp(1, 1, 1, 2))
    assert found.tolist() == [[[[0, 0, 1, 1], [0, 0, 1, 1]]]]
    assert Upsample(stride=3, scale=0.5)(ramp(1, 1, 1, 2) + 2).flatten()[:6].tolist() == [
        1,
        1,
        1,
        1.5,
        1.5,
        1.5,
    ]


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 5)])
def test_multiply_accepts_factors_per_channel_per_pixel_or_per_value(shape):
    factors, features = ramp(*shape) - 3, ramp(2, 3, 4, 5)
    found = Multiply(activation=nn.ReLU())(factors, features)
    slow = np.maximum(np.broadcast_to(factors.numpy(), (2, 3, 4, 5)) * features.numpy(), 0)
    assert np.array_equal(found.numpy(), slow)


def test_space_to_depth_puts_the_place_in_the_block_before_the_channel():
    found = SpaceToDepth(stride=2)(ramp(1, 2, 2, 4))
    # channel 0 is 0..7 in rows of four, channel 1 is 8..15
    assert found.shape == (1, 8, 1, 2)
    assert found[0, :, 0, 0].tolist() == [0, 8, 1, 9, 4, 12, 5, 13]
    assert found[0, :, 0, 1].tolist() == [2, 10, 3, 11, 6, 14, 7, 15]


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_reorg_is_yolov2s_permutation(stride):
    features = ramp(2, 18 if stride == 3 else 8, 6, 12)
    found = Reorg(stride=stride)(features)
    for image in range(2):
        assert np.array_equal(found[image].numpy(), slow_core.reorg(features[image].numpy(), stride))


def test_a_downsample_sums_blocks_and_scales():
    found = Downsample(stride=2, scale=0.5)(ramp(1, 1, 2, 4))
    assert found.tolist() == [[[[5, 9]]]]  # (0+1+4+5)/2, (2+3+6+7)/2


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_depth_to_space_is_the_inverse_of_space_to_depth(stride):
    features = ramp(2, 3, 6, 12)
    assert torch.equal(DepthToSpace(stride=stride)(SpaceToDepth(stride=stride)(features)), features)


def test_a_shortcut_weighs_itself_by_alpha_and_the_others_by_beta():
    layer = Shortcut(fit=by_channel, activation=nn.Identity(), alpha=2.0, beta=-1.0)
    first, second = ramp(1, 2, 3, 4), ramp(1, 2, 3, 4) + 5
    assert torch.equal(layer(first, second), 2 * first - second)


def slow_sampling(add, like):
    """pjreddie's shortcut, value by value: ratios are whole, at least 1 each way."""
    (_, c1, h1, w1), (_, c2, h2, w2) = add.shape, like.shape
    stride, sample = max(1, w1 // w2), max(1, w2 // w1)
    out = np.zeros(like.shape, np.float32)
    for b, k, j, i in np.ndindex(len(add), min(c1, c2), min(h1, h2), min(w1, w2)):
        out[b, k, j * sample, i * sample] = add[b, k, j * stride, i * stride]
    return out


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((3, 4, 6), (5, 2, 3)),  # a stage of ResNet: half the size, more channels
        ((5, 2, 3), (3, 4, 6)),
        ((3, 5, 7), (3, 2, 3)),  # what is left over is cut
        ((2, 3, 4), (2, 5, 6)),  # no whole multiple: the corner that both have
        ((2, 3, 4), (2, 3, 4)),
    ],
)
def test_sampling_is_pjreddies_loop(theirs, ours):
    add, like = ramp(2, *theirs) + 1, torch.zeros(2, *ours)
    assert np.array_equal(by_sampling(add, like).numpy(), slow_sampling(add.numpy(), like.numpy()))


def slow_factors(weights, kind):
    """AlexeyAB's shortcut_multilayer_cpu: weights `[inputs, channels]` → factors."""
    factors = np.array(weights, np.float64)
    if kind == "plain":
        return factors
    for channel in range(factors.shape[1]):
        column = factors[:, channel]
        powers = [max(w, 0) if kind == "relu" else math.exp(w - max(column)) for w in column]
        factors[:, channel] = [power / (1e-4 + sum(powers)) for power in powers]
    return factors


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kind", "factors"),
    [("plain", plain_factors), ("relu", relu_factors), ("softmax", softmax_factors)],
)
def test_a_weighted_shortcut_is_the_sum_of_its_inputs_times_their_factors(kind, factors, channels):
    layer = WeightedShortcut(inputs=3, channels=channels, factors=factors, fit=by_channel, activation=nn.ReLU())
    assert ((layer.weights - 1).abs() <= 0.01).all()
    with torch.no_grad():
        layer.weights.uniform_(-2, 2)
    inputs = torch.randn(2, 3, 4, 5), torch.randn(2, 2, 4, 5), torch.randn(2, 5, 4, 5)
    found = layer(*inputs).detach().numpy()
    slow = np.zeros((2, 3, 4, 5))
    each = slow_factors(layer.weights.tolist(), kind)
    for number, given in enumerate(inputs):
        for channel in range(min(3, given.shape[1])):
            factor = each[number, channel if channels == 3 else 0]
            slow[:, channel] += factor * given[:, channel].numpy()
    assert np.allclose(found, np.maximum(slow, 0), atol=1e-5)
    assert [(name, tensor.shape) for name, tensor in layer.darknet_tensors()] == [("weights", (3, channels))]
