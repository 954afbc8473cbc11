"""Read video files by PyAV: every frame with its own time and the file's rotation."""

import errno
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from yolo.detect.sources.frame import SourceFrame
from yolo.detect.sources.kinds import WEB
from yolo.errors import DatasetError, counted
from yolo.extras import import_extra
from yolo.files.contents import named_content, open_input

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.error import FFmpegError
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)
NO_PARTS = "; if the server sends whole files only, as python -m http.server, download the video first"
CLOCK = re.compile(r"([0-9]+):([0-9]{2}):([0-9]{2}[.][0-9]+)")
MOST_JITTER = 3  # frames, or packets of sound, by which the times of one recording may go back
PIXEL_FORMATS = {1: "gray", 3: "rgb24"}  # of a network's channels


def import_av(purpose: str = "reading a video") -> ModuleType:
    """Import PyAV. Raises MissingPackageError with the command that installs it."""
    return import_extra("av", "video", purpose)


def open_media(address: str, timeout: float | None = None, options: dict[str, str] | None = None) -> "InputContainer":
    """Open a file or an address to read its video or sound.

    Titles and other texts in it need not be UTF-8: recorders write the encoding of their country.

    Args:
        address: a path or an address.
        timeout: seconds to wait for a connection or the next data; None for no limit.
        options: FFmpeg's, by name.

    Returns:
        PyAV's container, to be closed.

    Raises:
        av.FFmpegError: it cannot be opened.
    """
    return import_av().open(address, timeout=timeout, options=options, metadata_errors="replace")


def video_frames(path: str, channels: int, every: int = 1, name: str | None = None) -> Iterator[SourceFrame]:
    """Decode a video file, or a recording at an address.

    Args:
        path: the file or the address.
        channels: 3 for RGB images, 1 for gray ones.
        every: only frames 0, every, 2 * every ... are converted and yielded.
        name: the source as printed; by default `path`.

    Yields:
        Frames in the order of their display. Times are those of the file, which keeps a variable frame rate; a frame
        without a time, or with an earlier one, comes a mean frame duration after the one before.

    Raises:
        DatasetError: no video, or no frame in it that can be decoded.
    """
    av = import_av()
    name = name or path
    try:
        with open_media(path) as container:
            stream = video_stream(container, name)
            shift = first = -(container.start_time or 0) / av.time_base
            step = 1 / float(stream.average_rate or 25)
            index, time, end, broken = -1, -step, 0.0, 0
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:  # one bad packet; players continue too
                    broken += 1
                    continue
                if packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base) + shift
                for frame in frames:
                    index += 1
                    if frame.time is None:
                        time += step
                    else:
                        own_shift, shift = time_shifts(frame.time, time, step, shift)
                        time = frame.time + own_shift
                    if index % every == 0:
                        yield SourceFrame(pixels_of_frame(frame, channels), name, index, time)
            expected, seconds = _claimed(container, stream, shift)
    except av.FFmpegError as error:
        raise DatasetError(f"{name}: {reason_of(error, path)}") from error
    if index < 0:
        raise DatasetError(f"{name}: found no frame that can be decoded, expected a video")
    # a frame, and half of one for rounding, is missing; of joined recordings only the first one's length is known
    step = time / max(1, index)
    ends_early = shift == first and max(time + step, end) + step / 2 < seconds
    if broken or index + 1 < expected or ends_early:
        found = counted(index + 1, "frame") + (f" of {expected}" if expected else "")
        log.warning("%s: found damaged data; %s could be decoded", name, found)


def time_shifts(time: float, last: float, step: float, shift: float) -> tuple[float, float]:
    """Return the seconds to add to the time of a frame, or a packet of sound, and to the times of those after it.

    One that would come before the last one comes a step after it. If it would be far before, the file is several joined
    recordings, whose times begin again, and all that follows is moved with it.

    Args:
        time: in the file.
        last: time of the one before, with what was added to it.
        step: how long the one before lasts.
        shift: what is added to the times now.
    """
    if time + shift >= last:
        return shift, shift
    own = last + step - time
    return own, own if time + shift < last - MOST_JITTER * step else shift


def _claimed(container: "InputContainer", stream: "VideoStream", shift: float) -> tuple[int, float]:
    """Return the frames and the seconds that a video claims to have; 0 for a missing number.

    An AVI also counts the frames that its recorder left out, so its number of frames is a duration. A Matroska file
    has the time of a stream's end as text ("00:00:02.540000000", a tag that its writers agree on).
    """
    clock = CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
    if clock and "matroska" in container.format.name:
        hours, minutes, seconds = map(float, clock.groups())
        return 0, 3600 * hours + 60 * minutes + seconds + shift
    if container.format.name == "avi":
        return 0, float(stream.frames / stream.average_rate) if stream.average_rate else 0.0
    return stream.frames, 0.0


def reason_of(error: "FFmpegError", path: str) -> str:
    """Return the error, and what explains it: the kind of a file that is no video, or what its server lacks."""
    if path.lower().startswith(WEB):
        # An MP4 with its index at the end needs a server that sends parts of files.
        return f"{error.strerror}{NO_PARTS if error.errno == errno.EIO else ''}"
    try:
        content = named_content(path)
    except OSError:
        content = None
    return f"found {content} ({error.strerror}), expected a video" if content else error.strerror


def video_length(path: str) -> int | None:
    """Return the number of frames that a video file claims; None without a number, or if it cannot be opened."""
    av = import_av()
    try:
        open_input(path).close()  # ffmpeg would wait for the other end of a pipe
        with open_media(path) as container:
            stream = video_stream(container, path)
            if stream.frames or not (container.duration and stream.average_rate):
                return stream.frames or None
            return round(container.duration / av.time_base * stream.average_rate)
    except (av.FFmpegError, DatasetError, OSError):
        return None


def video_stream(container: "InputContainer", name: str):
    """Return the first video stream of an open file. Raises DatasetError if there is none, as in a sound file."""
    if not container.streams.video:
        raise DatasetError(f"{name}: found no video stream, expected a video")
    return container.streams.video[0]


@dataclass(frozen=True)
class PixelShape:
    """aspect: width by height of a stored pixel. size: (width, height) of the stored frames."""

    aspect: Fraction
    size: tuple[int, int]

    def aspect_of(self, width: int, height: int) -> Fraction:
        """Return the aspect in a frame of this size, which is turned if its sides are exchanged."""
        turned = (height, width) == self.size and height != width
        return 1 / self.aspect if turned else self.aspect


SQUARE = PixelShape(Fraction(1), (0, 0))


def pixel_shape(path: str) -> PixelShape:
    """Return the shape of the pixels of a video file, which is no square in many recordings of cameras and TV."""
    try:
        with open_media(path) as container:
            stream = video_stream(container, path)
            return PixelShape(Fraction(stream.sample_aspect_ratio or 1), (stream.width, stream.height))
    except (import_av().FFmpegError, DatasetError):
        return SQUARE


def pixels_of_frame(frame: "VideoFrame", channels: int) -> np.ndarray:
    """Convert a decoded frame to uint8 `[H, W, channels]`, with the rotation that a phone writes beside the pixels."""
    image = frame.to_ndarray(format=PIXEL_FORMATS[channels], threads=1)  # else it starts new threads for each frame
    image = np.rot90(image, round(frame.rotation / 90))  # both count counterclockwise
    return np.ascontiguousarray(image.reshape(*image.shape[:2], channels))
