"""yolo.detect.sources.streams and camera: live sources from a server and a camera of the tests' own."""

import socket
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import cv2
import numpy as np
import pytest

from tests.helpers.tiny_videos import moving_square, write_video
from yolo.detect.sources.camera import camera_frames
from yolo.detect.sources.frame import Fault
from yolo.detect.sources.kinds import expand
from yolo.detect.sources.reader import Selection, read_sources
from yolo.detect.sources.streams import Patience, image_of_address, is_recording, shown_address, stream_frames
from yolo.errors import DatasetError

QUICK = Patience(timeout=5.0, retries=2, first_wait=0.01, longest_wait=0.02)


def jpeg(value):
    return cv2.imencode(".jpg", np.full((48, 64, 3), value, np.uint8))[1].tobytes()


class Handler(BaseHTTPRequestHandler):
    """/live: as MJPEG, `per_connection` images, for the first `connections` requests; other paths: `files`."""

    files: dict = {}
    per_connection = 5
    connections = 2
    says_length = True  # of `files`
    password = None  # user:password in base64
    asked = 0

    def reply(self):
        cls = type(self)
        if cls.password and self.headers.get("Authorization") != f"Basic {cls.password}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/live":
            cls.asked += 1
            if cls.asked > cls.connections:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(cls.per_connection):
                content = jpeg(20 * number)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                self.wfile.write(head.encode() + content + b"\r\n")
        elif self.path in cls.files:
            kind, content = cls.files[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            if cls.says_length:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_error(404)

    do_GET = reply  # the name that http.server calls  # noqa: N815

    def log_message(self, *_):
        pass


@contextmanager
def serving(files=None, **settings):
    handler = type("Served", (Handler,), {"files": files or {}, "asked": 0, **settings})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read(argument, **selection):
    sources = expand([argument])
    return list(read_sources(sources, 3, Selection(**selection), QUICK, Event()))


def test_a_stream_that_breaks_off_is_opened_again(caplog):
    with serving(connections=2) as url:
        frames = stream_frames(f"{url}/live", 3, Event(), QUICK)
        found = [next(frames) for _ in range(10)]
        with pytest.raises(DatasetError, match="opening it again failed 2 times"):
            next(frames)
    assert [frame.index for frame in found] == list(range(10))
    assert [round(frame.image.mean(), -1) for frame in found] == [0, 20, 40, 60, 80] * 2
    assert found[0].image.shape == (48, 64, 3)
    assert found[0].time == 0  # not the seconds of the connection, which a video with boxes would begin with
    assert all(a.time <= b.time for a, b in zip(found, found[1:], strict=False))
    assert f"{url}/live: Input/output error; opening it again in 0.01 s" in caplog.text
    assert "in 0.02 s" in caplog.text


def test_a_stream_that_never_was_there_is_an_error_at_once():
    with (
        serving(connections=0) as url,
        pytest.raises(DatasetError, match="live: .*Server Error|503|5XX"),
    ):
        next(stream_frames(f"{url}/live", 3, Event(), QUICK))


def test_stop_ends_a_stream_that_waits_to_be_opened_again():
    stop = Event()
    patience = Patience(timeout=5.0, retries=5, first_wait=60.0, longest_wait=60.0)
    with serving(connections=1, per_connection=3) as url:
        frames = stream_frames(f"{url}/live", 3, stop, patience)
        next(frames)
        ended = Thread(target=lambda: list(frames), daemon=True)
        ended.start()
        stop.set()
        ended.join(5)
        assert not ended.is_alive()


def test_waits_double_up_to_the_longest():
    patience = Patience(first_wait=1.0, longest_wait=5.0)
    assert [patience.wait(attempt) for attempt in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]


def test_a_live_address_is_read_until_enough_frames_came():
    with serving(connections=50) as url:
        found = read(f"{url}/live", max_frames=7)
    assert len(found) == 7 and all(frame.time is not None for frame in found)


def test_an_image_behind_an_address_is_an_image():
    with serving({"/a/dog.jpg": ("image/jpeg", jpeg(100))}) as url:
        (frame,) = read(f"{url}/a/dog.jpg")
        assert frame.source == f"{url}/a/dog.jpg" and frame.time is None
        assert abs(frame.image.mean() - 100) < 2
        assert image_of_address(f"{url}/a/dog.jpg", 5) == jpeg(100)


def test_an_image_is_known_by_its_bytes_where_the_server_does_not_name_it():
    page = b"<!DOCTYPE html><html>moved</html>"
    with serving({"/a": ("application/octet-stream", jpeg(100)), "/b": ("text/html", page)}) as url:
        (frame,) = read(f"{url}/a")
        assert abs(frame.image.mean() - 100) < 2
        assert read(f"{url}/b") == [Fault(f"{url}/b: found a web page, expected an image, a video or a stream")]


def test_an_image_without_a_length_ends_where_the_connection_does():
    content = jpeg(100)
    kind = "application/octet-stream"
    with serving({"/a": (kind, content), "/b": (kind, content + jpeg(50))}, says_length=False) as url:
        (frame,) = read(f"{url}/a")
        assert frame.time is None and abs(frame.image.mean() - 100) < 2
        assert image_of_address(f"{url}/a", 5) == content
        assert image_of_address(f"{url}/b", 5) is None  # a stream of images


def test_a_cameras_password_in_the_address_is_used_and_not_shown():
    secret = b64encode(b"me:p@ss").decode()
    with serving({"/dog.jpg": ("image/jpeg", jpeg(100))}, password=secret, connections=9) as url:
        address = url.replace("http://", "http://me:p%40ss@")
        (frame,) = read(f"{address}/dog.jpg")
        assert frame.source == f"{url}/dog.jpg"
        assert len(read(f"{address}/live", max_frames=3)) == 3
        (fault,) = read(f"{url.replace('http://', 'http://me:wrong@')}/dog.jpg")
        assert fault.message == f"{url}/dog.jpg: Unauthorized"


def test_a_server_of_whole_files_is_said_where_a_video_needs_parts(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 96, 96, 3), dtype=np.uint8)
    content = write_video(tmp_path / "a.mp4", noise).read_bytes()  # its index lies behind 300 kB of frames
    with serving({"/a.mp4": ("video/mp4", content)}) as url:
        (fault,) = read(f"{url}/a.mp4")
    expected = "Input/output error; if the server sends whole files only, as python -m http.server, download the video"
    assert fault.message == f"{url}/a.mp4: {expected} first"


