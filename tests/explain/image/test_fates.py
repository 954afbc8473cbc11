"""The fate of each box: those kept are exactly the detections, and every suppressor is that of a plain loop."""

import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import HEADS, TREE, TREE_HEAD
from yolo.boxes import cxcywh_to_xyxy, paired_diou_with_exponent, paired_iou
from yolo.detect.detector import Detector
from yolo.detect.postprocess import diou_exponent_of, postprocess
from yolo.explain.image.fates import BELOW, KEPT, MOST_BELOW, SUPPRESSED, box_fates
from yolo.letterbox import stretched, to_image
from yolo.records import Predictions

NMS_KINDS = {"default": 0.6, "greedynms": 0.6, "diounms": 0.9}  # with beta_nms


def crowd(count, classes=3, seed=0):
    """Boxes in heaps, with scores of which some are equal."""
    generator = torch.Generator().manual_seed(seed)
    heaps = torch.rand(7, 2, generator=generator)[torch.randint(7, (count,), generator=generator)]
    centers = heaps + 0.04 * torch.randn(count, 2, generator=generator)
    sizes = 0.1 + 0.2 * torch.rand(count, 2, generator=generator)
    objectness = (10 * torch.rand(count, generator=generator)).round() / 10
    class_probs = (10 * torch.rand(count, classes, generator=generator)).round() / 10
    return Predictions(torch.cat((centers, sizes), dim=1), objectness, class_probs)


def loop(predictions, score_thresh, nms_thresh, exponent):
    """Darknet's do_nms_sort as a plain loop: for each class sort, then each box removes the worse ones it covers."""
    corners = cxcywh_to_xyxy(predictions.boxes)
    fates = {}
    for label in range(predictions.class_probs.shape[1]):
        scores = predictions.objectness * predictions.class_probs[:, label]
        order = [i for i in scores.argsort(descending=True, stable=True).tolist() if scores[i] > score_thresh]
        removed = {}
        for place, better in enumerate(order):
            if better in removed:
                continue
            for worse in order[place + 1 :]:
                pair = corners[better], corners[worse]
                overlap = paired_iou(*pair) if exponent is None else paired_diou_with_exponent(*pair, exponent)
                if worse not in removed and overlap > nms_thresh:
                    removed[worse] = (better, float(overlap))
        fates |= {(each, label): removed.get(each) for each in order}
    return fates


@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("nms_thresh", [0.2, 0.45, 1.0])
def test_fates_are_those_of_the_plain_loop_and_of_postprocess(kind, nms_thresh):
    exponent = diou_exponent_of(kind, NMS_KINDS[kind])
    predictions = crowd(90)
    options = {"score_thresh": 0.3, "nms_thresh": nms_thresh, "diou_exponent": exponent}
    fates = box_fates(predictions, **options)
    expected = loop(predictions, 0.3, nms_thresh, exponent)
    found = {(each.prediction, each.label): None for each in fates.kept}
    found |= {(each.prediction, each.label): (each.suppressor, each.overlap) for each in fates.suppressed}
    assert found == expected
    assert len(fates.suppressed) == fates.suppressed_count and (fates.suppressed or nms_thresh == 1)
    assert {each.fate for each in fates.kept} == {KEPT} and {each.fate for each in fates.suppressed} <= {SUPPRESSED}
    detections = postprocess(*predictions, **options)
    assert [each.label for each in fates.kept] == detections.labels.tolist()
    assert [each.score for each in fates.kept] == detections.scores.tolist()
    assert [each.box for each in fates.kept] == [tuple(box) for box in detections.boxes.tolist()]


def test_boxes_below_the_threshold_are_counted_and_the_best_are_listed():
    predictions = crowd(90)
    fates = box_fates(predictions, score_thresh=0.8, nms_thresh=0.45)
    scores = predictions.objectness[:, None] * predictions.class_probs
    assert fates.below_count == sum(not any(score > 0.8 for score in row) for row in scores)
    values = sorted((float(score) for score in scores.flatten() if score <= 0.8), reverse=True)
    assert [each.score for each in fates.below] == values[:MOST_BELOW] and fates.below[0].fate == BELOW
    for each in fates.below:
        assert each.score == float(scores[each.prediction, each.label])


def test_the_best_boxes_of_a_class_that_is_asked_for_are_described_in_any_case():
    predictions = crowd(90)
    predictions.class_probs[:, 2] *= 1e-3
    options = {"score_thresh": 0.8, "nms_thresh": 0.45}
    without, asked = (box_fates(predictions, **options, label=label) for label in (None, 2))
    assert not any(each.label == 2 for each in without.below)
    scores = predictions.objectness * predictions.class_probs[:, 2]
    found = [each.score for each in asked.below if each.label == 2]
    assert found == scores.sort(descending=True).values[: len(found)].tolist() and len(found) == 10
    assert [each for each in asked.below if each.label != 2] == list(without.below)


def test_without_a_likely_box_all_are_below():
    fates = box_fates(crowd(5)._replace(objectness=torch.zeros(5)), score_thresh=0.25, nms_thresh=0.45)
    assert (fates.kept, fates.suppressed, fates.below, fates.below_count) == ((), (), (), 5)


@pytest.mark.parametrize("name", HEADS)
def test_the_kept_boxes_are_the_detectors(name):
    network = network_of(HEADS[name]).eval()
    image = torch.rand(1, 3, network.input.height, network.input.width)
    raw = [torch.randn_like(map_) + 0.5 for map_ in network(image)]
    raw = [map_.sigmoid() for map_ in raw] if name == "new_coords" else raw
    detector = Detector(network, ("cat", "dog"), score_thresh=0.1, nms_thresh=0.2)
    placement = stretched((40, 60), (network.input.height, network.input.width))
    expected = detector.detections(raw, [placement])[0]
    predictions = Predictions(*(part[0].detach() for part in network.decode(raw)))
    fates = box_fates(predictions, score_thresh=0.1, nms_thresh=0.2, diou_exponent=detector.diou_exponent)
    assert len(expected) and (fates.suppressed_count or name == "detection")
    assert [each.label for each in fates.kept] == expected.labels.tolist()
    torch.testing.assert_close(torch.tensor([each.score for each in fates.kept]), expected.scores)
    boxes = torch.tensor([each.box for each in fates.kept])
    torch.testing.assert_close(to_image(boxes, placement), expected.boxes)


def test_a_tree_gives_each_box_one_class(tmp_path):
    (tmp_path / "t.tree").write_text(TREE)
    network = network_of(TREE_HEAD.format(tmp_path / "t.tree")).eval()
    raw = [4 * map_.detach() for map_ in network(torch.rand(1, 3, 16, 24))]
    detector = Detector(network, list("abcd"), score_thresh=0.3)
    expected = detector.detections(raw, [stretched((16, 24), (16, 24))])[0]
    predictions = Predictions(*(part[0].detach() for part in network.decode(raw)))
    fates = box_fates(predictions, score_thresh=0.3, nms_thresh=0.45, tree=network.tree)
    assert [each.label for each in fates.kept] == expected.labels.tolist()
    assert len({each.prediction for each in fates.kept}) == len(fates.kept) > 0
    assert all(each.class_prob == 1 and each.score == each.objectness for each in fates.kept)
