"""The page that explains images: what it says is what was computed, and names stay text."""

import base64
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.explain.image.test_explanation import MORE, detector_of, pixels
from tests.helpers.golden import network_of
from tests.helpers.report_pages import ParsedPage
from tests.helpers.tiny_heads import CLASSIFIERS, HEADS, TREE, TREE_HEAD
from yolo.detect.classifier import Classifier
from yolo.detect.detector import Detector
from yolo.errors import OutputError
from yolo.explain.classifier.maps import class_maps, map_layer
from yolo.explain.image.classified import classified_numbers, explain_classified
from yolo.explain.image.classified_page import classified_part
from yolo.explain.image.explanation import explain_image
from yolo.explain.image.page import (
    AboutNetwork,
    explanation_numbers,
    explanation_page,
    image_part,
    short_names,
    write_explained,
)
from yolo.explain.image.views import MOST_KEPT, Rules
from yolo.explain.map_images import cells_uri, channel_uri, heat_uri, stacked_uri
from yolo.explain.section import PageSection

HOSTILE = ("</title><script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>")
ABOUT = AboutNetwork("tiny", "yolo-darknet explain x", "tiny.cfg", "tiny.weights")


def explained(name, letterbox=False, **options):
    detector = detector_of(name, letterbox, thresh=0.1)
    rules = Rules(0.1, 0.3, detector.diou_exponent, detector.network.head_settings[-1].nms_kind)
    return explain_image(detector, "x.png", pixels(), **({"causes": 1} | options)), rules


@pytest.mark.parametrize("name", HEADS)
def test_every_head_has_a_page_with_its_numbers(name):
    explanation, rules = explained(name, letterbox=True)
    part = image_part(explanation, ("cat", "dog"), rules)
    page = ParsedPage(explanation_page(ABOUT, [part]))
    assert f"{explanation.fates.predictions:,}" in page.texts
    for found in explanation.detections[:3]:
        for quantity in found.decoded.quantities:
            for step in quantity.steps:
                assert step.formula in page.texts and step.with_numbers in page.texts
                assert f"{step.value:.4g}" in page.text
    panels = [each for each in page.values("id") if "detection" in each]
    assert len(panels) == len(explanation.detections)
    assert len(set(page.values("id"))) == len(page.values("id"))
    uses = {href for tag, attributes in page.starts if tag == "use" for href in [attributes["href"]]}
    assert uses == {"#image0-photo"} and "image0-photo" in page.values("id")


def test_a_tree_has_a_page(tmp_path):
    (tmp_path / "t.tree").write_text(TREE)
    network = network_of(TREE_HEAD.format(tmp_path / "t.tree")).eval()
    detector = Detector(network, list("abcd"), 0.1, engine=network)
    explanation = explain_image(detector, "x", pixels(), causes=1)
    assert explanation.detections
    page = explanation_page(ABOUT, [image_part(explanation, list("abcd"), Rules(0.1, 0.45, None, "default"))])
    assert "objectness alone: the tree chose the class" in page


def test_hostile_names_stay_text():
    explanation, rules = explained("two_yolo")
    explanation = replace(explanation, name=f"dir/{HOSTILE[1]}")
    about = AboutNetwork(HOSTILE[0], HOSTILE[1], HOSTILE[0], HOSTILE[1], HOSTILE[0])
    text = explanation_page(about, [image_part(explanation, HOSTILE, rules)])
    page = ParsedPage(text)
    assert page.count("script") == 1 and not page.values("onerror")
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert all(href.startswith(("data:image/", "#")) for href in page.values("href"))
    assert any(HOSTILE[0] in each for each in page.texts)


def test_the_words_about_a_suppressed_box_are_its_numbers():
    explanation, rules = explained("two_yolo")
    suppressed = explanation.fates.suppressed[0]
    kept = explanation.fates.kept
    place = next(i for i, each in enumerate(kept) if each.prediction == suppressed.suppressor)
    page = explanation_page(ABOUT, [image_part(explanation, ("cat", "dog"), rules)])
    by = f"{('cat', 'dog')[suppressed.label]} {kept[place].score:.3f} (box {place + 1}), above 0.3"
    assert by in page


