"""Write annotated videos: H.264 in MP4, each frame with its original time, and the sound of the source file."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np

from yolo.detect.outputs.sound import Sound, sound_of_video
from yolo.detect.sources.video import SQUARE, PixelShape, import_av, pixel_shape
from yolo.errors import OutputError
from yolo.files.writing import replacing

if TYPE_CHECKING:
    from av.container import OutputContainer

TICKS = 90_000  # per second, MPEG's clock: frames of 24, 25, 30, 30000/1001, 50 and 60 Hz last whole ticks
LARGEST_SIDE = 16384  # in pixels; x264 refuses more
GUESSED_RATE = 25  # for the encoder's rate control; each frame has its own time

# "ultrafast" takes a third of the time of "veryfast", for files up to twice as large, and leaves the cores to the
# network. A constant quantizer takes a quarter less time than x264's `crf`, which reads each frame twice; 23 gives at
# least the quality (PSNR) of "veryfast" at its default, crf 23. docs/log.md, 2026-11-28.
ENCODER = {"preset": "ultrafast", "qp": "23"}


class VideoFile:
    """A video being written; the size is that of its first frame, made even as H.264 requires."""

    def __init__(
        self, container: "OutputContainer", sound: Sound | None, sink: "_Sink", shape: PixelShape = SQUARE
    ) -> None:
        self._container = container
        self._sound = sound
        self._shape = shape
        self._sink = sink
        self._stream = None
        self._last = -1
        self._size = (0, 0)  # (width, height) as displayed
        self._time = self._step = 0.0  # of the last frame, and since the one before, in seconds

    def write(self, image: np.ndarray, time: float) -> None:
        """Append a uint8 `[H, W, 3]` RGB image that is displayed from `time`, in seconds.

        Raises OSError (a full disk), and OutputError for an image that is too large for the encoder.
        """
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
        self._sink.raise_fault()
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
        if max(height, width) > LARGEST_SIDE:
            found = f"found images of {width} x {height} pixels"
            raise OutputError(f"--save-video: {found}, expected at most {LARGEST_SIDE} a side for H.264")
        self._size = (width, height)
        stream = self._container.add_stream("libx264", rate=GUESSED_RATE, options=ENCODER)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"  # what browsers and phones play
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.sample_aspect_ratio = self._shape.aspect_of(width, height)
        self._stream = stream
        if self._sound is not None:
            self._sound.add_to(self._container)


class _Sink:
    """The file of a video for PyAV, which passes on one error of its calls at most: the first is kept in `fault`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.fault: OSError | None = None  # a full disk; what follows is dropped

    def write(self, data: bytes) -> int:
        self._tried(lambda: self._file.write(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._tried(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._tried(self._file.tell)

    def raise_fault(self) -> None:
        if self.fault is not None:
            raise self.fault

    def _tried(self, call: Callable[[], int]) -> int:
        try:
            return 0 if self.fault is not None else call()
        except OSError as error:
            self.fault = error
            return 0


@contextmanager
def video_file(path: Path, sound_of: str | None = None) -> Iterator[VideoFile]:
    """Open an MP4 file that gets its name when the block ends without error, and is deleted otherwise.

    sound_of: the video file whose sound and shape of pixels are kept; None for none.

    Raises MissingPackageError without PyAV.
    """
    av = import_av("writing a video")
    with replacing(path) as file, ExitStack() as stack:
        sound = None if sound_of is None else stack.enter_context(sound_of_video(sound_of))
        shape = SQUARE if sound_of is None else pixel_shape(sound_of)
        sink = _Sink(file)
        try:
            with av.open(sink, "w", format="mp4") as container:
                video = VideoFile(container, sound, sink, shape)
                yield video
                video.finish()
        except av.FFmpegError as error:
            of_sound = f" and the sound of {sound_of}" if sound is not None else ""
            raise OutputError(f"{path}: FFmpeg cannot write these images{of_sound} ({error.strerror})") from error
        sink.raise_fault()
