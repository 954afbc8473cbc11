"""The page of the service in headless Chromium, driven as a user would: mouse, keys, files, camera.

The service is a fake that answers what a test sets; tests/serve/test_page_with_service.py uses the real one. Needs
Debian's package `chromium` or another Chromium; nothing is fetched.
"""

import json
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.browser import BROWSERS, CAMERA, NO_CAMERA, Browser
from tests.helpers.fake_service import MODEL, FakeService, answer_of, start
from yolo.detect.draw import class_color, draw_detections, text_color
from yolo.detect.nms import nms
from yolo.letterbox import letterboxed, stretched, to_image

HOSTILE = "\"'><img src=x onerror=\"document.title='taken'\">"
SIZE = (640, 480)  # width, height
# Two circles that overlap by 0.6, one square, and one square that only a low threshold shows.
FOUND = [
    (0, 0.9, [100.0, 100.0, 200.0, 200.0]),
    (0, 0.8, [125.0, 100.0, 225.0, 200.0]),
    (1, 0.7, [300.0, 50.0, 420.0, 170.0]),
    (1, 0.1, [10.0, 300.0, 60.0, 380.0]),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory, require_tool):
    program = require_tool(*BROWSERS, package="chromium")
    with Browser(program, tmp_path_factory.mktemp("profile"), *CAMERA) as opened:
        yield opened


@pytest.fixture
def service():
    """A service that finds FOUND in everything; the test changes what it likes."""
    fake = FakeService(detect=lambda query, body: (200, answer_of(FOUND, SIZE), {}))
    server = start(fake)
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser, service):
    """page(): open the page of the service, with an empty console and on a desktop."""

    def open_page():
        browser.open("about:blank")
        browser.console.clear()
        browser.show_as(1400, 900)
        browser.open(service.address)
        browser.until("state.model || !at('key-form').hidden || state.problem")
        return browser

    return open_page


@pytest.fixture
def photo(tmp_path):
    """photo(name) → the path of an image of SIZE."""

    def draw(name="photo.png"):
        image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        path = tmp_path / name
        path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
        return path

    return draw


def upload(browser, *paths):
    browser.choose_files("#files", *paths)
    browser.until("state.images.length && state.images.every(each => each.answer || each.problem)")
    browser.run("new Promise(requestAnimationFrame)")
    browser.run("render()")


def slide(browser, name, percent):
    browser.run(f"at('{name}').value = {percent}; at('{name}').dispatchEvent(new Event('input')); render()")


def color_at(browser, x, y):
    """The color of the layer of boxes at a point of the image, [red, green, blue, opacity]."""
    return browser.run(
        f"(() => {{ const c = at('boxes'); const copy = document.createElement('canvas'); copy.width = copy.height = 1;"
        f" const pen = copy.getContext('2d'); pen.drawImage(c, -Math.floor({x} / {SIZE[0]} * c.width),"
        f" -Math.floor({y} / {SIZE[1]} * c.height)); return [...pen.getImageData(0, 0, 1, 1).data]; }})()"
    )


def rows(browser):
    return browser.run("[...document.querySelectorAll('#found bdi')].map(e => e.textContent)")


def test_an_image_is_shown_with_its_boxes_and_the_sliders_need_no_new_request(page, service, photo):
    browser = page()
    upload(browser, photo())
    assert rows(browser) == ["circle", "square"]
    assert browser.text("#status") == "photo.png: 2 objects: 1 circle, 1 square"
    assert color_at(browser, 100.5, 150) == [*class_color(0), 255]  # the left edge of the first circle
    assert color_at(browser, 150, 150)[3] == 0  # inside nothing is drawn
    slide(browser, "nms", 70)
    assert rows(browser) == ["circle", "circle", "square"]
    slide(browser, "thresh", 5)
    assert rows(browser) == ["circle", "circle", "square", "square"]
    slide(browser, "thresh", 85)
    assert rows(browser) == ["circle"]
    slide(browser, "thresh", 5)
    browser.click("[data-class='0']")
    assert rows(browser) == ["square", "square"]
    assert browser.text("#status") == "photo.png: 2 objects: 2 square"  # what a screen reader says
    assert browser.run("[...document.querySelectorAll('.chip b')].map(e => e.textContent)") == ["2", "2"]
    shown = json.loads(browser.run("at('text').textContent"))
    assert [each["score"] for each in shown["results"][0]["detections"]] == [0.7, 0.1]
    assert service.posts() == [{"model": "drawn", "thresh": "0.02", "nms": "off", "max": "2000"}]
    assert browser.console == []


