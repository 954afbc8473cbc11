"""yolo.explain.loss.gradient: fractions by hand, and that they add up to the gradient."""

import pytest
import torch

from tests.helpers.golden import network_of, targets_of
from tests.train.losses.test_terms import ROWS, TWO_CELLS, scene
from yolo.explain.loss.gradient import gradient_fractions
from yolo.train.losses.detection import DetectionLoss


def test_two_cells_by_hand():
    """Raw values 0, so each σ is 1/2; the right cell is background with σ = 1/(1 + e³)."""
    raw = torch.zeros(1, 7, 1, 2)
    raw[0, 4, 0, 1] = -3
    loss = DetectionLoss(network_of(TWO_CELLS))
    found = gradient_fractions(loss, [raw], targets_of([(0, 1, 0.25, 0.5, 0.25, 0.25)]))
    easy = 1 / (1 + torch.tensor(3.0).exp().item())
    assert found.responsible == pytest.approx(0.5) and found.easy == pytest.approx(easy)
    assert (found.hard, found.ignored, found.cells, found.all_cells) == (0, 0, 1, 2)
    assert found.classes == pytest.approx(1.0)
    small = 0.75 * (2 - 0.0625)
    assert found.box == pytest.approx(small * torch.tensor(2.0).log().item())  # h: ln 1/2; x, y and w are right
    assert found.focused == pytest.approx((0.5**3, 0, 0, easy**3))


@pytest.mark.parametrize("name", ["two_yolo", "gaussian", "new_coords", "region", "detection"])
def test_the_parts_are_all_of_the_gradient(name, tmp_path):
    network, raw = scene(name, tmp_path)
    loss, targets = DetectionLoss(network, box_gradient="autograd"), targets_of(ROWS)
    found = gradient_fractions(loss, raw, targets, 10**6)
    (loss(raw, targets, 10**6).total * len(raw[0])).backward()
    # each raw value has one part, so the magnitudes add up
    assert found.total == pytest.approx(sum(map_.grad.abs().sum().item() for map_ in raw), rel=1e-4)
