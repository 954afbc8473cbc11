"""yolo.train.losses.classification: the deltas of compiled Darknet, and slow, obvious versions of them."""

import math

import pytest
import torch
from torch.autograd import grad

from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.network import build
from yolo.train.losses.classification import ClassificationLoss, loss_weight

CFG = """[net]
width=1
height=1
channels=6
[convolutional]
filters=6
size=1
stride=1
activation=linear
"""
VALUES = torch.tensor([[2.0, -1.0, 0.5, 0.25, -3.0, 1.0], [-0.5, 0.75, 3.0, -2.0, 1.5, 0.125]])
GROUND_TRUTH = torch.tensor([[0, 0, 1.0, 0, 0, 0], [0.7, 0.06, 0.06, 0.06, 0.06, 0.06]])
# The delta of the convolution after forward_network and backward_network of pjreddie's Darknet (61c9d02e, on the CPU)
# for CFG with weights that hand the input on, VALUES as input and GROUND_TRUTH.
SOFTMAX_DELTA = [
    [-0.5490558, -0.02733588, 0.8774891, -0.09541158, -0.003699509, -0.2019863],
    [0.6787624, -0.01412662, -0.6432938, 0.05526124, -0.09692606, 0.02032288],
]
DELTAS = {
    "[softmax]": SOFTMAX_DELTA,
    "[softmax]\n[cost]\ntype=sse": [
        [-1.098112, -0.05467175, 1.754978, -0.1908232, -0.007399017, -0.4039727],
        [1.357525, -0.02825325, -1.286588, 0.1105225, -0.1938521, 0.04064576],
    ],
    "[softmax]\nnoloss=1\n[cost]\nscale=.5": [
        [-0.2745279, -0.01366794, 0.4387445, -0.04770579, -0.001849754, -0.1009932],
        [0.3393812, -0.007063312, -0.3216469, 0.02763062, -0.04846303, 0.01016144],
    ],
    "[softmax]\ngroups=2\ntemperature=2": [
        [-0.5897976, -0.1316016, 0.7213993, -0.3770877, -0.07425297, -0.5486593],
        [0.584029, -0.1566623, -0.6073667, -0.04364629, -0.5364432, -0.2399105],
    ],
    "[cost]\ntype=sse": [
        [-2, 1, 0.5, -0.25, 3, -1],
        [1.2, -0.69, -2.94, 2.06, -1.44, -0.065],
    ],
    "[logistic]": [
        [-0.8807971, -0.2689414, 0.3775406, -0.5621765, -0.04742587, -0.7310586],
        [0.3224593, -0.6191787, -0.8925741, -0.05920292, -0.7575745, -0.4712093],
    ],
}
TREE = "animal -1\nplant -1\ncat 0\ndog 0\nfern 1\nmoss 1\n"


def loss_of(end):
    sections = parse_cfg(CFG + end, "x.cfg")
    network, unread = build(sections)
    assert not unread
    return ClassificationLoss(network, loss_weight(parse_cfg(CFG + end, "x.cfg")))


def losses_and_gradient(end, values=VALUES, ground_truth=GROUND_TRUTH):
    """Return the losses, and the gradient for the output of the last convolution, which is `values`."""
    loss = loss_of(end)
    network = loss.network.train()
    with torch.no_grad():
        network.layers[0].conv.weight.copy_(torch.eye(6)[:, :, None, None])
        network.layers[0].conv.bias.zero_()
    images = values[:, :, None, None].clone().requires_grad_()
    losses = loss(network(images), ground_truth)
    return losses, grad(losses.total, images)[0][:, :, 0, 0]


@pytest.mark.parametrize("end", DELTAS)
def test_the_gradient_is_compiled_darknets_delta(end):
    _, gradient = losses_and_gradient(end)
    torch.testing.assert_close(-2 * gradient, torch.tensor(DELTAS[end]), rtol=1e-5, atol=1e-6)


def test_softmax_alone_is_the_mean_cross_entropy():
    losses, _ = losses_and_gradient("[softmax]")
    expected = 0.0
    for values, ground_truth in zip(VALUES.tolist(), GROUND_TRUTH.tolist(), strict=True):
        total = sum(math.exp(value) for value in values)
        expected -= sum(t * math.log(math.exp(v) / total) for v, t in zip(values, ground_truth, strict=True))
    assert float(losses.total.detach()) == pytest.approx(expected / 2)


def test_large_values_stay_finite():
    losses, gradient = losses_and_gradient("[softmax]", values=VALUES * 1e4)
    assert torch.isfinite(losses.total) and torch.isfinite(gradient).all()


