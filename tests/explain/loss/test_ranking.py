"""yolo.explain.loss.ranking: losses are those of DetectionLoss image by image; places, signs and page by hand."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.golden import targets_of
from tests.helpers.tiny_data import NAMES, SIZE, cfg_text, network_of, write_set
from yolo.data.check import check_list
from yolo.data.images import ignore_remark, read_image
from yolo.data.labeled_images import LabeledImage
from yolo.detect.detector import Detector
from yolo.explain.loss.doubt import DoubtRule
from yolo.explain.loss.evidence import is_explained, overlaps
from yolo.explain.loss.object_fates import BELOW, DETECTED, INEXACT, OTHER_CLASS, TAKEN, ObjectFate
from yolo.explain.loss.placed import placed_targets, to_network
from yolo.explain.loss.ranking import ImageLosses, image_losses
from yolo.explain.loss.ranking_page import RankingAbout, loss_table, parts_bar, ranking_page, write_ranking
from yolo.explain.loss.suspicion import NO_LABEL, WRONG_CLASS, WRONG_PLACE, suspicions
from yolo.letterbox import letterboxed, place, stretched, to_image
from yolo.records import Detections, LabeledBoxes
from yolo.train.losses.detection import DetectionLoss

NO_RULE = DoubtRule(None, None, {})


def test_labels_in_the_network_input_are_the_inverse_of_boxes_in_the_image():
    for placed in (stretched, letterboxed):
        placement = placed((30, 80), (64, 96))
        boxes = torch.tensor([[0.3, 0.6, 0.2, 0.5], [0.5, 0.5, 1.0, 1.0]], dtype=torch.float64)
        found = to_network(boxes, placement)
        corners = torch.cat((found[:, :2] - found[:, 2:] / 2, found[:, :2] + found[:, 2:] / 2), dim=1)
        expected = torch.tensor([[16, 10.5, 32, 25.5], [0, 0, 80, 30]], dtype=torch.float64)
        torch.testing.assert_close(to_image(corners, placement), expected)


def test_losses_of_a_list_are_those_of_its_images_alone(tmp_path):
    drawn = write_set(tmp_path / "set", [[(8, 8, 24, 24, 0)], [(30, 10, 54, 30, 1), (4, 30, 18, 44, 0)], []])
    images = check_list(drawn.folder / "list.txt", 2, 3).images
    network = network_of(cfg_text(), seed=1).eval()
    detector, loss = Detector(network, NAMES, 0.05), DetectionLoss(network)
    found = image_losses(detector, loss, images, seen=50, batch=2, workers=0)
    for index, image in enumerate(images):
        pixels = read_image(image.path, 3, ignore_remark)
        placement = stretched(image.size, SIZE)
        with torch.no_grad():
            raw = network(place(pixels, placement)[None])
            expected = loss(raw, placed_targets([image.ground_truth], [placement]), 50)
        values = expected.total, expected.box, expected.objectness, expected.classification
        ours = [found.by(part)[index] for part in ("total", "box", "objectness", "class")]
        assert ours == pytest.approx([value.item() for value in values], rel=1e-4)
    assert np.array_equal(found.ranked("total"), np.argsort(-found.by("total")))
    assert found.doubts[2, 0] == 0 and (found.doubts[:2, 0] > 0).all()  # no object in image 2
    assert found.usual.keys() == {0, 1}
    again = image_losses(detector, loss, images, seen=50, batch=3, workers=0)
    assert np.allclose(again.doubts, found.doubts)  # the mistakes made to learn from are the same


def test_an_image_is_in_doubt_if_a_label_is_wrong_or_one_is_missing():
    values = np.zeros((4, 5))
    values[:, 0] = 1, 2, 3, 4  # the total
    losses = ImageLosses(values, np.array([[0.5, 0], [0.2, 0.5], [0, 0.5], [0, 0]]), {}, NO_RULE)
    assert losses.by("label").tolist() == pytest.approx([0.5, 0.6, 0.5, 0])
    assert losses.ranked("label").tolist() == [1, 2, 0, 3]  # of equal doubts the larger loss comes first


# ------------------------------------------------------------------------------------------------------ signs

ROWS = [(0, 0, 0.25, 0.5, 0.2, 0.4), (0, 1, 0.7, 0.5, 0.2, 0.4)]
BOXES = torch.tensor([[0.15, 0.3, 0.35, 0.7], [0.6, 0.3, 0.8, 0.7], [0.0, 0.0, 0.1, 0.1]])


def test_reasons_to_doubt_labels():
    targets = targets_of(ROWS)
    detections = Detections(BOXES, torch.tensor([0.9, 0.8, 0.4]), torch.tensor([0, 0, 1]))
    assert is_explained(*overlaps(detections, targets)).tolist() == [True, False, False]
    found = [ObjectFate(DETECTED, 0.9, 0.9, 1.0), ObjectFate(OTHER_CLASS, 0.8, 0.8, 1.0, 0)]
    signs = suspicions(found, detections, targets, NAMES, [0.1, 0.9], {1: 0.8, 2: 0.3})
    assert [(sign.kind, sign.target, sign.detection) for sign in signs] == [(WRONG_CLASS, 1, 1), (NO_LABEL, None, 2)]
    assert signs[0].text == "labeled green, detected as red 0.80" and [sign.doubt for sign in signs] == [0.9, 0.3]
    found = [ObjectFate(BELOW, 0.1, 0.2, 0.7), ObjectFate(INEXACT, 0.8, 0.8, 0.4)]
    signs = suspicions(found, detections[[2]], targets, NAMES, [0.8, 0.2], {0: 0.5})
    assert [sign.kind for sign in signs] == [WRONG_PLACE, NO_LABEL, WRONG_PLACE]
    assert signs[0].text == "red: not detected; the best box here has a score of 0.10"
    assert suspicions([], detections[[]], targets_of([]), NAMES, [], {}) == []


def test_a_label_that_is_detected_is_not_listed_unless_it_is_doubted():
    targets, detections = targets_of(ROWS), Detections(BOXES[:1], torch.tensor([0.9]), torch.tensor([0]))
    found = [ObjectFate(DETECTED, 0.9, 0.9, 0.55), ObjectFate(TAKEN, 0.9, 0.9, 1.0)]
    assert suspicions(found, detections, targets, NAMES, [0.4, 0.4], {}) == []
    signs = suspicions(found, detections, targets, NAMES, [0.6, 0.7], {})
    assert [(sign.target, sign.text) for sign in signs] == [
        (1, "green: the only detection here is that of another label"),
        (0, "red: the detection 0.90 has an IoU of only 0.55"),
    ]


def test_the_table_and_the_page_of_a_list_without_objects():
    losses = ImageLosses(np.array([[0.5, 0, 0, 0.5, 0], [2.5, 0.5, 0.5, 1, 0.5]]), np.zeros((2, 2)), {}, NO_RULE)
    images = [labeled(f"{name}.png", []) for name in ('a,"b', "c")]
    rows = list(csv.DictReader(io.StringIO(loss_table(losses, images, losses.ranked("total")))))
    assert [row["image"] for row in rows] == ["c.png", 'a,"b.png'] and rows[0]["total"] == "2.5"
    page = ranking_page(RankingAbout("x", "a.cfg", "a.weights", "a.data", "train", "total", ""), losses, [], NAMES)
    assert "2 images" in page and "1.50" in page and "<h2>The first 0</h2>" in page
    widths = [shape.attributes["width"] for shape in parts_bar({"box": 1, "objectness_object": 2,
              "objectness_background": 0, "class": 3}, 12, "x").shapes]  # fmt: skip
    assert widths == [600, 50, 100, 0, 150]


def test_infinite_boxes_are_listed_and_drawn(tmp_path):
    drawn = write_set(tmp_path / "set", [[(8, 8, 24, 24, 0)], []])
    images = check_list(drawn.folder / "list.txt", 2, 3).images
    network = network_of(cfg_text(), seed=1).eval()
    last = network.layers[network.heads[0] - 1].conv
    with torch.no_grad():
        last.bias.view(-1, 7)[:, 2] = 900  # e^900 is above the range of floats: boxes of infinite width
        last.bias.view(-1, 7)[:, 4] = 2
    detector, loss = Detector(network, NAMES, 0.05), DetectionLoss(network)
    losses = image_losses(detector, loss, images, seen=50, batch=2, workers=0)
    about = RankingAbout("x", "a.cfg", "a.weights", "a.data", "train", "total", "")
    page = write_ranking(tmp_path / "out", about, losses, images, detector, 2).read_text()
    signs = json.loads((tmp_path / "out" / "top_losses.json").read_text())["top"][0]["signs"]
    assert any(None in sign["box"] for sign in signs) and "detection unlabeled" in page
    assert not re.search(r'="-?(inf|nan)"', page)


def labeled(path, rows):
    table = np.array(rows, np.float64).reshape(-1, 5)
    none = LabeledBoxes(np.zeros(0, np.int64), np.zeros((0, 4)))
    return LabeledImage(Path(path), (30, 50), LabeledBoxes(table[:, 0].astype(np.int64), table[:, 1:]), none)
