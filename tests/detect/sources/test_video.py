"""yolo.detect.sources.video: frames, times, rotation and damage of real video files, written here."""

import logging

import av
import cv2
import numpy as np
import pytest

from tests.helpers.tiny_videos import moving_square, write_video
from yolo.detect.sources.video import video_frames, video_length
from yolo.errors import DatasetError, MissingPackageError


def test_frames_come_in_order_with_their_times(tmp_path):
    images = list(moving_square(6))
    path = write_video(tmp_path / "a.mp4", images, rate=10)
    frames = list(video_frames(str(path), 3))
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    for frame, image in zip(frames, images, strict=True):
        assert frame.source == str(path) and frame.image.flags["C_CONTIGUOUS"]
        assert np.abs(frame.image.astype(int) - image).mean() < 4  # RGB, not BGR


def test_a_variable_frame_rate_keeps_its_times(tmp_path):
    times = [0, 0.1, 0.15, 0.4, 0.45, 1.0]
    path = write_video(tmp_path / "a.mp4", moving_square(6), times)
    assert [frame.time for frame in video_frames(str(path), 3)] == pytest.approx(times)


def test_a_time_that_goes_back_a_little_moves_no_later_frame(tmp_path):
    path = write_video(tmp_path / "a.mkv", moving_square(6), rate=10, codec="mjpeg")
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet, time in zip(source.demux(video=0), (0, 200, 100, 300, 400, 500), strict=False):
            packet.dts, packet.pts, packet.stream = packet.dts // 10, time, stream
            target.mux(packet)
    times = [frame.time for frame in video_frames(str(tmp_path / "b.mkv"), 3)]
    assert times == pytest.approx([0, 0.2, 0.24, 0.3, 0.4, 0.5])  # by a mean frame duration


def test_times_count_from_the_start_of_the_file(tmp_path):
    path = write_video(tmp_path / "a.ts", moving_square(4), rate=10, sound="aac")
    times = [frame.time for frame in video_frames(str(path), 3)]
    assert 0 <= times[0] < 0.2 and np.diff(times) == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("rotation", [-90, 90, 180])
def test_a_rotation_flag_turns_the_frames_as_opencv_does(tmp_path, rotation):
    path = write_video(tmp_path / "a.mp4", moving_square(3), rotation=rotation)
    frame = next(video_frames(str(path), 3))
    read, expected = cv2.VideoCapture(str(path)).read()
    assert read and frame.image.shape == expected.shape == ((48, 64, 3) if rotation == 180 else (64, 48, 3))
    assert np.abs(frame.image[:, :, ::-1].astype(int) - expected).max() <= 3


def test_gray_networks_get_gray_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_square(2))
    assert [frame.image.shape for frame in video_frames(str(path), 1)] == [(48, 64, 1)] * 2


def test_every_third_frame_keeps_its_number(tmp_path):
    path = write_video(tmp_path / "a.mp4", moving_square(8), rate=10)
    frames = list(video_frames(str(path), 3, every=3))
    assert [(frame.index, round(frame.time, 3)) for frame in frames] == [(0, 0), (3, 0.3), (6, 0.6)]


def test_the_length_is_known_beforehand_if_the_file_has_it(tmp_path):
    assert video_length(str(write_video(tmp_path / "a.mp4", moving_square(7)))) == 7
    assert video_length(str(write_video(tmp_path / "a.mkv", moving_square(7)))) == 7
    (tmp_path / "b.mp4").write_bytes(b"no video")
    assert video_length(str(tmp_path / "b.mp4")) is None


INVALID = "Invalid data found when processing input"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"\x80no video" * 100, INVALID),
        (b"<!DOCTYPE html><html>", f"found a web page ({INVALID}), expected a video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer, not the file itself"),
        (b"", "found an empty file"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path, content, words):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        list(video_frames(str(path), 3))
    assert str(error.value).startswith(f"{path}: {words}")


def test_a_file_with_sound_alone_is_no_video(tmp_path):
    import av

    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(DatasetError, match="a.wav: found no video stream"):
        list(video_frames(str(path), 3))


def test_a_video_that_breaks_off_gives_what_is_there_and_a_remark(tmp_path, caplog):
    path = write_video(tmp_path / "a.avi", moving_square(20), codec="mjpeg")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        frames = list(video_frames(str(path), 3))
    assert 0 < len(frames) < 20
    assert f"found damaged data; {len(frames)} frames could be decoded" in caplog.text


def test_a_cut_matroska_file_is_reported_by_its_time(tmp_path, caplog):
    times = [1, 1.1, 1.4, 2.0, 2.6]  # of a file that begins late
    path = write_video(tmp_path / "a.mkv", moving_square(5), times, codec="mjpeg")
    assert len(list(video_frames(str(path), 3))) == 5 and not caplog.text
    path.write_bytes(path.read_bytes()[:-1500])
    frames = list(video_frames(str(path), 3))
    assert 0 < len(frames) < 5 and f"found damaged data; {len(frames)} frames could be decoded" in caplog.text


def test_joined_matroska_files_and_a_long_last_frame_are_not_damaged(tmp_path, caplog):
    with av.open(str(tmp_path / "a.mkv"), "w") as target:
        stream = target.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for number in range(4):
            frame = av.VideoFrame(64, 48, "yuvj420p")
            frame.pts = number
            for packet in stream.encode(frame):
                packet.duration = 50 if number == 3 else 1  # of 0.1 s
                target.mux(packet)
    assert [frame.time for frame in video_frames(str(tmp_path / "a.mkv"), 3)] == pytest.approx([0, 0.1, 0.2, 0.3])
    long = write_video(tmp_path / "b.mkv", moving_square(8), codec="mjpeg")
    short = write_video(tmp_path / "c.mkv", moving_square(2), codec="mjpeg")
    (tmp_path / "d.mkv").write_bytes(long.read_bytes() + short.read_bytes())
    assert len(list(video_frames(str(tmp_path / "d.mkv"), 3))) == 10 and not caplog.text


def test_an_avi_with_frames_that_its_recorder_left_out_is_not_damaged(tmp_path, caplog):
    path = write_video(tmp_path / "a.avi", moving_square(4), times=[0, 0.1, 0.5, 0.6], codec="mjpeg")
    frames = list(video_frames(str(path), 3))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.5, 0.6]) and not caplog.text


def test_the_missing_frames_of_a_cut_mp4_are_reported(tmp_path, caplog):
    path = write_video(tmp_path / "a.mp4", moving_square(20))
    content = bytearray(path.read_bytes())
    place = content.index(b"mdat") + 4
    content[place + 600 : place + 900] = bytes(300)
    path.write_bytes(content)
    frames = list(video_frames(str(path), 3))
    assert len(frames) < 20 and f"found damaged data; {len(frames)} frames of 20 could be decoded" in caplog.text


def test_without_pyav_the_line_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'yolo-darknet\[video\]'"):
        next(video_frames("a.mp4", 3))
