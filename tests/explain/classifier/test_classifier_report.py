"""The report of a classifier: guesses as of one image after the other, numbers and LayerCAM by hand, the page."""

import json
import re

import numpy as np
import pytest
import torch

from tests.helpers.report_pages import ABOUT, ParsedPage
from tests.helpers.tiny_data import network_of, write_image
from yolo.data.class_folders import ClassifiedImage
from yolo.data.images import read_image
from yolo.detect.classifier import Classifier
from yolo.explain.classifier.guesses import Guess, accuracy_of, guess_classes
from yolo.explain.classifier.maps import class_maps, heat_image, map_layer
from yolo.explain.classifier.page import GuessView, classifier_page, write_classifier_page
from yolo.explain.classifier.report import classifier_report, unique_names
from yolo.model.network import Network

CFG = """[net]
width=12
height=8
[convolutional]
filters=5
size=3
pad=1
activation=leaky
[convolutional]
filters={classes}
size=1
activation=linear
[avgpool]
[softmax]
"""
NAMES = ("cat", "dog", "owl")
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202e \x00")


def guess_of(label, *probabilities):
    """A guess for an image of class `label`, from the probabilities of all classes."""
    ranked = sorted(range(len(probabilities)), key=lambda each: -probabilities[each])
    return Guess(
        tuple(ranked[:2]), tuple(probabilities[each] for each in ranked[:2]), probabilities[label], ranked.index(label)
    )


def report_of(rows, names=NAMES, k=2, folder="here"):
    """The report of made-up guesses: rows of (class, probabilities)."""
    images = [ClassifiedImage(f"{folder}/{at}.png", label) for at, (label, *_) in enumerate(rows)]
    return classifier_report(names, images, [guess_of(label, *rest) for label, *rest in rows], k, ABOUT)


ROWS = [
    (0, 0.7, 0.2, 0.1),
    (0, 0.2, 0.5, 0.3),  # a cat taken for a dog, in third place
    (1, 0.1, 0.9, 0.0),
    (1, 0.6, 0.35, 0.05),  # a dog taken for a cat
    (1, 0.8, 0.15, 0.05),  # another one
    (0, 0.96, 0.03, 0.01),
]


@pytest.fixture
def images(tmp_path):
    """Seven images of many sizes, of two of three classes."""
    rng = np.random.default_rng(0)
    return [
        ClassifiedImage(
            write_image(tmp_path / f"{at}.png", rng.integers(0, 256, (*rng.integers(6, 40, 2), 3), dtype=np.uint8)),
            at % 2,
        )
        for at in range(7)
    ]


@pytest.fixture
def classifier():
    return Classifier(network_of(CFG.format(classes=3)), NAMES, top=2)


def test_guesses_are_those_of_one_image_after_the_other(images, classifier):
    everything = Classifier(classifier.network, NAMES, top=3)
    for guess, image in zip(guess_classes(classifier, images, batch=3, workers=0), images, strict=True):
        ranking = everything(read_image(image.path))
        labels, probabilities = ranking.labels.tolist(), ranking.probabilities.tolist()
        assert guess.labels == tuple(labels[:2])
        assert guess.probabilities == pytest.approx(probabilities[:2])
        assert guess.rank == labels.index(image.label)
        assert guess.ground_truth_probability == pytest.approx(probabilities[guess.rank])
        assert guess.loss == pytest.approx(-np.log(probabilities[guess.rank]))


