"""yolo.model.heads.yolo: a raw map → boxes, objectness and class probabilities; every axis of its own length."""

import math

import pytest
import torch

from tests.helpers.slow_core import logistic
from yolo.model.heads.yolo import YoloHead

B, A, H, W, CLASSES = 2, 3, 4, 5, 6
ANCHORS = torch.tensor([[10.0, 20.0], [30.0, 15.0], [40.0, 80.0], [7.0, 9.0]])
STRIDE = (16.0, 8.0)  # vertical, horizontal: a network of 64 x 40


def head(**changes):
    settings = {
        "all_anchors": ANCHORS,
        "anchor_ids": (3, 1, 2),
        "classes": CLASSES,
        "stride": STRIDE,
    }
    return YoloHead(**{**settings, **changes})


def gaussian_head(**changes):
    settings = {
        "all_anchors": ANCHORS,
        "anchor_ids": (0, 1, 2),
        "classes": CLASSES,
        "stride": STRIDE,
        "gaussian": True,
    }
    return YoloHead(**{**settings, **changes})


def raw_map():
    return torch.randn(B, A * (5 + CLASSES), H, W, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("scale", "new_coords"), [(1.0, False), (1.2, False), (2.0, True)], ids=["v3", "v4", "csp"])
def test_each_prediction_is_the_formula_of_its_cell_and_anchor(scale, new_coords):
    raw = raw_map().abs() if new_coords else raw_map()
    found = head(scale_x_y=scale, new_coords=new_coords).decode(raw)
    cells = raw.reshape(B, A, 5 + CLASSES, H, W)
    sigma = (lambda x: x) if new_coords else logistic
    index = 0
    for anchor, (width, height) in enumerate(ANCHORS[[3, 1, 2]].tolist()):
        for row in range(H):
            for column in range(W):
                tx, ty, tw, th, to, *classes = cells[1, anchor, :, row, column].tolist()
                shape = ((2 * tw) ** 2, (2 * th) ** 2) if new_coords else (math.exp(tw), math.exp(th))
                box = (
                    (column + sigma(tx) * scale - (scale - 1) / 2) / W,
                    (row + sigma(ty) * scale - (scale - 1) / 2) / H,
                    shape[0] * width / 40,
                    shape[1] * height / 64,
                )
                assert found.boxes[1, index].tolist() == pytest.approx(box, rel=1e-4, abs=1e-6)
                assert found.objectness[1, index].item() == pytest.approx(sigma(to), rel=1e-5)
                probabilities = [sigma(value) for value in classes]
                assert found.class_probs[1, index].tolist() == pytest.approx(probabilities, rel=1e-5)
                index += 1
    assert found.boxes.shape == (B, index, 4)
    assert found.objectness.shape == (B, index)
    assert found.class_probs.shape == (B, index, CLASSES)


def test_a_zero_map_gives_anchors_in_the_middle_of_their_cells():
    found = head(anchor_ids=(2,)).decode(torch.zeros(1, 5 + CLASSES, H, W))
    expected = [(1 + 0.5) / W, (2 + 0.5) / H, 40 / 40, 80 / 64]
    assert found.boxes[0, 2 * W + 1].tolist() == pytest.approx(expected)
    assert (found.objectness == 0.5).all() and (found.class_probs == 0.5).all()


def test_decoding_a_larger_map_keeps_anchors_in_pixels():
    found = head(anchor_ids=(2,)).decode(torch.zeros(1, 5 + CLASSES, 2 * H, 3 * W))
    assert found.boxes[0, 0, 2:].tolist() == pytest.approx([40 / 120, 80 / 128])


def test_decode_computes_in_float32_for_a_bfloat16_map():
    found = head().decode(raw_map().bfloat16())
    assert {part.dtype for part in found} == {torch.float32}


def test_forward_returns_its_input():
    raw = raw_map()
    assert head()(raw) is raw


def test_anchors_are_no_parameters_and_not_in_the_state():
    assert list(head().parameters()) == [] and head().state_dict() == {}


def test_no_images_give_no_predictions():
    found = head().decode(raw_map()[:0])
    assert found.boxes.shape == (0, A * H * W, 4)


def test_a_gaussian_head_reads_uncertainties_beside_the_box_and_lowers_the_classes_by_them():
    raw = torch.randn(B, A * (9 + CLASSES), H, W, generator=torch.Generator().manual_seed(1))
    head = gaussian_head(scale_x_y=1.1)
    found = head.decode(raw)
    assert found.boxes.shape == (B, A * H * W, 4)
    anchor, row, column = 2, 1, 3
    index = (anchor * H + row) * W + column
    values = raw.reshape(B, A, 9 + CLASSES, H, W)[1, anchor, :, row, column].tolist()
    x, sx, y, sy, w, sw, h, sh, objectness, *classes = values
    box = (
        (column + logistic(x) * 1.1 - 0.05) / W,
        (row + logistic(y) * 1.1 - 0.05) / H,
        math.exp(w) * 40 / 40,
        math.exp(h) * 80 / 64,
    )
    certainty = 1 - sum(map(logistic, (sx, sy, sw, sh))) / 4
    assert found.boxes[1, index].tolist() == pytest.approx(box, rel=1e-4)
    assert found.objectness[1, index].item() == pytest.approx(logistic(objectness), rel=1e-5)
    expected = [logistic(value) * certainty for value in classes]
    assert found.class_probs[1, index].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("shift", "sign"), [(0.0, 0), (0.5, 1), (-0.5, -1)])
def test_a_gaussian_heads_point_may_be_a_corner_of_the_box(shift, sign):
    # of a zero map: the point is the middle of its cell, the box has the anchor's size; by hand
    head = gaussian_head(anchor_ids=(0,), center_shift=shift)
    found = head.decode(torch.zeros(1, 9 + CLASSES, H, W))
    width, height = 10 / 40, 20 / 64
    expected = [1.5 / W + sign * width / 2, 2.5 / H + sign * height / 2, width, height]
    assert found.boxes[0, 2 * W + 1].tolist() == pytest.approx(expected)
