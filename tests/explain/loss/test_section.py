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
from yolo.explain.loss.image_truth import compare_with_labels
from yolo.explain.loss.section import truth_numbers, truth_section
from yolo.records import LabeledBoxes
from yolo.train.losses.detection import DetectionLoss

NAMES = ("red", "green")
# both objects have their centers in one cell and one shape
LABELS = LabeledBoxes(np.array([0, 1]), np.array([[0.3, 0.3, 0.3, 0.4], [0.31, 0.31, 0.3, 0.4]]))
TOGETHER = "red 1 and green 2 share a cell: head "
WINNERS = {
    ("yolo", "alexeyab"): "Their box errors add up; both classes are",
    ("yolo", "pjreddie"): "The box of the last one in the label file is learned; both classes are",
    ("region", "alexeyab"): "The last one in the label file wins",
    ("detection", "alexeyab"): "green 2 is not trained: another object has this cell",
}


def section_of(name, dialect):
    torch.manual_seed(0)
    network = network_of(HEADS[name], dialect).eval()
    network.draw_weights()
    detector, loss = Detector(network, NAMES, 0.1, engine=network), DetectionLoss(network, dialect)
    compared = compare_with_labels(detector, loss, np.full((40, 60, 3), 90, np.uint8), LABELS, 10**6)
    section = truth_section(
        compared.loss, compared.found, NAMES, compared.placement, "photo", loss.settings[-1], loss.dialect
    )
    return section, truth_numbers(compared.loss, compared.found, NAMES)


@pytest.mark.parametrize("name", HEADS)
def test_the_section_of_every_kind_of_head(name):
    section, numbers = section_of(name, "alexeyab")
    part = ImagePart("x.png", "image0", "", (), (section,))
    page = explanation_page(AboutNetwork("t", "c", "a.cfg", "a.weights"), [part])
    assert f"<strong>{numbers['total']:.2f}</strong>" in page
    assert len(re.findall(r"<strong>Head \d+: loss", page)) == len(numbers["heads"])
    json.dumps(numbers, allow_nan=False)
    assert sum(section.content.parts[at].share for at in range(len(section.content.parts))) == pytest.approx(1)
    cells = [each.responsible + each.ignored + each.background for each in section.content.heads]
    assert cells == [each.grid[0] * each.grid[1] * each.anchors for each in section.content.heads]


@pytest.mark.parametrize(("name", "dialect"), WINNERS)
def test_who_wins_a_cell_is_said(name, dialect):
    section, _ = section_of(name, dialect)
    said = " ".join(section.content.collisions)
    assert WINNERS[name, dialect] in said
    assert (TOGETHER in said) == (name != "detection")