def test_a_click_counts_though_the_page_is_drawn_between_press_and_release(page, service, photo):
    """The camera and the first frame after a slider draw at any time."""
    browser = page()
    upload(browser, photo())
    browser.click("[data-class='1']")
    place = browser.run(
        "(b => [b.x + b.width / 2, b.y + b.height / 2])(at('classes').children[0].getBoundingClientRect())"
    )
    browser.mouse("mousePressed", *place)
    browser.run("render()")
    browser.mouse("mouseReleased", *place)
    assert browser.run("[...document.querySelectorAll('.chip')].map(e => e.ariaPressed)") == ["false", "false"]


def test_nms_keeps_the_boxes_that_python_keeps(page):
    browser = page()
    generator = np.random.default_rng(1)
    for exponent in (None, 0.6):
        corners = generator.uniform(0, 0.7, (400, 2))
        boxes = np.concatenate((corners, corners + generator.uniform(0.02, 0.3, (400, 2))), axis=1).astype(np.float32)
        boxes[::40, 2:] = boxes[::40, :2]  # empty ones
        scores = np.round(generator.uniform(0, 1, 400), 2).astype(np.float32)  # many are equal
        labels = generator.integers(0, 3, 400)
        for thresh in (0.0, 0.2, 0.45, 0.7, 1.0):
            expected = nms(*map(torch.from_numpy, (boxes, scores, labels)), thresh, exponent).tolist()
            given = [boxes.tolist(), scores.tolist(), labels.tolist(), thresh, exponent]
            assert browser.run(f"nms(...{json.dumps(given)})") == expected
            assert len(expected) < 400 or thresh > 0.5


def test_colors_and_the_frame_of_nms_are_pythons(page):
    browser = page()
    colors = browser.run("[...Array(100).keys()].map(label => [classColor(label), textColor(classColor(label))])")
    black_or_white = {(0, 0, 0): "#000", (255, 255, 255): "#fff"}
    assert colors == [[list(class_color(i)), black_or_white[text_color(class_color(i))]] for i in range(100)]
    unit = torch.tensor([[0.1, 0.2, 0.4, 0.7], [0.3, 0.3, 0.9, 0.8]])
    for letterbox, place in ((False, stretched), (True, letterboxed)):
        for width, height in ((640, 480), (100, 333), (1, 500)):
            boxes = to_image(unit, place((height, width), (128, 160))).tolist()
            model = json.dumps({"width": 160, "height": 128, "letterbox": letterbox})
            back = browser.run(f"inNetwork({json.dumps(boxes)}, {width}, {height}, {model})")
            shift = np.array(back) - unit.numpy()
            assert np.abs(shift - shift[0, [0, 1, 0, 1]]).max() < 1e-5


# The rest; what a default run leaves out is marked slow, as together they take longer.


@pytest.mark.slow
def test_lines_lie_where_python_draws_them(page):
    browser = page()
    boxes = [[100.4, 100.6, 200.5, 200.2], [300.0, 250.0, 480.7, 470.9], [560.2, 300.0, 700.0, 460.0]]
    found = [{"label": "x", "class_id": place, "score": 0.9, "box": box} for place, box in enumerate(boxes)]
    pixels = browser.run(f"""(() => {{
      const c = document.createElement('canvas'); [c.width, c.height] = {list(SIZE)}; const pen = c.getContext('2d');
      drawDetections(pen, {json.dumps(found)}, {list(SIZE)}, 7);
      const d = pen.getImageData(0, 0, c.width, c.height).data;
      return Array.from({{length: c.width * c.height}}, (_, place) => (d[4 * place + 3] ? 1 : 0)).join(''); }})()""")
    page_lines = np.array(list(pixels), int).reshape(SIZE[1], SIZE[0]) > 0
    blank = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    drawn = draw_detections(blank, np.array(boxes), np.full(3, 0.9), np.arange(3), ["x"] * 3).any(axis=2)
    for x1, y1, x2, y2 in np.array(boxes).astype(int):  # below the tags, which other fonts make larger or smaller
        part = np.s_[y1 + 30 : y2 + 6, x1 - 5 : x2 + 6]
        assert np.array_equal(page_lines[part], drawn[part]) and drawn[part].any()


