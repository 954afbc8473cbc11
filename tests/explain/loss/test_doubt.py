"""yolo.explain.loss.doubt and evidence: signs by hand and by loops; planted mistakes are separated from labels."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.golden import targets_of
from yolo.boxes import cxcywh_to_xyxy
from yolo.explain.loss.doubt import (
    MOVED_IOU,
    PRIOR,
    DoubtRule,
    Evidence,
    doubts_in_image,
    fitted_log_odds,
    gather,
    image_doubts,
    image_in_network,
    learned_rule,
    moved_boxes,
)
from yolo.explain.loss.evidence import label_signs, overlaps, place_scores, unlabeled_signs
from yolo.explain.loss.object_fates import WHOLE_INPUT
from yolo.letterbox import letterboxed
from yolo.records import Detections, Predictions, Targets

WHOLE = torch.tensor([0.0, 0, 1, 1])


def drawn_predictions(rng, count, classes):
    boxes = torch.from_numpy(rng.uniform([0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.6, 0.6], (count, 4))).float()
    objectness, class_probs = (torch.from_numpy(rng.random(shape)).float() for shape in ((count,), (count, classes)))
    return Predictions(boxes, objectness, class_probs)


def slow_iou(first, second):
    wide, high = (max(0, min(first[2 + i], second[2 + i]) - max(first[i], second[i])) for i in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return wide * high / (sum(areas) - wide * high)


def test_place_scores_are_those_of_loops():
    rng = np.random.default_rng(0)
    predictions, places = drawn_predictions(rng, 40, 3), cxcywh_to_xyxy(drawn_predictions(rng, 5, 1).boxes)
    labels = torch.from_numpy(rng.integers(0, 3, 6))
    detections = Detections(cxcywh_to_xyxy(predictions.boxes[:6]), torch.linspace(0.9, 0.4, 6), labels)
    found = place_scores(predictions, detections, places)
    corners = cxcywh_to_xyxy(predictions.boxes).tolist()
    for at, place in enumerate(places.tolist()):
        ious = [slow_iou(box, place) for box in corners]
        weights = [min(max((iou - 0.2) / 0.6, 0), 1) for iou in ious]
        objectness = predictions.objectness.tolist()
        assert found.objectness[at] == pytest.approx(max(w * o for w, o in zip(weights, objectness, strict=True)))
        for label in range(3):
            scores = (predictions.objectness * predictions.class_probs[:, label]).tolist()
            fitting = max([score for score, iou in zip(scores, ious, strict=True) if iou >= 0.5], default=0)
            near = max(w * score for w, score in zip(weights, scores, strict=True))
            detected = max([ious[n] for n in range(6) if labels[n] == label], default=0)
            ours = [float(table[at, label]) for table in (found.fitting, found.near, found.detected)]
            assert ours == pytest.approx([fitting, near, detected], abs=1e-6)
    assert all((table[:, 3] == 0).all() for table in (found.fitting, found.near, found.detected))


def test_signs_of_a_label_by_hand():
    # Two boxes: one on the place (class 0, score .8), one half as wide inside it (class 1, score .9, IoU .5)
    predictions = Predictions(
        torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.2, 0.4]]),
        torch.tensor([1.0, 1.0]), torch.tensor([[0.8, 0.0], [0.0, 0.9]]),
    )  # fmt: skip
    detections = Detections(cxcywh_to_xyxy(predictions.boxes[[1]]), torch.tensor([0.9]), torch.tensor([1]))
    places = cxcywh_to_xyxy(predictions.boxes[[0, 0, 0]])
    found = label_signs(place_scores(predictions, detections, places), torch.tensor([0, 1, 7]))

    def logit(score):
        return math.log(score / (1 - score))

    half, least = 0.9 * (0.5 - 0.2) / 0.6, logit(0.001)
    most = logit(0.999)  # objectness 1
    assert found.tolist()[0] == pytest.approx([logit(0.8), logit(0.8), logit(half), most, 0, 0.5], abs=1e-4)
    assert found.tolist()[1] == pytest.approx([logit(0.9), logit(half), logit(0.8), most, 0.5, 0.5], abs=1e-4)
    assert found.tolist()[2] == pytest.approx([least, least, logit(0.8), most, 0, 0.5], abs=1e-4)  # no class of it


def test_signs_of_detections_without_a_label_by_hand():
    targets = targets_of([(0, 0, 0.5, 0.5, 0.2, 0.2)])
    boxes = torch.tensor([[0.4, 0.4, 0.6, 0.6], [0.4, 0.4, 0.6, 0.5], [0.0, 0.3, 0.2, 0.5], [0.7, 0.7, 0.9, 0.995]])
    detections = Detections(boxes, torch.tensor([0.9, 0.8, 0.5, 0.2]), torch.tensor([0, 1, 0, 0]))
    places, signs = unlabeled_signs(detections, *overlaps(detections, targets), WHOLE)
    assert places.tolist() == [1, 2, 3]  # the second is of another class
    expected = [[math.log(0.8 / 0.2), 0.5, 0], [0, 0, 1], [math.log(0.2 / 0.8), 0, 1]]
    torch.testing.assert_close(signs, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)
    none, signs = unlabeled_signs(detections[[]], *overlaps(detections[[]], targets_of([])), WHOLE)
    assert len(none) == 0 and signs.shape == (0, 3)


def test_the_edge_of_a_letterboxed_image_is_where_the_image_ends():
    frame = image_in_network(letterboxed((30, 60), (60, 60)))
    assert frame.tolist() == pytest.approx([0, 0.25, 1, 0.75])
    boxes = torch.tensor([[0.4, 0.3, 0.6, 0.75], [0.4, 0.3, 0.6, 0.7], [0.4, 0.25, 0.6, 0.7]])
    detections = Detections(boxes, torch.ones(3), torch.zeros(3))
    _, signs = unlabeled_signs(detections, *overlaps(detections, targets_of([])), frame)
    assert signs[:, 2].tolist() == [1, 0, 1]


def test_the_regression_finds_the_likelihood_ratio_of_a_sign():
    right = np.repeat([[1.0, 5.0], [0.0, 5.0]], [400, 3600], axis=0)  # one sign in ten; the other one never differs
    wrong = np.repeat([[1.0, 5.0], [0.0, 5.0]], [800, 200], axis=0)
    found = fitted_log_odds(right, wrong)
    assert found.of(np.array([[1.0, 5], [0, 5]])) == pytest.approx([math.log(0.8 / 0.1), math.log(0.2 / 0.9)], abs=0.02)
    assert fitted_log_odds(right, wrong[:0]) is None and fitted_log_odds(right[:0], wrong) is None


def test_signs_that_separate_all_mistakes_give_finite_weights():
    found = fitted_log_odds(np.linspace(0, 1, 50)[:, None], np.linspace(2, 3, 50)[:, None])
    ours = found.of(np.array([[0.5], [2.5]]))
    assert np.isfinite(ours).all() and ours[0] < -2 and ours[1] > 2


def test_moved_boxes_are_in_the_image_and_away_from_their_labels():
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.2], [0.5, 0.5, 0.9, 0.45], [0.1, 0.3, 0.1, 0.1]])
    frame = torch.tensor([0.0, 0.25, 1, 0.75])
    sources, moved = moved_boxes(boxes.repeat(50, 1), frame, np.random.default_rng(0))
    assert sorted(set((sources % 3).tolist())) == [0, 2]  # the second has no other place
    assert torch.equal(moved[:, 2:], boxes.repeat(50, 1)[sources, 2:])
    corners = cxcywh_to_xyxy(moved)
    assert (corners[:, :2] >= frame[:2] - 1e-6).all() and (corners[:, 2:] <= frame[2:] + 1e-6).all()
    labels = cxcywh_to_xyxy(boxes.repeat(50, 1)[sources])
    assert all(slow_iou(*pair) < MOVED_IOU for pair in zip(corners.tolist(), labels.tolist(), strict=True))


def image_of(rng, hard):
    """Four objects in their quarters, and what a good network predicts of them; `hard` ones are barely found."""
    centers = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]) + rng.uniform(-0.05, 0.05, (4, 2))
    labels = torch.from_numpy(rng.integers(0, 2, 4))
    boxes = torch.from_numpy(np.column_stack((centers, rng.uniform(0.2, 0.25, (4, 2))))).float()
    scores = torch.where(labels == hard, 0.3, 0.9) * torch.from_numpy(rng.uniform(0.8, 1.0, 4)).float()
    predictions = Predictions(boxes, scores, torch.nn.functional.one_hot(labels, 2) * 0.98 + 0.01)
    order = scores.argsort(descending=True)
    detections = Detections(cxcywh_to_xyxy(boxes)[order], scores[order], labels[order])
    return predictions, detections, Targets(torch.zeros(4, dtype=torch.int64), labels, boxes)


def test_wrong_labels_are_in_more_doubt_than_those_of_hard_objects():
    rng, evidence = np.random.default_rng(0), Evidence()
    images = [image_of(rng, hard=1) for _ in range(60)]
    labels, boxes = (images[5][2].labels.clone(), images[6][2].boxes.clone())
    labels[0], boxes[1, :2] = 1 - labels[0], torch.tensor([0.5, 0.5])
    wrong = {
        5: images[5][2]._replace(labels=labels),
        6: images[6][2]._replace(boxes=boxes),
        7: Targets(*(part[1:] for part in images[7][2])),
    }
    for number, (predictions, detections, targets) in enumerate(images):
        mine = wrong.get(number, targets)
        gather(evidence, number, predictions, detections, mine, WHOLE_INPUT, np.ones(len(mine.labels), bool), rng)
    rule = learned_rule(evidence)
    of_labels = rule.of_labels(evidence.labels.classes(), evidence.labels.table())
    of_unlabeled = rule.of_unlabeled(evidence.unlabeled.table())
    doubts = np.stack([image_doubts(60, evidence.labels.owners, of_labels),
                       image_doubts(60, evidence.unlabeled.owners, of_unlabeled)], axis=1)  # fmt: skip
    assert set(np.argsort(-(1 - (1 - doubts).prod(axis=1)))[:3].tolist()) == {5, 6, 7}
    assert doubts[5, 0] > 0.5 and doubts[6, 0] > 0.5 and np.delete(doubts[:, 0], [5, 6]).max() < 0.1
    assert doubts[7, 1] > 0 and rule.usual[1] < rule.usual[0]
    predictions, detections, _ = images[5]
    labels, unlabeled = doubts_in_image(rule, predictions, detections, wrong[5], WHOLE_INPUT)
    assert int(np.argmax(labels)) == 0 and max(labels) == pytest.approx(doubts[5, 0])
    assert max(unlabeled.values()) == pytest.approx(doubts[5, 1])


def test_without_mistakes_to_learn_from_all_are_equally_likely():
    rng, evidence = np.random.default_rng(0), Evidence()
    predictions, detections, targets = image_of(rng, hard=1)
    gather(evidence, 0, predictions, detections, targets, WHOLE_INPUT, np.zeros(4, bool), rng)
    rule = learned_rule(evidence)
    assert rule.label is None and rule.unlabeled is None
    assert rule.of_labels(evidence.labels.classes(), evidence.labels.table()) == pytest.approx([PRIOR] * 4)
    empty = DoubtRule(None, None, {})
    assert empty.of_labels(np.zeros(0, np.int64), np.zeros((0, 6))).shape == (0,)
