"""yolo.train.optimizer: Darknet's updates as slow loops, and the groups they come in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.cfg import parse_cfg
from yolo.model.network import build
from yolo.settings import AdamSettings
from yolo.train.optimizer import make_optimizer, set_rate, set_step

BATCH = 4  # of tiny.NET
RATES = (0.01, 0.02, 0.02, 0.005, 0.04)  # of five updates
DECAY = 0.3  # large, so that where it works shows


def settings_of(network, **changes):
    return replace(network.training_settings, decay=DECAY, momentum=0.8, **changes)


def sums_of_gradients(network, seed):
    """What Darknet holds after a batch: each parameter's delta, summed over the batch; downhill is plus."""
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(size=value.shape) * 10.0 ** generator.integers(-6, 1)
        for name, value in network.named_parameters()
    }


def updated(network, optimizer):
    """The parameters after five updates with drawn gradients, in float64."""
    network.double()
    for number, rate in enumerate(RATES):
        deltas = sums_of_gradients(network, number)
        for name, parameter in network.named_parameters():
            parameter.grad = torch.from_numpy(-deltas[name] / BATCH)
        set_rate(optimizer, rate)
        optimizer.step()
    return {name: value.detach().numpy() for name, value in network.named_parameters()}


def darknets_sgd(network, decay, momentum):
    """convolutional_layer.c update_convolutional_layer, value by value of what is in memory."""
    values = {n: p.detach().double().numpy().copy() for n, p in network.named_parameters()}
    held = {name: np.zeros_like(value) for name, value in values.items()}
    for number, rate in enumerate(RATES):
        for name, deltas in sums_of_gradients(network, number).items():
            held[name] += deltas
            if values[name].ndim > 1:
                held[name] += -decay * BATCH * values[name]
            values[name] += rate / BATCH * held[name]
            held[name] *= momentum
    return values


def darknets_adam(network, decay, adam):
    """blas_kernels.cu adam_update_gpu and adam_kernel; t is 1 at the first update."""
    values = {n: p.detach().double().numpy().copy() for n, p in network.named_parameters()}
    means = {name: np.zeros_like(value) for name, value in values.items()}
    squares = {name: np.zeros_like(value) for name, value in values.items()}
    for t, rate in enumerate(RATES, start=1):
        for name, deltas in sums_of_gradients(network, t - 1).items():
            d = deltas - decay * BATCH * values[name]
            means[name] = adam.beta1 * means[name] + (1 - adam.beta1) * d
            squares[name] = adam.beta2 * squares[name] + (1 - adam.beta2) * d * d
            mean = means[name] / (1 - adam.beta1**t)
            square = squares[name] / (1 - adam.beta2**t)
            values[name] += rate * mean / (np.sqrt(square) + adam.eps)
    return values


def test_sgd_is_darknets():
    network = network_of(cfg_text())
    settings = settings_of(network)
    expected = darknets_sgd(network, settings.decay, settings.momentum)
    found = updated(network, make_optimizer(network, settings))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-14, err_msg=name)


def test_adam_is_darknets_with_decay_on_all_and_eps_against_sums_over_the_batch():
    network = network_of(cfg_text())
    adam = AdamSettings(beta1=0.85, beta2=0.99, eps=1e-3)  # an eps that counts
    settings = settings_of(network, adam=adam)
    expected = darknets_adam(network, settings.decay, adam)
    found = updated(network, make_optimizer(network, settings))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-12, err_msg=name)


def test_adam_comes_from_the_cfg():
    text = cfg_text().replace("[net]\n", "[net]\nadam=1\nB1=.8\nB2=.95\neps=.001\n", 1)
    network = network_of(text.replace("batch=4\nsubdivisions=1", "batch=7\nsubdivisions=2"))
    optimizer = make_optimizer(network, network.training_settings)
    assert isinstance(optimizer, torch.optim.Adam)
    group = optimizer.param_groups[0]
    assert group["betas"] == (0.8, 0.95)
    assert group["eps"] == pytest.approx(0.001 / 6)  # Darknet divides 7 images into 2 times 3


# ------------------------------------------------------------------------------------------------------------- groups


def names_of(network, optimizer):
    """The names of each group's parameters."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [[names[id(each)] for each in group["params"]] for group in optimizer.param_groups]


def test_decay_pulls_on_the_weights_of_convolutions_only():
    network = network_of(cfg_text())
    optimizer = make_optimizer(network, settings_of(network))
    weights, others = names_of(network, optimizer)
    names = [name for name, _ in network.named_parameters()]
    assert weights == [name for name in names if name.endswith("conv.weight")]
    assert others == [name for name in names if name not in weights] and len(others) == 5
    assert [group["weight_decay"] for group in optimizer.param_groups] == [DECAY, 0.0]
    assert [group["scale"] for group in optimizer.param_groups] == [1.0, 1.0]
    assert {group["momentum"] for group in optimizer.param_groups} == {0.8}


@pytest.mark.parametrize(("backbone", "scale"), [(2, 0.5), (3, 0.05)])
def test_a_backbone_and_layers_with_a_rate_of_their_own_have_groups_of_their_own(backbone, scale):
    text = cfg_text().replace("filters=12\n", "filters=12\nlearning_rate=.5\n")  # layer 2
    network = network_of(text)
    optimizer = make_optimizer(network, settings_of(network), 0, backbone, backbone_lr=0.1)
    scales = [group["scale"] for group in optimizer.param_groups]
    assert scales == [0.1, 0.1, scale, scale, 1.0, 1.0]
    assert names_of(network, optimizer) == [
        ["layers.0.conv.weight"],
        ["layers.0.norm.weight", "layers.0.norm.bias"],
        ["layers.2.conv.weight"],
        ["layers.2.norm.weight", "layers.2.norm.bias"],
        ["layers.4.conv.weight"],
        ["layers.4.conv.bias"],
    ]
    assert set_rate(optimizer, 0.2) == 0.2
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.02, 0.02, 0.2 * scale, 0.2 * scale, 0.2, 0.2])


def test_frozen_layers_are_left_out():
    network = network_of(cfg_text())
    optimizer = make_optimizer(network, settings_of(network), freeze=1)
    assert names_of(network, optimizer)[0] == ["layers.2.conv.weight", "layers.4.conv.weight"]
    learning = [name for name, each in network.named_parameters() if each.requires_grad]
    assert sorted(learning) == sorted(sum(names_of(network, optimizer), []))


@pytest.mark.parametrize("adam", [None, AdamSettings(0.9, 0.999, 1e-6)])
def test_the_state_goes_on_in_another_optimizer_of_the_same_network(adam, tmp_path):
    """Bit by bit, by way of a file that torch.load(weights_only=True) reads."""
    network, other = network_of(cfg_text()), network_of(cfg_text())
    optimizer = make_optimizer(network, settings_of(network, adam=adam), 0, 3, 0.1)
    updated(network, optimizer)
    torch.save((network.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = make_optimizer(other, settings_of(other, adam=adam), 0, 3, 0.1)
    other.double().load_state_dict(weights)
    second.load_state_dict(state)
    expected, found = updated(network, optimizer), updated(other, second)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert not np.array_equal(value, weights[name])


def test_dropped_blocks_grow_with_the_steps():
    text = "[net]\nwidth=8\nheight=8\nchannels=4\n[dropout]\ndropblock=1\ndropblock_size_abs=4\n"
    network = build(parse_cfg(text, "drop.cfg"))[0]
    for step, progress in ((1, 0.125), (4, 0.5), (8, 1.0)):
        set_step(network, step, last_step=8)
        assert network.layers[0].progress == progress
