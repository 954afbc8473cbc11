"""yolo.train.validation: the data for TensorBoard are bounded, for any number of classes and boxes."""

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import cfg_text, network_of, with_classes
from yolo.data.check import check_list
from yolo.distributed import Processes
from yolo.train import validation
from yolo.train.validation import SHOWN_BOXES, SHOWN_CURVES, SHOWN_IMAGES, detection_scores

CLASSES = 150
LATE = (140, 120)


@pytest.fixture
def scored(four, monkeypatch):
    """The scores of a network that finds every class everywhere, and the arguments of each drawing."""
    (head,) = (network := network_of(with_classes(cfg_text(), CLASSES))).heads
    with torch.no_grad():
        network.layers[head - 1].conv.bias += 3
    drawn = []
    draw = validation.draw_ground_truth_and_predictions
    monkeypatch.setattr(
        validation, "draw_ground_truth_and_predictions", lambda *given: drawn.append(given) or draw(*given)
    )
    for path in (four.data.parent / "labels").iterdir():  # ground truth of two late classes
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
        path.write_text("".join(f"{LATE[int(label)]} {box}\n" for label, box in lines))
    images = check_list(four.data.parent / "list.txt", CLASSES, 3).images
    names = [f"class {label}" for label in range(CLASSES)]
    return detection_scores(network.eval(), names, images, 2, 0, Processes()), drawn


def test_drawn_boxes_and_curves_are_bounded(scored):
    scores, drawn = scored
    assert len(scores.images) == len(drawn) == SHOWN_IMAGES
    for _, _, _, boxes, best, labels, _ in drawn:
        assert len(boxes) == len(best) == len(labels) == SHOWN_BOXES  # of 14,400 before NMS
        assert (np.diff(best) <= 0).all() and best[-1] > validation.SHOWN_THRESH
    assert len(scores.curves) == SHOWN_CURVES
    # those with ground truth are among them, in the order of the classes
    assert list(scores.curves) == [f"class {label}" for label in (*range(SHOWN_CURVES - 2), 120, 140)]
