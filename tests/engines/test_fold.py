"""yolo.engines.fold: the folded copy computes the same, and the network stays as it is."""

import copy

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from yolo.engines.fold import folded

CFG = """[net]
width=16
height=12
channels=3
[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=3
size=1
activation=linear
[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
groups=3
activation=mish
antialiasing=1
stride=2
[batchnorm]
[convolutional]
binary=1
batch_normalize=1
filters=4
size=1
activation=leaky
[connected]
batch_normalize=1
output=5
activation=linear
"""


@pytest.fixture
def network():
    network = network_of(CFG)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.weight.uniform_(-2, 2, generator=generator)
            norm.bias.normal_(generator=generator)
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(1e-6, 2, generator=generator)
    return network


def norms(network):
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_the_copy_computes_what_the_network_computes_in_evaluation(network):
    images = torch.rand(2, 3, 12, 16)
    copied = folded(network)
    assert (norms(network), norms(copied)) == (6, 2)  # the binary convolution and [batchnorm] keep theirs
    with torch.no_grad():
        (expected,), (found,) = network.eval()(images), copied(images)
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_shared_weights_are_folded_once():
    shared = "[convolutional]\nbatch_normalize=1\nfilters=3\nsize=3\npad=1\nactivation=leaky\n"
    network = network_of("[net]\nwidth=8\nheight=8\nchannels=3\n" + shared + shared + "share_index=0\n")
    network.layers[0].norm.running_var.fill_(0.3)
    images = torch.rand(1, 3, 8, 8)
    copied = folded(network)
    assert norms(copied) == 0
    with torch.no_grad():
        torch.testing.assert_close(copied(images)[0], network.eval()(images)[0])


def test_the_network_is_left_as_it_is(network):
    network.train()
    before = copy.deepcopy(network.state_dict())
    copied = folded(network)
    assert network.training and not copied.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    after = network.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    shared = {parameter.data_ptr() for parameter in network.parameters()}
    assert not shared & {parameter.data_ptr() for parameter in copied.parameters()}


def test_folding_is_done_in_float64(network):
    layer = network.layers[0]
    copied = folded(network).layers[0].conv
    weights, scales, means, variances, biases = (
        each.detach().numpy().astype(np.float64)
        for each in (
            layer.conv.weight,
            layer.norm.weight,
            layer.norm.running_mean,
            layer.norm.running_var,
            layer.norm.bias,
        )
    )
    factors = scales / np.sqrt(variances + 1e-5)
    np.testing.assert_array_equal(copied.weight.numpy(), (weights * factors[:, None, None, None]).astype(np.float32))
    np.testing.assert_array_equal(copied.bias.numpy(), (biases - means * factors).astype(np.float32))
