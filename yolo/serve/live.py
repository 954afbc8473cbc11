"""A live video with boxes: detect in the frames of a source, and send the newest one to all viewers."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError, Future, TimeoutError
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from yolo.detect.detector import Detector
from yolo.detect.outputs.result import color_image
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.sources.kinds import MediaKind, MediaSource, expand
from yolo.detect.sources.reader import Selection, read_sources
from yolo.detect.sources.streams import Patience, shown_address
from yolo.errors import DatasetError
from yolo.files.image_file import encoded_image
from yolo.serve.batcher import Batcher, Job, Settings
from yolo.serve.http.refusal import RefusedError

BOUNDARY = "frame"
QUALITY = 80  # of JPEG
RATE_FRAMES = 30  # over which frames per second are measured
FRAME_SECONDS = 30.0  # a frame may wait for the network
LOOK_AGAIN = 0.25  # seconds after which a viewer checks whether the service stops
LATE = 0.5  # seconds after its time at which a frame of a file is left out
PAUSE = 1.0  # seconds before a source that ended is read again, and between images
PLAYED_AGAIN = (MediaKind.VIDEO, MediaKind.NUMBERED, MediaKind.IMAGE)  # sources with an end


@dataclass
class Shown:
    """The newest drawn frame as a JPEG, the numbers of drawn and detected frames, and the data of the video.

    Frames are drawn only if there is a viewer.
    """

    jpeg: bytes = b""
    drawn: int = 0
    number: int = 0
    objects: int = 0
    fault: str | None = None
    viewers: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_FRAMES))


class LiveVideo:
    """Reads a source in a thread, for as long as the service runs, and keeps its newest frame with boxes.

    Args:
        source: an address of a stream, the number of a camera, or a video file, which is played again and again.
        detector: its names, channels and thresholds.
        batcher: of the same network; requests use it too.
        most: detections of a frame.

    Raises:
        DatasetError: the source does not exist, is several sources, or is a file without a frame that can be read. An
            address or a camera may come later.
    """

    def __init__(self, source: str, detector: Detector, batcher: Batcher, most: int) -> None:
        sources = expand([source])
        if len(sources) != 1 or sources[0].kind is MediaKind.STDIN:
            raise DatasetError(f"{source}: found no single stream, camera or video")
        self._source = sources[0]
        if self._source.kind in PLAYED_AGAIN:
            _check_readable(self._source, detector.network.input.channels)
        self._detector = detector
        self._batcher = batcher
        self._settings = Settings(detector.score_thresh, detector.nms_thresh, most)
        self._shown = Shown()
        self._stop = threading.Event()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start to read; called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread and all viewers' answers to end."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread, at most for some seconds. Python aborts if a thread computes while it exits."""
        self._thread.join(seconds)

    def stats(self) -> dict:
        """Return the answer of `/stream/stats`."""
        shown, times = self._shown, list(self._shown.times)
        seconds = times[-1] - times[0] if len(times) > 1 else 0.0
        return {
            "source": name_of(self._source),
            "frames": shown.number,
            "frames_per_s": round((len(times) - 1) / seconds, 2) if seconds else 0.0,
            "objects": shown.objects,
            "viewers": shown.viewers,
            "error": shown.fault,
        }

    @contextmanager
    def viewer(self, most: int) -> Iterator[None]:
        """Count a viewer in this context. Raises RefusedError with status 503 if there are already `most` viewers."""
        if self._shown.viewers >= most:
            raise RefusedError(503, f"found {most} viewers, expected fewer", {"Retry-After": "5"})
        self._shown.viewers += 1
        try:
            yield
        finally:
            self._shown.viewers -= 1

    async def parts(self, stopping: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield the newest frames as parts of a multipart answer; none that was drawn before the viewer came.

        stopping: whether the service stops, which ends the answer.
        """
        last = self._shown.drawn
        while not (self._stop.is_set() or stopping()):
            if self._shown.drawn > last:
                last, jpeg = self._shown.drawn, self._shown.jpeg
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                yield head.encode() + jpeg + b"\r\n"
            try:
                await asyncio.wait_for(self._changed.wait(), LOOK_AGAIN)
            except asyncio.TimeoutError:
                continue

    def _run(self) -> None:
        while not self._stop.is_set():
            frames = 0
            with closing(self._frames()) as items:
                for item in items:
                    if isinstance(item, Fault):
                        self._shown.fault = item.message.replace(self._source.name, name_of(self._source))
                    else:
                        frames += 1
                        self._show(item)
            if self._stop.wait(0.0 if frames and self._source.kind in PLAYED_AGAIN else PAUSE):
                return

    def _frames(self) -> Iterator[SourceFrame | Fault]:
        """Yield frames; those of a file at their display times."""
        channels = self._detector.network.input.channels
        begun = time.monotonic()
        paced = self._source.kind in PLAYED_AGAIN
        for item in read_sources([self._source], channels, Selection(), Patience(), self._stop):
            if paced and isinstance(item, SourceFrame):
                due = begun + (item.time or 0.0)
                if item.time is None:
                    due = time.monotonic() + PAUSE
                elif time.monotonic() > due + LATE:
                    continue  # as a slow player does
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
            yield item

    def _show(self, frame: SourceFrame) -> None:
        """Detect in a frame, draw it if there are viewers, and notify them."""
        future: Future = Future()
        prepared, placement = self._detector.prepare(frame.image)
        now = time.monotonic()
        self._batcher.put([Job(prepared, placement, self._settings, now, now + FRAME_SECONDS, future)])
        try:
            detections = future.result(2 * FRAME_SECONDS).detections
        except (RefusedError, CancelledError, TimeoutError) as error:
            self._shown.fault = str(error)
            return
        shown = self._shown
        if shown.viewers:
            image = detections.draw(color_image(frame.image), self._detector.names)
            shown.jpeg = encoded_image(image, ".jpg", QUALITY)
            shown.drawn += 1
        shown.objects, shown.fault = len(detections), None
        shown.times.append(time.monotonic())
        shown.number += 1
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _check_readable(source: MediaSource, channels: int) -> None:
    """Raise DatasetError if the files of a source have no frame that can be read."""
    faults = []
    with closing(read_sources([source], channels, Selection(), Patience(), threading.Event())) as items:
        for item in items:
            if not isinstance(item, Fault):
                return
            faults.append(item.message)
    raise DatasetError(faults[0] if faults else f"{source.name}: found no frame")


def name_of(source: MediaSource) -> str:
    """Return a source without private parts: an address without its password, a file without its folder."""
    if source.kind in (MediaKind.STREAM, MediaKind.WEB):
        return shown_address(source.name)
    return f"camera {source.name}" if source.kind is MediaKind.CAMERA else Path(source.name).name
