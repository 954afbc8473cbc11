"""Layer controls: where gradients go, which layers move at a step, by hand, beside a network without controls."""

import pytest
import torch
from torch import nn

from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.network import Network, build
from yolo.settings import LayerControls, read_training
from yolo.train.optimizer import (
    changes_with_time,
    first_trainable,
    is_held,
    learning_layers,
    make_optimizer,
    own_parameters,
    set_rate,
    set_step,
    train_mode,
)

# 0, 1, 2: convolutions; 3: a route to 0 around 1 and 2; 4: convolution; 5: head
CONVOLUTION = "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=leaky\n{}\n"
LAST = (
    "[route]\nlayers=0,-1\n{}\n[convolutional]\nfilters=7\nactivation=linear\n{}\n"
    "[yolo]\nclasses=2\nnum=1\nanchors=4,4\n{}\n"
)
STEPS = 8


def network_of(*keys: str, net: str = "") -> Network:
    """The network above; `keys`: lines of each layer's section, layer by layer."""
    lines = [*keys, *[""] * (6 - len(keys))]
    text = "[net]\nwidth=8\nheight=8\nchannels=3\nburn_in=2\ndecay=0.1\n" + net
    text += "\n" + "".join(CONVOLUTION.format(line) for line in lines[:3]) + LAST.format(*lines[3:])
    torch.manual_seed(0)
    network, unread = build(parse_cfg(text, "controls.cfg"))
    assert unread == []
    return network


def optimizer_of(network: Network, freeze: int = 0) -> torch.optim.Optimizer:
    return make_optimizer(network, network.training_settings, freeze)


def step_of(network: Network, optimizer: torch.optim.Optimizer, step: int, freeze: int = 0) -> None:
    """One update towards smaller squares of the map."""
    set_rate(optimizer, 0.01)
    set_step(network, step, STEPS, freeze)
    torch.manual_seed(step)
    first = first_trainable(network.controls, freeze, step)
    network(torch.rand(2, 3, 8, 8), first)[0].square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def state_of(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def moved(before: dict, after: dict, kind: str) -> list[int]:
    """Layers of which a "parameter" or "statistic" is not bit by bit what it was."""
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    statistics = [name for name in changed if "running" in name or "num_batches" in name]
    names = statistics if kind == "statistic" else set(changed) - set(statistics)
    return sorted({int(name.split(".")[1]) for name in names})


def moves_at(network: Network, steps, freeze: int = 0) -> dict[int, tuple[list[int], list[int]]]:
    """step → layers whose parameters, and whose statistics, moved in it."""
    optimizer = optimizer_of(network, freeze)
    train_mode(network, freeze)
    rows = {}
    for step in steps:
        before = state_of(network)
        step_of(network, optimizer, step, freeze)
        after = state_of(network)
        rows[step] = moved(before, after, "parameter"), moved(before, after, "statistic")
    return rows


# ------------------------------------------------------------------------------------------------------ stopbackward


def test_without_controls_all_layers_move():
    assert moves_at(network_of(), [1, 2]) == dict.fromkeys((1, 2), ([0, 1, 2, 4], [0, 1, 2]))


def test_no_gradient_goes_into_a_layer_that_stops_or_before_it_for_any_routes():
    """Layer 1 stops: its own statistics move, those of 0 are used and kept, as AlexeyAB's."""
    assert moves_at(network_of("", "stopbackward=1"), [1, 2, 3]) == dict.fromkeys((1, 2, 3), ([2, 4], [1, 2]))


def test_the_gradients_after_a_stop_are_those_of_a_network_without():
    stopped, free = network_of("", "stopbackward=1"), network_of()
    images = torch.rand(2, 3, 8, 8)
    for network in (stopped, free):
        network.train()
        network.layers[0].norm.eval()
        network(images, first_trainable(network.controls))[0].square().sum().backward()
    assert stopped.layers[0].conv.weight.grad is None and stopped.layers[1].norm.bias.grad is None
    for index in (2, 4):
        ours, theirs = (dict(each.layers[index].named_parameters()) for each in (stopped, free))
        for name in ours:
            torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=0, atol=0)


def test_a_stop_keeps_no_map_of_the_layers_before_it_for_backward():
    kept = []
    network = network_of("", "", "stopbackward=1").train()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        network(torch.rand(2, 3, 8, 8), first_trainable(network.controls))
    assert (2, 3, 8, 8) not in kept and (2, 8, 8, 8) in kept  # the image; what enters layer 4


def test_the_last_of_several_stops_counts():
    network = network_of("stopbackward=1", "", "stopbackward=1")
    assert first_trainable(network.controls) == 3
    assert moves_at(network, [1])[1] == ([4], [2])


