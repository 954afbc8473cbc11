"""Read the frames of all sources, one after the other. For an unreadable source, yield a Fault and continue."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from math import ceil
from pathlib import Path
from threading import Event

from yolo.data.parallel import usable_cores
from yolo.detect.pipeline import in_flight, newest
from yolo.detect.sources.camera import camera_frames
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.sources.images import frame_of_bytes, image_frame
from yolo.detect.sources.kinds import MediaKind, MediaSource, listed_sources, numbered_frames
from yolo.detect.sources.streams import Patience, image_of_address, is_recording, shown_address, stream_frames
from yolo.detect.sources.video import video_frames, video_length
from yolo.errors import DatasetError
from yolo.files.contents import foreign_to_text, open_input

NUMBERED_RATE = 25  # frames per second of numbered frames, as in ffmpeg
MOST_READERS = 4  # threads that decode image files; two decoded images wait for each


@dataclass(frozen=True)
class Selection:
    """Which frames of a video, stream or camera are used: every N-th, and how many at most."""

    every: int = 1
    max_frames: int | None = None


def number_of_frames(sources: list[MediaSource], selection: Selection) -> int | None:
    """Return how many frames `read_sources` will yield; None if a source has no number."""
    total = 0
    for source in sources:
        if source.kind is MediaKind.IMAGE:
            total += 1
        elif source.kind is MediaKind.VIDEO and (frames := video_length(source.name)):
            chosen = ceil(frames / selection.every)
            total += chosen if selection.max_frames is None else min(chosen, selection.max_frames)
        else:
            return None
    return total


def read_sources(
    sources: list[MediaSource], channels: int, selection: Selection, patience: Patience, stop: Event
) -> Iterator[SourceFrame | Fault]:
    """Read sources in their order; image files that follow each other are decoded in several threads.

    Args:
        sources: from `expand`.
        channels: 3 for RGB images, 1 for gray ones.
        selection: applies to each source except image files.
        patience: with network streams.
        stop: set by another thread; ends live sources.

    Yields:
        SourceFrame, or Fault where a source, or the rest of it, cannot be read.
    """
    for are_images, group in groupby(sources, lambda source: source.kind is MediaKind.IMAGE):
        if are_images:
            items = in_flight(group, partial(_image, channels=channels), min(MOST_READERS, usable_cores()))
        else:
            items = _each_source(group, channels, selection, patience, stop)
        with closing(items):
            for item in items:
                yield item
                if are_images and stop.is_set():
                    return
        if stop.is_set():
            return


def _image(source: MediaSource, channels: int) -> SourceFrame | Fault:
    return image_frame(Path(source.name), channels)


def _each_source(
    sources: Iterable[MediaSource], channels: int, selection: Selection, patience: Patience, stop: Event
) -> Iterator[SourceFrame | Fault]:
    for source in sources:
        try:
            with closing(_frames(source, channels, selection, patience, stop)) as frames:
                yield from frames
        except DatasetError as error:
            yield Fault(str(error))
        except OSError as error:
            yield Fault(f"{error.filename or source.name}: {error.strerror or error}")
        if stop.is_set():
            return


def _frames(
    source: MediaSource, channels: int, selection: Selection, patience: Patience, stop: Event
) -> Iterator[SourceFrame | Fault]:
    name, every = source.name, selection.every
    if source.kind is MediaKind.STDIN:
        yield from _stdin(channels, selection, patience, stop)
    elif source.kind is MediaKind.VIDEO:
        open_input(name).close()  # ffmpeg would wait for the other end of a pipe
        yield from islice(video_frames(name, channels, every), selection.max_frames)
    elif source.kind is MediaKind.NUMBERED:
        yield from islice(_numbered(name, channels, every), selection.max_frames)
    elif source.kind is MediaKind.CAMERA:
        number = int(name)
        yield from _live(lambda end: camera_frames(number, channels, end), selection, stop)
    elif source.kind is MediaKind.STREAM:
        yield from _live(lambda end: stream_frames(name, channels, end, patience), selection, stop)
    else:
        yield from _web(name, channels, selection, patience, stop)


def _live(frames: Callable[[Event], Iterator[SourceFrame]], selection: Selection, stop: Event) -> Iterator[SourceFrame]:
    with closing(newest(frames, stop)) as live:
        chosen = islice(live, 0, None, selection.every)
        yield from islice(chosen, selection.max_frames)


def _web(url: str, channels: int, selection: Selection, patience: Patience, stop: Event) -> Iterator[SourceFrame]:
    content = image_of_address(url, patience.timeout)
    if content is not None:
        yield frame_of_bytes(content, shown_address(url), channels)
    elif is_recording(url, patience.timeout):
        frames = video_frames(url, channels, selection.every, shown_address(url))
        yield from islice(frames, selection.max_frames)
    else:
        yield from _live(lambda end: stream_frames(url, channels, end, patience), selection, stop)


def _stdin(channels: int, selection: Selection, patience: Patience, stop: Event) -> Iterator[SourceFrame | Fault]:
    """Yield the frames of stdin: the bytes of one image, or a text with one path a line."""
    content = sys.stdin.buffer.read()
    if b"\0" in content or foreign_to_text(content):
        yield frame_of_bytes(content, "-", channels)
    else:
        text = content.decode("utf-8-sig", errors="surrogateescape")
        yield from read_sources(listed_sources(text), channels, selection, patience, stop)


def _numbered(pattern: str, channels: int, every: int) -> Iterator[SourceFrame | Fault]:
    for index, path in enumerate(numbered_frames(pattern)):
        if index % every == 0:
            frame = image_frame(path, channels)
            if isinstance(frame, Fault):
                yield frame
            else:
                yield SourceFrame(frame.image, pattern, index, index / NUMBERED_RATE)
