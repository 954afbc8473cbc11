"""yolo.explain.loss.object_fates: what becomes of an object, one scene for each answer."""

import pytest
import torch

from tests.helpers.golden import network_of, targets_of
from tests.helpers.tiny_heads import HEADS, TREE, TREE_HEAD
from yolo.detect.detector import Detector
from yolo.detect.postprocess import postprocess
from yolo.explain.loss.object_fates import (
    BELOW,
    DETECTED,
    INEXACT,
    NO_BOX,
    OTHER_CLASS,
    SUPPRESSED,
    TAKEN,
    detections_in_input,
    fates_in_input,
    object_fates,
)
from yolo.letterbox import to_image
from yolo.records import Predictions

OBJECT = (0.5, 0.5, 0.4, 0.4)
NEAR = (0.55, 0.5, 0.4, 0.4)  # IoU 7/9
HALF = (0.7, 0.5, 0.4, 0.4)  # IoU 1/3
CASES = [
    (DETECTED, [(NEAR, 0.9, (0.1, 0.8))], 0.72, 7 / 9),
    (BELOW, [(NEAR, 0.2, (0.1, 0.8)), (HALF, 0.3, (0.1, 0.8))], 0.16, 7 / 9),
    (NO_BOX, [((0.2, 0.2, 0.2, 0.2), 0.9, (0.0, 0.9))], 0.81, 0.0),
    (INEXACT, [(HALF, 0.9, (0.0, 0.9)), (NEAR, 0.1, (0.1, 0.9))], 0.81, 1 / 3),
    (OTHER_CLASS, [(NEAR, 0.9, (0.9, 0.1))], 0.81, 7 / 9),
    # a better box with an IoU of .45 with the nearer one, and of .23 with the object
    (SUPPRESSED, [((0.75, 0.5, 0.4, 0.4), 1.0, (0.0, 0.9)), ((0.6, 0.5, 0.4, 0.4), 0.9, (0.0, 0.9))], 0.81, 0.6),
]


@pytest.mark.parametrize(("kind", "boxes", "score", "iou"), CASES, ids=[case[0] for case in CASES])
def test_each_answer(kind, boxes, score, iou):
    found = answers(boxes, [(0, 1, *OBJECT)])
    assert found[0].kind == kind
    assert (found[0].score, found[0].iou) == pytest.approx((score, iou), abs=1e-6)
    assert found[0].label == (0 if kind == OTHER_CLASS else None)


def test_a_detection_finds_one_object():
    found = answers([(OBJECT, 0.9, (0.0, 0.9))], [(0, 1, *OBJECT), (0, 1, *NEAR)])
    assert [each.kind for each in found] == [DETECTED, TAKEN]
    assert found[0].objectness == pytest.approx(0.9)


@pytest.mark.parametrize("name", [*HEADS, "tree"])
def test_detections_in_the_input_are_those_of_the_detector(name, tmp_path):
    (tmp_path / "t.tree").write_text(TREE)
    network = network_of({**HEADS, "tree": TREE_HEAD.format(tmp_path / "t.tree")}[name]).eval()
    torch.manual_seed(1)
    network.draw_weights()
    names = [f"class {label}" for label in range(network.classes)]
    detector = Detector(network, names, 0.01, letterbox=True, engine=network)
    pixels = torch.randint(256, (20, 50, 3), dtype=torch.uint8).numpy()
    inputs, placement = detector.prepare(pixels)
    expected = detector(pixels)
    assert len(expected)
    with torch.no_grad():
        raw = network(inputs[None])
        (found,) = detections_in_input(detector, raw)
        targets = targets_of([(0, int(found.labels[0]), *centered(found.boxes[0]))])
        again, (fate,) = fates_in_input(detector, raw, targets)
    torch.testing.assert_close(to_image(found.boxes, placement), expected.boxes)
    for one in (found, again):
        torch.testing.assert_close(one.scores, expected.scores)
        assert torch.equal(one.labels, expected.labels)
    assert fate.kind == DETECTED and fate.score == pytest.approx(float(expected.scores[0]))


def centered(box):
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def answers(boxes, rows):
    corners, objectness, class_probs = zip(*boxes, strict=True)
    predictions = Predictions(*(torch.tensor(part) for part in (corners, objectness, class_probs)))
    detections = postprocess(*predictions, score_thresh=0.25, nms_thresh=0.45)
    return object_fates(predictions, detections, targets_of(rows), 0.25)
