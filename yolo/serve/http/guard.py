"""The middleware around the routes: access control, headers of answers, counts of requests."""

import asyncio
import logging
import time
from urllib.parse import parse_qs

from h11 import LocalProtocolError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yolo.serve.http.access import STREAM, Access, check_host, check_key, check_origin
from yolo.serve.http.refusal import RefusedError, error_response
from yolo.serve.metrics import Metrics

log = logging.getLogger(__name__)

STUCK_SECONDS = 20.0  # after which a viewer that reads no more of a stream loses its place
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
# A page has its own policy for what it loads; an answer of the API never loads anything.
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

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, log_requests: bool) -> None:
        self.app = app
        self.access = access
        self.metrics = metrics
        self.log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        if scope["method"] == "HEAD" and path != STREAM:  # as monitors send it; the server leaves out the body
            scope = {**scope, "method": "GET"}
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
                refusal = error_response(error)
                refusal.headers["Connection"] = "close"
                await refusal(scope, receive, secured)
            else:
                await self.app(scope, receive, secured)
        except LocalProtocolError:  # the rest of the request was no HTTP, and the server has answered that itself
            status = BROKEN
        except asyncio.TimeoutError:
            if path != STREAM:  # whose viewer read no more of it; the server closes the connection
                raise
        finally:
            seconds = time.monotonic() - begun
            self.metrics.request(_route(scope), status, seconds)
            if self.log_requests:
                client = (scope.get("client") or ("-",))[0]
                # as it was sent: decoded, it could hold ends of lines, and with them lines of its own
                asked = scope.get("raw_path", b"").decode("latin-1")
                log.info("%s %s %s %d %.0f ms", client, scope["method"], asked, status, 1000 * seconds)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may see another request in it
            raise RefusedError(400, "found Content-Length and Transfer-Encoding, expected one of them")
        check_host(self.access, headers.get("host"))
        check_origin(headers)
        if self.access.api_key is not None:
            address = parse_qs(scope["query_string"].decode("latin-1"))
            check_key(self.access, scope["path"], headers, address.get("api_key", [None])[0])


def _route(scope: Scope) -> str:
    """Return the pattern of the route that answered, so that unknown paths do not get their own rows."""
    return getattr(scope.get("route"), "path", "other")
