"""yolo.explain.loss.section: rendered for every kind of head, with collisions in words, and its numbers."""

import json
import re

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import HEADS
from yolo.detect.detector import Detector
from yolo.explain.image.page import AboutNetwork, ImagePart, explanation_page
from yolo.explain.loss.compared_image import compare_with_labels
from yolo.explain.loss.section import _fractions, _why_largest, ground_truth_numbers, ground_truth_section, loss_sums
from yolo.explain.loss.taken_apart import BACKGROUND, HeadPart, ImageLoss
from yolo.records import LabeledBoxes
from yolo.train.losses.detection import DetectionLoss

NAMES = ("red", "green")
# both objects have their centers in one cell and one shape
LABELS = LabeledBoxes(np.array([0, 1]), np.array([[0.3, 0.3, 0.3, 0.4], [0.31, 0.31, 0.3, 0.4]]))
TOGETHER = "red 1 and green 2 share a cell: head "
WINNERS = {
    ("yolo", "alexeyab"): "Their box errors add up; both classes are",
    ("yolo", "pjreddie"): "The box of the last one in the label file is learned; both classes are",
    ("region", "alexeyab"): "Only the last one in the label file is learned",
    ("detection", "alexeyab"): "green 2 is not trained: another object has this cell",
}


def section_of(name, dialect):
    torch.manual_seed(0)
    network = network_of(HEADS[name], dialect).eval()
    network.draw_weights()
    detector, loss = Detector(network, NAMES, 0.1, engine=network), DetectionLoss(network, dialect)
    compared = compare_with_labels(detector, loss, np.full((40, 60, 3), 90, np.uint8), LABELS, 10**6)
    section = ground_truth_section(
        compared.loss, compared.fates, NAMES, compared.placement, "photo", loss.settings[-1], loss.dialect
    )
    return section, ground_truth_numbers(compared.loss, compared.fates, NAMES)


@pytest.mark.parametrize("name", HEADS)
def test_the_section_of_every_kind_of_head(name):
    section, numbers = section_of(name, "alexeyab")
    part = ImagePart("x.png", "image0", "", (), (section,))
    page = explanation_page(AboutNetwork("t", "c", "a.cfg", "a.weights"), [part])
    assert f"<strong>{numbers['total']:.2f}</strong>" in page
    assert len(re.findall(r"<strong>Head \d+: loss", page)) == len(numbers["heads"])
    json.dumps(numbers, allow_nan=False)
    assert sum(section.content.parts[at].fraction for at in range(len(section.content.parts))) == pytest.approx(1)
    largest = max(section.content.parts, key=lambda each: each.value)
    why = section.content.why
    assert why in page
    if largest.look == "objectness_background":  # the weights are random: no cell stands out
        cells = sum(each.background for each in section.content.heads)
        most = float(re.fullmatch(rf"It is the sum over {cells} boxes for no object. None .* than (\S+); .*", why)[1])
        assert largest.value / cells <= most < largest.value / 20
    else:
        key = {"box": "box_loss", "class": "class"}.get(largest.look, "objectness")
        most = max(each[key] for each in numbers["objects"])
        assert why.startswith(f"{most:.2f} of these {largest.value:.2f} come from ")
    cells = [each.responsible + each.ignored + each.background for each in section.content.heads]
    assert cells == [each.grid[0] * each.grid[1] * each.anchors for each in section.content.heads]


@pytest.mark.parametrize(("name", "dialect"), WINNERS)
def test_who_wins_a_cell_is_said(name, dialect):
    section, _ = section_of(name, dialect)
    said = " ".join(section.content.collisions)
    assert WINNERS[name, dialect] in said
    assert (TOGETHER in said) == (name != "detection")


def _background_head(layer, most):
    """Return a head of 2 x 2 cells and no object, which cost .1 each but for row 0, column 1."""
    lost = torch.tensor([[[0.1, most], [0.1, 0.1]]], dtype=torch.float64)
    kinds = torch.full((1, 2, 2), BACKGROUND)
    return HeadPart(layer, "yolo", kinds, kinds, lost, lost, (), 0.0, 0.0, 0.0, float(lost.sum()), 0.0)


def test_the_cell_with_most_of_the_background_is_named():
    heads = tuple(_background_head(layer, most) for layer, most in ((3, 0.2), (7, 9.0)))
    apart = ImageLoss(heads, ())
    (part,) = (each for each in _fractions(loss_sums(heads), apart.total) if each.look == "objectness_background")
    why = _why_largest(part, apart, (), NAMES)
    assert why.startswith("9.00 of these 9.80 come from one of 8 boxes, head 7, row 0, column 1, where")
