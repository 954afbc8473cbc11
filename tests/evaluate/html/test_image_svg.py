"""yolo.evaluate.html.image_svg: the boxes over an image, and the image in the page."""

import base64
from dataclasses import replace

import cv2
import numpy as np

from tests.helpers.report_pages import ABOUT, ROWS, ParsedPage, scene_of, svg_of
from tests.helpers.tiny_data import FOUR_IMAGES, write_image
from yolo.evaluate.analysis.build_report import build_report
from yolo.evaluate.analysis.tide import KINDS
from yolo.evaluate.html.image_svg import (
    LETTERS,
    LONG_SIDE,
    MOST_DRAWN,
    boxes_over,
    error_summary,
    image_card,
    jpeg_data,
    legend,
)
from yolo.evaluate.html.report_page import TEMPLATES

NAMES = ("red", "green")


def images(paths):
    return build_report(scene_of(FOUR_IMAGES), paths, ABOUT, ROWS).images


def test_every_kind_has_its_letter_color_and_dash():
    style = (TEMPLATES / "report.css").read_text()
    assert len(set(LETTERS.values())) == len(KINDS)
    for kind in KINDS:
        assert f".{kind} {{ --kind: #" in style
        assert f".boxes .{'ground-truth' if kind == 'missed' else 'detection'}.{kind} {{" in style
    assert [sample.letter for sample in legend() if sample.letter] == [LETTERS[kind] for kind in KINDS]


def test_boxes_lie_in_image_pixels_and_have_a_tip(four):
    second = images(four.images)[1]
    drawing = ParsedPage(svg_of(boxes_over(second, NAMES, None)))
    right = next(a for _, a in drawing.starts if a.get("class") == "detection right")
    assert (right["x"], right["y"], right["width"], right["height"]) == ("30", "10", "24", "10")
    assert right["data-tip"] == "green 0.950: true positive"
    tips = drawing.values("data-tip")
    assert "green 0.700: classification, correct box, wrong class" in tips
    assert "ground truth red: detected only with an error" in tips
    assert {"C green .70", "B .60"} <= set(drawing.texts)
    assert error_summary(second) == "1 classification, 1 background; 1 true positive"


def test_a_missed_ground_truth_is_marked(four):
    last = images(four.images)[3]
    assert ParsedPage(svg_of(boxes_over(last, NAMES, None))).texts.count("M") == 2


def test_of_very_many_detections_the_best_are_drawn(four):
    """Ten images of an untrained network of 200 classes made a page of 42 MB, which Chromium did not open in 30 s."""
    second = images(four.images)[1]
    many = [replace(second.detections[0], score=1 - place / 1000) for place in range(MOST_DRAWN + 1)]
    card = image_card(replace(second, detections=many), NAMES, "title")
    drawn = [tip for tip in ParsedPage(svg_of(card.drawing)).values("data-tip") if "ground truth" not in tip]
    assert len(drawn) == MOST_DRAWN and f" {1 - MOST_DRAWN / 1000:.3f}" not in "".join(drawn)
    assert (
        card.summary == f"no error; 101 true positives; the {MOST_DRAWN} detections with the highest scores are drawn"
    )


def test_the_image_in_the_page_is_a_small_jpeg(tmp_path):
    path = write_image(tmp_path / "wide.png", np.full((100, 2000, 3), (200, 30, 30), np.uint8))
    head, data = jpeg_data(path).split(",")
    assert head == "data:image/jpeg;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (28, LONG_SIDE, 3)
    assert np.abs(pixels.reshape(-1, 3).mean(0) - (30, 30, 200)).max() < 4  # blue first: still red


def test_an_image_that_is_gone_leaves_its_boxes(four, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no image")
    for path in (tmp_path / "gone.png", broken, tmp_path, "nul\0"):
        assert jpeg_data(path) is None
        card = image_card(replace(images(four.images)[0], path=str(path)), NAMES, "title")
        drawing = ParsedPage(svg_of(card.drawing))
        assert not card.readable
        assert drawing.count("image") == 0 and len(drawing.values("data-tip")) == 3


def test_letters_grow_with_the_image():
    """The page's style gives texts a size of its own, and has those on flags inherit it from the group around them."""
    first, *_ = images([f"p{number}.png" for number in range(4)])
    drawing = boxes_over(replace(first, width=72, height=36), NAMES, None)
    assert '<g font-size="2' in svg_of(drawing)