def test_the_numbers_of_the_report_by_hand():
    report = report_of(ROWS)
    assert (report.images, report.top_1, report.top_k) == (6, 3 / 6, 5 / 6)
    assert report.confidence == pytest.approx((0.7 + 0.5 + 0.9 + 0.6 + 0.8 + 0.96) / 6)
    cat, dog, owl = report.classes
    assert (cat.images, cat.first, cat.among, cat.guessed, cat.precision) == (3, 2, 2, 4, 2 / 4)
    assert (dog.images, dog.top_1, dog.top_k, dog.precision) == (3, 1 / 3, 1.0, 1 / 2)
    assert (owl.images, owl.top_1, owl.precision) == (0, None, None)
    assert [(pair.ground_truth, pair.guess, pair.count, pair.images) for pair in report.pairs] == [
        ("dog", "cat", 2, 3), ("cat", "dog", 1, 3),
    ]  # fmt: skip
    assert report.matrix == ((2, 1, 0), (2, 1, 0), (0, 0, 0))
    # bins of .1 with one image each but the last, where .9 and .96 are both correct
    gaps = [abs(0.5 - 0), abs(0.6 - 0), abs(0.7 - 1), abs(0.8 - 0), 2 * abs(0.93 - 1)]
    assert report.calibration.error == pytest.approx(sum(gaps) / 6)
    assert report.loss == pytest.approx(np.mean([-np.log(row[1 + row[0]]) for row in ROWS]))


def test_wrong_images_come_first_and_the_least_likely_ones_of_all():
    report = report_of(ROWS)
    assert [image.path for image in report.top_losses] == [f"here/{at}.png" for at in (4, 1, 3, 0, 2, 5)]
    worst = report.top_losses[0]
    assert (worst.ground_truth, worst.guesses, worst.rank) == ("dog", ("cat", "dog"), 1)
    assert [image.path for image in report.correct] == ["here/0.png", "here/2.png", "here/5.png"]
    one_class = report_of([(0, 0.5 + at / 200, 0.5 - at / 200, 0.0) for at in range(1, 40)])
    chosen = [int(re.search(r"\d+", image.path)[0]) for image in one_class.correct]
    assert chosen == [0, 1, 2, 3, 4, 5, 33, 34, 35, 36, 37, 38]  # the least sure, then the surest
    many = report_of([(0, 0.5 + at / 200, 0.5 - at / 200, 0) for at in range(1, 30)] + [(1, 0.25, 0.7, 0.05)])
    chosen = [int(re.search(r"\d+", image.path)[0]) for image in many.correct]
    assert chosen == [0, 1, 2, 3, 4, 29, 23, 24, 25, 26, 27, 28]  # the only one of class 1 is among them


def test_the_accuracy_is_that_of_the_report():
    images = [ClassifiedImage("x", row[0]) for row in ROWS]
    accuracy = accuracy_of(NAMES, images, [guess_of(*row) for row in ROWS], 2)
    report = report_of(ROWS)
    assert (accuracy.top_1, accuracy.top_k) == (report.top_1, report.top_k)
    assert accuracy.first.tolist() == [each.first for each in report.classes]


def test_layer_cam_by_hand():
    """The score of a class is the mean over the places of w . x: the map is relu(relu(w) . x) up to its scale."""
    network = network_of(CFG.format(classes=3)).eval()
    assert map_layer(network) == 0  # not layer 1, the map of the classes
    image = torch.rand(3, 8, 12)
    with torch.no_grad():
        features = network.layers[0](image[None])[0]
    for label, found in zip((2, 0), class_maps(network, image, (2, 0), 0), strict=True):
        weights = network.layers[1].conv.weight[label, :, 0, 0].clamp(min=0)
        expected = torch.einsum("c,chw->hw", weights, features).clamp(min=0).detach()
        assert found == pytest.approx((expected / expected.max()).numpy(), abs=1e-5)


def test_the_layer_of_the_map_is_the_last_with_a_place_in_the_image(project):
    assert map_layer(Network.from_cfg(project / "cfg" / "darknet19.cfg")) == 22  # 23 is the map of the classes
    connected = "[net]\nwidth=12\nheight=8\n[maxpool]\nstride=2\n[connected]\noutput=3\n[softmax]\n"
    assert map_layer(network_of(connected)) == 0
    assert map_layer(network_of(connected.replace("[maxpool]\nstride=2\n", ""))) == -1  # the image