def slow_tree_delta(values, ground_truth, temperature):
    """Return the delta: each group of TREE is a softmax, weighted by the sum of its targets."""
    delta = [0.0] * 6
    for group in ((0, 1), (2, 3), (4, 5)):
        powers = [math.exp(values[i] / temperature) for i in group]
        weight = sum(ground_truth[i] for i in group)
        for i, power in zip(group, powers, strict=True):
            delta[i] = ground_truth[i] - weight * power / sum(powers)
    return delta


@pytest.mark.parametrize("temperature", [1, 2])
def test_each_group_of_a_hierarchy_is_a_softmax_and_those_off_the_path_have_delta_0(tmp_path, monkeypatch, temperature):
    (tmp_path / "x.tree").write_text(TREE)
    end = f"[softmax]\ntree={tmp_path}/x.tree\ntemperature={temperature}\n[cost]\ntype=masked"
    ground_truth = torch.tensor([[1.0, 0, 0, 1, 0, 0], [0.7, 0.3, 0.7, 0, 0, 0.3]])  # the second is mixed
    losses, gradient = losses_and_gradient(end, ground_truth=ground_truth)
    slow = [slow_tree_delta(*each, temperature) for each in zip(VALUES.tolist(), ground_truth.tolist(), strict=True)]
    assert slow[0][4:] == [0, 0]
    torch.testing.assert_close(-gradient, torch.tensor(slow), rtol=1e-5, atol=1e-6)  # 2 / B = 1
    assert torch.isfinite(losses.total)


def test_top1_compares_the_most_probable_class():
    losses, _ = losses_and_gradient("[softmax]", ground_truth=torch.eye(6)[[0, 3]])
    assert float(losses.top1) == 0.5  # the likeliest are 0 and 2
    scalars = losses.scalars()
    assert set(scalars) == {"loss/total", "train/top1"}
    assert not scalars["loss/total"].requires_grad


def test_top1_in_a_hierarchy_compares_leaves(tmp_path):
    """By hand: of the first, animal .95 x dog .44 (.42) is below animal x cat .56 (.53); ground truth cat."""
    (tmp_path / "x.tree").write_text(TREE)
    end = f"[softmax]\ntree={tmp_path}/x.tree"
    ground_truth = torch.tensor([[1.0, 0, 1, 0, 0, 0], [1.0, 0, 1, 0, 0, 0]])
    losses, _ = losses_and_gradient(end, ground_truth=ground_truth)
    assert float(losses.top1) == 0.5  # of the second, plant .78 x fern .8 is likelier than cat
    losses, _ = losses_and_gradient(end, ground_truth=torch.tensor([[1.0, 0, 0, 0, 0, 0]] * 2))
    assert float(losses.top1) == 0  # not a leaf: an error
    (tmp_path / "x.tree").write_text("rock -1\nanimal -1\ncat 1\ndog 1\neel 1\nfox 1\n")
    losses, _ = losses_and_gradient(end, ground_truth=torch.tensor([[0, 1.0, 0, 0, 0, 0]] * 2))
    assert float(losses.top1) == 0  # also where the first class is a leaf, and the likeliest


def test_wrong_targets_and_networks_are_errors(project):
    loss = loss_of("[softmax]")
    with pytest.raises(ValueError, match=r"targets of shape \[2, 5\], expected \[2, 6\]"):
        loss([VALUES], torch.zeros(2, 5))
    spatial = build(parse_cfg(CFG + "[softmax]\nspatial=1", "x.cfg"))[0]
    with pytest.raises(CfgError, match=r"layer 1 \[softmax\]: found spatial=1"):
        ClassificationLoss(spatial)
    detector = CFG + "[yolo]\nmask=0\nanchors=1,1\nnum=1\nclasses=1"
    with pytest.raises(ValueError, match="expected a classifier"):
        ClassificationLoss(build(parse_cfg(detector, "x.cfg"))[0])


def weight_of(end):
    return loss_weight(parse_cfg(CFG + end, "x.cfg"))


def test_the_weight_is_the_sum_over_the_last_layers():
    assert weight_of("[softmax]") == 1
    assert weight_of("[logistic]\n[cost]\nscale=.25") == 1.25
    assert weight_of("[soft]\n[cost]\n[cost]\nscale=3") == 5
    assert weight_of("[cost]") == 1


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("", r"x.cfg:5: found \[convolutional\] at the end and no loss, expected \[softmax\]"),
        ("[softmax]\nnoloss=1", r"x.cfg:10: found \[softmax\] at the end and no loss"),
        ("[cost]\ntype=L1", r"x.cfg:11: \[cost\] type: found 'L1', expected one of sse, masked"),
        ("[cost]\nratio=.5", r"x.cfg:11: \[cost\] ratio: found '.5', expected 0"),
    ],
)
def test_an_end_that_cannot_be_trained_is_an_error_with_its_line(end, message):
    with pytest.raises(CfgError, match=message):
        weight_of(end)