def test_names_of_classes_and_files_are_text_in_any_script(page, service, photo):
    names = [HOSTILE, "مربع", "犬"]
    service.models = [{**MODEL, "name": HOSTILE, "classes": names}]
    service.detect = lambda query, body: (
        200,
        answer_of([(i, 0.9 - i / 10, FOUND[i][2]) for i in range(3)], SIZE, names),
        {},
    )
    browser = page()
    upload(browser, photo("<b>x</b>&amp;.png".replace("/", "⁄")))
    slide(browser, "nms", 100)
    assert rows(browser) == names
    assert browser.run("document.title") == "Detect · yolo-darknet"
    assert browser.run("document.querySelectorAll('img').length") == 1
    assert "<b>x<⁄b>&amp;.png" in browser.text("#status")
    assert browser.run("fitted(at('boxes').getContext('2d'), 'مربع', '80%', 1e4)") == "\u2068مربع\u2069 80%"
    assert browser.console == []


@pytest.mark.parametrize(
    ("status", "line", "title"),
    [
        (415, "found 5 bytes that are no image file", "Not an image"),
        (413, "found 90000 x 90000 pixels, expected fewer", "Too large"),
        (422, "found a JPEG that breaks off", "The service cannot use this"),
        (504, "the answer would come later than the deadline", "No answer in time"),
    ],
)
def test_the_line_of_a_refusal_is_shown(page, service, photo, status, line, title):
    service.detect = lambda query, body: (status, {"error": line}, {})
    browser = page()
    upload(browser, photo())
    assert browser.text("#problem-title") == title and browser.text("#problem-text") == line
    assert browser.run("at('alert').textContent") == f"{title}. {line}"
    assert browser.run("at('sheet').hidden && at('code').hidden && !at('problem').hidden")


@pytest.mark.slow
def test_a_file_that_is_too_large_is_not_sent(page, service, tmp_path):
    service.most_bytes = 1000
    (tmp_path / "big.jpg").write_bytes(bytes(2000))
    browser = page()
    upload(browser, tmp_path / "big.jpg")
    assert browser.text("#problem-text") == "big.jpg has 2 kB; the service takes at most 1 kB."
    assert service.posts() == [] and browser.console == []


@pytest.mark.slow
def test_the_page_asks_a_busy_service_again_after_its_retry_time(page, service, photo):
    answers = iter([(503, {"error": "found too many images"}, {"Retry-After": "1"})])
    good = service.detect
    service.detect = lambda query, body: next(answers, None) or good(query, body)
    browser = page()
    browser.choose_files("#files", photo())
    browser.until("at('status').textContent.startsWith('The service is busy. Trying again in 1 second')")
    browser.until("state.current.answer")
    assert len(service.posts()) == 2


