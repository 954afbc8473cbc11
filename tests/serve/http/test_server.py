"""The service on its socket: it ends with any behavior of its clients."""

import asyncio
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from unittest.mock import Mock

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from uvicorn.server import ServerState

from yolo.errors import CfgError, OutputError
from yolo.serve.http.access import Access
from yolo.serve.http.guard import Guard
from yolo.serve.http.server import (
    BODY_READ_BYTES,
    READ_BYTES,
    RefusedConnections,
    SmallReads,
    listening_socket,
    most_connections,
    run_app,
    server_config,
)
from yolo.serve.limits import Limits
from yolo.serve.metrics import Metrics

LARGE = 2**24  # bytes of an answer, more than the system holds for a client that reads nothing


def test_a_second_service_gets_no_port_that_the_first_one_will_use():
    with listening_socket("127.0.0.1", 0) as first, pytest.raises(OutputError, match="Address already in use"):
        listening_socket("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ("Content-Length: 300000", BODY_READ_BYTES),
        ("Content-Length: 100000", 100_000 - 200),
        ("Content-Length: 100", READ_BYTES),
        ("Transfer-Encoding: chunked", READ_BYTES),
        ("Content-Length: 300000\r\nTransfer-Encoding: chunked", READ_BYTES),
    ],
)
def test_only_a_body_of_a_declared_length_is_read_in_large_pieces(lines, size):
    """Each chunk of a body costs 50 us, however small it is, and all that is read at once is worked off at once."""

    async def sizes():
        config = server_config(FastAPI())
        config.load()
        transport = Mock(get_extra_info=lambda *_: None)
        protocol = SmallReads(config, ServerState(), {})
        protocol.connection_made(transport)
        head = f"POST /detect HTTP/1.1\r\nHost: localhost\r\n{lines}\r\nX: ".encode()
        protocol.data_received(head.ljust(200 - 4, b"x") + b"\r\n\r\n")
        first = transport.max_size
        if "Transfer" not in lines:
            protocol.data_received(bytes(protocol._left + 200))  # noqa: SLF001
        return first, transport.max_size

    assert asyncio.run(sizes()) == (size, READ_BYTES)


async def endless():
    while True:
        yield bytes(2**20)


def test_a_viewer_that_reads_nothing_is_no_traceback_and_does_not_keep_the_service_from_its_end(monkeypatch, caplog):
    monkeypatch.setattr("yolo.serve.http.guard.STUCK_SECONDS", 0.2)
    monkeypatch.setattr("yolo.serve.http.server.LOOK_AGAIN", 0.05)
    app = FastAPI()
    app.state.fault = lambda: None
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


def test_a_service_that_stops_waits_for_whom_it_answers_and_not_for_whom_takes_nothing(monkeypatch):
    """The end came only when idle_seconds were over, 30 by default."""
    monkeypatch.setattr("yolo.serve.http.server.LOOK_AGAIN", 0.05)
    monkeypatch.setattr("yolo.serve.http.server.UNREAD_SECONDS", 0.3)
    app = FastAPI()
    app.state.fault = lambda: None
    app.get("/large")(lambda: Response(bytes(LARGE)))
    bound = listening_socket("127.0.0.1", 0)
    with socket.socket() as lazy, socket.socket() as reader:
        received = []

        def read():
            while part := reader.recv(2**16):
                received.append(len(part))
                time.sleep(0.002)

        reading = threading.Thread(target=read)

        def ask():
            for client in (lazy, reader):
                client.connect(bound.getsockname())
                client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
            reading.start()

        begun = time.monotonic()
        run_app(app, bound, Limits(), ask)
        assert time.monotonic() - begun < 10
        bound.close()
        reading.join(10)
    assert sum(received) > LARGE


def test_a_service_that_stops_does_not_wait_for_the_rest_of_a_body(monkeypatch):
    """A stranger who had sent half a body held it for --read-timeout, longer than `docker stop` waits."""
    monkeypatch.setattr("yolo.serve.http.server.LOOK_AGAIN", 0.05)
    monkeypatch.setattr("yolo.serve.http.server.UNREAD_SECONDS", 0.3)
    app = FastAPI()
    app.state.fault = lambda: None

    async def take(request: Request) -> Response:
        return Response(await request.body())

    async def compute() -> Response:
        await asyncio.sleep(1)  # longer than a body may take, but the request has been accepted
        return Response("done")

    app.post("/slow", response_model=None)(take)
    app.get("/compute", response_model=None)(compute)
    bound = listening_socket("127.0.0.1", 0)
    with socket.socket() as half, socket.socket() as whole:

        def ask():
            for client in (half, whole):
                client.connect(bound.getsockname())
            half.sendall(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
            whole.sendall(b"GET /compute HTTP/1.1\r\nHost: localhost\r\n\r\n")
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

        threading.Timer(20, half.close).start()  # so that the test ends where the service does not
        begun = time.monotonic()
        run_app(app, bound, Limits(), ask)
        assert time.monotonic() - begun < 10
        bound.close()
        assert whole.recv(2**16).endswith(b"done")


def test_a_service_whose_network_will_never_be_ready_ends_with_why():
    app = FastAPI()
    app.state.fault = lambda: "tiny: the network cannot be computed: no such kernel"
    with listening_socket("127.0.0.1", 0) as bound, pytest.raises(CfgError, match="tiny: .* no such kernel$"):
        run_app(app, bound, Limits(), lambda: None)


@pytest.mark.parametrize(("files", "connections"), [(1024, 512), (256, 224), (16, 1), (-1, 512)])
def test_connections_are_no_more_than_there_may_be_open_files(monkeypatch, files, connections):
    monkeypatch.setattr("resource.getrlimit", lambda _: (files, files))  # RLIM_INFINITY is -1
    assert most_connections(512) == connections


def test_too_many_open_files_are_one_line_and_other_errors_are_logged(caplog):
    """asyncio logged a traceback for each try: 2,000 in a second."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def exhaust():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(RefusedConnections().note)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, backlog=50)
        with socket.socket() as client:
            free = os.dup(client.fileno())  # the lowest number that no file has
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                client.connect(server.sockets[0].getsockname())
                await asyncio.sleep(0.05)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.call_exception_handler({"message": "another one"})
        server.close()

    asyncio.run(exhaust())
    lines = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == 2 and lines[1] == "another one"
    assert lines[0].startswith("found too many open files to accept a connection")
