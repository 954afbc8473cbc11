"""The service on its socket: it ends, whatever its clients do."""

import os
import signal
import socket
import threading
import time
from dataclasses import replace

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from yolo.errors import OutputError
from yolo.serve.http.access import Access
from yolo.serve.http.guard import Guard
from yolo.serve.http.server import listening_socket, run_app
from yolo.serve.limits import Limits
from yolo.serve.metrics import Metrics


def test_a_second_service_gets_no_port_that_the_first_one_will_use():
    with listening_socket("127.0.0.1", 0) as first, pytest.raises(OutputError, match="Address already in use"):
        listening_socket("127.0.0.1", first.getsockname()[1])


async def endless():
    while True:
        yield bytes(2**20)


def test_a_viewer_that_reads_nothing_is_no_traceback_and_does_not_keep_the_service_from_its_end(monkeypatch, caplog):
    monkeypatch.setattr("yolo.serve.http.guard.STUCK_SECONDS", 0.2)
    monkeypatch.setattr("yolo.serve.http.server.LOOK_AGAIN", 0.05)
    app = FastAPI()
    app.add_middleware(Guard, access=Access(), metrics=Metrics(), log_requests=False)
    app.get("/stream")(lambda: StreamingResponse(endless()))
    bound = listening_socket("127.0.0.1", 0)
    with socket.socket() as viewer:

        def look():
            viewer.connect(bound.getsockname())
            viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

        threading.Timer(20, viewer.close).start()  # so that the test ends where the service does not
        begun = time.monotonic()
        run_app(app, bound, replace(Limits(), idle_seconds=0.5), look)
        bound.close()
    assert time.monotonic() - begun < 10 and "Traceback" not in caplog.text
