"""Write annotated videos: H.264 in MP4, each frame with its original time, and the sound of the source file."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np

from yolo.detect.sources.video import import_av
from yolo.files.writing import replacing

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

TICKS = 90_000  # per second, MPEG's clock: frames of 24, 25, 30, 30000/1001, 50 and 60 Hz last whole ticks
GUESSED_RATE = 25  # for the encoder's rate control; each frame has its own time

# "ultrafast" takes a third of the time of "veryfast", for files up to twice as large, and leaves the cores to the
# network. A constant quantizer takes a quarter less time than x264's `crf`, which reads each frame twice; 23 gives at
# least the quality (PSNR) of "veryfast" at its default, crf 23. docs/log.md, 2026-11-28.
ENCODER = {"preset": "ultrafast", "qp": "23"}

SOUND_OF_MP4 = (
    "aac",
    "mp3",
    "ac3",
    "eac3",
    "opus",
    "alac",
    "flac",
)  # copied as they are; others become AAC


class VideoFile:
    """A video being written; the size is that of its first frame, made even as H.264 requires."""

    def __init__(self, container: "OutputContainer", sound: "Sound | None") -> None:
        self._container = container
        self._sound = sound
        self._stream = None
        self._last = -1
        self._size = (0, 0)  # (width, height) as displayed
        self._time = self._step = 0.0  # of the last frame, and since the one before, in seconds

    def write(self, image: np.ndarray, time: float) -> None:
        """Append a uint8 `[H, W, 3]` RGB image that is displayed from `time`, in seconds."""
        av = import_av()
        if self._stream is None:
            self._begin(image)
        if image.shape[1::-1] != self._size:  # a stream that continues in another size
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        planes = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YUV_I420)  # 10 times as fast as PyAV
        # Planes of a height that 4 does not divide are copied: from_numpy_buffer takes two rows less (PyAV 18).
        copied = len(planes) % 6
        frame_of = av.VideoFrame.from_ndarray if copied else av.VideoFrame.from_numpy_buffer
        frame = frame_of(planes, format="yuv420p")
        self._last = max(self._last + 1, round(time * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))
        if self._sound is not None:
            self._sound.copy_until(time)
        self._step, self._time = time - self._time, time

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.copy_until(self._time + self._step)
                self._sound.finish()

    def _begin(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        self._size = (width, height)
        stream = self._container.add_stream("libx264", rate=GUESSED_RATE, options=ENCODER)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"  # what browsers and phones play
        stream.codec_context.time_base = Fraction(1, TICKS)
        self._stream = stream
        if self._sound is not None:
            self._sound.add_to(self._container)


class Sound:
    """The first sound of a file, copied into a video up to its last frame."""

    def __init__(self, container: "InputContainer") -> None:
        av = import_av()
        self._source: AudioStream = container.streams.audio[0]
        self._packets = container.demux(self._source)
        self._start = (container.start_time or 0) / av.time_base
        self._copied = self._source.codec_context.name in SOUND_OF_MP4
        self._waiting = None
        self._ended = False

    def add_to(self, container: "OutputContainer") -> None:
        """Add the sound's stream to a video."""
        self._container = container
        if self._copied:
            self._stream = container.add_stream_from_template(self._source)
        else:
            layout = "mono" if self._source.channels == 1 else "stereo"
            self._stream = container.add_stream("aac", rate=self._source.rate, layout=layout)

    def copy_until(self, time: float) -> None:
        """Copy the sound before `time`, in seconds."""
        while not self._ended:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None or packet.dts is None:  # PyAV's demuxer ends with an empty packet
                self._ended = True
            elif float(packet.dts * packet.time_base) - self._start > time:
                self._waiting = packet
                return
            else:
                self._mux(packet)

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        if not self._copied:
            self._container.mux(self._stream.encode(None))

    def _mux(self, packet) -> None:
        if not self._copied:
            for frame in packet.decode():
                frame.pts -= round(self._start / frame.time_base)
                self._container.mux(self._stream.encode(frame))
            return
        shift = round(self._start / packet.time_base)
        packet.dts -= shift
        packet.pts -= shift
        packet.stream = self._stream
        self._container.mux(packet)


@contextmanager
def video_file(path: Path, sound_of: str | None = None) -> Iterator[VideoFile]:
    """Open an MP4 file that gets its name when the block ends without error, and is deleted otherwise.

    sound_of: the video file whose sound is kept; None for none. Raises MissingPackageError without PyAV.
    """
    av = import_av("writing a video")
    with replacing(path) as file:
        if sound_of is None:
            yield from _written(file, None)
            return
        with av.open(sound_of) as source:
            yield from _written(file, Sound(source) if source.streams.audio else None)


def _written(file: BinaryIO, sound: Sound | None) -> Iterator[VideoFile]:
    with import_av().open(file, "w", format="mp4") as container:
        video = VideoFile(container, sound)
        yield video
        video.finish()
