"""The routes of the service: their answers and their errors."""

import gc
import socket
import struct
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice

import cv2
import httpx
import numpy as np
import pytest

from tests.helpers.served import served
from tests.helpers.tiny_data import NAMES, cfg_text, network_of
from yolo.detect.detector import Detector
from yolo.engines.choose import FastestMaps
from yolo.serve import routes
from yolo.serve.app import make_app
from yolo.serve.http.access import Access, allowed_hosts
from yolo.serve.limits import Limits
from yolo.serve.live import LiveVideo
from yolo.serve.models import ServedModel

LIMITS = replace(Limits(), body_bytes=100_000, pixels=200_000, images=3, read_seconds=0.5)
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def detector():
    return Detector(network_of(cfg_text(), seed=1), NAMES, score_thresh=0.1)


@pytest.fixture(scope="module")
def gray():
    return Detector(network_of(cfg_text(channels=1), seed=2), ("one", "two"), score_thresh=0.1, letterbox=True)


@pytest.fixture(scope="module")
def models(detector, gray):
    return [ServedModel("tiny", detector, "torch", "float32"), ServedModel("gray", gray, "torch", "float32")]


@pytest.fixture(scope="module")
def client(models):
    with served(make_app(models, LIMITS, Access(hosts=allowed_hosts("127.0.0.1", [])))) as client:
        yield client


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def file_of(image, ending=".png"):
    return cv2.imencode(ending, image[..., ::-1])[1].tobytes()


def test_the_answer_is_what_the_detector_finds(client, detector, image):
    answer = client.post("/detect", content=file_of(image)).json()
    expected = detector(image)
    (result,) = answer["results"]
    assert (answer["model"], result["name"], result["width"], result["height"]) == ("tiny", None, 80, 60)
    assert len(expected) == len(result["detections"]) > 0
    for row, box, score, label in zip(
        result["detections"], expected.boxes.tolist(), expected.scores.tolist(), expected.labels.tolist(), strict=True
    ):
        assert (row["class_id"], row["label"]) == (label, NAMES[label])
        assert row["score"] == pytest.approx(score, abs=1e-5) and row["box"] == pytest.approx(
            box, abs=1e-4
        )  # enough for NMS by the client
    assert set(answer["time_ms"]) == {"queue", "decode", "network", "postprocess"}


def test_the_drawn_image_is_the_image_with_its_boxes(client, detector, image):
    answer = client.post("/detect", content=file_of(image), headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(drawn, detector(image).draw(image, NAMES)) and not np.array_equal(drawn, image)


def test_a_form_of_several_files_is_answered_in_its_order_and_by_the_named_network(client, gray, image):
    files = [("a", ("one.png", file_of(image))), ("b", ("../../etc/two.bmp", file_of(image[:40], ".bmp")))]
    answer = client.post("/detect?model=gray&thresh=.2&nms=off&max=3", files=files).json()
    assert answer["model"] == "gray"
    assert [(each["name"], each["height"]) for each in answer["results"]] == [
        ("one.png", 60),
        ("../../etc/two.bmp", 40),
    ]
    for result in answer["results"]:
        scores = [row["score"] for row in result["detections"]]
        assert 0 < len(scores) <= 3 and min(scores) > 0.2 and scores == sorted(scores, reverse=True)


def test_a_chunked_body_is_read_as_it_comes(client, image):
    content = file_of(image)
    chunks = (content[start : start + 1000] for start in range(0, len(content), 1000))
    whole = client.post("/detect", content=content).json()["results"]
    assert client.post("/detect", content=chunks).json()["results"] == whole


@pytest.mark.parametrize(("accept", "start"), [("image/jpeg", b"\xff\xd8"), ("text/html, image/png;q=.9", b"\x89PNG")])
def test_the_drawn_image_is_the_detectors_drawing(client, detector, image, accept, start):
    answer = client.post("/detect", content=file_of(image), headers={"Accept": accept})
    assert answer.content.startswith(start) and answer.headers["content-type"] in accept
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    expected = detector(image).draw(image, NAMES)
    assert np.abs(drawn.astype(int) - expected).mean() < (0.5 if "png" in accept else 20)


def test_an_image_that_no_jpeg_can_hold_is_drawn_as_png_only(client):
    content = file_of(np.zeros((2, 65_501, 3), np.uint8))
    answer = client.post("/detect", content=content, headers={"Accept": "image/jpeg"})
    assert answer.status_code == 413 and "65501 x 2" in answer.json()["error"]
    assert client.post("/detect", content=content, headers={"Accept": "image/png"}).status_code == 200


def test_a_camera_that_was_held_upright_is_turned_as_everywhere(client, image):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    content = file_of(image, ".jpg")
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]
    (result,) = client.post("/detect", content=content).json()["results"]
    assert (result["width"], result["height"]) == (60, 80)


