"""yolo.detect.classifier: the classes of images are those that compiled Darknet ranks highest."""

import json

import numpy as np
import pytest
import torch

from tests.helpers import slow_core
from tests.helpers.golden import make_weights, read_json
from yolo.cfg import parse_cfg
from yolo.data.images import read_image
from yolo.detect.classifier import Classifier, Ranking, center_crop, center_placement, rankings_json
from yolo.errors import DatasetError
from yolo.letterbox import Placement, letterboxed, place
from yolo.model.network import Network, build
from yolo.model.weights import load_weights

IMAGES = ("dog", "eagle", "giraffe", "horses", "person", "scream")
RELATIVE_TOLERANCE = 1e-4  # of a probability; neighbors in a recorded ranking lie 1.8e-3 apart

CFG = """[net]
width=12
height=8
[convolutional]
filters=4
size=1
activation=linear
[avgpool]
[softmax]
{more}
"""
TREE = "animal -1\nplant -1\ncat 0\ndog 0\n"
# What each class's softmax gives within its group; by hand, the products with the parents' are .6 .4 .45 .15
IN_GROUP = (0.6, 0.4, 0.75, 0.25)


# ---------------------------------------------------------------------------------------------- recorded by Darknet


def recorded(project):
    return read_json(project / "tests/golden/classifier_darknet19.json")


@pytest.fixture(scope="module")
def darknet19(shared, tmp_path_factory):
    """A folder with darknet19, flat and with a tree, and the .weights of the recording."""
    folder = tmp_path_factory.mktemp("darknet19")
    source = shared / "darknet_golden/forward/darknet19"
    text = (source / "darknet19.cfg").read_text()
    (folder / "flat.cfg").write_text(text)
    (folder / "tree.cfg").write_text(text.replace("[softmax]", "[softmax]\ntree=classes.tree"))
    parents = (-1 if index < 10 else (index - 10) // 10 for index in range(1000))
    (folder / "classes.tree").write_text("".join(f"n{index} {parent}\n" for index, parent in enumerate(parents)))
    make_weights(shared).write_weights(read_json(source / "case.json"), folder / "darknet19.weights")
    return folder


def test_the_recording_has_both_views_with_and_without_a_tree(project):
    cases = recorded(project)["cases"]
    found = sorted((case["dialect"], case["tree"]) for case in cases)
    assert found == sorted((d, t) for d in ("alexeyab", "pjreddie") for t in (False, True))
    assert all(set(case["top"]) == {f"{name}.png" for name in IMAGES} for case in cases)


@pytest.mark.parametrize("number", range(4))
def test_the_top_5_are_those_of_compiled_darknet(project, shared, darknet19, number):
    case = recorded(project)["cases"][number]
    cfg = darknet19 / ("tree.cfg" if case["tree"] else "flat.cfg")
    network = Network.from_cfg(cfg, size=tuple(case["size"]), dialect=case["dialect"])
    load_weights(network, darknet19 / "darknet19.weights")
    letterbox = case["dialect"] == "pjreddie"
    classifier = Classifier(network, [str(index) for index in range(1000)], letterbox=letterbox)
    for name, rows in case["top"].items():
        found = classifier(read_image(shared / "images" / name))
        labels, probabilities = zip(*rows, strict=True)
        assert found.labels.tolist() == list(labels), name
        assert found.probabilities.tolist() == pytest.approx(probabilities, rel=RELATIVE_TOLERANCE)


# ---------------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("image", "network", "content", "offset"),
    [
        ((480, 640), (64, 96), (96, 128), (-16, -16)),  # the smaller side becomes 96, not 64
        ((640, 480), (63, 96), (128, 96), (-32, 0)),  # 65 rows too many
        ((480, 640), (99, 64), (64, 85), (17, -10)),  # 35 rows are missing, 21 columns too many:
        ((100, 100), (64, 64), (64, 64), (0, 0)),  # both halves are rounded towards 0
        ((1, 256), (8, 12), (12, 3072), (-2, -1530)),
    ],
)
def test_the_input_shows_the_middle_of_an_image(image, network, content, offset):
    assert center_placement(image, network) == Placement(image, network, content, offset)


@pytest.mark.parametrize("size", [(1, 257), (257, 1)])
def test_an_image_too_elongated_to_cut_is_refused(size):
    with pytest.raises(DatasetError, match=f"found an image of {size[1]}x{size[0]} pixels, exp"):
        center_placement(size, (8, 12))


