"""yolo.train.losses.assign: which anchors are responsible for which ground truth box, and which cells are ignored."""

from dataclasses import replace

import pytest
import torch

from tests.helpers import slow_core
from tests.helpers.golden import network_of, targets_of
from yolo.train.losses.assign import DIALECTS, assign, assign_by_shape, best_targets

# a head of anchors 2, 3 and 4 of five, on a map of 4 rows and 5 columns; a cell is 10 wide and 8 high
CFG = """[net]
width=50
height=32
channels=24
[maxpool]
size=1
stride_x=10
stride_y=8
[yolo]
mask=2,3,4
num=5
classes=3
anchors=4,4, 8,6, 10,20, 20,10, 40,30
"""
H, W = GRID = (4, 5)
NETWORK_WIDTH, NETWORK_HEIGHT = 50, 32


@pytest.fixture
def head():
    return network_of(CFG).layers[1]


@pytest.fixture
def settings():
    return network_of(CFG).head_settings[0]


def one_box(image, label, cx, cy, width, height):
    """A target from pixels of the network input."""
    unit = cx / NETWORK_WIDTH, cy / NETWORK_HEIGHT, width / NETWORK_WIDTH, height / NETWORK_HEIGHT
    return (image, label, *unit)


def cell(image, anchor, row, column):
    """Index into the flattened [B, A, H, W]."""
    return ((image * 3 + anchor) * H + row) * W + column


def random_boxes(seed, batch, count):
    """cxcywh `[batch, count, 4]` that overlap often."""
    generator = torch.Generator().manual_seed(seed)
    low, span = torch.tensor([0.2, 0.2, 0.1, 0.1]), torch.tensor([0.6, 0.6, 0.5, 0.5])
    return low + span * torch.rand(batch, count, 4, generator=generator)


def test_a_ground_truth_goes_to_the_cell_of_its_center_and_the_anchor_of_its_shape(head, settings):
    targets = targets_of([one_box(1, 0, 33, 20, 11, 19)])
    cells, ground_truths, anchors = assign_by_shape(head, settings, targets, GRID)
    assert cells.tolist() == [cell(1, 0, 2, 3)]  # 20 / 8 = 2.5, 33 / 10 = 3.3
    assert ground_truths.tolist() == [0] and anchors.tolist() == [2]


def test_a_ground_truth_whose_best_anchor_is_another_heads_is_not_assigned_here(head, settings):
    targets = targets_of([one_box(0, 0, 25, 16, 4, 5), one_box(0, 0, 25, 16, 38, 31)])
    cells, ground_truths, anchors = assign_by_shape(head, settings, targets, GRID)
    assert cells.tolist() == [cell(0, 2, 2, 2)]
    assert ground_truths.tolist() == [1] and anchors.tolist() == [4]


def test_the_first_of_equally_good_anchors_is_responsible(head, settings):
    # 10x20 and 20x10 fit a square of 10x10 equally
    targets = targets_of([one_box(0, 0, 5, 4, 14, 14)])
    _, _, anchors = assign_by_shape(head, settings, targets, GRID)
    assert anchors.tolist() == [2]


@pytest.mark.parametrize(
    ("cx", "cy", "row", "column"),
    [(0, 0, 0, 0), (10, 8, 1, 1), (50, 32, 3, 4), (49.99, 31.99, 3, 4), (50, 0, 0, 4)],
)
def test_a_center_on_a_border_belongs_to_the_cell_that_begins_there_or_to_the_last(head, settings, cx, cy, row, column):
    targets = targets_of([one_box(0, 0, cx, cy, 20, 10)])
    cells, _, _ = assign_by_shape(head, settings, targets, GRID)
    assert cells.tolist() == [cell(0, 1, row, column)]


def test_several_ground_truths_of_one_cell_keep_the_order_of_the_label_file(head, settings):
    rows = [
        one_box(0, 2, 33, 20, 20, 10),
        one_box(0, 0, 5, 5, 20, 10),
        one_box(0, 1, 34, 21, 21, 10),
    ]
    cells, ground_truths, _ = assign_by_shape(head, settings, targets_of(rows), GRID)
    assert ground_truths.tolist() == [0, 1, 2]
    assert cells.tolist() == [cell(0, 1, 2, 3), cell(0, 1, 0, 0), cell(0, 1, 2, 3)]


def test_iou_thresh_adds_the_heads_other_anchors_after_the_best_one(head, settings):
    # shapes of 16x14: 10x20 overlaps 140/284, 20x10 160/264, 40x30 224/1200; thresholds in between
    targets = targets_of([one_box(0, 0, 33, 20, 16, 14)])

    def anchors_above(threshold):
        changed = replace(settings, iou_thresh=threshold)
        return assign_by_shape(head, changed, targets, GRID)[2].tolist()

    assert anchors_above(1.0) == [3]
    assert anchors_above(0.5) == [3]
    assert anchors_above(0.4) == [3, 2]
    assert anchors_above(0.1) == [3, 2, 4]


