"""yolo.detect.postprocess: threshold and NMS, against loops and at the borders."""

import pytest
import torch

from tests.helpers import slow_core
from yolo.boxes import cxcywh_to_xyxy
from yolo.detect.postprocess import diou_exponent_of, postprocess


def detections(boxes, objectness, class_probs, score_thresh=0.25, nms_thresh=0.45, exponent=None):
    return postprocess(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(objectness),
        torch.tensor(class_probs),
        score_thresh=score_thresh,
        nms_thresh=nms_thresh,
        diou_exponent=exponent,
    )


def crowd(seed, count=60, classes=3):
    """Random predictions that overlap much, float64: cxcywh, objectness, class_probs."""
    generator = torch.Generator().manual_seed(seed)
    center = 0.3 + 0.4 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    size = 0.1 + 0.3 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    objectness = torch.rand(count, generator=generator, dtype=torch.float64)
    probabilities = torch.rand(count, classes, generator=generator, dtype=torch.float64)
    return torch.cat((center, size), dim=1), objectness, probabilities


@pytest.mark.parametrize(
    ("kind", "overlap"),
    [
        ("default", slow_core.iou),
        ("greedynms", lambda a, b: slow_core.distance_iou(a, b, 0.6)),
        ("diounms", lambda a, b: slow_core.distance_iou(a, b, 0.9)),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_detections_are_those_of_the_loops(kind, overlap, seed):
    boxes, objectness, probabilities = crowd(seed)
    found = postprocess(
        boxes,
        objectness,
        probabilities,
        score_thresh=0.1,
        nms_thresh=0.3,
        diou_exponent=diou_exponent_of(kind, 0.9),
    )
    rows = [  # (corners, score, label) of every box and class above the threshold
        (slow_core.corners(box), obj * prob, label)
        for box, obj, probs in zip(boxes.tolist(), objectness.tolist(), probabilities.tolist(), strict=True)
        for label, prob in enumerate(probs)
        if obj > 0.1 and obj * prob > 0.1
    ]
    corners, scores, labels = zip(*rows, strict=True)
    kept = slow_core.greedy_nms(corners, scores, labels, 0.3, overlap)
    assert 0 < len(kept) < len(rows)
    assert found.labels.tolist() == [labels[i] for i in kept]
    assert found.scores.tolist() == pytest.approx([scores[i] for i in kept])
    assert torch.allclose(found.boxes, torch.tensor([corners[i] for i in kept], dtype=torch.float64))


def test_greedynms_keeps_what_plain_iou_would_drop():
    # two boxes side by side with IoU 0.5: their centers lie apart, so Darknet's greedynms keeps both at 0.45
    boxes, objectness, probabilities = (
        [[0.4, 0.5, 0.3, 0.3], [0.5, 0.5, 0.3, 0.3]],
        [0.9, 0.8],
        [[1.0], [1.0]],
    )
    assert len(detections(boxes, objectness, probabilities)) == 1
    assert len(detections(boxes, objectness, probabilities, exponent=0.6)) == 2


def test_nms_keeps_boxes_of_other_classes():
    found = detections([[0.5, 0.5, 0.2, 0.2]] * 2, [0.9, 0.8], [[1.0, 0.0], [0.0, 1.0]])
    assert found.labels.tolist() == [0, 1]


def test_a_box_counts_once_for_each_class_above_the_threshold():
    found = detections([[0.5, 0.5, 0.2, 0.4]], [0.8], [[0.5, 0.1, 0.9]])
    assert found.labels.tolist() == [2, 0]
    assert found.scores.tolist() == pytest.approx([0.72, 0.4])
    assert found.boxes.tolist() == [pytest.approx([0.4, 0.3, 0.6, 0.7])] * 2


def test_a_score_must_exceed_the_threshold_and_not_only_reach_it():
    assert len(detections([[0.5, 0.5, 0.2, 0.2]], [0.5], [[0.5]], score_thresh=0.25)) == 0
    assert len(detections([[0.5, 0.5, 0.2, 0.2]], [0.5], [[0.5]], score_thresh=0.249)) == 1


@pytest.mark.parametrize("kind", ["default", "greedynms", "diounms"])
def test_an_overlap_exactly_at_the_threshold_is_kept(kind):
    # one center, half the side: IoU is 1/4 to the last bit, and their distance 0
    boxes = [[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]]

    def count(thresh):
        exponent = diou_exponent_of(kind, 0.6)
        return len(detections(boxes, [0.9, 0.8], [[1.0], [1.0]], nms_thresh=thresh, exponent=exponent))

    assert count(0.25) == 2
    assert count(0.249) == 1


def test_equal_scores_keep_the_order_of_the_predictions():
    boxes = [[0.1, 0.5, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.9, 0.5, 0.1, 0.1]]
    for kind in ("default", "greedynms"):
        found = detections(boxes, [0.5] * 3, [[1.0]] * 3, exponent=diou_exponent_of(kind, 0.6))
        assert torch.equal(found.boxes, cxcywh_to_xyxy(torch.tensor(boxes)))


def test_a_box_that_was_suppressed_suppresses_nothing():
    # a chain: the first covers the second, the second the third, the first does not reach the third
    boxes = [[0.4, 0.5, 0.2, 0.2], [0.45, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]]
    for kind in ("default", "diounms"):
        found = detections(
            boxes,
            [0.9, 0.8, 0.7],
            [[1.0]] * 3,
            nms_thresh=0.4,
            exponent=diou_exponent_of(kind, 1.0),
        )
        assert found.scores.tolist() == pytest.approx([0.9, 0.7])


@pytest.mark.parametrize("kind", ["default", "greedynms", "diounms"])
@pytest.mark.parametrize("count", [0, 3])
def test_nothing_found_is_detections_of_length_zero(kind, count):
    found = postprocess(
        torch.rand(count, 4),
        torch.zeros(count),
        torch.ones(count, 5),
        score_thresh=0.25,
        nms_thresh=0.45,
        diou_exponent=diou_exponent_of(kind, 0.6),
    )
    assert len(found) == 0
    assert (found.boxes.shape, found.scores.shape, found.labels.shape) == ((0, 4), (0,), (0,))
    assert found.labels.dtype == torch.int64


def test_only_the_product_is_compared_with_the_threshold():
    # YOLOv1's head is linear: its values are no probabilities. Boxes far apart, so that none is suppressed.
    found = detections(
        [[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]],
        [0.2, -0.5, -0.5],
        [[2.0, 0.1], [-1.0, 0.1], [1.0, 0.1]],
    )
    assert found.scores.tolist() == pytest.approx([0.5, 0.4])
    assert found.labels.tolist() == [0, 0]