@pytest.mark.parametrize("network", [(4, 6), (9, 4)])
@pytest.mark.parametrize("size", [(5, 9), (9, 5)])
def test_cut_takes_resized_pixels_and_continues_the_edge(size, network):
    """Against the slow resize, pixel by pixel; a network of 9 rows is higher than the resized image of 4."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    placement = center_placement(size, network)
    found = center_crop(image, placement)
    assert found.shape == (3, *network) and found.dtype == torch.float32
    for (channel, row, column), value in np.ndenumerate(found.numpy()):
        y = min(max(row - placement.offset[0], 0), placement.content[0] - 1)
        x = min(max(column - placement.offset[1], 0), placement.content[1] - 1)
        slow = slow_core.resized_pixel(image[:, :, channel] / 255, placement.content, y, x)
        assert value == pytest.approx(slow, abs=1e-6)


def classifier_of(odds=(0.1, 0.2, 0.3, 0.4), more="", dialect="alexeyab", folder="", **options):
    """A classifier of four classes that gives every image the softmax of the logarithms of `odds`."""
    text = CFG.format(more=more)
    network, _ = build(parse_cfg(text, f"{folder}/test.cfg"), dialect=dialect)
    with torch.no_grad():
        network.layers[0].conv.weight.zero_()
        network.layers[0].conv.bias.copy_(torch.tensor(odds).log())
    return Classifier(network, ["animal", "plant", "cat", "dog"], **options)


def rows(found):
    return list(zip(found.labels.tolist(), found.probabilities.tolist(), strict=True))


BLACK = np.zeros((10, 20, 3), np.uint8)


def test_a_ranking_has_the_best_classes_first():
    found = classifier_of(top=3)(BLACK)
    assert rows(found) == [
        (3, pytest.approx(0.4)), (2, pytest.approx(0.3)), (1, pytest.approx(0.2)),
    ]  # fmt: skip
    assert len(found) == 3
    assert found.labels.dtype == torch.int64 and found.probabilities.dtype == torch.float32


def test_there_are_never_more_classes_than_the_network_has():
    assert len(classifier_of(top=9)(BLACK)) == 4


def test_of_equal_classes_the_first_is_best():
    found = classifier_of([0.2, 0.3, 0.2, 0.3])(BLACK)
    assert found.labels.tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("alexeyab", [(0, 0.6), (2, 0.45), (1, 0.4), (3, 0.15)]),
        ("pjreddie", [(2, 0.45), (1, 0.4), (3, 0.15), (0, 0.0)]),  # only leaves count
    ],
)
def test_in_a_tree_a_class_is_as_likely_as_its_path(tmp_path, dialect, expected):
    (tmp_path / "classes.tree").write_text(TREE)
    classifier = classifier_of(IN_GROUP, "tree=classes.tree", dialect, tmp_path)
    found = rows(classifier(BLACK))
    assert found == [(label, pytest.approx(probability)) for label, probability in expected]
    assert classifier.tree.parent.tolist() == [-1, -1, 0, 0]


def test_the_view_is_the_middle_or_the_whole_image():
    image = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
    middle = classifier_of().prepare(image)
    assert torch.equal(middle, center_crop(image, center_placement((10, 20), (8, 12))))
    whole = classifier_of(letterbox=True).prepare(image)
    assert torch.equal(whole, place(image, letterboxed((10, 20), (8, 12))))
    assert middle.shape == whole.shape == (3, 8, 12) and not torch.equal(middle, whole)


def test_a_batch_gives_each_image_what_it_gets_alone():
    network, _ = build(parse_cfg(CFG.format(more=""), "test.cfg"))
    classifier = Classifier(network, "abcd")
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), np.uint8) for size in ((40, 60), (90, 30))]
    together = classifier.rank(torch.stack([classifier.prepare(each) for each in images]))
    assert rows(together[0]) != rows(together[1])
    for image, found in zip(images, together, strict=True):
        alone = classifier(image)
        assert torch.equal(alone.labels, found.labels)
        torch.testing.assert_close(alone.probabilities, found.probabilities)


def test_a_classifier_puts_its_network_into_evaluation_mode():
    network, _ = build(parse_cfg(CFG.format(more=""), "test.cfg"))
    Classifier(network.train(), "abcd")
    assert not network.training


def test_a_network_without_parameters_or_softmax_is_ranked_by_its_output():
    network, _ = build(parse_cfg("[net]\nwidth=12\nheight=8\n[avgpool]\n", "test.cfg"))
    assert network.classes == 3
    image = np.full((8, 12, 3), (0, 255, 51), np.uint8)
    found = Classifier(network, ["red", "green", "blue"])(image)
    assert rows(found) == [(1, 1.0), (2, pytest.approx(0.2)), (0, 0.0)]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((6, 9, 3), np.float32),
        np.zeros((6, 9, 4), np.uint8),
        np.zeros((6, 9), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_another_kind_of_image_is_refused_by_name(image):
    with pytest.raises(ValueError, match=r"found an image .*, expected uint8 \[H, W, 3\]"):
        classifier_of()(image)


def test_wrong_names_and_networks_are_refused():
    network, _ = build(parse_cfg(CFG.format(more=""), "test.cfg"))
    for names in ("abc", "abcde"):
        message = f"found {len(names)} names, expected 4, one for each class"
        with pytest.raises(ValueError, match=message):
            Classifier(network, names)
    head = "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=6\n[yolo]\nclasses=1\nanchors=1,1\n"
    network, _ = build(parse_cfg(head, "test.cfg"))
    with pytest.raises(ValueError, match="found a network with a detection head, expected a cl"):
        Classifier(network, "a")


def test_json_has_images_and_classes_in_order():
    found = Ranking(torch.tensor([1, 0]), torch.tensor([0.87654321, 0.1]))
    nothing = Ranking(torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    text = rankings_json(["a/b.png", "c.png"], [found, nothing], ["cat", "dog"])
    assert text.endswith("]\n") and json.loads(text) == [
        {
            "filename": "a/b.png",
            "classes": [
                {"class_id": 1, "name": "dog", "confidence": 0.876543},
                {"class_id": 0, "name": "cat", "confidence": 0.1},
            ],
        },
        {"filename": "c.png", "classes": []},
    ]
