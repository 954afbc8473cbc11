"""yolo.explain.loss_report: parts are those of DetectionLoss, classes and steps are by hand, the page shows them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.report_pages import ABOUT, ROWS, ParsedPage, scene_of
from tests.helpers.tiny_data import FOUR_IMAGES, NAMES, cfg_text, network_of
from tests.helpers.tiny_heads import HEADS
from yolo.data.check import check_list
from yolo.data.images import ignore_remark, read_image
from yolo.detect.detector import Detector
from yolo.evaluate.analysis.build_report import build_report
from yolo.evaluate.analysis.report import ClassLoss, LossReport, LossStep, read_report
from yolo.evaluate.html.loss_charts import largest_part, loss_bar, loss_class_chart, loss_step_chart
from yolo.evaluate.html.report_page import write_report
from yolo.explain import loss_report as module
from yolo.explain.loss.placed import placed_targets
from yolo.explain.loss_report import class_losses, joined_steps, loss_report
from yolo.letterbox import place, stretched
from yolo.train.losses.detection import DetectionLoss

SEEN = 20_000  # below 12,800 images a [region] also draws boxes without an object to their anchors
BY_HAND = LossReport(
    2, 100.0, 1.0, 2.0, 5.0, 2.0,
    (ClassLoss("cat", 3, 0.5, 1.0, 0.5), ClassLoss("dog", 1, 0.5, 1.0, 2.5)),
    (LossStep(1, 2, 1.0, 1.0, 8.0, 0.0), LossStep(3, 4, 1.0, 1.0, 1.0, 1.0)),
)  # fmt: skip


def found_in(four, tmp_path, text):
    images = check_list(four.folder / "list.txt", 2, 3).images
    network = network_of(text, seed=1).eval()
    loss = DetectionLoss(network)
    detector = Detector(network, NAMES)  # its engine returns tensors of inference mode
    return images, network, loss, loss_report(detector, loss, images, seen=SEEN, batch=3, workers=0, run=tmp_path)


@pytest.mark.parametrize("kind", ["yolo", "two_yolo", "new_coords", "gaussian", "region", "detection"])
def test_the_parts_are_the_mean_of_the_images_and_the_classes_that_of_the_objects(kind, four, tmp_path):
    (tmp_path / "scalars.csv").write_text(
        "step,loss/box,loss/objectness_object,loss/objectness_background,loss/classification\n7,1,2,3,4\n"
    )
    images, network, loss, found = found_in(four, tmp_path, HEADS[kind])
    expected = []
    for image in images:
        placement = stretched(image.size, (network.input.height, network.input.width))
        with torch.no_grad():
            raw = network(place(read_image(image.path, 3, ignore_remark), placement)[None])
            each = loss(raw, placed_targets([image.ground_truth], [placement]), SEEN)
        background = each.objectness - each.objectness_object
        expected.append([float(part) for part in (each.box, each.objectness_object, background, each.classification)])
    parts = found.box, found.objectness_object, found.objectness_background, found.classification
    assert parts == pytest.approx(np.mean(expected, axis=0).tolist(), rel=1e-4)
    assert found.images == 4 and found.steps == (LossStep(7, 7, 1.0, 2.0, 3.0, 4.0),)
    objects = sum(each.objects for each in found.classes)
    assert objects == sum(len(image.ground_truth.labels) for image in images)
    sums = [sum(getattr(each, name) * each.objects for each in found.classes) / 4 for name in ("box", "classification")]
    assert sums == pytest.approx([found.box, found.classification], rel=1e-4)


def test_a_long_list_is_sampled_evenly(four, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 2)
    images, _, _, found = found_in(four, tmp_path, cfg_text())
    ends = [images[0], images[-1]]
    assert found.images == 2 and found.steps == ()
    assert sum(each.objects for each in found.classes) == sum(len(each.ground_truth.labels) for each in ends)


def test_classes_by_hand():
    losses = np.array([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5], [0.5, 1.5, 2.5]])
    assert class_losses(losses, np.array([1, 0, 0]), ("cat", "dog")) == (
        ClassLoss("cat", 2, 0.5, 1.0, 1.5), ClassLoss("dog", 1, 1.0, 1.0, 1.0),
    )  # fmt: skip


def test_steps_are_joined():
    steps = [(step, (float(step), 0.0, 1.0, 2.0)) for step in range(1, 122)]
    joined = joined_steps(steps)
    assert len(joined) == 41 and joined[0] == LossStep(1, 3, 2.0, 0.0, 1.0, 2.0)
    assert joined[-1] == LossStep(121, 121, 121.0, 0.0, 1.0, 2.0) and joined_steps([]) == ()


def test_the_largest_part_and_what_it_comes_from():
    largest, why = largest_part(BY_HAND)
    assert largest == "objectness of the background, 50%"
    assert "100 boxes of an image are for no object. Each costs 0.05 " in why
    classes = LossReport(2, 100.0, 0.0, 0.0, 0.0, 8.0, BY_HAND.classes, ())
    assert largest_part(classes)[1].startswith("Most of it comes from dog: 1 object, 2.5 each.")
    objects = LossReport(2, 100.0, 0.0, 8.0, 0.0, 0.0, BY_HAND.classes, ())
    assert largest_part(objects)[1] == "Most of it comes from cat: 3 objects, 1 each."
    assert largest_part(LossReport(1, 0.0, 0.0, 0.0, 0.0, 0.0, (), ())) == ("", "")


def test_the_bars_are_as_long_as_their_parts():
    widths = [each.attributes["width"] for each in loss_bar(BY_HAND).shapes[1:]]
    assert widths == pytest.approx([60, 120, 300, 120])
    bars = [each for each in loss_class_chart(BY_HAND.classes).shapes if each.tag == "rect"]
    assert bars[5].attributes["width"] == pytest.approx(5 * bars[3].attributes["width"])  # class loss 2.5, box .5
    assert bars[4].attributes["data-tip"] == "dog, 1 object: objectness 1"
    columns = [each for each in loss_step_chart(BY_HAND.steps).shapes if each.tag == "rect"]
    assert columns[2].attributes["height"] == pytest.approx(8 * columns[0].attributes["height"])
    assert columns[7].attributes["data-tip"] == "steps 3 to 4, loss 4: classes 1"


def test_the_page_shows_the_loss_and_the_file_keeps_it(four, tmp_path):
    report = build_report(scene_of(FOUR_IMAGES), four.images, ABOUT, ROWS)
    page = ParsedPage(write_report(tmp_path / "r", replace(report, loss=BY_HAND)).read_text(encoding="utf-8"))
    assert "What the loss is made of" in page.texts and "objectness of the background, 50.0%" in page.texts
    assert read_report(tmp_path / "r").loss == BY_HAND
    older = json.loads((tmp_path / "r" / "report.json").read_text())
    del older["loss"]  # as reports were before
    (tmp_path / "r" / "report.json").write_text(json.dumps(older))
    assert read_report(tmp_path / "r").loss is None
    page = ParsedPage(write_report(tmp_path / "plain", report).read_text(encoding="utf-8"))
    assert "What the loss is made of" not in page.texts
