"""A box in numbers: every head's last steps are what `Network.decode` computes, and each line is right by itself."""

import math
import re

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import CONV, HEADS, NET, TREE, TREE_HEAD
from yolo.boxes import cxcywh_to_xyxy
from yolo.detect.detector import Detector
from yolo.explain.image.decode_steps import decoded_box
from yolo.explain.image.origin import Origin, head_grids, origin_of
from yolo.letterbox import letterboxed, stretched, to_image

GAUSSIAN = HEADS["gaussian"]
MORE_HEADS = {
    "gaussian left top": GAUSSIAN + "yolo_point=left_top\n",
    "gaussian right bottom": GAUSSIAN + "yolo_point=right_bottom\nscale_x_y=1.1\n",
    "background": HEADS["region"] + "background=1\n",
    "v1 softmax": HEADS["detection"].replace("sqrt=1", "softmax=1"),
    "wide": NET.replace("height=16", "height=64") + CONV.format(14, "linear") + "[yolo]\nclasses=2\nmask=0,2\nnum=3\n"
    "anchors=3,4, 6,5, 9,12\n",
}  # fmt: skip


def check_every_box(network):
    """Decode some boxes of each head in numbers and compare with the network; return the last one."""
    network = network.eval()
    raw = network(torch.rand(1, 3, network.input.height, network.input.width))
    raw = [map_.detach() * 3 for map_ in raw]  # larger values than fresh weights give
    predictions = network.decode(raw)
    grids = head_grids(network)
    size = network.input.height, network.input.width
    count = predictions.boxes.shape[1]
    assert count == sum(grid.count for grid in grids)
    for number, index in enumerate(range(0, count, max(1, count // 23))):
        origin = origin_of(grids, index)
        label = number % network.classes
        placement = (stretched, letterboxed)[number % 2]((90, 70), size)
        layer = network.layers[network.heads[origin.head]]
        found = decoded_box(layer, grids[origin.head], raw[origin.head], origin, label, "dog", placement)
        box = [found.value(symbol) for symbol in "xywh"]
        expected = predictions.boxes[0, index]
        np.testing.assert_allclose(box, expected.tolist(), rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(found.value("obj"), float(predictions.objectness[0, index]), rtol=2e-6)
        np.testing.assert_allclose(found.value("p"), float(predictions.class_probs[0, index, label]), rtol=2e-6)
        x, y, w, h = (each.value for each in found.in_image)
        in_image = to_image(cxcywh_to_xyxy(expected.double())[None], placement)[0].tolist()
        np.testing.assert_allclose((x - w / 2, y - h / 2, x + w / 2, y + h / 2), in_image, rtol=1e-5, atol=1e-4)
        for quantity in (*found.quantities, *found.in_image):
            assert quantity.value == quantity.steps[-1].value
    return found


@pytest.mark.parametrize("name", [*HEADS, *MORE_HEADS])
def test_the_steps_end_at_what_the_network_decodes(name):
    check_every_box(network_of((HEADS | MORE_HEADS)[name]))


def test_a_class_of_a_tree_is_the_product_along_its_path(tmp_path):
    (tmp_path / "t.tree").write_text(TREE)
    found = check_every_box(network_of(TREE_HEAD.format(tmp_path / "t.tree")))
    path = next(each for each in found.quantities if each.symbol == "p")
    assert len(path.steps) in (1, 2) and found.value("score") == found.value("obj")


def test_a_box_of_yolov3_by_hand():
    """Anchor 9x12 in the cell of row 1, column 2 of a grid of 6 x 4 cells of 4 pixels."""
    network = network_of(HEADS["yolo"].replace("scale_x_y=1.05\n", "")).eval()
    raw = torch.zeros(1, 14, 4, 6)
    raw[0, 7:14, 1, 2] = torch.tensor([0.0, math.log(3), math.log(2), 0.0, math.log(4), -9.0, math.log(9)])
    (grid,) = head_grids(network)
    placement = stretched((32, 48), (16, 24))
    found = decoded_box(network.layers[2], grid, raw, Origin(0, 1, 1, 2), 1, "dog", placement)
    lines = [(step.formula, step.with_numbers) for each in found.quantities for step in each.steps]
    assert lines == [
        ("σ(t_x)", "σ(0)"), ("(column + offset) / columns", "(2 + 0.5) / 6"),
        ("σ(t_y)", "σ(1.099)"), ("(row + offset) / rows", "(1 + 0.75) / 4"),
        ("e^t_w", "e^0.6931"), ("× anchor width", "2 × 9 px"), ("/ input width", "18 / 24"),
        ("e^t_h", "e^0"), ("× anchor height", "1 × 12 px"), ("/ input height", "12 / 16"),
        ("σ(t_obj)", "σ(1.386)"), ("σ(t_dog)", "σ(2.197)"), ("objectness × probability", "0.8 · 0.9"),
    ]  # fmt: skip
    values = [found.value(symbol) for symbol in ("x", "y", "w", "h", "obj", "p", "score")]
    np.testing.assert_allclose(values, [2.5 / 6, 1.75 / 4, 0.75, 0.75, 0.8, 0.9, 0.72], rtol=1e-6)
    np.testing.assert_allclose([each.value for each in found.in_image], [20, 14, 36, 24], rtol=1e-6)
    assert found.raw[4:] == (("objectness", pytest.approx(math.log(4))), ("dog", pytest.approx(math.log(9))))


def test_letterboxed_pixels_leave_the_border_out():
    network = network_of(HEADS["yolo"]).eval()
    (grid,) = head_grids(network)
    placement = letterboxed((32, 24), (16, 24))  # 16 x 12 pixels in the middle
    found = decoded_box(network.layers[2], grid, torch.zeros(1, 14, 4, 6), Origin(0, 0, 1, 2), 0, "dog", placement)
    assert [step.formula for step in found.in_image[0].steps][1] == "− gray border"
    assert found.in_image[0].value == pytest.approx((2.5 / 6 * 24 - 6) / 12 * 24)


def test_every_step_shows_its_own_value():
    """The middle column, computed by Python, is the last column: plain arithmetic, read as a reader reads it."""
    network = network_of(HEADS["two_yolo"]).eval()
    detector = Detector(network, ("cat", "dog"))
    image, placement = detector.prepare(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    raw = network(image[None])
    found = decoded_box(network.layers[2], head_grids(network)[0], raw[0], Origin(0, 1, 3, 2), 0, "cat", placement)
    for quantity in (*found.quantities, *found.in_image):
        for step in quantity.steps:
            text = step.with_numbers.replace("·", "*").replace("×", "*").replace("−", "-").replace(" px", "")
            text = re.sub(r"σ\((\S+)\)", r"(1 / (1 + 2.718281828**-(\1)))", text).replace("e^", "2.718281828**")
            assert eval(text) == pytest.approx(step.value, rel=2e-3, abs=2e-3), step
