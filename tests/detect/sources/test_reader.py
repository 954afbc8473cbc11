"""yolo.detect.sources.reader: frames of several sources, stdin, and what cannot be read."""

import io
import os
import sys
from threading import Barrier, Event, Thread

import cv2
import numpy as np
import pytest

from tests.helpers.tiny_data import write_image
from tests.helpers.tiny_videos import moving_square, write_video
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.sources.kinds import MediaKind, MediaSource, expand
from yolo.detect.sources.reader import Selection, number_of_frames, read_sources
from yolo.detect.sources.streams import Patience

IMAGE = np.full((4, 6, 3), 200, np.uint8)


def read(*arguments, **selection):
    return list(read_sources(expand(list(arguments)), 3, Selection(**selection), Patience(), Event()))


@pytest.fixture
def stdin(monkeypatch):
    """stdin(bytes): what this process reads from stdin."""

    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def test_sources_come_one_after_the_other_and_faults_in_their_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", IMAGE)
    write_image(tmp_path / "c.png", IMAGE)
    (tmp_path / "b.png").write_bytes(b"no image")
    write_video(tmp_path / "d.mp4", moving_square(2))
    (tmp_path / "e.mp4").write_bytes(b"no video")
    found = read("a.png", "b.png", "d.mp4", "e.mp4", "c.png")
    assert [type(each) is Fault or each.source for each in found] == [*("a.png", True, "d.mp4", "d.mp4", True, "c.png")]
    assert found[1].message == "b.png: found text, expected an image"
    assert found[4].message.startswith("e.mp4: found text (Invalid data")


def test_every_and_max_frames_hold_for_each_video_and_not_for_images(tmp_path):
    paths = [str(write_image(tmp_path / f"{n}.png", IMAGE)) for n in range(3)]
    paths += [str(write_video(tmp_path / f"{n}.mp4", moving_square(9))) for n in range(2)]
    found = read(*paths, every=2, max_frames=3)
    assert [frame.index for frame in found] == [0, 0, 0, 0, 2, 4, 0, 2, 4]
    selection = Selection(every=2, max_frames=3)
    assert number_of_frames(expand(paths), selection) == len(found)
    assert number_of_frames(expand(paths), Selection(every=2)) == 3 + 5 + 5


def test_the_number_of_frames_of_a_live_source_is_not_known():
    sources = [MediaSource(MediaKind.CAMERA, "0")]
    assert number_of_frames(sources, Selection()) is None


def test_numbered_frames_are_a_video_of_25_frames_a_second(tmp_path):
    for number in (1, 2, 5):
        write_image(tmp_path / f"f{number:03d}.png", IMAGE)
    found = read(str(tmp_path / "f%03d.png"))
    assert [(frame.index, frame.time, frame.path) for frame in found] == [
        *((0, 0.0, None), (1, 0.04, None), (2, 0.08, None))
    ]


def test_stdin_may_be_the_bytes_of_an_image(stdin):
    stdin(cv2.imencode(".png", IMAGE)[1].tobytes())
    (frame,) = read("-")
    assert frame.source == "-" and (frame.image == IMAGE).all() and frame.path is None


def test_stdin_may_be_a_list_of_files(stdin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "ä b.png", IMAGE)
    write_video(tmp_path / "d.mp4", moving_square(2))
    stdin("ä b.png\n\nd.mp4\naway.png\n".encode())
    found = read("/dev/stdin")
    assert [each.source for each in found[:3]] == ["ä b.png", "d.mp4", "d.mp4"]
    assert found[3] == Fault("away.png: No such file or directory")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "-: found nothing on stdin, expected an image or one path a line"),
        (b"\xff\xd8\xff\0", "-: found a JPEG that breaks off, expected an image"),
        (b"\0\1\2", "-: found 3 bytes that are no image that OpenCV can read"),
    ],
)
def test_bad_stdin_is_one_line(stdin, content, message):
    stdin(content)
    assert read("-") == [Fault(message)]


def test_a_commands_output_is_read_to_its_end_and_a_named_pipe_is_a_fault(tmp_path):
    reading, writing = os.pipe()  # as the shell gives for <(command)
    content = cv2.imencode(".png", IMAGE)[1].tobytes()
    writer = Thread(target=lambda: (os.write(writing, content), os.close(writing)), daemon=True)
    writer.start()
    (frame,) = read(f"/dev/fd/{reading}")
    writer.join(5)
    os.close(reading)
    assert (frame.image == IMAGE).all() and frame.source == f"/dev/fd/{reading}"
    for name in ("pipe", "pipe.mp4"):
        os.mkfifo(tmp_path / name)
        assert read(str(tmp_path / name)) == [Fault(f"{tmp_path / name}: found a pipe, expected a file")]
    assert number_of_frames(expand([str(tmp_path / "pipe.mp4")]), Selection()) is None


def test_nothing_more_is_read_once_stop_is_set(tmp_path):
    paths = [str(write_image(tmp_path / f"{n}.png", IMAGE)) for n in range(3)]
    stop = Event()
    frames = read_sources(expand(paths), 3, Selection(), Patience(), stop)
    next(frames)
    stop.set()
    assert list(frames) == []


def test_images_are_decoded_at_the_same_time_and_come_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr("yolo.detect.sources.reader.usable_cores", lambda: 2)
    together = Barrier(2)

    def frame(path, channels):
        together.wait(5)
        return SourceFrame(np.full((1, 1, channels), int(path.stem), np.uint8), str(path))

    monkeypatch.setattr("yolo.detect.sources.reader.image_frame", frame)
    paths = [str(write_image(tmp_path / f"{n}.png", IMAGE)) for n in range(6)]
    assert [item.image[0, 0, 0] for item in read(*paths)] == list(range(6))