def test_a_service_that_is_gone_is_reported_and_asked_again_on_demand(page, service, photo):
    browser = page()
    browser.send(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    upload(browser, photo())
    assert browser.text("#problem-title") == "The service does not answer"
    browser.send(
        "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    browser.click("#again")
    browser.until("state.current.answer && !at('sheet').hidden")
    assert rows(browser) == ["circle", "square"]


@pytest.mark.slow
def test_a_key_is_asked_for_and_kept_in_the_tab_alone(page, service, photo):
    service.key = "let me in"
    browser = page()
    assert browser.run("document.activeElement.id") == "key" and service.asked[-1][0] == "/"
    browser.send("Input.insertText", text="wrong")
    browser.key("Enter")
    browser.until("at('status').textContent.includes('a wrong one')")
    browser.send("Input.insertText", text="let me in")
    browser.key("Enter")
    browser.until("state.model")
    upload(browser, photo())
    assert rows(browser) == ["circle", "square"]
    assert browser.run("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
    browser.click("#tab-curl")
    assert "let me in" not in browser.text("#text") and "$YOLO_API_KEY" in browser.text("#text")


@pytest.mark.slow
def test_several_images_and_models_each_have_their_results(page, service, photo, tmp_path):
    service.models = [MODEL, {**MODEL, "name": "other", "thresh": 0.5}]
    other = [(2, 0.99, [0.0, 0.0, 50.0, 50.0])]
    service.detect = lambda query, body: (
        (415, {"error": "found no image"}, {})
        if body == b"text"
        else (200, answer_of(other if query["model"] == "other" else FOUND, SIZE), {})
    )
    (tmp_path / "notes.txt").write_bytes(b"text")
    browser = page()
    upload(browser, photo("a.png"), tmp_path / "notes.txt", photo("b.png"))
    assert browser.run("[...document.querySelectorAll('#strip b')].map(e => e.textContent)") == ["2", "!", "2"]
    browser.click("#strip li:nth-child(2) button")
    assert browser.text("#problem-title") == "Not an image"
    browser.click("#strip li:nth-child(3) button")
    assert browser.run("state.current.name") == "b.png" and rows(browser) == ["circle", "square"]
    browser.run("at('model').value = 'other'; at('model').dispatchEvent(new Event('change'))")
    browser.until("state.current.answer && state.current.answer.detections.length === 1")
    assert Counter(query["model"] for query in service.posts()) == {"drawn": 3, "other": 3}
    assert "model=other" in browser.run("location.hash")
    browser.click("#clear")
    assert browser.run("state.images.length === 0 && !at('drop').hidden")


@pytest.mark.slow
def test_a_link_opens_the_page_with_its_settings(page, service):
    service.models = [MODEL, {**MODEL, "name": "other"}]
    browser = page()
    browser.run("location.hash = '#model=other&thresh=0.6&nms=0.3'")
    browser.until("state.model.name === 'other'")
    assert browser.run("[state.thresh, state.nms]") == [0.6, 0.3]
    browser.run("location.hash = '#model=<b>&thresh=7&nms=x'")
    browser.until("state.model.name === 'drawn'")
    assert browser.run("[state.thresh, state.nms]") == [0.25, 0.45]


@pytest.mark.slow
def test_dropped_and_pasted_images_are_sent(page, service, photo):
    browser = page()
    browser.drop_files(500, 300, photo("dropped.png"))
    browser.until("state.images.length === 1 && state.images[0].answer")
    browser.run(
        "(async () => { const c = document.createElement('canvas'); c.width = c.height = 9;"
        " const blob = await new Promise(done => c.toBlob(done)); const data = new DataTransfer();"
        " data.items.add(new File([blob], 'image.png', {type: 'image/png'}));"
        " dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true})); })()"
    )
    browser.until("state.images.length === 2 && state.images[1].answer")
    assert len(service.posts()) == 2 and browser.console == []


@pytest.mark.slow
def test_a_photo_with_an_orientation_is_upright_under_its_boxes(page, service, tmp_path):
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, :60] = (0, 0, 255)  # stored: red on the left; orientation 6 turns it to the top
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    service.detect = lambda query, body: (200, answer_of([(0, 0.9, [5.0, 5.0, 55.0, 55.0])], (60, 120)), {})
    browser = page()
    upload(browser, path)
    assert browser.run("[at('photo').naturalWidth, at('photo').naturalHeight]") == [60, 120]
    width, height = browser.run("[at('sheet').clientWidth, at('sheet').clientHeight]")
    assert abs(height / width - 2) < 0.02
    top = browser.run("""(() => {
      const c = document.createElement('canvas'); c.width = 60; c.height = 120;
      const pen = c.getContext('2d'); pen.drawImage(at('photo'), 0, 0);
      return [pen.getImageData(30, 30, 1, 1).data[0], pen.getImageData(30, 90, 1, 1).data[0]]; })()""")
    assert top[0] > 200 and top[1] < 60


@pytest.mark.slow
def test_an_image_that_the_browser_cannot_show_has_its_boxes_all_the_same(page, service, tmp_path):
    path = tmp_path / "scan.tif"
    path.write_bytes(cv2.imencode(".tif", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    browser = page()
    upload(browser, path)
    browser.until("!at('blind').hidden")
    assert rows(browser) == ["circle", "square"] and color_at(browser, 100.5, 150)[3] == 255


@pytest.mark.slow
def test_a_detection_in_the_list_is_highlighted_in_the_image(page, photo):
    browser = page()
    upload(browser, photo())
    assert color_at(browser, 5, 5)[3] == 0
    browser.run("document.querySelector('[data-row=\"1\"]').focus()")
    assert browser.run("state.marked.label") == "square"
    assert color_at(browser, 5, 5)[3] > 100  # the rest of the image is darker
    browser.key("ArrowUp")
    assert browser.run("state.marked.label") == "circle"
    browser.run("document.activeElement.blur()")
    assert browser.run("state.marked") is None
    x, y = browser.run("(b => [b.x + b.width * .55, b.y + b.height * .2])(at('boxes').getBoundingClientRect())")
    browser.mouse("mouseMoved", x, y)  # inside the square
    assert browser.run("document.querySelector('.row.marked bdi').textContent") == "square"


@pytest.mark.slow
def test_everything_is_reached_by_the_keyboard_and_has_a_name(page, photo):
    browser = page()
    upload(browser, photo("a.png"), photo("b.png"))
    reached = []
    for _ in range(40):
        browser.key("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.className"))
    expected = {"mode-images", "mode-camera", "add", "save", "clear", "thumb", "thresh", "nms", "chip", "all", "none",
                "row", "tab-json", "copy", "download", "text"}  # fmt: skip
    assert expected <= {name.split()[0] for name in reached if name}
    nameless = browser.run(
        "[...document.querySelectorAll('button, input, select, [role=img]')].filter(e => e.offsetParent"
        " && !(e.ariaLabel || e.labels && e.labels.length || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []
    browser.run("at('thresh').focus()")
    browser.key("ArrowRight")
    assert browser.run("state.thresh") == 0.26 and browser.run("at('thresh').ariaValueText") == "26%"
    browser.run("document.querySelector('.thumb').focus()")
    browser.key("Enter")  # such a click has no place: a tip is beside its button, or there is none
    shown = browser.run("(t => t.hidden ? null : t.getBoundingClientRect().top)(document.getElementById('tip'))")
    assert shown is None or shown > browser.run("document.querySelector('.thumb').getBoundingClientRect().top")
    browser.run("at('thresh').focus()")
    outline = browser.run("(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(at('thresh')))")
    assert outline == ["solid", 3]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1400])
def test_text_contrasts_and_nothing_is_wider_than_the_window(page, photo, width, dark):
    browser = page()
    browser.show_as(width, 800, dark=dark)
    upload(browser, photo("a.png"), photo("b.png"))
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    # WCAG 2.1 AA for small text, of every text against the first ground below it that is opaque
    poor = browser.run("""(() => {
      const parts = color => { const pen = document.createElement('canvas').getContext('2d'); pen.fillStyle = color;
        pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; };
      const light = color => parts(color).slice(0, 3).map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
      const ground = e => { while (e) { const color = getComputedStyle(e).backgroundColor;
        if (parts(color)[3] > 200) return color; e = e.parentElement; } return '#fff'; };
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const poor = [];
      while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !e.offsetParent || /script|style/i.test(e.tagName)) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
        if ((a + .05) / (b + .05) < 4.5) poor.push([e.outerHTML.slice(0, 80), (a + .05) / (b + .05)]);
      }
      return poor; })()""")
    assert poor == []


def test_the_camera_sends_frame_after_frame_until_it_is_stopped(page, service):
    service.detect = lambda query, body: (200, answer_of(FOUND, SIZE), {})
    browser = page()
    browser.click("#mode-camera")
    browser.click("#camera-start")
    browser.until("parseFloat(at('rate').textContent) > 0")
    assert rows(browser) == ["circle", "square"]
    assert browser.run("document.activeElement.id") == "camera-stop"
    browser.key("Enter")
    browser.until("!running && !at('lens').offsetParent")
    sent = len(service.posts())
    slide(browser, "nms", 70)
    assert rows(browser) == ["circle", "circle", "square"]  # the last frame stays
    assert len(service.posts()) == sent >= 2 and browser.console == []


@pytest.mark.slow
def test_a_service_that_fails_ends_the_camera_with_its_line(page, service):
    service.detect = lambda query, body: (500, {"error": "the network failed"}, {})
    browser = page()
    browser.click("#mode-camera")
    browser.click("#camera-start")
    browser.until("!at('problem').hidden")
    assert browser.text("#problem-text") == "the network failed"
    assert browser.run("running === null && at('camera-stop').hidden")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "title"),
    [
        ("new DOMException('', 'NotAllowedError')", "The camera is not allowed"),
        ("new DOMException('', 'NotFoundError')", "No camera found"),
        ("new DOMException('', 'NotReadableError')", "The camera cannot be used"),
        (None, "No camera on this address"),
    ],
)
def test_a_camera_that_cannot_be_used_is_explained(page, how, title):
    browser = page()
    there = "undefined" if how is None else f"{{getUserMedia: () => Promise.reject({how})}}"
    browser.run(f"Object.defineProperty(navigator, 'mediaDevices', {{value: {there}, configurable: true}})")
    browser.click("#mode-camera")
    browser.click("#camera-start")
    browser.until("!at('problem').hidden")
    assert browser.text("#problem-title") == title and browser.run("!at('again').hidden")