def test_a_class_that_is_not_found_is_explained_in_the_summary():
    detector = detector_of("two_yolo")
    with torch.no_grad():
        detector.network.layers[3 - 1].conv.bias[[6, 13]] = -20  # class 1 of both anchors of the first head
        detector.network.layers[6].conv.bias[6] = -20
    rules = Rules(0.1, 0.3, detector.diou_exponent, "greedynms")
    explanation = explain_image(detector, "x.png", pixels(), causes=0, label=1)
    best = next(each for each in explanation.fates.below if each.label == 1)
    summary = image_part(explanation, ("cat", "dog"), rules, label=1).summary
    assert summary.endswith(
        f"The best dog has objectness {best.objectness:.3f} × probability {best.class_prob:.3f} = {best.score:.3f}."
    )


def test_numbers_beside_the_page(tmp_path):
    explanation, rules = explained("yolo")
    names = ("cat", "dog")
    numbers = explanation_numbers(explanation, names, rules)
    path = write_explained(tmp_path / "r", ABOUT, [image_part(explanation, names, rules)], [numbers])
    (image,) = json.loads((path.parent / "explain.json").read_text())["images"]
    fates = explanation.fates
    every = [*fates.kept, *fates.suppressed, *fates.below]
    assert [each["score"] for each in image["boxes"]] == [each.score for each in every]
    assert [each["fate"] for each in image["boxes"]] == [each.fate for each in every]
    for each in image["boxes"]:
        if each["fate"] == "suppressed":
            better = image["boxes"][each["suppressed_by"]]
            assert better["fate"] == "kept" and better["class"] == each["class"] and each["overlap"] > 0.3
    steps = image["detections"][0]["steps"]["score"]
    assert steps[-1]["value"] == pytest.approx(fates.kept[0].score, rel=1e-5)


def test_a_folder_with_another_page_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(OutputError, match="expected another folder"):
        write_explained(tmp_path, ABOUT, [], [])
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_section_of_another_subject_is_on_the_page_with_its_style(tmp_path):
    (tmp_path / "loss.html.jinja").write_text("<p>{{ identity }} {{ section.content }}</p>")
    (tmp_path / "loss.css").write_text(".of-the-loss { color: red }")
    explanation, rules = explained("yolo")
    part = image_part(explanation, ("cat", "dog"), rules, number=3)
    more = (*part.sections, PageSection("Why was it missed?", tmp_path, "loss.html.jinja", "<7>"))
    text = explanation_page(ABOUT, [replace(part, sections=more)])
    assert "<p>image3 &lt;7&gt;</p>" in text and "of-the-loss" in text and "Why was it missed?" in text


def test_infinite_boxes_do_not_stop_the_page():
    explanation, rules = explained("yolo")
    detector = detector_of("yolo")
    with torch.no_grad():
        last = detector.network.layers[2].conv
        last.weight.zero_()
        last.bias.fill_(900)  # e^900 is above the range of floats, and σ(900) has no gradient
    explanation = explain_image(detector, "x", pixels(), causes=1)
    assert explanation.fates.kept[0].score == 1 and not explanation.causes[0].sensitivity.any()
    part = image_part(explanation, ("cat", "dog"), rules)
    json.dumps(explanation_numbers(explanation, ("cat", "dog"), rules), allow_nan=False)
    page = ParsedPage(explanation_page(ABOUT, [part]))
    assert "inf" in page.texts and not {"nan", "inf"} & set(page.values("x") + page.values("width"))
    assert page.values("cx") and not {"nan", "inf"} & set(page.values("cx") + page.values("cy"))


def decoded_png(uri):
    content = base64.b64decode(uri.partition("base64,")[2])
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_images_of_cells_have_one_pixel_for_each():
    values = torch.tensor([[0.0, 1.0, 0.5], [2.0, float("nan"), 0.0]])
    image = decoded_png(cells_uri(values, (10, 20, 30)))
    assert image.shape == (2, 3, 4) and image[0, 0, :3].tolist() == [30, 20, 10]
    assert image[..., 3].tolist() == [[0, 255, 136], [255, 0, 0]]  # 16 steps of 17
    stacked = decoded_png(
        stacked_uri(torch.stack((values, 0 * values + 1)), np.array([(1, 2, 3), (4, 5, 6)], np.uint8))
    )
    assert stacked.shape == (4, 3, 4) and stacked[3, 0].tolist() == [6, 5, 4, 255]
    assert decoded_png(channel_uri(values.nan_to_num())).shape == (2, 3, 3)


