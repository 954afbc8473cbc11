"""The page and the real service together: the sliders show the answers of the service for their values."""

import json

import cv2
import numpy as np
import pytest

from tests.helpers.browser import BROWSERS, Browser
from tests.helpers.served import served
from tests.helpers.tiny_data import NAMES, cfg_text, network_of
from yolo.detect.detector import Detector
from yolo.serve.app import make_app
from yolo.serve.http.access import Access
from yolo.serve.models import ServedModel

KEY = "a key of two words"
GREEDY = cfg_text().replace("[yolo]\n", "[yolo]\nnms_kind=greedynms\nbeta_nms=0.6\n")
MODELS = {"plain": (cfg_text(), False), "greedy": (GREEDY, False), "letterboxed": (GREEDY, True)}


@pytest.fixture(scope="module")
def client():
    models = []
    for name, (text, letterbox) in MODELS.items():
        detector = Detector(network_of(text, seed=1), NAMES, score_thresh=0.2, letterbox=letterbox)
        models.append(ServedModel(name, detector, "torch", "float32"))
    with served(make_app(models, access=Access(api_key=KEY))) as client:
        client.headers["X-API-Key"] = KEY
        yield client


@pytest.fixture
def browser(tmp_path, require_tool, client):
    with Browser(require_tool(*BROWSERS, package="chromium"), tmp_path / "profile") as opened:
        opened.open(str(client.base_url))
        opened.send("Input.insertText", text=KEY)
        opened.key("Enter")
        opened.until("state.model")
        yield opened


def rows_of(result):
    return sorted((each["class_id"], each["score"], *each["box"]) for each in result["detections"])


@pytest.mark.slow
def test_the_sliders_show_what_the_service_answers_with_their_values(browser, client, tmp_path):
    image = np.random.default_rng(3).integers(0, 256, (90, 200, 3), np.uint8)
    content = cv2.imencode(".png", image)[1].tobytes()
    (tmp_path / "noise.png").write_bytes(content)
    browser.choose_files("#files", tmp_path / "noise.png")
    counts = set()
    for name in MODELS:
        browser.run(f"at('model').value = '{name}'; at('model').dispatchEvent(new Event('change'))")
        browser.until("state.current.answer")
        for thresh, nms in ((0.02, 0.1), (0.2, 0.3), (0.25, 0.45), (0.3, 0.8), (0.02, 1.0)):
            browser.run(f"Object.assign(state, {{thresh: {thresh}, nms: {nms}}}); render()")
            shown = json.loads(browser.run("state.tab = 'json'; codeOf(state.current)"))
            query = {"model": name, "thresh": thresh, "nms": nms}
            answer = client.post("/detect", params=query, content=content).json()
            assert rows_of(shown["results"][0]) == rows_of(answer["results"][0]), query
            counts.add(len(shown["results"][0]["detections"]))
    assert len(counts) > 5
    assert browser.console == []


@pytest.mark.slow
def test_what_the_service_refuses_is_shown_in_its_words(browser, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    browser.choose_files("#files", tmp_path / "notes.txt")
    browser.until("!at('problem').hidden")
    assert browser.text("#problem-title") == "Not an image"
    assert browser.text("#problem-text").startswith("notes.txt: found 8 bytes")


def test_the_page_of_the_routes_lists_them_with_their_parameters(client):
    page = client.get("/docs").text
    for text in (
        "POST</span> <code>/detect</code>",
        "<code>image/png</code> requests",
        "<code>thresh</code>",
        "too late",
    ):
        assert text in page
    assert "\\n" not in page and "`" not in page.split("<body>")[1].split("<script>")[0]