def test_a_stop_until_a_step_ends_after_it_and_statistics_move_meanwhile():
    """backward_network_gpu: while stopbackward is above the number of updates done; decay would move weights."""
    rows = moves_at(network_of("", "stopbackward=2"), [1, 2, 3, 4])
    held, free = ([2, 4], [0, 1, 2]), ([0, 1, 2, 4], [0, 1, 2])
    assert rows == {1: held, 2: held, 3: free, 4: free}


def test_a_resumed_run_stops_where_an_unbroken_one_would():
    assert moves_at(network_of("", "stopbackward=9"), [9, 10])[9][0] == [2, 4]
    assert moves_at(network_of("", "stopbackward=9"), [10])[10][0] == [0, 1, 2, 4]


def test_evaluation_ignores_stops():
    network = network_of("", "stopbackward=1").eval()
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    network(images)[0].sum().backward()
    assert images.grad.abs().sum() > 0


# --------------------------------------------------------------------------------------------- the layer's own update


@pytest.mark.parametrize(
    ("key", "last_held"),
    [("dont_update=1", 1), ("dont_update=3", 3), ("burnin_update=2", 3), ("burnin_update=1", 1)],
)
def test_a_layer_that_waits_stays_as_it_is_but_its_statistics_move(key, last_held):
    """update_network_gpu: dont_update below the update's number; burnin_update * burn_in (2) not above it."""
    rows = moves_at(network_of("", key), range(1, 6))
    for step, (parameters, statistics) in rows.items():
        assert parameters == ([0, 2, 4] if step <= last_held else [0, 1, 2, 4]), step
        assert statistics == [0, 1, 2]


def test_gradients_go_through_a_layer_that_waits():
    waiting, free = network_of("", "dont_update=3"), network_of()
    for network in (waiting, free):
        step_of(network, optimizer_of(network), 1)
    assert torch.equal(waiting.layers[0].conv.weight, free.layers[0].conv.weight)


def test_a_frozen_layer_does_not_learn_after_its_wait_either():
    network = network_of("dont_update=1")
    rows = moves_at(network, [1, 2], freeze=1)
    assert rows == dict.fromkeys((1, 2), ([1, 2, 4], [1, 2]))
    assert not network.layers[0].conv.weight.requires_grad


def test_what_a_waiting_layer_would_have_learned_is_not_made_up_for():
    """Its first update is rate * (gradient + decay * weight): no sum of the gradients that were left out."""
    network = network_of("", "dont_update=2")
    optimizer = optimizer_of(network)
    network.train()
    for step in (1, 2):
        step_of(network, optimizer, step)
    before = network.layers[1].conv.weight.detach().clone()
    set_step(network, 3, STEPS)
    torch.manual_seed(3)
    (gradient,) = torch.autograd.grad(
        network(torch.rand(2, 3, 8, 8))[0].square().sum(), [network.layers[1].conv.weight]
    )
    step_of(network, optimizer, 3)
    expected = before - 0.01 * (gradient + 0.1 * before)
    torch.testing.assert_close(network.layers[1].conv.weight.detach(), expected)


def test_of_train_only_bn_nothing_but_statistics_moves_in_the_layer_and_all_before():
    """set_train_only_bn spreads it; update_network_gpu passes such layers over."""
    rows = moves_at(network_of("", "train_only_bn=1"), [1, 2])
    assert rows == dict.fromkeys((1, 2), ([2, 4], [0, 1, 2]))


def test_onlyforward_lets_no_gradient_through():
    """Layer 1 hands nothing back and learns nothing; layer 0 still learns by way of the route around it."""
    network, around = network_of("", "onlyforward=1"), network_of()
    images = torch.rand(2, 3, 8, 8)
    network.train()(images)[0].square().sum().backward()
    assert network.layers[1].conv.weight.grad is None
    assert learning_layers(network.controls) == [True, False, True, True, True, True]
    first, second, third, _, fourth, _ = around.train().layers
    bypass = first(images)
    fourth(torch.cat((bypass, third(second(bypass).detach())), dim=1)).square().sum().backward()
    torch.testing.assert_close(network.layers[0].conv.weight.grad, first.conv.weight.grad, rtol=1e-5, atol=1e-6)


def test_a_head_with_onlyforward_gives_its_map_without_a_gradient():
    network = network_of("", "", "", "", "", "onlyforward=1").train()
    assert not network(torch.rand(1, 3, 8, 8))[0].requires_grad


def test_is_held_by_the_larger_of_two_waits():
    both = LayerControls(dont_update=5, burnin_update=3)
    assert [is_held(both, step, burn_in=2) for step in range(1, 8)] == [True] * 5 + [False] * 2
    assert [is_held(both, step, burn_in=3) for step in range(7, 11)] == [True, True, False, False]
    assert not is_held(LayerControls(), 1, burn_in=1000)