def test_a_recording_behind_an_address_keeps_all_frames_and_times(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_square(6), rate=10)
    with serving({"/clip.mp4": ("video/mp4", path.read_bytes())}) as url:
        assert is_recording(f"{url}/clip.mp4", 5)
        found = read(f"{url}/clip.mp4")
    assert [frame.time for frame in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_addresses_that_cannot_be_read_are_one_line():
    with serving() as url:
        (fault,) = read(f"{url}/away.jpg")
        assert isinstance(fault, Fault) and fault.message == f"{url}/away.jpg: Not Found"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/a.jpg"
        (fault,) = read(address)
    assert "Connection refused" in fault.message


def test_passwords_are_not_printed():
    assert shown_address("rtsp://user:secret@host:554/live?x=1") == "rtsp://host:554/live?x=1"
    assert shown_address("http://host/a.jpg") == "http://host/a.jpg"


# ---------------------------------------------------------------------------------------------------------- cameras


class FakeCamera:
    """Two blue frames, then none."""

    def __init__(self, number):
        self.frames = 2 if number == 0 else 0
        self.isOpened = lambda: number == 0
        self.released = False

    def read(self):
        self.frames -= 1
        blue = np.zeros((4, 6, 3), np.uint8)
        blue[:, :, 0] = 200  # BGR
        return self.frames >= 0, blue

    def release(self):
        self.released = True


@pytest.fixture
def cameras(monkeypatch):
    made = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: made.append(FakeCamera(number)) or made[-1])
    return made


def test_a_camera_gives_rgb_frames_and_is_released(cameras):
    frames = camera_frames(0, 3, Event())
    found = [next(frames), next(frames)]
    with pytest.raises(DatasetError, match="camera 0: found no frame after 2 frames"):
        next(frames)
    assert [frame.source for frame in found] == ["camera 0"] * 2
    assert found[0].image[0, 0].tolist() == [0, 0, 200]
    assert cameras[0].released


def test_a_camera_that_is_not_there_is_one_line(cameras):
    (fault,) = read("7")
    assert fault == Fault("camera 7: found no camera of this number that can be opened")
    assert cameras[0].released


def test_a_camera_is_read_by_its_number(cameras):
    *found, fault = read("0")
    assert 1 <= len(found) <= 2 and isinstance(fault, Fault)
