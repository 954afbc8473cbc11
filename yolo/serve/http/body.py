"""Read the body of a request as it arrives, within its limits of bytes and seconds."""

import asyncio
import threading
import time

from starlette.types import Receive

from yolo.serve.http.refusal import FULL, RefusedError
from yolo.serve.limits import MEGABYTE, Limits

# Seconds for which a body that is too large is still read, and how many times the largest body: most clients read the
# answer only after they have sent everything.
READ_OFF_SECONDS, READ_OFF_BODIES = 2.0, 10
TOO_LARGE = 413
CLOSE = {"Connection": "close"}


class Gone(Exception):  # noqa: N818 - not an error of ours
    """The client has closed the connection."""


class Room:
    """A counter of room, for bytes or images; may be used from any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take some of the room; False if there is not enough."""
        with self._lock:
            if self.taken + count > self.size:
                return False
            self.taken += count
            return True

    def give(self, count: int) -> None:
        """Give it back."""
        with self._lock:
            self.taken -= count


async def read_body(receive: Receive, declared: str | None, limits: Limits, room: Room) -> bytes:
    """Return the body of a request; its bytes are taken from `room` until the caller gives them back.

    Args:
        receive: of ASGI.
        declared: the header Content-Length, None for a chunked body.
        limits: of bytes and seconds.
        room: for the bytes of all bodies.

    Raises:
        RefusedError: 400 for a Content-Length that is no number, 408 for a body that takes too long, 413 for one that
            is too large, 503 where there is no room.
        Gone: the client has closed the connection.
    """
    if declared is not None and not (declared.isascii() and declared.isdigit() and len(declared) < 19):
        raise RefusedError(400, "found a Content-Length that is no number", CLOSE)
    chunks: list[bytes] = []
    try:
        if declared is not None and int(declared) > limits.body_bytes:
            raise _too_large(limits)
        await asyncio.wait_for(_collect(receive, chunks, limits, room), limits.read_seconds)
    except asyncio.TimeoutError:
        room.give(sum(map(len, chunks)))
        raise RefusedError(408, f"found no whole body within {limits.read_seconds:g} s", CLOSE) from None
    except (RefusedError, Gone) as error:
        room.give(sum(map(len, chunks)))
        if isinstance(error, RefusedError) and error.status == TOO_LARGE:
            await _read_off(receive, limits)
        raise
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _collect(receive: Receive, chunks: list[bytes], limits: Limits, room: Room) -> None:
    total, more = 0, True
    while more:
        chunk, more = await _next_chunk(receive)
        total += len(chunk)
        if total > limits.body_bytes:
            raise _too_large(limits)
        if not room.take(len(chunk)):
            raise RefusedError(503, FULL, {"Retry-After": "1", **CLOSE})
        chunks.append(chunk)


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)


async def _read_off(receive: Receive, limits: Limits) -> None:
    """Read the rest for a moment and drop it: otherwise the client loses the answer when the connection is closed."""
    end, left, more = time.monotonic() + READ_OFF_SECONDS, READ_OFF_BODIES * limits.body_bytes, True
    while more and left > 0 and time.monotonic() < end:
        try:
            chunk, more = await asyncio.wait_for(_next_chunk(receive), end - time.monotonic())
        except asyncio.TimeoutError:
            return
        left -= len(chunk)


def _too_large(limits: Limits) -> RefusedError:
    return RefusedError(TOO_LARGE, f"found a body of more than {round(limits.body_bytes / MEGABYTE, 2):g} MB", CLOSE)
