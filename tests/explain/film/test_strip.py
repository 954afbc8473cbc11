"""yolo.explain.film: what a frame shows, which moments a strip keeps, and that it goes on where it was."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import NAMES, cfg_text, draw, network_of
from yolo.detect.detector import Detector
from yolo.errors import DatasetError
from yolo.explain.film import strip
from yolo.explain.film.frame import FRAME_SIDE, MAP_OPACITY, PHOTO_BRIGHTNESS, film_frame
from yolo.explain.film.page import FilmMoment, film_page
from yolo.explain.film.strip import FilmStrip, earlier_images, earlier_moments, named_images

HEAD = "[net]\nwidth=64\nheight=32\nchannels=3\n[convolutional]\nfilters=7\nsize=32\nstride=32\nactivation=linear\n"
HEAD += "[yolo]\nclasses=2\nnum=1\nanchors=16,16\n"


def detector_of(text, seed=0, **options):
    network = network_of(text, seed=seed)
    return Detector(network, NAMES, 0.25, engine=network, **options)


def test_a_box_that_is_not_a_number_has_a_frame():
    detector = detector_of(HEAD)
    with torch.no_grad():
        detector.network.layers[0].conv.weight.zero_()
        detector.network.layers[0].conv.bias.copy_(torch.tensor([float("nan"), 0, 0, 0, 9, -9, 9]))
    frame = film_frame(detector, np.full((32, 64, 3), 80, np.uint8))
    assert frame.detections and frame.image.shape == (FRAME_SIDE // 2, FRAME_SIDE, 3)


def test_a_cell_has_the_color_of_its_class_as_strong_as_its_objectness():
    """Two cells of a convolution with biases alone: class 1, objectness 1/2, tiny boxes."""
    detector = detector_of(HEAD)
    with torch.no_grad():
        detector.network.layers[0].conv.weight.zero_()
        detector.network.layers[0].conv.bias.copy_(torch.tensor([0.0, 0, -9, -9, 0, -9, 9]))
    pixels = np.full((100, 200, 3), 80, np.uint8)
    frame = film_frame(detector, pixels)
    assert frame.image.shape == (FRAME_SIDE // 2, FRAME_SIDE, 3) and frame.highest == pytest.approx(0.5)
    assert frame.detections[0] == ("green", pytest.approx(0.5, abs=1e-3)) and len(frame.detections) == 2
    from yolo.detect.draw import class_color

    alpha = MAP_OPACITY / 2
    expected = 80 * PHOTO_BRIGHTNESS * (1 - alpha) + np.array(class_color(1)) * alpha
    assert np.abs(frame.image[150, 10].astype(float) - expected).max() <= 1
    large = film_frame(detector, np.zeros((400, 900, 3), np.uint8)).image
    assert large.shape[:2] == (round(400 * FRAME_SIDE / 900), FRAME_SIDE)


def test_the_gray_border_of_a_letterbox_is_not_shown():
    detector = detector_of(HEAD, letterbox=True)
    with torch.no_grad():  # objectness is large where the input is bright: in the image, not in the gray
        detector.network.layers[0].conv.weight.zero_()
        detector.network.layers[0].conv.weight[4] = 0.01
        detector.network.layers[0].conv.bias.copy_(torch.tensor([0.0, 0, -9, -9, -20, -9, 9]))
    image = film_frame(detector, np.full((64, 64, 3), 255, np.uint8)).image
    assert image.shape == (FRAME_SIDE, FRAME_SIDE, 3) and (image[3, 3] == image[-4, -4]).all()
    assert image[3, 3].max() - image[3, 3].min() > 40  # the color of the class, at the very border


def test_a_strip_thins_itself_and_goes_on_after_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(strip, "MOST_FRAMES", 4)
    detector = detector_of(cfg_text())
    image = draw([(8, 8, 24, 24, 0)])
    watched = named_images([tmp_path / "a.png", tmp_path / "other" / "a.png"], [image, image])
    assert [each.name for each in watched] == ["a", "a-2"]
    film = FilmStrip(tmp_path, "x", watched, [])
    for step in (0, 100, 200, 300):
        assert set(film.shoot(step, detector)) == {"a", "a-2"}
    assert [moment.step for moment in film.moments] == [0, 100, 200, 300]
    film.shoot(400, detector)
    assert [moment.step for moment in film.moments] == [0, 200, 400]
    images = {path.name for path in (tmp_path / "watch").glob("*.jpg")}
    assert images == {f"{name}_{step:07}.jpg" for name in ("a", "a-2") for step in (0, 200, 400)}
    page = (tmp_path / "watch" / "index.html").read_text()
    assert page.count("<figure") == 6 and "step 400" in page
    sheet = cv2.imread(str(tmp_path / "watch" / "film.png"))
    cell = 200, 150  # the frame of 64 x 48
    assert sheet.shape[:2] == (6 + 2 * (cell[1] + 6), 6 + 3 * (cell[0] + 6))
    assert earlier_images(tmp_path) == [tmp_path / "a.png", tmp_path / "other" / "a.png"]
    again = FilmStrip(tmp_path, "x", watched, earlier_moments(tmp_path, 200))  # resumed from step 200
    again.shoot(300, detector)
    record = json.loads((tmp_path / "watch" / "film.json").read_text())
    assert [moment["step"] for moment in record["moments"]] == [0, 200, 300]


def test_the_page_embeds_the_frames_as_they_are_and_gray_for_one_that_is_gone_or_broken(tmp_path):
    film = FilmStrip(tmp_path, "x", named_images([tmp_path / "a.png"], [draw([(8, 8, 24, 24, 0)])]), [])
    detector = detector_of(cfg_text())
    for step in (1, 2, 3):
        film.shoot(step, detector)
    first, second, third = sorted((tmp_path / "watch").glob("*.jpg"))
    first.unlink()
    second.write_bytes(b"cut")
    film.shoot(4, detector)
    page = (tmp_path / "watch" / "index.html").read_text()
    assert page.count(f"base64,{base64.b64encode(third.read_bytes()).decode()}") == 2  # step 4 looks the same
    assert page.count("<img") == 4 and "base64,Y3V0" not in page
    sheet = cv2.imread(str(tmp_path / "watch" / "film.png"))
    assert abs(int(sheet[81, 106].mean()) - 128) < 3  # the middle of the first frame


def test_a_damaged_record_is_no_strip_and_too_many_images_are_one_line(tmp_path):
    (tmp_path / "watch").mkdir()
    for content in ("", "{}", '{"images": [{}], "moments": []}', '{"images": [], "moments": [{"x": 1}]}'):
        (tmp_path / "watch" / "film.json").write_text(content)
        assert earlier_images(tmp_path) == [] and earlier_moments(tmp_path, 9) == []
    with pytest.raises(DatasetError, match="^found 13 images to watch, expected at most 12$"):
        named_images([tmp_path] * 13, [None] * 13)


def test_of_many_classes_the_legend_has_those_that_were_detected():
    names = [*(f"other {number}" for number in range(30)), "art", "cart"]
    moments = [FilmMoment(0, {"x": "other 3 0.91, cart 0.50"})]
    page = film_page("run", [], moments, names)
    assert re.findall("</span>(.+?)</li>", page) == ["other 3", "cart"]


def test_the_page_opens_in_a_browser_and_its_console_is_silent(tmp_path, opened):
    film = FilmStrip(tmp_path, "<b>x", named_images([tmp_path / "a<i>.png"], [draw([(8, 8, 24, 24, 0)])]), [])
    film.shoot(0, detector_of(cfg_text()))
    page, console = opened(tmp_path / "watch" / "index.html")
    assert console == [] and dict(page.starts)["html"]["data-ready"] == "yes"
    assert all(name in page.texts for name in NAMES)  # the legend of colors
    assert "a<i>" in page.texts and not any(tag == "i" for tag, _ in page.starts)
