"""yolo.model.layers.parameters: random weights fill their range evenly, by the seed of torch."""

import torch

from yolo.model.layers.parameters import RANDOM_BLOCK, fill_uniform


def filled(seed, count=2 * RANDOM_BLOCK + 5):
    torch.manual_seed(seed)
    weights = torch.full((count,), 9.0)
    fill_uniform(weights, 0.5)
    return weights


def test_numbers_fill_the_range_evenly():
    weights = filled(0)
    assert weights.min() >= -0.5 and weights.max() <= 0.5
    counts = torch.histc(weights, bins=10, min=-0.5, max=0.5)
    expected = len(weights) / 10
    assert ((counts - expected).abs() < 5 * expected**0.5).all()  # five standard deviations


def test_numbers_depend_on_the_seed_and_differ_between_calls():
    assert torch.equal(filled(1), filled(1))
    assert not torch.equal(filled(1), filled(2))
    torch.manual_seed(1)
    first, second = torch.empty(8), torch.empty(8)
    fill_uniform(first, 1)
    fill_uniform(second, 1)
    assert not torch.equal(first, second)


def test_parameters_and_tensors_of_any_shape_are_filled_in_place():
    weights = torch.nn.Parameter(torch.full((2, 3, 1, 5), 9.0))
    fill_uniform(weights, 0.1)
    assert (weights.abs() <= 0.1).all() and weights.requires_grad
    fill_uniform(torch.empty(0), 1)  # nothing to do
