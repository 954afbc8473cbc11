"""yolo.deploy.layouts: every layout of every head, against loops over the decoded predictions."""

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import CLASSIFIERS, HEADS, TREE, TREE_HEAD
from yolo.defaults import LAYOUT_NAMES
from yolo.deploy.layouts import CLASSIFIER_LAYOUTS, LAYOUTS, choose_layout
from yolo.deploy.metadata import describe, read_description
from yolo.deploy.readers import READERS, read_outputs
from yolo.detect.postprocess import postprocess
from yolo.errors import CfgError

THRESH, NMS = 0.3, 0.4


def outputs_of(network, name, images, one_image=False):
    """(raw maps, the outputs of a layout)."""
    layout = choose_layout(name, network, one_image=one_image, score_thresh=THRESH, nms_thresh=NMS)
    with torch.no_grad():
        raw = network(images)
        return raw, layout.arrange(network, raw)


@pytest.fixture(params=HEADS)
def network(request):
    return network_of(HEADS[request.param]).eval()


@pytest.fixture
def images(network):
    return torch.rand(2, 3, network.input.height, network.input.width)


def test_the_names_of_the_command_are_the_layouts():
    assert tuple(LAYOUTS) == LAYOUT_NAMES == tuple(READERS)


def test_every_layout_is_a_loop_over_the_predictions(network, images):
    height, width = network.input.height, network.input.width
    with torch.no_grad():
        boxes, objectness, probs = (part.numpy() for part in network.decode(network(images)))
    found = {name: outputs_of(network, name, images)[1] for name in LAYOUTS}
    assert len(found["raw"]) == len(network.heads)
    count, classes = boxes.shape[1], probs.shape[2]
    assert found["yolo"][0].shape == found["yolov5"][0].shape == (2, count, 5 + classes)
    assert found["frigate"][0].shape == (2, 4 + classes, count)
    assert found["hank"][0].shape == (2, count, 1, 4)
    for image, box in np.ndindex(2, count):
        x, y, w, h = boxes[image, box].tolist()
        obj, own = float(objectness[image, box]), probs[image, box].tolist()
        scores = [obj * each for each in own]
        corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        pixels = [corners[0] * width, corners[1] * height, corners[2] * width, corners[3] * height]
        centers = [x * width, y * height, w * width, h * height]
        best = int(np.argmax(scores))
        for name, index, expected in (
            ("yolo", (image, box), [x, y, w, h, obj, *own]),
            ("yolov5", (image, box), [*centers, obj, *own]),
            ("ultralytics", (image, slice(None), box), [*centers, *scores]),
            ("frigate", (image, slice(None), box), [*centers, *scores]),
            ("deepstream", (image, box), [*pixels, scores[best], best]),
            ("hank", (image, box, 0), corners),
            ("tensorrt", (image, box), pixels),
        ):
            assert found[name][0][index].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4), name
        for name in ("hank", "tensorrt"):
            assert found[name][1][image, box].tolist() == pytest.approx(scores, rel=1e-5, abs=1e-6)


def test_opencv_has_a_row_for_each_cell_and_anchor_in_that_order(network, images):
    raw, found = outputs_of(network, "opencv", images)
    assert len(found) == len(network.heads)
    for index, map_, rows in zip(network.heads, raw, found, strict=True):
        head = network.layers[index]
        with torch.no_grad():
            boxes, objectness, probs = head.decode(map_)
        thresh = {"region": 0.3}.get(network.kinds[index], 0.2)
        if getattr(head, "softmax", True) is False and network.kinds[index] == "region":
            thresh = 0.5  # the default of the section's thresh
        anchors = head.boxes if network.kinds[index] == "detection" else len(head.anchors)
        cells = boxes.shape[1] // anchors
        for image, cell, anchor in np.ndindex(2, cells, anchors):
            source = image, anchor * cells + cell
            scores = (objectness[source] * probs[source]).tolist()
            kept = [score if score > thresh else 0 for score in scores]
            expected = [*boxes[source].tolist(), objectness[source].item(), *kept]
            assert rows[image, cell * anchors + anchor].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_opencv_without_a_batch_axis_for_one_image(network, images):
    _, one = outputs_of(network, "opencv", images[:1], one_image=True)
    _, batch = outputs_of(network, "opencv", images)
    for alone, many in zip(one, batch, strict=True):
        torch.testing.assert_close(alone, many[0])


