"""An image explained: the same detections as the Detector's, and causes that belong to their detection."""

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import HEADS, NET
from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.explain.graph_layers import feeding_layer, informative_layers, layers_before
from yolo.explain.image.explanation import detection_score, explain_image, middle_span
from yolo.explain.image.head_maps import head_maps
from yolo.explain.image.origin import head_grids, origin_of
from yolo.explain.layer_cam import layer_cam, score_gradients, traced_pass
from yolo.explain.receptive_field import Span
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.records import Predictions

MORE = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
SIZE = (40, 30)


def deeper(name):
    """A tiny network with one more layer before its head."""
    return network_of(HEADS[name].replace("activation=leaky\n", f"activation=leaky\n{MORE}", 1)).eval()


def detector_of(name, letterbox=False, thresh=0.1):
    network = deeper(name)
    return Detector(network, ("cat", "dog"), thresh, 0.3, letterbox=letterbox, engine=network)


def pixels(channels=3):
    return np.random.default_rng(0).integers(0, 255, (*SIZE, channels), np.uint8)


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_the_detections_are_the_detectors(name, letterbox):
    detector = detector_of(name, letterbox, thresh=0.02)
    expected = detector(pixels())
    found = explain_image(detector, "x", pixels(), causes=1)
    assert [each.label for each in found.fates.kept] == expected.labels.tolist()
    scores = [each.score for each in found.fates.kept]
    np.testing.assert_allclose(scores, expected.scores.tolist(), rtol=1e-5)
    boxes = [each.in_image for each in found.detections]
    np.testing.assert_allclose(boxes, expected.boxes[: len(boxes)].tolist(), rtol=1e-4, atol=1e-3)
    for each in found.detections:
        assert each.decoded.value("score") == pytest.approx(each.fate.score, rel=1e-5)


@pytest.mark.parametrize("model", ["yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-voc"])
def test_real_models_are_explained_as_they_detect(shared, model):
    folder = shared / "models" / model
    network = Network.from_cfg(folder / f"{model}.cfg")
    load_weights(network, folder / f"{model}.weights")
    network.eval()
    names = [f"class {each}" for each in range(network.classes)]
    detector = Detector(network, names, engine=network)
    for image in ("dog", "horses"):
        path = shared / "images" / f"{image}.png"
        expected = detector(path)
        found = explain_image(detector, image, read_image(path), causes=1)
        assert [each.label for each in found.fates.kept] == expected.labels.tolist()
        np.testing.assert_allclose([each.score for each in found.fates.kept], expected.scores.tolist(), rtol=1e-5)
        np.testing.assert_allclose([each.in_image for each in found.detections], expected.boxes.tolist(), atol=0.01)


def test_a_cause_is_the_layer_cam_of_its_detections_score():
    detector = detector_of("two_yolo")
    network = detector.network
    found = explain_image(detector, "x", pixels(), causes=2, layers=(0,), label=1)
    cause = found.causes[0]
    fate = found.detections[cause.detection].fate
    assert fate.label == 1
    traced = traced_pass(network, found.network_input[None], [0, -1])
    score = detection_score(network.decode(traced.raw), fate.prediction, fate.label, False)
    assert score.item() == pytest.approx(fate.score)
    gradients = score_gradients(traced, score, [0, -1])
    torch.testing.assert_close(cause.cams[0], layer_cam(traced.features[0], gradients[0])[0])
    torch.testing.assert_close(cause.sensitivity, gradients[-1][0].abs().sum(dim=0))
    field = found.detections[cause.detection].field
    rows, columns = torch.nonzero(cause.sensitivity).unbind(dim=1)  # no gradient outside the theoretical field
    assert rows.min() >= field.top and rows.max() <= field.bottom
    assert columns.min() >= field.left and columns.max() <= field.right


def test_a_caller_without_gradients_gets_the_same():
    detector = detector_of("two_yolo")
    expected = explain_image(detector, "x", pixels(), causes=1)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            found = explain_image(detector, "x", pixels(), causes=1)
        assert torch.equal(found.causes[0].sensitivity, expected.causes[0].sensitivity)


