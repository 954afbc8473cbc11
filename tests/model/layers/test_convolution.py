"""yolo.model.layers.convolution: every kind of convolution by hand, with every axis of its own length."""

import math

import pytest
import torch
from torch import nn

from yolo.model.layers.convolution import BinaryConvolutional, Convolutional, SharedConvolutional
from yolo.model.layers.pooling import Blur


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
    layer = Convolutional(**{**settings, **changes})
    layer.reset_parameters()
    return layer


def test_convolution_then_batch_norm_then_activation_by_hand():
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


def test_initial_weights_are_within_darknets_bound():
    layer = convolutional(in_channels=8, filters=64, kernel=(3, 3), groups=2)
    bound = math.sqrt(2 / (9 * 8 / 2))
    assert layer.conv.weight.abs().max() <= bound
    assert layer.conv.weight.max() > 0.9 * bound and layer.conv.weight.min() < -0.9 * bound


def test_tensors_are_in_the_order_of_a_weights_file():
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


def test_a_shared_convolution_is_the_owner_with_strides_of_its_own():
    owner = convolutional(kernel=(3, 3), padding=(1, 1)).eval()
    with torch.no_grad():
        owner.norm.running_mean.uniform_(-1, 1)
    shared = SharedConvolutional(
        owner=owner, stride=(2, 1), padding=(1, 1), dilation=1, activation=nn.LeakyReLU(0.1)
    ).eval()
    features = torch.rand(2, 2, 6, 5)
    assert torch.allclose(shared(features), owner(features)[:, :, ::2], atol=1e-6)
    assert not hasattr(shared, "darknet_tensors")  # stored once, with the owner
    assert len(list(nn.ModuleList([owner, shared]).parameters())) == len(list(owner.parameters()))


def test_a_shared_convolution_dilates_by_hand():
    owner = convolutional(in_channels=1, filters=1, kernel=(3, 3), batch_normalize=False)
    shared = SharedConvolutional(owner=owner, stride=(1, 1), padding=(0, 0), dilation=2, activation=nn.Identity())
    features = torch.arange(25.0).reshape(1, 1, 5, 5)
    by_hand = (features[0, 0, ::2, ::2] * owner.conv.weight[0, 0]).sum()
    assert shared(features).item() == pytest.approx(by_hand.item(), rel=1e-6)


def binary(signs_in):
    plain = convolutional(in_channels=1, filters=1, kernel=(1, 3), batch_normalize=False)
    plain.activation = nn.Identity()
    with torch.no_grad():
        plain.conv.weight.copy_(torch.tensor([0.5, -1.0, 0.0]).reshape(1, 1, 1, 3))
        plain.conv.bias.fill_(10)
    return BinaryConvolutional(plain=plain, signs_in=signs_in)


@pytest.mark.parametrize("signs_in", [False, True])
def test_binary_weights_are_signs_times_their_mean_absolute_value_by_hand(signs_in):
    # weights .5, -1, 0 -> +.5, -.5, -.5, as 0 is no positive number; inputs 3, 4, -2 -> +1, +1, -1
    features = torch.tensor([3.0, 4.0, -2.0]).reshape(1, 1, 1, 3)
    values = (1, 1, -1) if signs_in else (3, 4, -2)
    by_hand = 10 + sum(0.5 * sign * value for sign, value in zip((1, -1, -1), values, strict=True))
    with torch.inference_mode():
        assert binary(signs_in)(features).item() == pytest.approx(by_hand)


def test_a_binary_convolution_passes_gradients_as_if_it_were_plain():
    layer, features = binary(signs_in=True), torch.rand(1, 1, 1, 3, requires_grad=True)
    layer(features).sum().backward()
    assert layer.plain.conv.weight.grad.flatten().tolist() == [1, 1, 1]  # the inputs' signs
    assert features.grad.flatten().tolist() == [0.5, -0.5, -0.5]
    assert [name for name, _ in layer.darknet_tensors()] == ["biases", "weights"]


def test_the_blur_comes_after_the_activation():
    layer = convolutional(in_channels=1, filters=1, batch_normalize=False, activation=nn.ReLU())
    layer.blur = Blur(channels=1, size=2, stride=(1, 1))
    with torch.no_grad():
        layer.conv.weight.fill_(1)
        found = layer(torch.tensor([[-4.0, 4.0], [-8.0, 8.0]]).reshape(1, 1, 2, 2))
    assert found.item() == 3  # the mean of 0, 4, 0, 8; of the inputs themselves it would be 0
