"""yolo.model.heads.region: what enters the heads of YOLOv1, YOLOv2 and YOLO9000 → boxes and their scores.

Expected: compiled Darknet's (tests/golden/early_heads.npz), or the formula of one cell, by hand.
"""

import math

import numpy as np
import pytest
import torch

from tests.helpers.recorded_heads import recorded_head
from tests.helpers.slow_core import logistic
from yolo.model.class_tree import best_class_one_hot, read_tree
from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolov1 import YoloV1Head

B, A, H, W, CLASSES = 2, 3, 4, 5, 6
ANCHORS = torch.tensor([[0.5, 0.7], [1.8, 2.0], [3.3, 5.4]])
CASES = [
    "detection_sqrt0_softmax0",
    "detection_sqrt0_softmax1",
    "detection_sqrt1_softmax0",
    "detection_sqrt1_softmax1",
    "region_background",
    "region_logistic",
    "region_mapped",
    "region_softmax",
    "region_tree",
    "region_tree_cell",
]


@pytest.fixture(scope="module")
def recorded(project):
    with np.load(project / "tests" / "golden" / "early_heads.npz") as file:
        return dict(file)


def test_every_recorded_case_is_tested(recorded):
    assert sorted({key.partition("/")[0] for key in recorded}) == CASES


@pytest.mark.parametrize("case", CASES)
def test_boxes_and_scores_are_those_of_compiled_darknet(recorded, case, tmp_path):
    head = recorded_head(recorded, case, tmp_path).module
    found = head.decode(torch.from_numpy(recorded[f"{case}/raw"]))
    class_probs = found.class_probs
    if f"{case}/map" in recorded:  # of a .data file: those classes along their paths
        class_probs = class_probs[..., [int(each) for each in str(recorded[f"{case}/map"]).split()]]
    elif getattr(head, "tree", None) is not None:
        class_probs = best_class_one_hot(class_probs, head.tree)
    scores = found.objectness[..., None] * class_probs
    values = torch.cat((found.boxes, found.objectness[..., None], scores), dim=-1)
    expected = torch.from_numpy(recorded[f"{case}/found"])  # [B, P, 5+classes]
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-6)


def raw_map():
    return torch.randn(B, A * (5 + CLASSES), H, W, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("softmax", [True, False])
def test_a_region_head_has_anchors_in_cells_and_classes_that_exclude_each_other(softmax):
    found = RegionHead(anchors=ANCHORS, classes=CLASSES, softmax=softmax).decode(raw_map())
    anchor, row, column = 1, 3, 2
    index = (anchor * H + row) * W + column
    values = raw_map().reshape(B, A, 5 + CLASSES, H, W)[1, anchor, :, row, column].tolist()
    x, y, w, h, objectness, *classes = values
    box = (
        (column + logistic(x)) / W,
        (row + logistic(y)) / H,
        math.exp(w) * 1.8 / W,
        math.exp(h) * 2.0 / H,
    )
    assert found.boxes[1, index].tolist() == pytest.approx(box, rel=1e-4)
    assert found.objectness[1, index].item() == pytest.approx(logistic(objectness), rel=1e-5)
    total = sum(map(math.exp, classes))
    expected = [math.exp(value) / total if softmax else logistic(value) for value in classes]
    assert found.class_probs[1, index].tolist() == pytest.approx(expected, rel=1e-4)


def test_each_box_of_a_detection_head_is_the_formula_of_its_cell_and_number():
    side, boxes, classes = 3, 2, 4
    head = YoloV1Head(side=side, boxes=boxes, classes=classes, squared=True, softmax=False)
    values = side * side * (classes + 5 * boxes)
    raw = torch.randn(B, values, 1, 1, generator=torch.Generator().manual_seed(0))
    found = head.decode(raw)
    numbers = raw[1].flatten().tolist()
    index = 0
    for number in range(boxes):
        for row in range(side):
            for column in range(side):
                cell = row * side + column
                at = side * side * (classes + boxes) + (cell * boxes + number) * 4
                x, y, w, h = numbers[at : at + 4]
                box = ((column + x) / side, (row + y) / side, w * w, h * h)
                assert found.boxes[1, index].tolist() == pytest.approx(box, rel=1e-5)
                objectness = numbers[side * side * classes + cell * boxes + number]
                assert found.objectness[1, index].item() == pytest.approx(objectness)
                expected = numbers[cell * classes : (cell + 1) * classes]
                assert found.class_probs[1, index].tolist() == pytest.approx(expected)
                index += 1
    assert found.boxes.shape == (B, index, 4)
    assert found.objectness.shape == (B, index)
    assert found.class_probs.shape == (B, index, classes)


def test_a_detection_head_reads_a_map_as_darknet_does_channel_by_channel():
    head = YoloV1Head(side=2, boxes=1, classes=3, squared=False, softmax=False)
    flat = torch.arange(32.0).reshape(1, 32, 1, 1)
    for one, other in zip(head.decode(flat), head.decode(flat.reshape(1, 8, 2, 2)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


HEADS = [
    (RegionHead(anchors=ANCHORS, classes=CLASSES, softmax=True), (A * (5 + CLASSES), H, W)),
    (YoloV1Head(side=3, boxes=2, classes=4, squared=True, softmax=True), (9 * 14, 1, 1)),
]


def test_a_tree_head_gives_the_probability_of_each_class_along_its_path(tmp_path):
    # classes 0 and 1 are roots, 2 and 3 the children of 1; by hand
    (tmp_path / "a.tree").write_text("a -1\nb -1\nc 1\nd 1\n")
    tree = read_tree(tmp_path / "a.tree")
    head = RegionHead(anchors=ANCHORS[:1], classes=4, softmax=True, tree=tree)
    logits = torch.tensor([0.0, math.log(3), 0.0, math.log(4)])
    found = head.decode(torch.cat((torch.zeros(5), logits)).view(1, 9, 1, 1))
    assert found.class_probs[0, 0].tolist() == pytest.approx([0.25, 0.75, 0.75 * 0.2, 0.75 * 0.8])
    assert best_class_one_hot(found.class_probs, tree).tolist() == [[[0, 1, 0, 0]]]  # .75 x .6 is below .5


@pytest.mark.parametrize(("head", "shape"), HEADS, ids=["region", "detection"])
def test_decode_computes_in_float32_and_forward_returns_its_input(head, shape):
    raw = torch.randn(B, *shape).bfloat16()
    assert {part.dtype for part in head.decode(raw)} == {torch.float32}
    assert head(raw) is raw
    assert head.state_dict() == {}


@pytest.mark.parametrize(("head", "shape"), HEADS, ids=["region", "detection"])
def test_no_images_give_no_predictions(head, shape):
    found = head.decode(torch.zeros(0, *shape))
    assert len(found.boxes) == len(found.objectness) == len(found.class_probs) == 0
    assert found.boxes.shape[1:] == head.decode(torch.zeros(1, *shape)).boxes.shape[1:]