def test_a_map_is_drawn_where_it_is_strong():
    image = np.full((8, 8, 3), 200, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[2:4, 5:7] = 1
    drawn = heat_image(image, heat).astype(int)
    assert (drawn[0, 0] == 150).all()  # gray, at three quarters of its brightness
    assert np.ptp(drawn[2, 5]) > 50  # in color


def test_names_of_several_classes_get_their_number():
    assert unique_names(["crane", "owl", "crane"]) == ["crane (0)", "owl", "crane (2)"]


def test_the_page_shows_the_images_with_their_maps_and_loads_nothing(images, classifier, tmp_path):
    guesses = guess_classes(classifier, images, batch=4, workers=0)
    report = classifier_report(NAMES, images, guesses, 2, ABOUT)
    images[0].path.unlink()
    path = write_classifier_page(tmp_path / "r", report, classifier)
    text = path.read_text(encoding="utf-8")
    page = ParsedPage(text)
    readable = [image for image in (*report.top_losses, *report.correct) if image.path != str(images[0].path)]
    # one image, and a map for the class that was chosen and for the true one, where they differ
    assert page.count("img") == sum(3 - (image.rank == 0) for image in readable)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.values("src"))
    assert not re.search(r"https?:|@import|url\(", text) and page.count("script") == 1
    assert any("No such file" in each for each in page.texts)
    assert "".join(f"{report.top_1:.1%}") in page.texts
    numbers = json.loads((tmp_path / "r" / "classifier.json").read_text())
    assert numbers["top_1"] == report.top_1 and len(numbers["classes"]) == 3


def test_hostile_names_stay_text():
    rows = [(label, *np.roll([0.5, 0.3, 0.2], label + 1)) for label in (0, 1, 2)]
    pages = []
    for names in (HOSTILE, NAMES):
        report = report_of(rows, names, folder=f"gone/{names[0]}")
        views = {image.path: GuessView(image, gone=f"{image.path}: gone") for image in report.top_losses}
        pages.append(ParsedPage(classifier_page(report, views)))
    assert [tag for tag, _ in pages[0].starts] == [tag for tag, _ in pages[1].starts]
    assert HOSTILE[0] in pages[0].texts and pages[0].script == pages[1].script


def large_report(classes=1000, images=5000):
    """A report of many classes: half of the images are taken for a neighbor of their class."""
    rng = np.random.default_rng(0)
    ground_truth = rng.integers(0, classes, images)
    guessed = np.where(rng.random(images) < 0.5, ground_truth, (ground_truth + rng.integers(1, 4, images)) % classes)
    guesses = [
        Guess((int(guess), int(label)), (0.6, 0.2), 0.6 if guess == label else 0.2, int(guess != label))
        for label, guess in zip(ground_truth, guessed, strict=True)
    ]
    named = [ClassifiedImage(f"x/{at}.png", int(label)) for at, label in enumerate(ground_truth)]
    return classifier_report([f"class {label}" for label in range(classes)], named, guesses, 5, ABOUT)


def page_without_images(report):
    shown = (*report.top_losses, *report.correct)
    return classifier_page(report, {image.path: GuessView(image, gone="not shown") for image in shown})


def test_a_thousand_classes_stay_usable():
    report = large_report()
    assert report.matrix == () and len(report.pairs) == 200
    text = page_without_images(report)
    page = ParsedPage(text)
    assert len(text) < 500_000 and page.count("rect") < 200
    assert all(f"class {label}" in page.texts for label in range(1000))
    assert text.index('id="find"') < text.index('id="others"')


def test_no_image_is_a_page_too():
    text = page_without_images(report_of([]))
    assert "n/a" in ParsedPage(text).texts and "nan" not in text


def test_the_page_opens_in_a_browser_and_its_search_hides_other_classes(tmp_path, opened):
    text = page_without_images(large_report(60, 200))
    path = tmp_path / "page.html"
    path.write_text(text)
    page, console = opened(path)
    assert console == [] and dict(page.starts)["html"]["data-ready"] == "yes"
    typed = "<script>find.value = 'CLASS 5'; find.dispatchEvent(new Event('input'));</script></body>"
    path.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", typed))
    page, console = opened(path)
    rows = [attributes for tag, attributes in page.starts if tag == "tr"]
    assert console == [] and "11 found" in page.texts  # 5 and 50 to 59
    assert sum("hidden" in row for row in rows) == 60 - 11
    assert any("open" in attributes for tag, attributes in page.starts if attributes.get("id") == "more")
