"""yolo.evaluate.accuracy: the accuracy of each class equals that of ranking one image after the other."""

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import network_of, write_image
from yolo.data.class_folders import ClassifiedImage
from yolo.data.images import read_image
from yolo.detect.classifier import Classifier
from yolo.errors import DatasetError
from yolo.evaluate.accuracy import Accuracy, accuracy_table, classifier_accuracy

CFG = """[net]
width=12
height=8
[convolutional]
filters=7
size=3
pad=1
activation=leaky
[avgpool]
[softmax]
"""
NAMES = tuple("abcdefg")


@pytest.fixture
def images(tmp_path):
    """Nine images of many sizes; no image of class 6."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(9):
        height, width = rng.integers(6, 40, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        path = write_image(tmp_path / f"{number}.png", pixels)
        made.append(ClassifiedImage(path, number % 6))
    return made


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_counts_are_those_of_one_image_after_the_other(images, letterbox, workers):
    classifier = Classifier(network_of(CFG).train(), NAMES, top=3, letterbox=letterbox)
    found = classifier_accuracy(classifier, images, batch=4, workers=workers)
    first, among = np.zeros(7, int), np.zeros(7, int)
    for image in images:
        ranking = classifier(read_image(image.path)).labels.tolist()
        first[image.label] += ranking[0] == image.label
        among[image.label] += image.label in ranking
    assert found.images.tolist() == [2, 2, 2, 1, 1, 1, 0]
    assert found.first.tolist() == first.tolist() and found.among.tolist() == among.tolist()
    assert 0 < among.sum() < 9  # or it would prove little
    assert found.top_1 == first.sum() / 9 and found.top_k == among.sum() / 9
    assert not classifier.network.training


def test_both_views_are_those_of_the_classifier(images):
    """With the image's mean color as the only feature, the view decides what the network sees."""
    wide = np.zeros((8, 60, 3), np.uint8)
    wide[:, :20] = wide[:, 40:] = (255, 0, 0)
    path = write_image(images[0].path.with_name("wide.png"), wide)
    network = network_of(CFG.replace("size=3\npad=1", "size=1"))
    with torch.no_grad():
        network.layers[0].conv.weight.zero_()
        network.layers[0].conv.weight[3, 0] = 1.0  # class 3 is red; of equals class 0 is first
        network.layers[0].conv.bias.copy_(torch.tensor([0.1, 0, 0, 0, 0, 0, 0]))
    for letterbox, label in ((False, 0), (True, 3)):
        classifier = Classifier(network, NAMES, letterbox=letterbox)
        found = classifier_accuracy(classifier, [ClassifiedImage(path, label)], batch=1, workers=0)
        assert found.top_1 == 1, letterbox


def test_no_images_have_no_accuracy():
    found = classifier_accuracy(Classifier(network_of(CFG), NAMES), [], batch=2, workers=0)
    assert found.top_1 is None and found.top_k is None
    assert "n/a" in accuracy_table(found)


def test_top_k_is_at_most_the_number_of_classes(images):
    found = classifier_accuracy(Classifier(network_of(CFG), NAMES, top=50), images, batch=4, workers=0)
    assert found.top == 7 and found.top_k == 1


def test_an_image_that_is_too_elongated_is_named(images):
    path = write_image(images[0].path.with_name("thin.png"), np.zeros((1, 300, 3), np.uint8))
    classifier = Classifier(network_of(CFG), NAMES)
    with pytest.raises(DatasetError, match="thin.png: found an image of 300x1 pixels"):
        classifier_accuracy(classifier, [ClassifiedImage(path, 0)], batch=1, workers=0)


def test_the_table_and_the_line_by_hand():
    counts = (np.array(each) for each in ([4, 0, 6], [1, 0, 6], [3, 0, 6]))
    accuracy = Accuracy(("cat", "dog", "eel"), 2, *counts)
    rows = [line.split("|")[1:-1] for line in accuracy_table(accuracy).splitlines() if "|" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["class", "images", "top-1", "top-2"],
        ["cat", "4", "0.2500", "0.7500"],
        ["dog", "0", "n/a", "n/a"],
        ["eel", "6", "1.0000", "1.0000"],
        ["all", "10", "0.7000", "0.9000"],
    ]
    assert (accuracy.top_1, accuracy.top_k) == (0.7, 0.9)
