"""yolo.detect.outputs.writers: what is printed about images, videos and streams, in their order."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from yolo.detect.outputs import writers
from yolo.detect.outputs.result import Result
from yolo.detect.outputs.writers import Wanted, Writers
from yolo.detect.sources.frame import SourceFrame
from yolo.detect.sources.kinds import MediaKind, MediaSource
from yolo.records import Detections

NONE = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
IMAGE = np.zeros((8, 8, 3), np.uint8)


def printed(monkeypatch, sources, frames, together=1):
    """Lines about frames (source, time in the source or None, seconds of the clock at which it is written)."""
    lines, clock = [], [0.0]
    monkeypatch.setattr(writers.time, "monotonic", lambda: clock[0])
    with ExitStack() as stack:
        out = Writers(Wanted(), ("cat",), sources, None, lines.append, stack, together)
        for name, time, seconds in frames:
            clock[0] = seconds
            out.write(Result(SourceFrame(IMAGE, name, 0, time), NONE, None))
        clock[0] += 100.0  # waiting for a stream that never comes back is no time of a frame
        out.finish(complete=True)
        out.print_written()
    return lines


def test_a_video_is_reported_before_the_image_after_it_with_its_own_rate(monkeypatch):
    sources = [MediaSource(MediaKind.VIDEO, "a.mp4"), MediaSource(MediaKind.IMAGE, "b.png")]
    frames = [("a.mp4", index / 10, 1 + index / 4) for index in range(5)]
    lines = printed(monkeypatch, sources, [*frames, ("b.png", None, 60)])
    assert lines == ["a.mp4: 5 frames, 0 objects, 4.0 frames/s", "b.png: 0 objects"]


def test_the_rate_counts_from_the_end_of_the_first_batch_and_needs_two(monkeypatch):
    sources = [MediaSource(MediaKind.VIDEO, "a.mp4")]
    batches = [("a.mp4", 0.0, 5 + index // 8 * 0.5) for index in range(24)]  # 8 frames every half second
    assert printed(monkeypatch, sources, batches, together=8) == ["a.mp4: 24 frames, 0 objects, 16.0 frames/s"]
    assert printed(monkeypatch, sources, batches[:15], together=8) == ["a.mp4: 15 frames, 0 objects"]
    short = printed(monkeypatch, sources, batches[6:10], together=8)  # the end of a batch and the begin of the next
    assert short == ["a.mp4: 4 frames, 0 objects"]


@pytest.mark.parametrize("kind, name", [(MediaKind.STREAM, "rtsp://h/x"), (MediaKind.CAMERA, "camera 0")])
def test_the_rate_of_a_stream_leaves_out_what_a_server_had_buffered(monkeypatch, kind, name):
    buffered = [(name, 0.0, 5 + index / 100) for index in range(12)]
    live = [(name, 0.0, 6 + index / 10) for index in range(21)]  # of 10 frames/s
    sources = [MediaSource(kind, name)]
    assert printed(monkeypatch, sources, buffered) == [f"{name}: 12 frames, 0 objects"]
    assert printed(monkeypatch, sources, buffered + live) == [f"{name}: 33 frames, 0 objects, 10.0 frames/s"]
