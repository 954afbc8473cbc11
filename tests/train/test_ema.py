"""yolo.train.ema: the EMA as slow loops, and the network restored after its use."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.stored_networks import ALL_CFG, state
from yolo.train.ema import (
    EmaStep,
    all_tensors,
    convolution_parameters,
    darknet_ema,
    darknet_step,
    standard_ema,
    standard_step,
)

NOTHING = EmaStep(decay=None)


def draw(network, seed):
    """Give every parameter and statistic another number, as an update does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            else:
                tensor.add_(1)


def numbers(network):
    """Every floating tensor of the network in float64, by name."""
    return {
        name: tensor.double().numpy().copy()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }


# --------------------------------------------------------------------------------------------------------- the usual


def test_the_decay_of_the_standard_ema_rises():
    assert standard_step(1, 0.9998).decay == pytest.approx(0.9998 * (1 - math.exp(-0.0005)))
    assert standard_step(2000, 0.9998).decay == pytest.approx(0.9998 * (1 - 1 / math.e))
    assert standard_step(100_000, 0.9998).decay == pytest.approx(0.9998)
    assert not standard_step(2000, 0.9998).becomes_weights


def test_the_standard_ema_is_that_of_a_slow_loop_over_parameters_and_statistics():
    network = network_of(ALL_CFG)
    ema = standard_ema(network, decay=0.9)
    expected = numbers(network)
    for step in range(1, 4):
        draw(network, step)
        now = numbers(network)
        weight = 0.9 * (1 - math.exp(-step * 500 / 2000))
        for name, values in expected.items():
            for place in np.ndindex(values.shape):
                values[place] = weight * values[place] + (1 - weight) * now[name][place]
        ema.update(network, step * 500)
    found = ema.state_dict()
    shared = [name for name in expected if ".owner." in name]  # the same tensors by another name
    assert found.keys() == expected.keys() - set(shared) and shared
    assert any("running_var" in name for name in found)
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-6, err_msg=name)


def test_the_ema_replaces_the_weights_and_they_come_back_bit_by_bit():
    network = network_of(ALL_CFG)
    ema = standard_ema(network)
    draw(network, 1)
    ema.update(network, 1000)
    before, ema_state = state(network), {n: t.clone() for n, t in ema.state_dict().items()}
    with ema.applied(network):
        inside = network.state_dict()
        assert all(torch.equal(inside[name], value) for name, value in ema_state.items())
        assert state(network) != before
    assert state(network) == before
    assert all(torch.equal(ema.state_dict()[name], value) for name, value in ema_state.items())


def test_the_weights_come_back_after_an_error():
    network = network_of(ALL_CFG)
    ema = standard_ema(network)
    draw(network, 1)
    before = state(network)
    with pytest.raises(RuntimeError, match="scoring failed"), ema.applied(network):
        raise RuntimeError("scoring failed")
    assert state(network) == before


def test_an_ema_follows_buffers_that_were_replaced():
    """`network.to(...)` makes new tensors of the statistics."""
    network = network_of(ALL_CFG)
    ema = standard_ema(network, decay=0.0)  # the EMA is equal to the weights
    network.double().float()
    draw(network, 1)
    ema.update(network, 1)
    assert all(torch.equal(ema.state_dict()[name], tensor) for name, tensor in all_tensors(network).items())


def test_restart_begins_with_the_weights_as_they_are():
    network = network_of(ALL_CFG)
    ema = standard_ema(network)
    draw(network, 1)
    ema.restart(network)
    found = ema.state_dict()
    assert all(torch.equal(found[name], each) for name, each in all_tensors(network).items())
    draw(network, 2)
    assert not torch.equal(found["layers.0.conv.weight"], network.layers[0].conv.weight)


def test_the_state_goes_on_by_way_of_a_file(tmp_path):
    network = network_of(ALL_CFG)
    ema, other = standard_ema(network), standard_ema(network)
    draw(network, 1)
    ema.update(network, 500)
    torch.save(ema.state_dict(), tmp_path / "average.pt")
    other.load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    draw(network, 2)
    for each in (ema, other):
        each.update(network, 501)
    found, expected = other.state_dict(), ema.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("change", ["missing", "shape", "more"])
def test_the_state_of_another_network_is_an_error_and_changes_nothing(change):
    ema = standard_ema(network_of(ALL_CFG))
    before = {name: tensor.clone() for name, tensor in ema.state_dict().items()}
    state_ = {name: tensor + 1 for name, tensor in before.items()}
    name = "layers.11.linear.bias"
    if change == "missing":
        del state_[name]
    else:
        state_[name if change == "shape" else "layers.12.conv.weight"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"found an EMA with layers\.1[12]\."):
        ema.load_state_dict(state_)
    assert all(torch.equal(ema.state_dict()[name], before[name]) for name in before)


# ---------------------------------------------------------------------------------------------------------- Darknet's


def test_darknets_begins_at_half_of_the_steps_and_ends_1000_before_the_last():
    steps = {step: darknet_step(step, 0.99, 4000) for step in (1, 1999, 2000, 2001, 2999, 3000)}
    assert steps == {
        1: NOTHING,
        1999: NOTHING,
        2000: EmaStep(0.0),
        2001: EmaStep(0.99),
        2999: EmaStep(0.99),
        3000: EmaStep(None, becomes_weights=True),
    }
    assert darknet_step(3001, 0.99, 4000) == NOTHING
    assert all(darknet_step(step, 0.99, 1998) == NOTHING for step in range(1, 1999))


def test_darknets_is_that_of_a_slow_loop_over_convolutions_and_then_the_weights():
    """AlexeyAB network.c ema_update, ema_apply: six steps from half of 2006 on, then what the network is."""
    network = network_of(ALL_CFG)
    ema = darknet_ema(network, alpha=0.7, max_batches=2006)
    names = list(convolution_parameters(network))
    slow_ema = {}
    for step in range(1002, 1007):
        draw(network, step)
        now, own = numbers(network), state(network)
        if step >= 1003 and not slow_ema:
            slow_ema = {name: now[name].copy() for name in names}
        if 1003 <= step < 1006:
            for name, values in slow_ema.items():
                for place in np.ndindex(values.shape):
                    values[place] = 0.7 * values[place] + (1 - 0.7) * now[name][place]
        ema.update(network, step)
        with ema.applied(network):  # what is scored are the weights
            pass
        if step != 1006:
            assert state(network) == own
    found = numbers(network)
    for name, values in slow_ema.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6, err_msg=name)
    rest = [name for name in now if name not in slow_ema and ".owner." not in name]
    assert "layers.0.norm.running_mean" in rest and "layers.11.linear.weight" in rest
    for name in rest:
        np.testing.assert_array_equal(found[name], now[name])


def test_darknets_ema_has_weights_biases_and_scales_of_convolutions():
    names = set(convolution_parameters(network_of(ALL_CFG)))
    assert {"layers.0.conv.weight", "layers.0.norm.weight", "layers.0.norm.bias"} <= names
    assert "layers.6.plain.conv.bias" in names  # of signs
    assert not any(name.startswith(("layers.1.", "layers.5.", "layers.8.")) for name in names)
    assert not any(".owner." in name or "running" in name for name in names)


def test_darknets_is_not_what_is_scored():
    network = network_of(ALL_CFG)
    ema = darknet_ema(network, alpha=0.9, max_batches=4000)
    draw(network, 1)
    ema.update(network, 2000)
    draw(network, 2)
    ema.update(network, 2001)
    before = state(network)
    with ema.applied(network):
        assert state(network) == before