@pytest.mark.slow
def test_the_live_video_is_shown_with_its_rates_and_its_end_is_reported(page, service):
    frames = [np.full((120, 160, 3), shade, np.uint8) for shade in (60, 120, 180)]
    service.frames = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
    browser = page()
    browser.run(
        "window.seen = []; const before = drawFrame; drawFrame = (b, w, h) => { seen.push([w, h]); before(b, w, h); }"
    )
    browser.click("#mode-stream")
    browser.until("state.problem && at('live-rate').textContent === '12.5'")
    assert browser.text("#problem-title") == "The video ended"
    assert browser.run("seen[0]") == [160, 120]
    assert browser.text("#live-count") == "1,234" and browser.text("#live-source") == "<b>yard</b>"


@pytest.mark.slow
def test_the_parts_of_a_video_are_found_for_any_cut_of_its_bytes(page):
    browser = page()
    whole = browser.run("""(() => {
      const bytes = new TextEncoder().encode('--f\\r\\nContent-Length: 4\\r\\n\\r\\nab\\r\\n\\r\\n'
        + '--f\\r\\nContent-Type: x\\r\\n\\r\\ncde\\r\\n--f');
      const found = [];
      for (let cut = 1; cut < bytes.length; cut += 1) {
        let rest = new Uint8Array(0); let images = [];
        for (const piece of [bytes.slice(0, cut), bytes.slice(cut)]) {
          rest = joined(rest, piece);
          for (let part = firstPart(rest, '--f'); part; part = firstPart(rest, '--f')) {
            images.push(new TextDecoder().decode(part.image)); rest = part.rest;
          }
        }
        found.push(images.join('|'));
      }
      return [...new Set(found)]; })()""")
    assert whole == ["ab\r\n|cde"]


