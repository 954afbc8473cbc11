"""A service that answers as a test says, for tests of the page: with boxes of its choice, and with every error."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from yolo.serve.page import service_page

MODEL = {
    "name": "drawn", "classes": ["circle", "square", "مربع"], "width": 160, "height": 128, "letterbox": False,
    "engine": "torch", "precision": "float32", "thresh": 0.25, "nms": 0.45, "diou_exponent": None,
}  # fmt: skip
TIMES = {"queue": 0.1, "decode": 1.2, "network": 20.0, "postprocess": 0.5}


@dataclass
class FakeService:
    """What the service says, and what it was asked.

    models: of `/models`. detect: (parameters of the address, body) → (status, answer, headers). key: asked for as
    X-API-Key. frames: JPEG images of `/stream`. asked: the paths and parameters of all requests, in their order.
    """

    detect: object = None
    models: list = field(default_factory=lambda: [MODEL])
    key: str | None = None
    most_bytes: int = 10**6
    frames: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    address: str = ""

    def posts(self) -> list[dict]:
        """The parameters of the requests for detections."""
        return [query for path, query in self.asked if path == "/detect"]


def answer_of(detections: list[tuple[int, float, list[float]]], size: tuple[int, int], names=MODEL["classes"]) -> dict:
    """The answer of `/detect`; detections: (label, score, box); size: (width, height)."""
    rows = [{"label": names[label], "class_id": label, "score": score, "box": box} for label, score, box in detections]
    result = {"name": None, "width": size[0], "height": size[1], "detections": rows}
    return {"model": MODEL["name"], "results": [result], "time_ms": TIMES}


def start(service: FakeService) -> ThreadingHTTPServer:
    """Start to answer on a free port of loopback; sets `service.address`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            """Say nothing."""

        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            path, query = self._asked()
            if path == "/":
                page = service_page(service.most_bytes, service.key is not None, bool(service.frames))
                self._send(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})
            elif path == "/health":
                self._send(200, b"{}")
            elif self._refused():
                pass
            elif path == "/models":
                self._send(200, json.dumps({"models": service.models}).encode())
            elif path == "/stream/stats":
                self._send(200, json.dumps({"frames_per_s": 12.5, "frames": 1234, "source": "<b>yard</b>"}).encode())
            elif path == "/stream":
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.send_header("Connection", "close")
                self.end_headers()
                for frame in service.frames:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame)}\r\n\r\n"
                    self.wfile.write(head.encode() + frame + b"\r\n")
                    self.wfile.flush()
                self.close_connection = True
            else:
                self._send(404, b'{"error": "no such page"}')

        def do_POST(self) -> None:  # noqa: N802
            _, query = self._asked()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self._refused():
                status, answer, headers = service.detect(query, body)
                self._send(status, json.dumps(answer).encode(), headers)

        def _asked(self) -> tuple[str, dict]:
            parts = urlparse(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            service.asked.append((parts.path, query))
            return parts.path, query

        def _refused(self) -> bool:
            wrong = service.key is not None and self.headers.get("X-API-Key") != service.key
            if wrong:
                self._send(401, b'{"error": "found no API key or a wrong one"}')
            return wrong

        def _send(self, status: int, content: bytes, headers: dict | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    service.address = f"http://127.0.0.1:{server.server_port}/"
    return server
