"""yolo.train.losses.box_gradient: Darknet's gradient against a slow scalar version and by hand, the true one against
torch."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.slow_box_gradient import box_gradient
from yolo.boxes import cxcywh_to_xyxy, paired_ciou, paired_diou, paired_giou, paired_iou
from yolo.train.losses.assign import PositiveBoxes
from yolo.train.losses.box_gradient import DeltaLoss, clip_delta, darknet_gradient, true_gradient

OVERLAPS = {"iou": paired_iou, "giou": paired_giou, "diou": paired_diou, "ciou": paired_ciou}
KINDS = pytest.mark.parametrize("kind", OVERLAPS)

# what random boxes seldom are, cxcywh; in sixteenths, so that sides meet exactly
SPECIAL = {
    "equal": ((8, 8, 4, 6), (8, 8, 4, 6)),
    "ours inside": ((8, 8, 2, 2), (8, 7, 8, 10)),
    "ground truth inside": ((8, 7, 8, 10), (8, 8, 2, 2)),
    "inside, on one side": ((7, 8, 2, 2), (8, 7, 4, 10)),
    "side by side": ((4, 8, 4, 4), (8, 8, 4, 4)),
    "corner to corner": ((4, 4, 4, 4), (8, 8, 4, 4)),
    "apart in x": ((2, 8, 2, 4), (12, 8, 4, 4)),
    "apart in both": ((2, 2, 2, 4), (12, 10, 4, 2)),
    "one center, turned": ((8, 8, 2, 10), (8, 8, 10, 2)),
    "same sides above": ((8, 6, 4, 4), (8, 8, 4, 8)),
}


def special_pairs():
    return torch.tensor(list(SPECIAL.values()), dtype=torch.float64).unbind(dim=1)


def random_pairs(seed, count):
    """Boxes of which about half overlap, cxcywh float64 `[count, 4]` twice."""
    generator = torch.Generator().manual_seed(seed)
    low, span = torch.tensor([0.2, 0.2, 0.02, 0.02]), torch.tensor([0.6, 0.6, 0.5, 0.5])
    boxes = low + span * torch.rand(2, count, 4, generator=generator)
    return boxes.double().unbind()


def slow(kind, boxes, ground_truth):
    pairs = zip(boxes.tolist(), ground_truth.tolist(), strict=True)
    return torch.tensor([box_gradient(kind, *pair) for pair in pairs], dtype=torch.float64)


@KINDS
def test_gradients_of_random_boxes_are_those_of_the_slow_version(kind):
    boxes, ground_truth = random_pairs(0, 400)
    overlapping = paired_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(ground_truth)) > 0
    assert 100 < overlapping.sum() < 300
    found = darknet_gradient(OVERLAPS[kind], boxes, ground_truth)
    torch.testing.assert_close(found, slow(kind, boxes, ground_truth), rtol=1e-9, atol=1e-9)


@KINDS
def test_gradients_of_touching_contained_equal_and_disjoint_boxes_are_those_of_the_slow_version(
    kind,
):
    boxes, ground_truth = (part / 16 for part in special_pairs())
    found = darknet_gradient(OVERLAPS[kind], boxes, ground_truth)
    torch.testing.assert_close(found, slow(kind, boxes, ground_truth), rtol=1e-9, atol=1e-9)


@KINDS
def test_gradients_in_float32_are_those_in_float64(kind):
    boxes, ground_truth = random_pairs(1, 400)
    found = darknet_gradient(OVERLAPS[kind], boxes.float(), ground_truth.float())
    expected = slow(kind, boxes, ground_truth)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


def test_the_gradient_of_overlapping_boxes_by_hand():
    # unit squares, ours half a side to the left: I = 1/2, U = 3/2, hull 3/2 x 1
    boxes, ground_truth = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[0.5, 0.0, 1.0, 1.0]])
    # right side: dI = 1, dU = 0: 1/U = 2/3; left side: dI = 0, dU = -1: I/U² = 2/9
    # top and bottom are the ground truth's too, so neither moves I; dU = -1, 1: ±(-I/U²)
    found = darknet_gradient(paired_iou, boxes, ground_truth)
    assert found[0].tolist() == pytest.approx([2 / 3 + 2 / 9, 0, 2 / 3 - 2 / 9, -4 / 9])
    # hull C = 3/2, dC of the left side -1, so (C dU - U dC)/C² = 0 there and 0 on the right;
    # bottom: C·1/C² = 2/3, top -2/3
    found = darknet_gradient(paired_giou, boxes, ground_truth)
    assert found[0].tolist() == pytest.approx([8 / 9, 0, 4 / 9, -4 / 9 + 4 / 3])
    # distance S = 1/4, diagonal D = 13/4; x: (2·½·D - 2·Cw·(-1)·S)/D², w: Cw·S/D²
    found = darknet_gradient(paired_diou, boxes, ground_truth)
    diagonal, term = 13 / 4, 2 * 1.5 * 0.25
    expected = [8 / 9 + (diagonal + term) / diagonal**2, 0, 4 / 9 + term / 2 / diagonal**2, -4 / 9]
    assert found[0].tolist() == pytest.approx(expected)
    # squares of one shape: the aspect term is 0
    torch.testing.assert_close(darknet_gradient(paired_ciou, boxes, ground_truth), found)


def test_disjoint_boxes_have_only_the_terms_beyond_iou_by_hand():
    # unit squares, ours two sides to the left: "I" = -1, U = 3, hull 3 x 1
    boxes, ground_truth = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[2.0, 0.0, 1.0, 1.0]])
    # (C dU - U dC)/C² of left: (3·-1 - 3·-1)/9, right: 0 (dU = 1 - 1), top and bottom: ±3/9
    found = darknet_gradient(paired_giou, boxes, ground_truth)
    assert found[0].tolist() == pytest.approx([0, 0, 0, 2 / 3])
    # S = 4, D = 10; x: (2·2·D + 2·3·S)/D², w: 3·S/D²
    found = darknet_gradient(paired_diou, boxes, ground_truth)
    assert found[0].tolist() == pytest.approx([0.64, 0, 0.12, 0])
    torch.testing.assert_close(darknet_gradient(paired_ciou, boxes, ground_truth), found)


@KINDS
def test_a_width_of_0_counts_as_1(kind):
    ground_truth = torch.tensor([[0.5, 0.5, 0.2, 0.3]])
    flat, wide = torch.tensor([[0.4, 0.5, 0.0, 0.2]]), torch.tensor([[0.4, 0.5, 1.0, 0.2]])
    found = darknet_gradient(OVERLAPS[kind], flat, ground_truth)
    assert torch.equal(found, darknet_gradient(OVERLAPS[kind], wide, ground_truth))


@KINDS
def test_a_gradient_that_is_not_finite_becomes_0(kind):
    # a ground truth without any size, a box as wide as float32 goes
    boxes = torch.tensor([[0.4, 0.5, 0.1, 0.2], [0.4, 0.5, math.inf, 0.2], [0.4, 0.5, 1e30, 1e30]])
    ground_truth = torch.tensor([[0.5, 0.5, 0.0, 0.0]]).expand(3, 4)
    gradient = darknet_gradient(OVERLAPS[kind], boxes, ground_truth)
    assert clip_delta(gradient, math.inf).isfinite().all()


def test_clip_delta_drops_what_is_not_finite_and_clips_the_rest():
    delta = torch.tensor([math.nan, math.inf, -math.inf, 3.0, -3.0, 0.5])
    assert clip_delta(delta, 2.0).tolist() == [0, 0, 0, 2, -2, 0.5]
    assert clip_delta(delta, math.inf).tolist() == [0, 0, 0, 3, -3, 0.5]


def test_another_overlap_is_an_error():
    with pytest.raises(ValueError, match="expected iou, giou, diou or ciou"):
        darknet_gradient(torch.minimum, *random_pairs(0, 1))


def test_a_delta_loss_has_the_value_and_minus_the_delta():
    raw = torch.randn(3, 4, requires_grad=True)
    delta, value = torch.randn(3, 4), torch.tensor([5.0, 6.0, 7.0])
    loss = DeltaLoss.apply(raw, delta, value)
    assert loss.tolist() == [5.0, 6.0, 7.0]
    (loss * torch.tensor([3.0, 0.0, 1.0]) / 4).sum().backward()
    torch.testing.assert_close(raw.grad, -torch.tensor([[0.75], [0.0], [0.25]]) * delta)


HEAD = """[net]
width=64
height=32
channels=7
[maxpool]
size=1
stride=8
[yolo]
classes=2
num=1
anchors=12,9
scale_x_y=1.1
"""


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])  # CIoU's holds alpha constant
def test_the_true_gradient_is_that_of_finite_differences(kind):
    head, overlap = network_of(HEAD).layers[1].double(), OVERLAPS[kind]
    random = np.random.default_rng(0)
    t = torch.tensor(random.normal(0, 0.7, (20, 4)))
    place = torch.tensor(random.integers(1, 3, (20, 2)))
    ground_truth = torch.tensor(random.uniform(0.2, 0.5, (20, 4)))
    pairs = PositiveBoxes(t, place, head.anchors.expand(20, 2), ground_truth, (4, 8))

    def overlaps(t):
        boxes = head.decode_boxes(t, place, pairs.anchors, pairs.grid)
        return overlap(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(ground_truth))

    steps = 1e-6 * torch.eye(4, dtype=torch.float64)
    expected = [(overlaps(t + step) - overlaps(t - step)) / 2e-6 for step in steps]
    found = true_gradient(head, overlap, pairs)
    assert found.abs().max() > 0.1
    torch.testing.assert_close(found, torch.stack(expected, dim=1), rtol=1e-5, atol=1e-8)