@pytest.mark.slow
def test_the_shown_requests_give_the_shown_detections(page, service, photo, tmp_path):
    def detect(query, body):
        kept = [FOUND[0], FOUND[2]] if query["nms"] == "0.45" else FOUND
        return 200, answer_of(kept, SIZE), {}

    service.detect = detect
    path = photo('it\'s $HOME "q".png')
    browser = page()
    upload(browser, path)
    shown = browser.run("JSON.stringify(visibleOf(state.current).map(each => each.box))")
    curl, python = (browser.run(f"selectTab('{name}'); codeOf(state.current)") for name in ("curl", "python"))
    done = subprocess.run(["sh", "-c", curl], cwd=tmp_path, capture_output=True, check=True)
    assert [each["box"] for each in json.loads(done.stdout)["results"][0]["detections"]] == json.loads(shown)
    script = tmp_path / "ask.py"
    script.write_text(python)
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert done.stdout.splitlines() == [f"{MODEL['classes'][i]} {s} {box}" for i, s, box in (FOUND[0], FOUND[2])]
    assert service.posts()[1:] == [{"model": "drawn", "thresh": "0.25", "nms": "0.45"}] * 2


@pytest.mark.slow
def test_json_and_the_image_with_boxes_are_saved(page, photo, tmp_path):
    browser = page()
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "down"))
    upload(browser, photo())
    browser.click("#download")
    browser.click("#save")
    saved = tmp_path / "down"
    browser.until("true")
    for name in ("photo.json", "photo-boxes.jpg"):
        wait_for(saved / name)
    assert len(json.loads((saved / "photo.json").read_text())["results"][0]["detections"]) == 2
    drawn = cv2.imread(str(saved / "photo-boxes.jpg"))
    assert drawn.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(drawn[150, 100, ::-1].astype(int) - class_color(0)).max() < 60  # JPEG mixes thin lines


def wait_for(path):
    end = time.monotonic() + 10
    while not (path.is_file() and path.stat().st_size):
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_browser_that_denies_the_camera_is_reported(service, tmp_path, require_tool):
    program = require_tool(*BROWSERS, package="chromium")
    with Browser(program, tmp_path, *NO_CAMERA) as browser:
        browser.open(service.address)
        browser.until("state.model")
        browser.click("#mode-camera")
        browser.click("#camera-start")
        browser.until("!at('problem').hidden")
        assert browser.text("#problem-title") == "The camera is not allowed"
