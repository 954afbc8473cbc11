"""yolo.boxes: by hand, against loops, and gradients against torchvision's losses."""

import pytest
import torch
import torchvision

from tests.helpers import slow_core
from yolo import boxes

UNIT = [0.0, 0.0, 2.0, 2.0]


def random_boxes(seed, count):
    """xyxy `[count, 4]`, float64, near enough to each other to overlap often."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    size = torch.rand(count, 2, generator=generator, dtype=torch.float64) + 0.05
    return torch.cat((corner, corner + size), dim=1)


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_cxcywh_is_converted_to_xyxy():
    assert boxes.cxcywh_to_xyxy(tensor([5, 7, 4, 6])).tolist() == [[3, 4, 7, 10]]


def test_the_converter_takes_any_leading_shape_and_does_not_change_its_argument():
    given = torch.rand(2, 0, 3, 4)
    assert boxes.cxcywh_to_xyxy(given).shape == (2, 0, 3, 4)
    given = torch.ones(2, 3, 4)
    boxes.cxcywh_to_xyxy(given)
    assert torch.equal(given, torch.ones(2, 3, 4))


def test_iou_by_hand():
    found = boxes.paired_iou(tensor(UNIT), tensor(UNIT, [1, 0, 3, 2], [2, 0, 4, 2], [5, 5, 6, 6]))
    assert found.tolist() == [1, 2 / 6, 0, 0]  # the same, half, touching, apart


def test_iou_of_all_pairs_is_that_of_loops():
    first, second = random_boxes(1, 7), random_boxes(2, 5)
    slow = [[slow_core.iou(a, b) for b in second.tolist()] for a in first.tolist()]
    found = boxes.paired_iou(first[:, None], second[None])
    torch.testing.assert_close(found, torch.tensor(slow, dtype=torch.float64))


def test_overlap_and_gradient_of_empty_boxes_are_0():
    flat = tensor([1, 1, 1, 1]).requires_grad_()
    for function in (boxes.paired_iou, boxes.paired_giou, boxes.paired_diou, boxes.paired_ciou):
        flat.grad = None
        found = function(flat, tensor([1, 1, 1, 1]))
        assert found.tolist() == [0]
        found.sum().backward()
        assert flat.grad.tolist() == [[0, 0, 0, 0]]


def test_no_boxes_give_empty_results():
    none = torch.zeros(0, 4)
    assert boxes.shape_iou(torch.zeros(0, 2), torch.ones(3, 2)).shape == (0, 3)
    assert boxes.paired_ciou(none, none).shape == (0,)


def test_shape_iou_compares_boxes_with_the_same_center():
    found = boxes.shape_iou(tensor([2, 4]), tensor([4, 2], [2, 4], [1, 1]))
    assert found.tolist() == [[4 / 12, 1, 1 / 8]]


def test_giou_diou_and_ciou_by_hand():
    apart = tensor([4, 0, 6, 2])  # two squares of side 2, the enclosing box is 6 x 2
    assert boxes.paired_giou(tensor(UNIT), apart).item() == pytest.approx(0 - (12 - 8) / 12)
    assert boxes.paired_diou(tensor(UNIT), apart).item() == pytest.approx(0 - 16 / 40)
    # equal aspects: as DIoU
    assert boxes.paired_ciou(tensor(UNIT), apart).item() == pytest.approx(0 - 16 / 40)
    # IoU 1/2; centers 1 apart; diagonal² 20; v = 4/π² (atan 1 - atan 1/2)²
    tall = tensor([0, 0, 2, 4])
    v = 0.4052847 * (0.7853982 - 0.4636476) ** 2
    expected = 0.5 - 1 / 20 - v / (1 - 0.5 + v) * v
    assert boxes.paired_ciou(tensor(UNIT), tall).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("overlap", [boxes.paired_giou, boxes.paired_diou, boxes.paired_ciou])
def test_all_pairs_are_those_of_rows(overlap):
    first, second = random_boxes(7, 4), random_boxes(8, 3)
    rows = [overlap(first, box.expand(4, 4)) for box in second]
    torch.testing.assert_close(overlap(first[:, None], second[None]), torch.stack(rows, dim=1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("exponent", [0.6, 1.0])
def test_diou_with_exponent_is_that_of_loops(exponent):
    first, second = random_boxes(3, 6), random_boxes(4, 4)
    slow = [[slow_core.distance_iou(a, b, exponent) for b in second.tolist()] for a in first.tolist()]
    found = boxes.paired_diou_with_exponent(first[:, None], second[None], exponent)
    torch.testing.assert_close(found, torch.tensor(slow, dtype=torch.float64))


@pytest.mark.parametrize(
    ("overlap", "loss"),
    [
        (boxes.paired_giou, torchvision.ops.generalized_box_iou_loss),
        (boxes.paired_diou, torchvision.ops.distance_box_iou_loss),
        (boxes.paired_ciou, torchvision.ops.complete_box_iou_loss),
    ],
)
def test_values_and_gradients_are_those_of_torchvisions_losses(overlap, loss):
    # torchvision adds 1e-7 to its denominators, which the tolerance allows for
    ours = random_boxes(5, 200).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    ground_truth = random_boxes(6, 200)
    value, expected = 1 - overlap(ours, ground_truth), loss(theirs, ground_truth)
    value.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