@pytest.mark.parametrize("key", ["stopbackward=2", "dont_update=1", "burnin_update=1"])
def test_what_depends_on_the_step_is_known_as_such(key):
    assert changes_with_time(network_of("", key))


def test_what_does_not_is_not():
    keys = "stopbackward=1\ntrain_only_bn=1\nonlyforward=1\nlearning_rate=2\ndontload=1"
    assert not changes_with_time(network_of(keys))


def test_a_layers_learning_rate_is_a_factor():
    rates = {}
    for key in ("", "learning_rate=.5", "learning_rate=0"):
        network = network_of("", key, net="momentum=0\n")
        before = state_of(network)
        step_of(network, optimizer_of(network), 1)
        rates[key] = before["layers.1.conv.weight"] - network.layers[1].conv.weight.detach()
    torch.testing.assert_close(rates["learning_rate=.5"], rates[""] / 2, rtol=1e-3, atol=1e-7)
    assert not rates["learning_rate=0"].any() and rates[""].any()


# ------------------------------------------------------------------------------------------------------------- freeze


def test_frozen_layers_do_not_change_at_all():
    assert moves_at(network_of(), [1, 2], freeze=2) == dict.fromkeys((1, 2), ([2, 4], [2]))


def test_frozen_batch_norms_stay_in_evaluation():
    network = network_of()
    train_mode(network, freeze=2)
    assert [layer.norm.training for layer in network.layers[:3]] == [False, False, True]
    network.eval()
    train_mode(network, freeze=2)
    assert [layer.norm.training for layer in network.layers[:3]] == [False, False, True]
    assert network.training


def test_frozen_layers_that_draw_go_on_drawing():
    """As AlexeyAB's: an image is still cut at random, and values dropped, before a layer that is trained."""
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[dropout]\nprobability=.5\n"
    network = build(parse_cfg(text + CONVOLUTION.format(""), "drop.cfg"))[0]
    make_optimizer(network, network.training_settings, freeze=1)
    outputs = []
    network.layers[0].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    train_mode(network, freeze=1)
    network(torch.ones(1, 3, 8, 8), first_trainable(network.controls, freeze=1))
    assert set(outputs[0].unique().tolist()) == {0.0, 2.0}


def test_frozen_batch_norm_uses_its_stored_statistics():
    network = network_of()
    images = torch.rand(2, 3, 8, 8)
    network.eval()
    expected = network.layers[0](images)
    outputs = []
    network.layers[0].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    train_mode(network, freeze=1)
    network(images, first_trainable(network.controls, freeze=1))
    torch.testing.assert_close(outputs[0], expected, rtol=0, atol=0)


def test_freeze_and_stopbackward_the_longer_wins():
    network = network_of("", "", "stopbackward=1")
    assert first_trainable(network.controls, freeze=1) == 3
    assert moves_at(network, [1], freeze=1)[1] == ([4], [2])
    network = network_of("stopbackward=1")
    assert first_trainable(network.controls, freeze=2) == 2
    assert moves_at(network, [1], freeze=2)[1] == ([2, 4], [2])


@pytest.mark.parametrize("keys", [("",) * 5 + ("stopbackward=1",), ("",) * 4 + ("train_only_bn=1",)])
def test_a_network_of_which_nothing_learns_is_an_error(keys):
    with pytest.raises(CfgError, match="found none of 6 layers that learns .* the first 0 frozen"):
        optimizer_of(network_of(*keys))
    with pytest.raises(CfgError, match="the first 6 frozen"):
        optimizer_of(network_of(), freeze=6)


def test_shared_parameters_are_of_the_layer_that_stores_them():
    shared = CONVOLUTION.format("onlyforward=1\nshare_index=-1")
    text = "[net]\nwidth=8\nheight=8\nchannels=4\n" + CONVOLUTION.format("") + shared
    network = build(parse_cfg(text, "shared.cfg"))[0]
    assert [len(rows) for rows in own_parameters(network)] == [3, 0]
    optimizer = make_optimizer(network, read_training(parse_cfg("[net]\n", "x.cfg")[0]))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 3
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_frozen_shared_batch_norm_stays_frozen_where_it_is_used_again():
    shared = CONVOLUTION.format("share_index=-1")
    text = "[net]\nwidth=8\nheight=8\nchannels=4\n" + CONVOLUTION.format("") + shared
    network = build(parse_cfg(text + CONVOLUTION.format(""), "shared.cfg"))[0]
    make_optimizer(network, network.training_settings, freeze=1)
    train_mode(network, freeze=1)
    norm = network.layers[1].owner.norm
    assert isinstance(norm, nn.BatchNorm2d) and not norm.training
    assert not network.layers[1].owner.conv.weight.requires_grad
