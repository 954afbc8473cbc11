"""yolo.detect.sources.kinds: which SOURCE argument means what."""

import os

import numpy as np
import pytest

from tests.helpers.tiny_data import write_image
from yolo.detect.sources.kinds import MediaKind, MediaSource, expand, listed_sources, numbered_frames
from yolo.errors import DatasetError

IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with images of both cases, a video, a subfolder, hidden files and a list; the current folder."""
    for name in ("b.jpg", "a.PNG", "deep/c.png", ".hidden.jpg", ".cache/d.png"):
        write_image(tmp_path / "in" / name, IMAGE)
    (tmp_path / "in" / "._b.jpg").write_bytes(b"\0\5\x16\7")  # as macOS writes beside b.jpg
    (tmp_path / "in" / "clip.MP4").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("no source")
    (tmp_path / "in" / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(arguments, **options):
    return [(each.kind, each.name) for each in expand(arguments, **options)]


def test_a_folder_is_its_images_and_videos_without_hidden_files(here):
    assert named(["in"]) == [
        (MediaKind.IMAGE, "in/a.PNG"),
        (MediaKind.IMAGE, "in/b.jpg"),
        (MediaKind.VIDEO, "in/clip.MP4"),
    ]


def test_rarer_endings_of_images_are_found_too(here):
    for name in ("a.jfif", "b.JPE", "c.ppm", "d.avif", "e.JP2"):  # browsers; traffic signs of GTSDB; aerial images
        write_image(here / "rare" / "x.png", IMAGE).rename(here / "rare" / name)
    assert [name for _, name in named(["rare"])] == [
        *("rare/a.jfif", "rare/b.JPE", "rare/c.ppm", "rare/d.avif", "rare/e.JP2")
    ]


def test_a_hidden_folder_that_is_named_itself_is_read(here):
    assert named(["in/.cache"]) == [(MediaKind.IMAGE, "in/.cache/d.png")]


def test_recursive_reads_subfolders(here):
    names = [name for _, name in named(["in"], recursive=True)]
    assert names == ["in/a.PNG", "in/b.jpg", "in/clip.MP4", "in/deep/c.png"]


def test_a_folder_of_folders_hints_at_recursive(here):
    (here / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(DatasetError, match="empty: found no image in this folder; --recursive"):
        expand(["empty"])


def test_a_pattern_is_the_files_that_match_it(here):
    assert named(["in/*.*"]) == named(["in"])
    assert [name for _, name in named(["in/**/*.png"])] == ["in/deep/c.png"]
    with pytest.raises(DatasetError, match=r"in/\*.gif: found no image or video of this pattern"):
        expand(["in/*.gif"])


def test_a_list_names_files_from_here_or_from_its_folder(here):
    (here / "in" / "list.txt").write_text("in/b.jpg\ndeep/c.png\nclip.MP4\n")
    assert [name for _, name in named(["in/list.txt"])] == [
        "in/b.jpg",
        "in/deep/c.png",
        "in/clip.MP4",
    ]


@pytest.mark.parametrize(
    "argument, kind",
    [
        ("rtsp://user:secret@10.0.0.7:554/live/0", MediaKind.STREAM),
        ("rtmp://host/app", MediaKind.STREAM),
        ("http://host/dog.jpg", MediaKind.WEB),
        ("HTTPS://host/clip.mp4?token=1", MediaKind.WEB),
        ("0", MediaKind.CAMERA),
        ("12", MediaKind.CAMERA),
    ],
)
def test_addresses_and_camera_numbers_stay_as_they_are(here, argument, kind):
    assert expand([argument]) == [MediaSource(kind, argument)]


def test_a_list_may_name_addresses(here):
    lines = ["in/b.jpg", "rtsp://user:secret@10.0.0.7/live//0", "http://host/dog.jpg"]
    (here / "in" / "list.txt").write_text("\n".join(lines))
    expected = list(zip((MediaKind.IMAGE, MediaKind.STREAM, MediaKind.WEB), lines, strict=True))
    assert named(["in/list.txt"]) == expected
    assert [(each.kind, each.name) for each in listed_sources("\n".join(lines))] == expected


@pytest.mark.parametrize("argument", ["-", "/dev/stdin"])
def test_stdin_has_two_names(argument):
    assert expand([argument]) == [MediaSource(MediaKind.STDIN, "-")]


def test_an_existing_file_is_that_file_for_any_name(here):
    for name in ("7", "frame%d.png", "[a].jpg"):
        (here / name).write_bytes(b"x")
        assert named([name]) == [(MediaKind.IMAGE, name)]


def test_numbered_frames_come_by_number_and_may_have_gaps(here):
    for name in ("f9.png", "f10.png", "f2.png", "fx.png", "f3.jpg"):
        (here / name).write_bytes(b"")
    assert named(["f%d.png"]) == [(MediaKind.NUMBERED, "f%d.png")]
    assert [path.name for path in numbered_frames("f%d.png")] == ["f2.png", "f9.png", "f10.png"]
    with pytest.raises(DatasetError, match="g%d.png: found no file of this pattern"):
        expand(["g%d.png"])


def test_padded_numbers_have_at_least_that_many_digits(here):
    for name in ("f001.png", "f02.png", "f1000.png"):
        (here / name).write_bytes(b"")
    assert [path.name for path in numbered_frames("f%03d.png")] == ["f001.png", "f1000.png"]


def test_only_live_sources_lose_frames():
    live = {kind for kind in MediaKind if MediaSource(kind, "x").is_live}
    assert live == {MediaKind.STREAM, MediaKind.CAMERA}


def test_a_source_that_matches_nothing_is_an_error(here):
    with pytest.raises(DatasetError, match="away.jpg: no such file or folder"):
        expand(["in/b.jpg", "away.jpg"])
    with pytest.raises(DatasetError, match="away/%03d.png: found no file of this pattern"):
        expand(["away/%03d.png"])


@pytest.mark.parametrize("address", ["rtsp:/10.0.0.7:554/live", "RTSP:10.0.0.7:554/live"])
def test_an_address_that_lost_a_slash_is_shown_as_it_was_and_suggested(here, address):
    with pytest.raises(DatasetError, match=r"^(.*): no such .*; did you mean rtsp://10.0.0.7:554/live\?$") as error:
        expand([address])
    assert str(error.value).startswith(f"{address}: ")


def test_a_pipe_is_an_image_to_be_read_to_its_end(here):
    os.mkfifo(here / "pipe")
    assert named(["pipe"]) == [(MediaKind.IMAGE, "pipe")]
