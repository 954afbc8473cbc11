"""Networks with every kind of head, through detector and scorer: one box is put into the map, and is detected."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import NAMES, write_set
from yolo.cfg import parse_cfg
from yolo.data.check import check_list
from yolo.detect.detector import Detector
from yolo.evaluate.evaluator import detections_of, evaluation_of
from yolo.evaluate.metrics.table import average_precisions
from yolo.evaluate.metrics.voc import mean_ap, voc_scores
from yolo.model.network import build

# The map is 2 cells high and 3 wide (YOLOv1's: 2 by 2), the object in row 1, column 2 (YOLOv1: column 1).
NET = "[net]\nwidth=48\nheight=32\nchannels=3\n"
LOCAL = "[maxpool]\nsize=16\nstride=16\npadding=0\n[local]\nfilters={channels}\nactivation=linear\n"
CONNECTED = "[connected]\noutput={values}\nactivation=linear\n"
HIGH, LOW = 10.0, -10.0  # far out on the logistic function


def grid(values, boxes=1):
    """A map of `values` numbers a box, `[boxes * values, 2, 3]`, where nothing is found."""
    return torch.full((boxes * values, 2, 3), LOW)


def yolo_map():
    found = grid(7)
    # center in the middle of the cell, the anchor's size (16 x 16 of 48 x 32 pixels), class 1
    found[:, 1, 2] = torch.tensor([0.0, 0.0, 0.0, 0.0, HIGH, LOW, HIGH])
    return found


def gaussian_map():
    found = grid(11)  # an uncertainty, next to none, after each of x, y, w, h
    found[:, 1, 2] = torch.tensor([0, LOW, 0, LOW, 0, LOW, 0, LOW, HIGH, LOW, HIGH])
    return found


def detection_map():
    """YOLOv1: classes of all cells, objectness of all boxes, boxes; row 1, column 1 of two by two."""
    classes, objectness, boxes = torch.zeros(4, 2), torch.zeros(4, 1), torch.zeros(4, 4)
    classes[3, 1], objectness[3, 0] = 1.0, 1.0
    boxes[3] = torch.tensor([2 / 3, 0.5, math.sqrt(1 / 3), math.sqrt(1 / 2)])
    return torch.cat((classes.flatten(), objectness.flatten(), boxes.flatten()))


HEADS = {
    "yolo": ("classes=2\nnum=1\nanchors=16,16\n", yolo_map),
    "Gaussian_yolo": ("classes=2\nnum=1\nanchors=16,16\n", gaussian_map),
    "region": ("classes=2\nnum=1\nanchors=1,1\nsoftmax=1\n", yolo_map),
    "detection": ("classes=2\ncoords=4\nside=2\nnum=1\nsqrt=1\n", detection_map),
}
EXPECTED = (32.0, 16.0, 48.0, 32.0)  # xyxy pixels: the last cell of the map of 3 x 2


def network_of(kind):
    """A network that detects class 1 at EXPECTED in any image: its weights are 0, its biases the map."""
    options, map_ = HEADS[kind]
    biases = map_()
    before = LOCAL.format(channels=len(biases)) if biases.ndim == 3 else CONNECTED.format(values=len(biases))
    network, unread = build(parse_cfg(NET + before + f"[{kind}]\n{options}", "x.cfg"))
    assert unread == []
    stored = dict(network.layers[-2].darknet_tensors())
    with torch.no_grad():
        stored["weights"].zero_()
        stored["biases"].copy_(biases.flatten())
    return network


@pytest.mark.parametrize("kind", HEADS)
def test_a_detector_has_the_detections_of_the_map(kind):
    detector = Detector(network_of(kind), NAMES)
    found = detector(np.zeros((64, 96, 3), np.uint8))  # twice the network's size
    assert found.labels.tolist() == [1]
    assert found.boxes[0].tolist() == pytest.approx([2 * each for each in EXPECTED], abs=0.01)
    assert found.scores[0].item() == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("kind", HEADS)
def test_a_network_of_any_head_is_scored(kind, tmp_path):
    # images are 64 x 48: EXPECTED, of 48 x 32, lies at 42.7, 24, 64, 48 there
    drawn = write_set(tmp_path / "set", [[(43, 24, 64, 48, 1)], [(43, 24, 64, 48, 1), (0, 0, 9, 9, 0)]])
    images = check_list(drawn.folder / "list.txt", classes=2, channels=3).images
    detections = detections_of(Detector(network_of(kind), NAMES), images, batch=2, workers=0)
    evaluation = evaluation_of(NAMES, images, detections)
    precisions = average_precisions(voc_scores(evaluation), "area")
    assert precisions == [0.0, 1.0] and mean_ap(precisions) == 0.5
