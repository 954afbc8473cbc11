"""What every request passes before and after its route: access, headers of the answer, the count of requests."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from h11 import LocalProtocolError

from yolo.serve.http.access import Access, check_host, check_key, check_origin
from yolo.serve.http.refusal import RefusedError
from yolo.serve.metrics import Metrics

log = logging.getLogger(__name__)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

STREAM = "/stream"
STUCK_SECONDS = 20.0  # after which a viewer that takes no more of a stream gives its place to others
BROKEN = 400
GONE = 499  # nginx's number for a client that has closed the connection
PAGES = ("/", "/docs")
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
# A page brings its own policy for what it loads; an answer of the API never loads anything.
PAGE_POLICY = (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
ANSWER_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Guard:
    """The application of ASGI around the routes.

    Args:
        app: the routes.
        access: who may ask.
        metrics: counts the requests.
        log_requests: whether each one is logged as a line.
    """

    def __init__(self, app: App, access: Access, metrics: Metrics, log_requests: bool) -> None:
        self.app = app
        self.access = access
        self.metrics = metrics
        self.log_requests = log_requests

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return
        begun = time.monotonic()
        status = GONE
        path = scope["path"]
        policy = PAGE_POLICY if path in PAGES else ANSWER_POLICY

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *SECURITY, policy]
            if path == STREAM:
                await asyncio.wait_for(send(message), STUCK_SECONDS)
            else:
                await send(message)

        try:
            try:
                self._check(scope)
            except RefusedError as error:
                await _refuse(error, secured)
            else:
                await self.app(scope, receive, secured)
        except LocalProtocolError:  # the rest of the request was no HTTP, and the server has answered that itself
            status = BROKEN
        except asyncio.TimeoutError:
            if path != STREAM:  # whose viewer took no more of it; the server closes the connection
                raise
        finally:
            seconds = time.monotonic() - begun
            self.metrics.request(_route(scope), status, seconds)
            if self.log_requests:
                client = (scope.get("client") or ("-",))[0]
                log.info("%s %s %s %d %.0f ms", client, scope["method"], path, status, 1000 * seconds)

    def _check(self, scope: Message) -> None:
        headers = _headers(scope)
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may see another request in it
            raise RefusedError(400, "found Content-Length and Transfer-Encoding, expected one of them")
        check_host(self.access, headers.get("host"))
        check_origin(headers)
        if self.access.api_key is not None:
            address = parse_qs(scope["query_string"].decode("latin-1"))
            check_key(self.access, scope["path"], headers, address.get("api_key", [None])[0])


def _headers(scope: Message) -> Mapping[str, str]:
    """Return the headers by name; of several of a name the first."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return headers


def _route(scope: Message) -> str:
    """Return the pattern of the route that answered, so that strangers' paths make no rows of their own."""
    return getattr(scope.get("route"), "path", "other")


async def _refuse(error: RefusedError, send: Send) -> None:
    body = json.dumps({"error": error.line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send(
        {"type": "http.response.start", "status": error.status, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body})