def test_nms_gives_what_the_detector_gives(network, images):
    with torch.no_grad():
        predictions = network.decode(network(images))
    _, (rows,) = outputs_of(network, "nms", images)
    size = torch.tensor([network.input.width, network.input.height] * 2)
    assert rows[:, 6].tolist() == sorted(rows[:, 6].tolist(), reverse=True)
    for image, parts in enumerate(zip(*predictions, strict=True)):
        expected = postprocess(*parts, score_thresh=THRESH, nms_thresh=NMS)
        mine = rows[rows[:, 0] == image]
        torch.testing.assert_close(mine[:, 6], expected.scores)
        torch.testing.assert_close(mine[:, 1:5], expected.boxes * size, rtol=1e-4, atol=1e-4)
        assert mine[:, 5].tolist() == expected.labels.tolist()


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_a_layout_holds_is_read_back_with_the_metadata_alone(network, images, name):
    names = [f"class {index}" for index in range(network.classes)]
    description = read_description("x.onnx", describe(network, name, names, None, letterbox=False))
    images = 10 * images  # or no score would be above a threshold
    _, outputs = outputs_of(network, name, images)
    with torch.no_grad():
        expected = network.decode(network(images))
        found = read_outputs(description, list(outputs), len(images))
    largest = (expected.objectness[..., None] * expected.class_probs).max()
    thresh = 0.55 if largest > 0.55 else 0.31  # above those in the files
    compared = 0
    for image in range(2):
        one, other = (
            postprocess(*(part[image] for part in each), score_thresh=thresh, nms_thresh=NMS)
            for each in (found, expected)
        )
        labels, best = one.labels.tolist(), other.labels.tolist()
        compared += len(best)
        if name == "deepstream":  # has only the best class of a box
            assert set(labels) <= set(best) and (len(labels) > 0) == (len(best) > 0)
            continue
        assert labels == best
        torch.testing.assert_close(one.scores, other.scores)
        # Boxes of equal scores may come in another order.
        same = torch.isclose(one.boxes[:, None], other.boxes, rtol=1e-4, atol=1e-4).all(dim=2)
        assert same.any(dim=0).all() and same.any(dim=1).all()
    assert compared > 0


def test_a_class_hierarchy_gives_each_box_one_class(tmp_path):
    (tmp_path / "a.tree").write_text(TREE)
    network = network_of(TREE_HEAD.format(tmp_path / "a.tree")).eval()
    _, (rows,) = outputs_of(network, "yolo", torch.rand(1, 3, 16, 24))
    assert set(rows[..., 5:].unique().tolist()) == {0.0, 1.0}
    assert rows[..., 5:].sum(dim=-1).unique().tolist() == [1.0]
    with pytest.raises(CfgError, match="found a class hierarchy, expected another layout than opencv"):
        choose_layout("opencv", network, one_image=True, score_thresh=0.1, nms_thresh=0.4)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_gives_probabilities(kind):
    network = network_of(CLASSIFIERS[kind]).eval()
    images = torch.rand(2, 3, 16, 24)
    raw, (logits,) = outputs_of(network, "raw", images)
    assert torch.equal(logits, raw[0])
    scale = 2 if kind == "softmax_alone" else 1
    expected = torch.softmax(logits.flatten(1) / scale, dim=1)
    for name in ("probs", "yolo", "ultralytics", "opencv"):
        _, (found,) = outputs_of(network, name, images)
        assert found.shape == ((2, 5, 1, 1) if name == "opencv" else (2, 5))
        torch.testing.assert_close(found.flatten(1), expected)
    name = {"softmax": "identity_4", "softmax_alone": "softmax_3"}[kind]
    assert choose_layout("opencv", network, one_image=True, score_thresh=0, nms_thresh=0).output_names == (name,)
    with pytest.raises(CfgError, match="found layout probs and a detector"):
        choose_layout("probs", network_of(HEADS["yolo"]), one_image=True, score_thresh=0, nms_thresh=0)
    for other in set(LAYOUTS) - set(CLASSIFIER_LAYOUTS):
        with pytest.raises(CfgError, match=f"found layout {other} and a classifier"):
            choose_layout(other, network, one_image=True, score_thresh=0, nms_thresh=0)