def test_heat_is_clear_where_it_is_zero_and_nothing_without_heat():
    heat = torch.zeros(4, 4)
    assert heat_uri(heat) is None
    heat[1, 2] = 5
    image = decoded_png(heat_uri(heat))
    assert image[-1, 0, 3] == 0 and image[..., 3].max() > 200
    row, column = np.unravel_index(image[..., 3].argmax(), image.shape[:2])
    assert 1 <= row / image.shape[0] * 4 <= 2 and 2 <= column / image.shape[1] * 4 <= 3


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_has_a_page(name):
    text = CLASSIFIERS[name].replace("activation=leaky\n", f"activation=leaky\n{MORE}", 1)
    network = network_of(text).eval()
    names = ("ant", HOSTILE[0], HOSTILE[1], "dog", "elk")
    classifier = Classifier(network, names)
    found = explain_classified(classifier, "x.png", pixels(), causes=2, label=3)
    ranking = classifier(pixels())
    assert [each.label for each in found.answers] == ranking.labels.tolist()
    np.testing.assert_allclose([each.probability for each in found.answers], ranking.probabilities.tolist(), rtol=1e-5)
    first = ranking.labels[0].item()
    assert [each.label for each in found.causes] == ([3, first] if first != 3 else [3, ranking.labels[1].item()])
    last = map_layer(network)
    (expected,) = class_maps(network, found.network_input, [3], last)
    cam = found.causes[0].cams[last]
    torch.testing.assert_close(cam / cam.max().clamp(min=1e-30), torch.from_numpy(expected))
    page = ParsedPage(explanation_page(ABOUT, [classified_part(found, names)]))
    assert page.count("script") == 1 and any(HOSTILE[0] in each for each in page.texts)
    assert f"{found.answers[0].probability:.4f}" in page.texts
    content = json.loads(json.dumps(classified_numbers(found, names), allow_nan=False))
    assert content["classes"][0]["name"] == names[first] and content["input_size"] == [24, 16]


def test_images_of_one_name_have_their_folder_in_the_title():
    assert short_names(["a/0.png", "b/1.png", "c/0.png"]) == ["a/0.png", "1.png", "c/0.png"]


def test_a_box_with_two_classes_above_the_threshold_counts_as_two():
    explanation, rules = explained("yolo")
    fates = replace(
        explanation.fates, predictions=9, below_count=7, kept=explanation.fates.kept[:1], suppressed_count=2
    )
    page = ParsedPage(explanation_page(ABOUT, [image_part(replace(explanation, fates=fates), ("cat", "dog"), rules)]))
    assert "The other 2 have 3 such classes" in " ".join(page.text.split())
    alone = replace(fates, suppressed_count=1)
    page = ParsedPage(explanation_page(ABOUT, [image_part(replace(explanation, fates=alone), ("cat", "dog"), rules)]))
    assert "such classes" not in page.text


def test_the_mark_of_maps_needs_a_detection_without():
    for causes in (1, 99):
        explanation, rules = explained("yolo", causes=causes)
        page = ParsedPage(explanation_page(ABOUT, [image_part(explanation, ("cat", "dog"), rules)]))
        without = len(explanation.detections) > len(explanation.causes)
        assert without == (causes == 1) and ("◉" in page.text) == without


def test_thousands_of_boxes_are_counted_and_the_best_are_shown():
    network = detector_of("yolo").network
    detector = Detector(network, ("cat", "dog"), 0.0, 1.0, engine=network)  # every box of every class is kept
    explanation = explain_image(detector, "x.png", pixels(), causes=1)
    kept = explanation.fates.kept
    explanation = replace(explanation, fates=replace(explanation.fates, kept=kept * 20))
    rules = Rules(0.0, 1.0, None, "default")
    page = ParsedPage(explanation_page(ABOUT, [image_part(explanation, ("cat", "dog"), rules)]))
    assert sum(each == "kept" for each in page.values("class")) == MOST_KEPT < len(kept) * 20
    assert f"{len(kept) * 20 - MOST_KEPT:,} more boxes above the threshold" in page.text