def bomb():
    content = bytearray(file_of(np.zeros((8, 8, 3), np.uint8), ".jpg"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 30000, 30000)
    return bytes(content)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status"),
    [
        ("/detect", b"", {}, 400),
        ("/detect", b"--b--\r\n", FORM, 400),
        ("/detect", b"--b\r\nContent-Disp", FORM, 400),
        ("/detect", b"x" * 100_001, {}, 413),
        ("/detect", bomb(), {}, 413),
        ("/detect", b"GIF89a" + bytes(100), {}, 415),
        ("/detect", b"<svg/>", {"Content-Type": "image/jpeg"}, 415),
        ("/detect", b"RIFF\0\0\0\0AVI ", {}, 415),
        ("/detect", b"\xff\xd8\xff\xe0" + bytes(50), {}, 422),
        ("/detect", b"\x89PNG\r\n\x1a\n" + bytes(50), {}, 422),
        ("/detect", b"\xff\xd8" + b"\xff\xda\0\x02" * 101, {}, 422),
        ("/detect?model=other", b"x", {}, 422),
        ("/detect?model=../tiny", b"x", {}, 422),
        ("/detect?thresh=nan", b"x", {}, 422),
        ("/detect?thresh=0", b"x", {}, 422),
        ("/detect?thresh=1e999", b"x", {}, 422),
        ("/detect?nms=1.5", b"x", {}, 422),
        ("/detect?max=0", b"x", {}, 422),
        ("/detect?max=-1", b"x", {}, 422),
        ("/detect?max=%D9%A3", b"x", {}, 422),
        ("/nothing", b"x", {}, 404),
        ("/models", b"x", {}, 405),
        ("/detect", b"x", {"Host": "evil.example"}, 421),
        ("/detect", b"x", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
    ],
)
def test_what_cannot_be_answered_is_one_line_with_its_status(client, path, content, headers, status):
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and len(answer.json()["error"].splitlines()) == 1


def test_the_live_video_is_a_row_of_jpegs_with_its_speed(detector, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(file_of(np.full((60, 80, 3), 80 * number, np.uint8)))
    app = make_app(
        [ServedModel("tiny", detector, "torch", "float32")], replace(LIMITS, viewers=1), stream=f"{tmp_path}/%d.png"
    )
    with served(app) as client:
        with client.stream("GET", "/stream") as answer:
            assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
            assert client.get("/stream").status_code == 503
            content = b""
            for piece in answer.iter_raw():
                content += piece
                if content.count(b"--frame") > 2:
                    break
        head, _, rest = content.partition(b"\r\n\r\n")
        length = int(head.rpartition(b": ")[2])
        frame = cv2.imdecode(np.frombuffer(rest[:length], np.uint8), cv2.IMREAD_COLOR)
        assert head.startswith(b"--frame\r\nContent-Type: image/jpeg") and frame.shape == (60, 80, 3)
        stats = client.get("/stream/stats").json()
        assert stats["source"] == "%d.png" and stats["frames"] >= 2 and stats["error"] is None
        wait_until(lambda: client.get("/stream/stats").json()["viewers"] == 0)


def test_viewers_who_come_at_the_same_moment_are_counted(detector, tmp_path):
    (tmp_path / "0.png").write_bytes(file_of(np.zeros((60, 80, 3), np.uint8)))
    limits = replace(LIMITS, viewers=1)
    app = make_app([ServedModel("tiny", detector, "torch", "float32")], limits, stream=f"{tmp_path}/%d.png")
    with served(app) as client, ExitStack() as stack:
        address = client.base_url.host, client.base_url.port
        viewers = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(8)]
        for viewer in viewers:
            viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        statuses = sorted(viewer.recv(12) for viewer in viewers)
    assert statuses == [b"HTTP/1.1 200"] + [b"HTTP/1.1 503"] * 7


def test_a_viewer_sees_no_frame_from_before_it_came(detector, tmp_path):
    (tmp_path / "0.png").write_bytes(file_of(np.zeros((60, 80, 3), np.uint8)))
    strict = Detector(detector.network, NAMES, score_thresh=0.999)  # without boxes
    app = make_app([ServedModel("tiny", strict, "torch", "float32")], LIMITS, stream=f"{tmp_path}/%d.png")
    with served(app) as client:
        for level in (0, 255):
            wait_until(lambda: client.get("/stream/stats").json()["viewers"] == 0)
            (tmp_path / "0.png").write_bytes(file_of(np.full((60, 80, 3), level, np.uint8)))
            before = client.get("/stream/stats").json()["frames"]
            wait_until(lambda: client.get("/stream/stats").json()["frames"] > before + 1)  # noqa: B023
            with client.stream("GET", "/stream") as answer:
                content = b"".join(islice(answer.iter_raw(), 1))
            rest = content.partition(b"\r\n\r\n")[2]
            frame = cv2.imdecode(np.frombuffer(rest, np.uint8), cv2.IMREAD_COLOR)
            assert abs(int(np.median(frame)) - level) < 20


def test_a_viewer_that_reads_nothing_gives_its_place_to_others(detector, tmp_path, monkeypatch):
    monkeypatch.setattr("yolo.serve.http.guard.STUCK_SECONDS", 0.2)
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    for number in range(10):
        (tmp_path / f"{number}.bmp").write_bytes(file_of(noise, ".bmp"))
    limits = replace(LIMITS, viewers=1)
    app = make_app([ServedModel("tiny", detector, "torch", "float32")], limits, stream=f"{tmp_path}/%d.bmp")
    gc.disable()
    try:
        with served(app) as client, socket.socket() as viewer:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            viewer.connect((client.base_url.host, client.base_url.port))
            viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: client.get("/stream/stats").json()["viewers"] == 1)
            wait_until(lambda: client.get("/stream/stats").json()["viewers"] == 0)
            with client.stream("GET", "/stream") as answer:
                assert answer.status_code == 200
            viewer.close()
    finally:
        gc.enable()


