"""yolo.detect.outputs.video: what a player reads back from an annotated video."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.helpers.full_disk import full_beyond
from tests.helpers.tiny_videos import moving_square, read_video, sound_seconds, write_video
from yolo.detect.outputs.video import video_file
from yolo.detect.sources.video import video_frames, video_length
from yolo.errors import OutputError


def copied(source, target, sound=True, **options):
    with video_file(target, str(source) if sound else None) as video:
        for frame in video_frames(str(source), 3, **options):
            video.write(frame.image, frame.time)
    return target


def test_frames_and_their_times_come_back(tmp_path):
    times = [0, 0.1, 0.15, 0.4, 0.45, 1.0]
    images = list(moving_square(6))
    path = copied(write_video(tmp_path / "a.mp4", images, times), tmp_path / "b.mp4")
    found, found_times = read_video(path)
    assert found_times == pytest.approx(times)
    for image, expected in zip(found, images, strict=True):
        assert np.abs(image.astype(int) - expected).mean() < 6


def test_the_codec_is_what_browsers_play(tmp_path):
    path = copied(write_video(tmp_path / "a.mp4", moving_square(3)), tmp_path / "b.mp4")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert "mp4" in container.format.name


@pytest.mark.parametrize(
    "name, codec, expected",
    [
        ("a.mp4", "aac", "aac"),
        ("a.mkv", "ac3", "ac3"),
        ("a.mkv", "pcm_s16le", "aac"),
        ("a.avi", "mp3", "mp3float"),  # the decoder of MP3
    ],
)
def test_the_sound_is_kept(tmp_path, name, codec, expected):
    sound = {"ac3": 48000, "mp3": 44100}.get(codec, 8000)
    video = "mpeg4" if name == "a.avi" else "libx264"
    source = write_video(tmp_path / name, moving_square(10), sound=codec, sound_rate=sound, codec=video)
    assert sound_seconds(source)[0].removesuffix("float") == codec
    found, seconds = sound_seconds(copied(source, tmp_path / "b.mp4"))
    assert found == expected and abs(seconds - sound_seconds(source)[1]) < 0.3


def test_rounded_times_of_a_sound_that_becomes_aac_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("yolo.detect.outputs.sound.SOUND_OF_MP4", ())  # the unit of MP3 in an AVI is 1152 samples
    source = write_video(tmp_path / "a.avi", moving_square(10), sound="mp3", sound_rate=44100, codec="mpeg4")
    found, seconds = sound_seconds(copied(source, tmp_path / "b.mp4"))
    assert found == "aac" and seconds == pytest.approx(sound_seconds(source)[1], abs=0.1)


@pytest.mark.parametrize("kept", [("aac",), ()])
def test_joined_recordings_play_one_after_the_other(tmp_path, monkeypatch, kept):
    monkeypatch.setattr("yolo.detect.outputs.sound.SOUND_OF_MP4", kept)
    part = write_video(tmp_path / "part.ts", moving_square(10), sound="aac", rate=10)
    joined = tmp_path / "a.ts"
    joined.write_bytes(part.read_bytes() * 2)  # as cat does: the times begin again
    path = copied(joined, tmp_path / "b.mp4")
    assert np.diff(read_video(path)[1]) == pytest.approx(0.1, abs=0.001)
    assert len(read_video(path)[1]) == 20
    assert sound_seconds(path)[1] == pytest.approx(2 * sound_seconds(part)[1], abs=0.3)


@pytest.mark.parametrize("kept", [("aac",), ()], ids=["copied", "encoded"])
def test_a_time_of_sound_that_goes_back_a_little_moves_no_later_sound(tmp_path, monkeypatch, kept):
    monkeypatch.setattr("yolo.detect.outputs.sound.SOUND_OF_MP4", kept)
    source = write_video(tmp_path / "a.mkv", moving_square(20), sound="aac", rate=10)
    with av.open(str(source)) as first, av.open(str(tmp_path / "b.mkv"), "w") as second:
        video, sound = map(second.add_stream_from_template, (first.streams.video[0], first.streams.audio[0]))
        for number, packet in enumerate(each for each in first.demux() if each.dts is not None):
            if packet.stream.type == "audio":
                packet.pts += 200 * (number % 2)  # ms; a packet is 128 ms long, so that the next one begins before it
            packet.stream = sound if packet.stream.type == "audio" else video
            second.mux(packet)
    with av.open(str(source)) as first, av.open(str(copied(tmp_path / "b.mkv", tmp_path / "b.mp4"))) as found:
        before, after = (sum(packet.size > 0 for packet in each.demux(audio=0)) for each in (first, found))
    assert after >= before - 1  # sound that moved past the last frame would be left out


def test_the_sound_ends_with_the_last_frame(tmp_path):
    source = write_video(tmp_path / "a.mp4", moving_square(20), sound="aac", rate=10)
    with video_file(tmp_path / "b.mp4", str(source)) as video:
        for frame in list(video_frames(str(source), 3))[:5]:
            video.write(frame.image, frame.time)
    assert 0.3 < sound_seconds(tmp_path / "b.mp4")[1] < 0.8


def test_sound_and_image_stay_together_where_a_file_begins_late(tmp_path):
    source = write_video(tmp_path / "a.ts", moving_square(10), sound="aac", rate=10)
    path = copied(source, tmp_path / "b.mp4")
    before = [frame.time for frame in video_frames(str(source), 3)]
    assert read_video(path)[1] == pytest.approx(before, abs=1e-3)
    assert sound_seconds(path)[1] == pytest.approx(sound_seconds(source)[1], abs=0.3)


def test_a_video_without_sound_has_none(tmp_path):
    source = write_video(tmp_path / "a.mp4", moving_square(3))
    assert sound_seconds(copied(source, tmp_path / "b.mp4")) is None


@pytest.mark.parametrize("rotation, expected", [(0, Fraction(4, 3)), (90, Fraction(3, 4))])
def test_pixels_that_are_no_squares_are_displayed_in_their_shape(tmp_path, rotation, expected):
    source = write_video(tmp_path / "a.mp4", moving_square(3), rotation=rotation, pixel_aspect=Fraction(4, 3))
    with av.open(str(copied(source, tmp_path / "b.mp4"))) as container:
        assert container.streams.video[0].sample_aspect_ratio == expected


def test_odd_sizes_are_padded_to_even_ones(tmp_path):
    with video_file(tmp_path / "a.mp4") as video:
        for number in range(3):
            video.write(np.full((33, 47, 3), 100, np.uint8), number / 10)
    images, _ = read_video(tmp_path / "a.mp4")
    assert images[0].shape == (34, 48, 3)
    assert np.abs(images[0].astype(int) - 100).max() < 4  # no dark edge


def test_a_frame_of_another_size_is_fitted_to_the_first(tmp_path):
    with video_file(tmp_path / "a.mp4") as video:
        video.write(np.full((48, 64, 3), 100, np.uint8), 0.0)
        video.write(np.full((96, 128, 3), 100, np.uint8), 0.1)
    assert [image.shape for image in read_video(tmp_path / "a.mp4")[0]] == [(48, 64, 3)] * 2


def test_times_that_stand_still_or_go_back_still_move_on(tmp_path):
    with video_file(tmp_path / "a.mp4") as video:
        for time in (0.0, 0.1, 0.1, 0.05, 0.3):
            video.write(np.zeros((32, 32, 3), np.uint8), time)
    _, times = read_video(tmp_path / "a.mp4")
    assert len(times) == 5 and all(np.diff(times) > 0)


def test_after_an_error_nothing_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), video_file(tmp_path / "a.mp4") as video:
        video.write(np.zeros((32, 32, 3), np.uint8), 0.0)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_name_is_taken_only_at_the_end(tmp_path):
    with video_file(tmp_path / "a.mp4") as video:
        video.write(np.zeros((32, 32, 3), np.uint8), 0.0)
        assert not (tmp_path / "a.mp4").exists()
    assert (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("room", [0, 200])
def test_an_error_without_room_names_the_video_and_leaves_none(tmp_path, room):
    with pytest.raises(OSError) as error, full_beyond(room), video_file(tmp_path / "b.mp4") as video:
        for number, image in enumerate(moving_square(5)):
            video.write(image, number / 10)
    assert error.value.filename == str(tmp_path / "b.mp4")
    assert not [*tmp_path.iterdir()]


def noise(count):
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(count)]


def test_a_disk_that_fills_in_the_middle_of_a_video_is_one_error(tmp_path):
    # FFmpeg writes 32 KiB at a time: the error comes in `write`, and the end of the file is written after it
    written = 0
    with pytest.raises(OSError) as error, full_beyond(40_000), video_file(tmp_path / "b.mp4") as video:
        for number, image in enumerate(noise(12)):
            video.write(image, number / 10)
            written = number + 1
    assert error.value.filename == str(tmp_path / "b.mp4") and 0 < written < 12
    assert not [*tmp_path.iterdir()]


def test_an_image_that_h264_cannot_hold_is_an_error_in_one_line(tmp_path):
    refused = pytest.raises(OutputError, match="16386 x 2 pixels, expected at most 16384")
    with refused, video_file(tmp_path / "b.mp4") as video:
        video.write(np.zeros((2, 16386, 3), np.uint8), 0.0)
    assert not [*tmp_path.iterdir()]


def test_mp3_is_copied_as_it_is(tmp_path):
    source = write_video(tmp_path / "a.mkv", moving_square(10), sound="libmp3lame", sound_rate=44100)
    assert sound_seconds(copied(source, tmp_path / "b.mp4"))[0].startswith("mp3")


def with_bytes(path, old, new):
    content = path.read_bytes()
    assert content.count(old) >= 1 and len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    return path


def test_sound_of_an_unknown_codec_is_left_out_and_said(tmp_path, caplog):
    source = with_bytes(write_video(tmp_path / "a.mkv", moving_square(5), sound="aac"), b"A_AAC", b"A_ZZZ")
    target = copied(source, tmp_path / "b.mp4")
    assert len(read_video(target)[0]) == 5 and sound_seconds(target) is None
    assert caplog.messages == [f"{source}: found sound of an unknown codec; the video with boxes has none"]


def test_damaged_sound_is_left_out_and_counted(tmp_path, caplog):
    source = write_video(tmp_path / "a.mkv", moving_square(5), sound="ac3", sound_rate=48000)
    with_bytes(source, b"A_AC3", b"A_DTS")  # nothing in it is a packet of DTS
    assert len(read_video(copied(source, tmp_path / "b.mp4"))[0]) == 5
    assert re.fullmatch(rf"{re.escape(str(source))}: found damaged sound; \d+ packets left out", caplog.messages[0])
    assert len(caplog.messages) == 1


def test_a_title_need_not_be_utf8(tmp_path):
    source = write_video(tmp_path / "a.mkv", moving_square(5), title="TITLE")
    with_bytes(source, b"TITLE", "标题".encode("gbk") + b"!")
    assert len(list(video_frames(str(source), 3))) == 5 and video_length(str(source)) == 5
    assert len(read_video(copied(source, tmp_path / "b.mp4"))[0]) == 5