def test_the_first_anchor_of_all_comes_after_the_best_one_too():
    network = network_of(CFG.replace("mask=2,3,4", "mask=0,1,2"))
    settings = replace(network.head_settings[0], iou_thresh=0.4)
    targets = targets_of([one_box(0, 0, 33, 20, 7, 5)])  # 4x4 overlaps 16/35, 8x6 35/48, 10x20 35/200
    assert assign_by_shape(network.layers[1], settings, targets, GRID)[2].tolist() == [1, 0]


def test_without_ground_truth_there_are_no_pairs(head, settings):
    for thresh in (1.0, 0.2):
        found = assign_by_shape(head, replace(settings, iou_thresh=thresh), targets_of([]), GRID)
        assert [part.tolist() for part in found] == [[], [], []]


def test_the_best_target_of_each_prediction_is_the_one_found_by_loops():
    boxes = random_boxes(0, 3, 7)
    ground_truths = random_boxes(1, 1, 6)[0]
    images = [2, 0, 2, 0, 2, 0]  # neither sorted nor everywhere: image 1 has none
    targets = targets_of([(image, 0, *box) for image, box in zip(images, ground_truths.tolist(), strict=True)])
    overlap, index = best_targets(boxes, targets)
    for place, box in enumerate(boxes.reshape(-1, 4).tolist()):
        slow = {
            number: slow_core.iou(slow_core.corners(box), slow_core.corners(ground_truths[number].tolist()))
            for number, image in enumerate(images)
            if image == place // 7
        }
        best = max(slow.values(), default=0.0)
        assert overlap[place].item() == pytest.approx(best, abs=1e-6)
        if best > 0:
            assert slow[index[place].item()] == pytest.approx(best, abs=1e-6)


def test_without_ground_truths_every_overlap_is_zero():
    overlap, index = best_targets(random_boxes(0, 2, 5), targets_of([]))
    assert overlap.tolist() == [0] * 10 and index.shape == (10,)


def one_image(head, settings, dialect, probability):
    """assign() of predictions that all lie on the one ground truth, with this probability of the first class."""
    predictions = 3 * H * W
    box = torch.tensor([0.5, 0.5, 0.4, 0.3])
    class_probs = torch.zeros(1, predictions, 3)
    class_probs[..., 0] = probability
    targets = targets_of([(0, 2, *box.tolist())])
    return assign(head, settings, DIALECTS[dialect], box.expand(1, predictions, 4), class_probs, targets, GRID)


@pytest.mark.parametrize(
    ("dialect", "probability", "ignored"),
    [
        ("pjreddie", 0.0, True),
        ("alexeyab", 0.0, False),
        ("alexeyab", 0.25, False),
        ("alexeyab", 0.26, True),
    ],
)
def test_alexeyab_ignores_a_cell_only_if_a_class_probability_is_above_a_quarter(
    head, settings, dialect, probability, ignored
):
    found = one_image(head, settings, dialect, probability)
    assert found.ignored.shape == (3 * H * W,)
    assert found.ignored.all() == ignored and found.ignored.any() == ignored
    assert found.ignore_iou[0].item() == pytest.approx(1.0 if ignored else 0.0)


def test_pairs_by_truth_thresh_come_before_those_by_shape(head, settings):
    found = one_image(head, replace(settings, truth_thresh=0.9), "pjreddie", 0.0)
    assert found.by_prediction == 3 * H * W
    assert found.cell_index[: 3 * H * W].tolist() == list(range(3 * H * W))
    assert found.anchor_index[: 3 * H * W].tolist() == [2] * (H * W) + [3] * (H * W) + [4] * (H * W)
    assert len(found.cell_index) == 3 * H * W + 1  # and the one by shape
    never = one_image(head, settings, "pjreddie", 0.0)  # truth_thresh is 1
    assert never.by_prediction == 0


@pytest.mark.parametrize("numbers", ["8,6", "8,6, 0,0", "8,6, 0"])
def test_anchors_that_are_not_there_take_no_object(numbers):
    network = network_of(
        CFG.replace("channels=24", "channels=8")
        .replace("mask=2,3,4", "mask=0")
        .replace("num=5", "num=3")
        .replace("4,4, 8,6, 10,20, 20,10, 40,30", numbers)
    )
    targets = targets_of([one_box(0, 0, 20, 20, size, size) for size in (2, 8, 30)])
    cells, target_index, anchor_index = assign_by_shape(network.layers[1], network.head_settings[0], targets, GRID)
    assert target_index.tolist() == [0, 1, 2] and anchor_index.tolist() == [0, 0, 0]
