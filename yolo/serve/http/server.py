"""Run the application on a socket: signals, idle connections, a clean end."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from yolo.console.run import EXIT_INTERRUPTED
from yolo.errors import CfgError, OutputError
from yolo.serve.limits import Limits

log = logging.getLogger(__name__)

BACKLOG = 2048  # connections that the system accepts before the service does
READ_BYTES, BODY_READ_BYTES = 2**13, 2**18  # of a connection at a time, and of a body whose length is declared
KEEP_ALIVE = 30  # seconds that a connection waits for its next request
SHORT = 0.01  # seconds between looks while it starts
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
OTHER_FILES = 32  # that may be open beside connections
NO_DESCRIPTOR = "socket.accept() out of system resource"  # asyncio's message (selector_events.py)
LOOK_AGAIN = 1.0  # seconds between looks at idle connections
UNREAD_SECONDS = 3.0  # that a stopping service waits for a body, or for a client that reads none of its answer


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address. Raises OutputError where that is not possible.

    Clients that connect before the service is ready wait. With a socket that is only bound, a second service could take
    the same port, and would fail only after both have read their networks.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise OutputError(f"{host}:{port}: {error.strerror or error}") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """Return the address of a socket for a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class SmallReads(H11Protocol):
    """HTTP by h11, with small reads but for the body of a declared length. h11 takes 50 µs for a chunk of a body, also
    for one of a single byte: by reads of 256 kB, asyncio's default, one client of such chunks would hold the event loop
    for seconds."""

    _request: object = None  # the scope of the last request
    _left = 0  # bytes of its body that are still to come, at least

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Set the size of the reads of a new connection."""
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Handle what was read, and set the size of the next read: a large read never reaches beyond the body."""
        super().data_received(data)
        if self.scope is not self._request:
            self._request = self.scope
            self._left = _declared_bytes(dict(self.headers))
        self._left -= len(data)  # includes the head, so the rest of the body may be larger
        self.transport.max_size = max(READ_BYTES, min(BODY_READ_BYTES, self._left))


def _declared_bytes(headers: Mapping[bytes, bytes]) -> int:
    """Return the length of a body that comes in one piece, 0 for any other."""
    length = headers.get(b"content-length", b"")
    whole = length.isdigit() and len(length) < 19 and b"transfer-encoding" not in headers
    return int(length) if whole else 0


def server_config(app: FastAPI) -> uvicorn.Config:
    """Return how uvicorn runs the application."""
    return uvicorn.Config(
        app,
        http=SmallReads,  # h11 is strict about heads that two servers could read in two ways
        ws="none",
        loop="asyncio",  # whose connections have a size of reads
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
    )


def run_app(app: FastAPI, bound: socket.socket, limits: Limits, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT, SIGTERM or SIGHUP, then answer what was accepted. A second Ctrl-C ends at once.

    Args:
        app: from `make_app`.
        bound: from `listening_socket`.
        limits: of connections.
        started: called when requests are answered.

    Raises:
        CfgError: a network cannot be computed, so that the service would never be ready.
    """
    for name in ("uvicorn", "python_multipart"):  # a line for each damaged request would fill the disk
        logging.getLogger(name).setLevel(logging.ERROR)
    limits = replace(limits, connections=most_connections(limits.connections))
    server = uvicorn.Server(server_config(app))
    app.state.stopping = lambda: server.should_exit
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        asyncio.run(_serve(server, bound, limits, started, app.state.fault))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if fault := app.state.fault():
        raise CfgError(fault)


async def _serve(
    server: uvicorn.Server,
    bound: socket.socket,
    limits: Limits,
    started: Callable[[], None],
    fault: Callable[[], str | None],
) -> None:
    asyncio.get_running_loop().set_exception_handler(RefusedConnections().note)
    serving = asyncio.ensure_future(server.serve([bound]))
    while not (server.started or serving.done()):
        await asyncio.sleep(SHORT)
    if server.started:
        _handle_signals(server)
        started()
    idle = IdleConnections(limits)
    while not serving.done():
        await asyncio.wait({serving}, timeout=LOOK_AGAIN)
        server.should_exit |= fault() is not None
        idle.close(server.server_state.connections, time.monotonic(), server.should_exit)
    await serving


def most_connections(wanted: int) -> int:
    """Return how many connections may be open: as many as wanted, or as this process may have open files for."""
    try:
        import resource  # not on Windows
    except ImportError:
        return wanted
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if files == resource.RLIM_INFINITY else max(1, min(wanted, files - OTHER_FILES))


class RefusedConnections:
    """Says once that there are too many open files to accept a connection.

    asyncio logs a traceback for each try, 2,000 a second: strangers could fill the disk with it.
    """

    def __init__(self) -> None:
        self._said = False

    def note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the event loop."""
        if context.get("message") != NO_DESCRIPTOR:
            loop.default_exception_handler(context)
        elif not self._said:
            self._said = True
            log.error("found too many open files to accept a connection, expected a higher limit (ulimit -n)")


class IdleConnections:
    """Closes connections without a complete request head, and the most idle ones if there are too many.

    uvicorn has no limit for the time of a request's head, so slow senders could hold connections forever. When the
    service stops, it waits for clients that read their answers, not for those that read nothing, nor for the rest of
    bodies.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since: dict[Any, tuple[object, float]] = {}  # connection → its state, since when it is in it

    def close(self, connections: set, now: float, stopping: bool) -> None:
        """Look at the connections of a server once. now: time.monotonic()."""
        patience = UNREAD_SECONDS if stopping else self._limits.idle_seconds
        since = {}
        for connection in list(connections):
            state = _unread(connection) if stopping else _unanswered(connection)
            if state is not None:
                before, start = self._since.get(connection, (None, now))
                since[connection] = (state, start if state == before else now)
        self._since = since
        longest = sorted(since, key=lambda each: since[each][1])
        surplus = max(0, len(connections) - self._limits.connections)
        for place, connection in enumerate(longest):
            if place < surplus or now - since[connection][1] > patience:
                connection.transport.abort()


def _unanswered(connection: H11Protocol) -> object | None:
    """Return which request a connection had last, if it is not being answered; else None."""
    cycle = connection.cycle
    answering = cycle is not None and not cycle.response_complete
    if answering and not connection.transport.is_closing():  # closing: it waits for a client that reads nothing
        return None
    return "idle", id(cycle)


def _unread(connection: H11Protocol) -> object | None:
    """Return how many bytes of answers wait for the client to read, or which request's body is still to come; None if
    neither: the service has accepted the request and computes its answer."""
    if left := connection.transport.get_write_buffer_size():
        return "unread", left
    cycle = connection.cycle
    coming = cycle is not None and cycle.more_body and not cycle.response_complete
    return ("coming", id(cycle)) if coming else None


def _handle_signals(server: uvicorn.Server) -> None:
    """Let SIGINT, SIGTERM and SIGHUP stop a server cleanly, and a second Ctrl-C at once.

    These handlers replace uvicorn's, which raise the signal again after a clean end.
    """

    def stop(number: int, _frame: object) -> None:
        if server.should_exit and number == signal.SIGINT:
            os.write(sys.stderr.fileno(), b"interrupted\n")
            os._exit(EXIT_INTERRUPTED)  # there is no other way to end threads that compute
        server.should_exit = True

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)