def test_the_thread_of_the_video_has_ended_when_the_service_has(detector, tmp_path, monkeypatch):
    """Python aborts, with status 134, if a thread computes while it exits."""
    (tmp_path / "0.png").write_bytes(file_of(np.zeros((60, 80, 3), np.uint8)))
    begun = threading.Event()
    monkeypatch.setattr(LiveVideo, "_show", lambda _video, _frame: (begun.set(), time.sleep(0.5)))
    with served(make_app([ServedModel("tiny", detector, "torch", "float32")], LIMITS, stream=f"{tmp_path}/%d.png")):
        assert begun.wait(10)
    assert "video" not in [each.name for each in threading.enumerate()]


def test_every_answer_has_the_headers_that_keep_browsers_safe(client):
    for path in ("/", "/detect", "/models", "/nothing", "/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_a_truncated_image_is_refused_and_not_half_seen(client, image):
    content = file_of(np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8), ".jpg")
    answer = client.post("/detect", files={"a": ("cut.jpg", content[: len(content) // 2])})
    assert answer.status_code == 422 and answer.json()["error"].startswith("cut.jpg: found")


def test_more_images_than_allowed_are_refused(client, image):
    files = [("a", (f"{number}.png", file_of(image))) for number in range(4)]
    assert client.post("/detect", files=files).status_code == 413
    answer = client.post("/detect", files=files[:2], headers={"Accept": "image/png"})
    assert answer.status_code == 400


def test_deepstack_clients_are_answered_as_they_expect(client, detector, image):
    expected = detector(image)
    files = {"image": ("image", file_of(image))}
    answer = client.post("/v1/vision/detection", files=files, data={"min_confidence": "0.1"}).json()
    assert answer["success"] is True and len(answer["predictions"]) == len(expected) > 0
    assert answer["predictions"][0]["confidence"] == pytest.approx(expected.scores[0].item(), abs=1e-5)
    fewer = client.post("/v1/vision/detection", files=files).json()["predictions"]
    assert len(fewer) == int((expected.scores > 0.4).sum())
    one = client.post("/v1/vision/custom/gray?max=1", files=files, data={"min_confidence": "0"}).json()
    assert [each["label"] in ("one", "two") for each in one["predictions"]] == [True]
    for method in ("GET", "POST"):
        assert client.request(method, "/v1/vision/custom/list").json()["models"] == ["tiny", "gray"]


@pytest.mark.parametrize(
    ("path", "files", "status", "line"),
    [
        ("/v1/vision/detection", {"other": ("a", b"x")}, 400, "No valid image file found"),
        ("/v1/vision/detection", {"image": ("a", b"x")}, 400, "invalid image file"),
        ("/v1/vision/custom/none", {"image": ("a", b"x")}, 404, "no model of this name"),
        ("/v1/vision/detection?model=none", {"image": ("a", b"x")}, 404, "no model of this name"),
        (
            "/v1/vision/detection?max=all",
            {"image": ("a", b"x")},
            400,
            "max: found 'all', expected a whole number from 1 on",
        ),
        ("/v1/vision/face/recognize", {"image": ("a", b"x")}, 403, "Face endpoints not activated"),
    ],
)
def test_deepstacks_errors_have_the_form_of_its_server(client, path, files, status, line):
    answer = client.post(path, files=files)
    assert (answer.status_code, answer.json()) == (status, {"success": False, "error": line, "duration": 0})


def test_the_key_is_asked_for_everywhere_but_on_the_page(models, image):
    with served(make_app(models[:1], LIMITS, Access("secret"))) as client:
        assert [client.get(path).status_code for path in ("/", "/health", "/ready", "/docs")] == [200] * 4
        assert [client.get(path).status_code for path in ("/models", "/metrics", "/nothing")] == [401] * 3
        assert client.post("/detect", content=file_of(image)).status_code == 401
        assert client.post("/detect", content=file_of(image), headers={"X-API-Key": "secret"}).status_code == 200
        files = {"image": ("image", file_of(image))}
        for key, status in (("secret", 200), ("wrong", 401), ("", 401)):
            for path in ("detection", "custom/list", "custom/tiny"):
                assert client.post(f"/v1/vision/{path}", files=files, data={"api_key": key}).status_code == status
        for path in ("custom/other", "detection?model=other", "detection?max=x"):  # the key comes first
            assert client.post(f"/v1/vision/{path}", files=files).status_code == 401
        assert client.get("/v1/vision/custom/list").status_code == 401
        assert client.get("/v1/status/ping").json() == {"success": True}
        assert client.get("/v1/status/updateavailable").json()["updateAvailable"] is False


def test_people_and_prometheus_can_read_the_state(client, models, image):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.post("/detect", content=file_of(image)).status_code == 200
    listed = client.get("/models").json()["models"]
    assert [each["name"] for each in listed] == ["tiny", "gray"] and listed[1]["letterbox"] is True
    assert listed[0]["classes"] == list(NAMES) and (listed[0]["width"], listed[0]["height"]) == (64, 48)
    text = client.get("/metrics").text
    assert 'yolo_requests_total{route="/health",status="200"}' in text
    assert 'yolo_batch_size_count{model="tiny"}' in text and 'yolo_queue_depth{model="gray"} 0' in text
    assert "yolo_images_held 0" in text and "yolo_body_bytes 0" in text
    assert "/detect" in client.get("/openapi.json").json()["paths"] and "thresh" in client.get("/docs").text


def test_the_engine_that_auto_has_chosen_is_reported(detector):
    auto = FastestMaps(detector.network, "float32", lambda _: detector.engine)
    model = ServedModel("tiny", Detector(detector.network, NAMES, engine=auto), "auto", "float32")
    assert model.description()["engine"] == "auto"
    auto.chosen = {(48, 64, 1, 2): "torch", (48, 64, 2, 1): "openvino", (48, 64, 2, 2): "openvino"}
    assert model.description()["engine"] == "auto: openvino, torch"


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/models", "/metrics", "/docs"])
def test_monitors_may_ask_for_the_head_alone(client, path):
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == client.get(path).headers["content-type"]
    assert client.head("/detect").status_code == 405


def test_a_request_that_two_servers_could_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(client):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=5) as connection:
        head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"0\r\n\r\nGET /models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1 ") == 1


def test_a_request_whose_rest_is_no_http_is_no_traceback(client, caplog):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=5) as connection:
        head = b"POST /nothing HTTP/1.1\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"-5\r\nabc\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert "Traceback" not in caplog.text and client.get("/health").status_code == 200


def test_a_path_is_logged_as_it_was_sent_and_without_its_key(detector, caplog):
    caplog.set_level("INFO")
    models = [ServedModel("tiny", detector, "torch", "float32")]
    with served(make_app(models, LIMITS, log_requests=True)) as client:
        client.get("/x%0d%0a127.0.0.1%20GET%20/forged%20200?api_key=secret")
    (line,) = (each.message for each in caplog.records if "guard" in each.name and "/x" in each.message)
    assert line.startswith("127.0.0.1 GET /x%0d%0a127.0.0.1%20GET%20/forged%20200 404 ")
    assert "secret" not in line


def test_a_mistake_of_ours_is_one_line_too(detector, image, monkeypatch, caplog):
    monkeypatch.setattr("yolo.serve.routes.json_answer", lambda *_: 1 / 0)
    with served(make_app([ServedModel("tiny", detector, "torch", "float32")], LIMITS)) as client:
        answer = client.post("/detect", content=file_of(image))
        assert (answer.status_code, answer.json()) == (
            500,
            {"error": "the service made a mistake, which is in its log"},
        )
        metrics = httpx.get(f"{client.base_url}/metrics", trust_env=False).text  # the old connection is closed
        assert "yolo_images_held 0" in metrics
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(("few", "thread"), [(0, "decode"), (10_000, "Thread")])
def test_an_answer_with_many_boxes_is_built_outside_of_the_event_loop(detector, image, monkeypatch, few, thread):
    names = []
    build = routes.json_answer
    monkeypatch.setattr(routes, "FEW_BOXES", few)
    monkeypatch.setattr(
        routes, "json_answer", lambda *given: names.append(threading.current_thread().name) or build(*given)
    )
    with served(make_app([ServedModel("tiny", detector, "torch", "float32")], LIMITS)) as client:
        (result,) = client.post("/detect", content=file_of(image)).json()["results"]
    assert len(result["detections"]) == len(detector(image)) > 0 and names[0].startswith(thread)


class SlowEngine:
    """An engine that waits until it is opened."""

    def __init__(self, engine):
        self.engine, self.open = engine, threading.Event()

    def __call__(self, images):
        self.open.wait(10)
        return self.engine(images)


@pytest.fixture
def slow(detector):
    made = Detector(detector.network, NAMES, score_thresh=0.1)
    made.engine = SlowEngine(detector.engine)
    made.engine.open.set()
    yield made
    made.engine.open.set()


def held(client):
    text = client.get("/metrics").text
    return int(text.split("\nyolo_images_held ")[1].split("\n")[0])


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_full_service_has_a_retry_time_and_answers_each_accepted_request(slow, image):
    limits = replace(LIMITS, waiting=2)
    content = file_of(image)
    answers = []
    with served(make_app([ServedModel("slow", slow, "torch", "float32")], limits)) as client:
        slow.engine.open.clear()
        asking = [
            threading.Thread(target=lambda: answers.append(client.post("/detect", content=content))) for _ in "ab"
        ]
        for thread in asking:
            thread.start()
        wait_until(lambda: held(client) == 2)
        refused = client.post("/detect", content=content)
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        slow.engine.open.set()
        for thread in asking:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200] and held(client) == 0


def test_an_answer_that_would_come_too_late_is_504_and_a_client_that_goes_frees_its_place(slow, image):
    limits = replace(LIMITS, answer_seconds=0.3)
    with served(make_app([ServedModel("slow", slow, "torch", "float32")], limits)) as client:
        slow.engine.open.clear()
        assert client.post("/detect", content=file_of(image)).status_code == 504
        wait_until(lambda: held(client) == 0)
        content = file_of(image)
        with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
            head = f"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content)
            wait_until(lambda: held(client) == 1)
        wait_until(lambda: held(client) == 0)
        assert 'route="/detect",status="499"' in client.get("/metrics").text
        slow.engine.open.set()


def test_a_service_that_stops_answers_what_it_has_accepted(slow, image):
    answers = []
    with served(make_app([ServedModel("slow", slow, "torch", "float32")], LIMITS)) as client:
        slow.engine.open.clear()
        address = f"{client.base_url}/detect"
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(address, content=file_of(image), trust_env=False))
        )
        asking.start()
        wait_until(lambda: held(client) == 1)
        threading.Timer(0.3, slow.engine.open.set).start()
    asking.join()
    assert [answer.status_code for answer in answers] == [200]
