"""yolo.model.layers.activations: every name against Darknet's formula, one number at a time."""

import math

import numpy as np
import pytest
import torch

from yolo.model.layers.activations import ACTIVATIONS

POINTS = (-7.5, -4.5, -3.0, -2.5, -1.5, -1.0, -0.25, 0.0, 0.25, 0.5, 1.0, 1.5, 2.5, 3.0, 4.5, 7.5)


def logistic(x):
    return 1 / (1 + math.exp(-x))


def softplus(x):
    return math.log1p(math.exp(x))


def hard_mish(x):
    if x > 0:
        return x
    return x * x / 2 + x if x > -2 else 0


def plse(x):
    if x < -4:
        return 0.01 * (x + 4)
    return 0.01 * (x - 4) + 1 if x > 4 else x / 8 + 0.5


def stair(x):
    whole = math.floor(x)
    return whole / 2 if whole % 2 == 0 else x - whole + math.floor(x / 2)


def lhtan(x):
    if x < 0:
        return 0.001 * x
    return 0.001 * (x - 1) + 1 if x > 1 else x


# Darknet's activations.h and activation_kernels.cu, in our own words; selu and gelu with its rounded constants
FORMULAS = {
    "linear": lambda x: x,
    "logistic": logistic,
    "loggy": lambda x: 2 * logistic(x) - 1,
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "ramp": lambda x: max(x, 0) + 0.1 * x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "revleaky": lambda x: x if x > 0 else 0.1 * x,
    "elu": lambda x: x if x >= 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507 * (x if x >= 0 else 1.6732 * (math.exp(x) - 1)),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3)),
    "swish": lambda x: x * logistic(x),
    "silu": lambda x: x * logistic(x),  # not Darknet's name: what the authors of such cfgs mean
    "mish": lambda x: x * math.tanh(softplus(x)),
    "hard_mish": hard_mish,
    "tanh": math.tanh,
    "hardtan": lambda x: min(max(x, -1), 1),
    "lhtan": lhtan,
    "plse": plse,
    "stair": stair,
}


def normalized(values, weigh):
    """Each value's weight among all, as AlexeyAB's activations.c divides the channels of a pixel."""
    weights = [weigh(value) for value in values]
    return [weight / (1e-4 + sum(weights)) for weight in weights]


# these look at all channels of a pixel
CHANNEL_FORMULAS = {
    "normalize_channels": lambda xs: normalized(xs, lambda x: max(x, 0)),
    "normalize_channels_softmax": lambda xs: normalized(xs, math.exp),
    "normalize_channels_softmax_maxval": lambda xs: normalized(xs, lambda x: math.exp(x - max(xs))),
}


def test_every_activation_has_a_formula_here():
    assert {*FORMULAS, *CHANNEL_FORMULAS} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(CHANNEL_FORMULAS))
def test_an_activation_over_channels_is_darknets_formula(name):
    given = torch.randn(2, 5, 3, 4) * 3
    found = ACTIVATIONS[name]()(given)
    for image, row, column in np.ndindex(2, 3, 4):
        expected = CHANNEL_FORMULAS[name](given[image, :, row, column].tolist())
        assert found[image, :, row, column].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_only_maxval_survives_large_values():
    large = torch.full((1, 2, 1, 1), 200.0)
    assert ACTIVATIONS["normalize_channels_softmax"]()(large).isnan().all()  # as in Darknet
    found = ACTIVATIONS["normalize_channels_softmax_maxval"]()(large)
    assert found.flatten().tolist() == pytest.approx([0.5, 0.5], rel=1e-4)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_an_activation_is_darknets_formula(name):
    found = ACTIVATIONS[name]()(torch.tensor(POINTS)).tolist()
    assert found == pytest.approx([FORMULAS[name](x) for x in POINTS], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_an_activation_keeps_the_shape_and_its_argument(name):
    given = torch.linspace(-3, 3, 24).reshape(1, 2, 3, 4)
    kept = given.clone()
    assert ACTIVATIONS[name]()(given).shape == (1, 2, 3, 4)
    assert torch.equal(given, kept)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_an_activation_has_a_finite_gradient_everywhere(name):
    given = torch.tensor([-30.0, *POINTS, 30.0], requires_grad=True)
    ACTIVATIONS[name]()(given).sum().backward()
    assert given.grad.isfinite().all()
