"""Videos of a few frames, written by the tests themselves: with times of their own, a rotation, a sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SOUND_RATE = 8000


def write_video(
    path: Path,
    images,
    times=None,
    rotation: int = 0,
    sound: str | None = None,
    codec: str = "libx264",
    rate: int = 10,
    sound_rate: int = SOUND_RATE,
    title: str | None = None,
    pixel_aspect: Fraction = Fraction(1),
) -> Path:
    """Write RGB images as a video.

    times: seconds of each frame; by default `rate` frames a second. rotation: degrees counterclockwise that a player
    turns the stored pixels by. sound: the codec of a tone as long as the video.
    pixel_aspect: width by height of a stored pixel.
    """
    images = list(images)
    times = [index / rate for index in range(len(images))] if times is None else times
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"crf": "5"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if title:
            container.metadata["title"] = title
        audio = container.add_stream(sound, rate=sound_rate, layout="mono") if sound else None
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            _write_tone(container, audio, times[-1] + 1 / rate)
    return path


def _write_tone(container, stream, seconds: float) -> None:
    rate = stream.rate
    count = round(seconds * rate)
    tone = (8000 * np.sin(np.arange(count) / 5)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    frames = av.AudioResampler(stream.codec_context.format, "mono", rate).resample(frame)
    for each in frames:
        container.mux(stream.encode(each))
    container.mux(stream.encode(None))


def read_video(path: Path):
    """(images, times) of a video's frames as stored; times in seconds from the start of the file."""
    with av.open(str(path)) as container:
        frames = [(f.to_ndarray(format="rgb24"), f.time) for f in container.decode(video=0)]
    return [image for image, _ in frames], [time for _, time in frames]


def sound_seconds(path: Path) -> tuple[str, float] | None:
    """The codec and the length in seconds of a video's sound; None where it has none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return stream.codec_context.name, samples / stream.rate


def moving_square(count: int, size: tuple[int, int] = (48, 64), side: int = 16):
    """Gray images `[H, W, 3]` on which a red square moves to the right, two pixels a frame."""
    for index in range(count):
        image = np.full((*size, 3), 90, np.uint8)
        image[8 : 8 + side, 2 * index : 2 * index + side] = (220, 30, 30)
        yield image
