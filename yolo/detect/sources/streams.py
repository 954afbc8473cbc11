"""Read network streams by PyAV (rtsp, rtmp, http ...), with reconnection, and images and recordings by http."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from threading import Event
from urllib.error import URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    OpenerDirector,
    Request,
    build_opener,
)

import numpy as np

from yolo.detect.sources.frame import SourceFrame
from yolo.detect.sources.video import import_av, open_media, pixels_of_frame, reason_of, video_stream
from yolo.errors import DatasetError
from yolo.files.contents import START, WEB_PAGE, known_content

log = logging.getLogger(__name__)
MOST_IMAGE_BYTES = 2**28  # of an image at an address: more would fill the memory
BLOCK = 2**16  # bytes read at a time
STILL_SECONDS = 2.0  # a server that sends for longer than this without saying how much sends a stream
NEXT_JPEG = b"\xff\xd9\xff\xd8"  # the end of an image and the start of the next one
# RTSP over UDP loses packets and passes few firewalls; other protocols ignore the option.
OPTIONS = {"rtsp_transport": "tcp"}


@dataclass(frozen=True)
class Patience:
    """The limits of waiting for a stream, in seconds.

    timeout: for a connection or the next data. retries: attempts to reconnect after a stream was interrupted, without
    a frame in between; the waits before them double from first_wait up to longest_wait.
    """

    timeout: float = 10.0
    retries: int = 10
    first_wait: float = 1.0
    longest_wait: float = 30.0

    def wait(self, attempt: int) -> float:
        """Return the seconds before an attempt, counted from 1."""
        return min(self.longest_wait, self.first_wait * 2 ** (attempt - 1))


def shown_address(url: str) -> str:
    """Return an address without user and password, for printing."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def stream_frames(url: str, channels: int, stop: Event, patience: Patience) -> Iterator[SourceFrame]:
    """Yield the frames of a live stream until `stop` is set; their times are those of their arrival, the first one's 0.

    Args:
        url: the address of the stream.
        channels: of the images, 3 or 1.
        stop: ends the frames when it is set.
        patience: how long to wait for data, and how often to connect again.

    Raises:
        DatasetError: the stream cannot be opened at first, or no more after all retries.
    """
    name = shown_address(url)
    index, begun, attempt = 0, 0.0, 0
    while not stop.is_set():
        try:
            for image in _connected(url, channels, stop, patience.timeout):
                begun = begun if index else time.monotonic()  # connecting is no part of an annotated video
                yield SourceFrame(image, name, index, time.monotonic() - begun if index else 0.0)
                index, attempt = index + 1, 0
            problem = f"{name}: the stream ended"
        except DatasetError as error:
            problem = str(error)
        if stop.is_set():
            return
        attempt += 1
        if index == 0:
            raise DatasetError(problem)
        if attempt > patience.retries:
            raise DatasetError(f"{problem}; opening it again failed {patience.retries} times")
        log.warning("%s; opening it again in %g s", problem, patience.wait(attempt))
        stop.wait(patience.wait(attempt))


def _connected(url: str, channels: int, stop: Event, timeout: float) -> Iterator[np.ndarray]:
    """Yield the images of one connection. Raises DatasetError if it cannot be opened or is interrupted."""
    av = import_av("reading a stream")
    try:
        with open_media(url, timeout, OPTIONS) as container:
            stream = video_stream(container, shown_address(url))
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:  # joined between two key frames, or a lost packet
                    continue
                for frame in frames:
                    if stop.is_set():
                        return
                    yield pixels_of_frame(frame, channels)
    except av.FFmpegError as error:
        raise DatasetError(f"{shown_address(url)}: {error.strerror}") from error


def image_of_address(url: str, timeout: float) -> bytes | None:
    """Return the bytes of an image at an http address; None if the server sends something else.

    If the content type is application/octet-stream or missing, the first bytes decide. Raises DatasetError if the
    server cannot be reached, refuses, or sends a web page.
    """
    name = shown_address(url)
    request = Request(name, headers={"User-Agent": "yolo-darknet"})
    try:
        with _opener(url, name).open(request, timeout=timeout) as reply:
            start = b""
            if not reply.headers.get_content_type().startswith("image/"):
                if reply.headers.get_content_maintype() in ("video", "audio", "multipart"):
                    return None
                start = reply.read(START)
                kind = known_content(start) or ""
                if kind == WEB_PAGE:
                    raise DatasetError(f"{name}: found {WEB_PAGE}, expected an image, a video or a stream")
                if not kind.endswith("image"):
                    return None
                if reply.length is None:
                    return _still_image(reply, start)
            content = start + reply.read(MOST_IMAGE_BYTES + 1 - len(start))
    except (URLError, HTTPException, TimeoutError) as error:
        raise DatasetError(f"{name}: {getattr(error, 'reason', error)}") from error
    if len(content) > MOST_IMAGE_BYTES:
        raise DatasetError(f"{name}: found an image of more than {MOST_IMAGE_BYTES} bytes")
    return content


def _still_image(reply: HTTPResponse, start: bytes) -> bytes | None:
    """Return an image whose server gives no length, but closes the connection soon; None for a stream of images."""
    content, begun = bytearray(start), time.monotonic()
    try:
        while block := reply.read1(BLOCK):
            content += block
            if len(content) > MOST_IMAGE_BYTES or time.monotonic() - begun > STILL_SECONDS:
                return None
    except TimeoutError:
        return None
    return None if NEXT_JPEG in content else bytes(content)


def _opener(url: str, name: str) -> OpenerDirector:
    """Return an opener for an address, with its user and password for cameras; name: the address without them."""
    parts = urlsplit(url)
    if parts.username is None:
        return build_opener()
    passwords = HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, name, unquote(parts.username), unquote(parts.password or ""))
    return build_opener(HTTPBasicAuthHandler(passwords), HTTPDigestAuthHandler(passwords))


def is_recording(url: str, timeout: float) -> bool:
    """Whether an address holds a video with an end: its container has a duration."""
    av = import_av("reading a stream")
    try:
        with open_media(url, timeout, OPTIONS) as container:
            return container.duration is not None
    except av.FFmpegError as error:
        raise DatasetError(f"{shown_address(url)}: {reason_of(error, url)}") from error