def test_features_are_the_strongest_channels():
    detector = detector_of("yolo")
    found = explain_image(detector, "x", pixels(), causes=0, layers=(1, 0))
    traced = traced_pass(detector.network, found.network_input[None], [0, 1])
    assert [each.layer for each in found.features] == [0, 1] and found.causes == ()
    for each in found.features:
        strengths = traced.features[each.layer][0].abs().mean(dim=(1, 2))
        order = strengths.argsort(descending=True).tolist()
        assert list(each.channels) == order and each.count == 4
        torch.testing.assert_close(each.maps, traced.features[each.layer][0][order].detach())


def test_maps_of_a_head_by_a_plain_loop():
    network = deeper("two_yolo")
    raw = [3 * torch.randn_like(map_) for map_ in network(torch.rand(1, 3, 16, 24))]
    predictions = Predictions(*(part[0].detach() for part in network.decode(raw)))
    grids = head_grids(network)
    found = [head_maps(grid, predictions) for grid in grids]
    best = {}
    for index in range(len(predictions.objectness)):
        origin = origin_of(grids, index)
        cell = origin.head, origin.row, origin.column
        scores = predictions.objectness[index] * predictions.class_probs[index]
        best.setdefault(cell, []).append((float(scores.max()), index))
    assert len(best) == sum(grid.height * grid.width for grid in grids)
    for (head, row, column), boxes in best.items():
        index = max(boxes)[1]
        assert found[head].class_probs[row, column].tolist() == predictions.class_probs[index].tolist()
        assert found[head].best_class[row, column] == predictions.class_probs[index].argmax()
        objectness = max(float(predictions.objectness[each]) for _, each in boxes)
        assert float(found[head].objectness[row, column]) == objectness


def test_the_layers_that_are_looked_at():
    network = network_of(
        NET + "[maxpool]\nsize=2\nstride=2\n" + MORE + "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n"
        "[yolo]\nclasses=2\nmask=0\nnum=1\nanchors=3,4\n"
    )
    assert feeding_layer(network, 4) == 2 and informative_layers(network, 4) == (2, 0)
    assert layers_before(network, 4) == {0, 1, 2, 3}
    v1 = network_of(HEADS["detection"])
    assert informative_layers(v1, v1.heads[0]) == (0,)  # the connected layer has no map


def test_the_middle_of_a_gradient():
    weights = torch.zeros(30, 40)
    weights[4:27, 6:36] = 1
    # by hand: 5 % of 23 rows are 1.15 rows, 95 % are 21.85; of 30 columns 1.5 and 28.5
    assert middle_span(weights) == Span(4 + 1, 6 + 1, 4 + 21, 6 + 28)
    assert middle_span(torch.zeros(3, 3)).size


def test_a_network_of_one_channel_and_one_without_a_detection_are_explained():
    network = network_of(HEADS["yolo"].replace("channels=3", "channels=1")).eval()
    detector = Detector(network, ("cat", "dog"), 0.9999, engine=network)
    found = explain_image(detector, "x", pixels(1), causes=3)
    assert found.detections == () and found.causes == () and found.features


def test_hiding_what_a_map_highlights_costs_more_of_the_score_than_hiding_as_much_elsewhere(project):
    network = Network.from_cfg(project / "cfg" / "shapes-small.cfg")
    load_weights(network, project / "weights" / "shapes-small.weights")
    detector = Detector(network, ("circle", "square", "triangle"), engine=network)
    found = explain_image(detector, "shapes", read_image(project / "data" / "shapes.png"), causes=6)
    image = found.network_input
    fill = image.mean(dim=(1, 2))[:, None, None]
    losses = []
    for cause in found.causes:
        fate = found.detections[cause.detection].fate
        cam = next(iter(cause.cams.values()))  # of the layer before the one that feeds the head
        large = torch.nn.functional.interpolate(cam[None, None], image.shape[1:], mode="bilinear")[0, 0]
        mask = large >= large.flatten().quantile(0.95)
        height, width = mask.shape
        half = height // 2, width // 2
        masks = [mask, *(mask.roll(step, (0, 1)) for step in ((half[0], 0), (0, half[1]), half))]
        hidden = torch.stack([torch.where(each, fill, image) for each in masks])
        with torch.inference_mode():
            predictions = network.decode(network(hidden))
        scores = predictions.objectness[:, fate.prediction] * predictions.class_probs[:, fate.prediction, fate.label]
        losses.append(1 - scores / fate.score)
    highlighted, *elsewhere = torch.stack(losses).mean(dim=0).tolist()
    assert len(losses) == 6 and highlighted > 2 * max(elsewhere)
