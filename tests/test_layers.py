"""yolo.model.layers: each Darknet layer by hand or against loops, every axis of its own length."""

import math

import numpy as np
import pytest
import reference
import torch
from torch import nn

from yolo.model.layers import (
    AveragePool,
    Convolutional,
    MaxPool,
    Multiply,
    Reorg,
    Route,
    Shortcut,
    Softmax,
    SpaceToDepth,
    Upsample,
)


def ramp(*shape):
    """A tensor whose every value is another one."""
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)


def convolutional(**changes):
    settings = {
        "in_channels": 2,
        "filters": 3,
        "kernel": (1, 1),
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": 1,
        "groups": 1,
        "batch_normalize": True,
        "activation": nn.LeakyReLU(0.1),
    }
    return Convolutional(**{**settings, **changes})


def test_convolution_batch_norm_and_activation_follow_each_other_by_hand():
    layer = convolutional(in_channels=1, filters=1).eval()
    with torch.no_grad():
        layer.conv.weight.fill_(2)
        layer.norm.weight.fill_(3)
        layer.norm.bias.fill_(0.5)
        layer.norm.running_mean.fill_(4)
        layer.norm.running_var.fill_(0.25)
        found = layer(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2))
    scale = 3 / math.sqrt(0.25 + 1e-5)  # Darknet's epsilon lies inside the root
    expected = [0.1 * ((2 - 4) * scale + 0.5), (6 - 4) * scale + 0.5]
    assert found.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_batch_norm_learns_one_hundredth_of_each_batch_with_the_unbiased_variance():
    layer = convolutional(in_channels=1, filters=1, activation=nn.Identity()).train()
    with torch.no_grad():
        layer.conv.weight.fill_(1)
        layer(torch.tensor([1.0, 2.0, 3.0, 6.0]).reshape(1, 1, 2, 2))
    assert layer.norm.running_mean.item() == pytest.approx(0.01 * 3)
    assert layer.norm.running_var.item() == pytest.approx(0.99 + 0.01 * 14 / 3)


def test_without_batch_norm_the_convolution_has_a_bias():
    layer = convolutional(batch_normalize=False)
    assert layer.norm is None and layer.conv.bias.tolist() == [0, 0, 0]
    assert convolutional().conv.bias is None


def test_a_convolution_takes_stride_and_padding_as_vertical_then_horizontal():
    layer = convolutional(kernel=(3, 3), stride=(1, 2), padding=(1, 0))
    assert layer(torch.zeros(1, 2, 5, 9)).shape == (1, 3, 5, 4)


def test_new_weights_lie_within_darknets_bound():
    layer = convolutional(in_channels=8, filters=64, kernel=(3, 3), groups=2)
    bound = math.sqrt(2 / (9 * 8 / 2))
    assert layer.conv.weight.abs().max() <= bound
    assert layer.conv.weight.max() > 0.9 * bound and layer.conv.weight.min() < -0.9 * bound


def test_tensors_stand_in_the_order_of_a_weights_file():
    layer = convolutional()
    named = dict(layer.darknet_tensors())
    assert list(named) == ["biases", "scales", "rolling mean", "rolling variance", "weights"]
    assert named["biases"] is layer.norm.bias and named["scales"] is layer.norm.weight
    assert named["rolling mean"] is layer.norm.running_mean
    assert named["weights"] is layer.conv.weight
    assert [name for name, _ in convolutional(batch_normalize=False).darknet_tensors()] == [
        "biases",
        "weights",
    ]


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
        slow = reference.maxpool(features[image, channel].numpy(), size, stride, padding)
        assert np.array_equal(found[image, channel].numpy(), slow.astype(np.float32))


def test_a_maxpool_of_two_rounds_an_odd_size_up():
    layer = MaxPool(size=2, stride=(2, 2), padding=1)
    found = layer(-ramp(1, 1, 3, 5) - 1)
    assert found.tolist() == [[[[-1, -3, -5], [-11, -13, -15]]]]


def test_a_maxpool_of_two_by_one_looks_right_and_down():
    layer = MaxPool(size=2, stride=(1, 1), padding=1)  # yolov3-tiny's layer 11
    assert layer(ramp(1, 1, 2, 3) - 9).tolist() == [[[[-5, -4, -4], [-5, -4, -4]]]]


def test_shortcut_adds_all_others_and_then_activates():
    layer = Shortcut(activation=nn.ReLU())
    first, second, third = ramp(2, 3, 4, 5), ramp(2, 3, 4, 5) * 2, -ramp(2, 3, 4, 5) * 4
    assert torch.equal(layer(first, second), first * 3)
    assert torch.equal(layer(first, second, third), torch.zeros(2, 3, 4, 5))


def test_shortcut_of_unequal_depth_adds_what_both_have_and_keeps_the_firsts_depth():
    layer = Shortcut(activation=nn.Identity())
    shallow, deep = torch.ones(1, 2, 3, 4), torch.full((1, 5, 3, 4), 10.0)
    assert torch.equal(layer(shallow, deep), torch.full((1, 2, 3, 4), 11.0))
    assert layer(deep, shallow)[0, :, 0, 0].tolist() == [11, 11, 10, 10, 10]
    assert torch.equal(deep, torch.full((1, 5, 3, 4), 10.0))  # arguments stay as they are


def test_route_lays_inputs_side_by_side_in_the_order_named():
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


def test_average_pool_is_the_mean_of_each_channel():
    assert AveragePool()(ramp(1, 2, 2, 3)).tolist() == [[[[2.5]], [[8.5]]]]


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 5)])
def test_multiply_takes_a_factor_a_channel_a_pixel_or_a_value(shape):
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
        assert np.array_equal(
            found[image].numpy(), reference.reorg(features[image].numpy(), stride)
        )


def test_softmax_adds_up_to_one_in_each_group_of_each_picture():
    found = Softmax(groups=2, temperature=2.0)(ramp(3, 6, 1, 1))
    assert found.shape == (3, 6, 1, 1)
    assert torch.allclose(found.reshape(3, 2, 3).sum(dim=2), torch.ones(3, 2))
    exponentials = [math.exp(value / 2) for value in (0, 1, 2)]
    expected = [value / sum(exponentials) for value in exponentials]
    assert found[0, :3].flatten().tolist() == pytest.approx(expected)
