"""yolo.data.images: pixels as cv2.imread turns them, whole and halved; one line for what is no image; the limit of the
store."""

import ctypes
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_data import draw, write_image
from yolo.data.decoding.messages import DecoderMessages
from yolo.data.image_header import read_header
from yolo.data.images import ImageStore, decode_image, read_half, read_image
from yolo.errors import DatasetError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


UPRIGHT = {  # EXIF 2.3, tag 0x0112: where the stored row 0 and column 0 belong
    1: lambda image: image,  # top, left
    2: lambda image: image[:, ::-1],  # top, right
    3: lambda image: image[::-1, ::-1],  # bottom, right
    4: lambda image: image[::-1],  # bottom, left
    5: lambda image: image.swapaxes(0, 1),  # left, top
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda image: image.swapaxes(0, 1)[::-1],  # left, bottom
}


def turned(jpeg: bytes, orientation: int) -> bytes:
    """`jpeg` with a camera's note on how to turn it: an EXIF segment by hand, one tag, 0x0112."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def test_color_images_are_rgb(tmp_path):
    image = draw([(0, 0, 32, 48, 0)])
    read = read_image(write_image(tmp_path / "a.png", image))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, image)


def test_gray_images_have_one_channel_and_luma_weights(tmp_path):
    path = write_image(tmp_path / "a.png", np.full((4, 5, 3), (200, 100, 50), np.uint8))
    read = read_image(path, channels=1)
    assert read.shape == (4, 5, 1)
    assert abs(int(read[0, 0, 0]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)) <= 1  # BT.601


def test_a_gray_file_fills_three_channels(tmp_path):
    path = write_image(tmp_path / "a.png", np.full((4, 5, 3), 77, np.uint8))
    assert (read_image(path) == 77).all() and read_image(path).shape == (4, 5, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_cv2_imread_turns_it(tmp_path, channels, orientation):
    plain = write_image(tmp_path / "plain.jpg", draw([(0, 0, 30, 20, 0)]))
    noted = tmp_path / "noted.jpg"
    noted.write_bytes(turned(plain.read_bytes(), orientation))
    upright = UPRIGHT[orientation](read_image(plain, channels))
    np.testing.assert_array_equal(read_image(noted, channels), upright)
    np.testing.assert_array_equal(read_half(noted, channels), UPRIGHT[orientation](read_half(plain, channels)))
    np.testing.assert_array_equal(read_image(noted), cv2.imread(str(noted))[:, :, ::-1])
    assert read_header(noted).size == upright.shape[:2]


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.97])
def test_a_truncated_image_is_an_error_never_gray_pixels(tmp_path, ending, fraction):
    whole = write_image(tmp_path / f"a{ending}", NOISE).read_bytes()
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(DatasetError, match=f"cut{ending}: found"):
        read_image(cut)


def encoded(**options) -> bytes:
    """NOISE as a JPEG, by Pillow."""
    file = BytesIO()
    Image.fromarray(NOISE).save(file, "JPEG", **options)
    return file.getvalue()


KINDS_OF_JPEG = {
    "baseline": encoded(),
    "progressive": encoded(progressive=True),
    "restarts": encoded(restart_marker_rows=1),
}


@pytest.mark.parametrize("kind", KINDS_OF_JPEG)
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])  # as it broke off, or with an end marker that a program added
def test_a_jpeg_that_lacks_one_byte_of_its_image_is_an_error(tmp_path, kind, end):
    whole = KINDS_OF_JPEG[kind][:-2]
    scans = whole.index(b"\xff\xda")
    for length in [scans, *range(scans + 20, len(whole) - 1, len(whole) // 40), len(whole) - 1]:
        path = tmp_path / "a.jpg"
        path.write_bytes(whole[:length] + end)
        if end and {whole[at : at + 2] for at in (length - 1, length)} & {b"\xff\xc4", b"\xff\xda"}:
            continue  # between two scans of a progressive JPEG: a whole one of fewer scans
        for read in (read_image, read_half):
            with pytest.raises(DatasetError, match="a.jpg: found a JPEG that (breaks off|lacks a part)"):
                read(path, 3)


def test_a_progressive_jpeg_that_stops_between_two_scans_is_an_error(tmp_path):
    whole = KINDS_OF_JPEG["progressive"]
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: whole.rindex(b"\xff\xda")])  # libjpeg decodes it without a message
    with pytest.raises(DatasetError, match="a.jpg: found a JPEG that breaks off"):
        read_image(path)


def test_a_jpeg_without_one_of_its_restart_intervals_is_an_error(tmp_path):
    whole = KINDS_OF_JPEG["restarts"]
    first, second = whole.index(b"\xff\xd0"), whole.index(b"\xff\xd1")
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:first] + whole[second:])
    with pytest.raises(DatasetError, match="lacks a part .*found marker 0xd1 instead of RST0"):
        read_image(path)


@pytest.mark.parametrize("kind", KINDS_OF_JPEG)
@pytest.mark.parametrize(
    ("spoil", "remark"),
    [
        (lambda jpeg, _: jpeg[:-2], "no end marker"),
        (lambda jpeg, _: jpeg[:-1], "no end marker"),
        (lambda jpeg, _: jpeg[:-2] + bytes(500), "extraneous bytes before marker 0xd9"),
        (lambda jpeg, table: jpeg[:table] + b"stray" + jpeg[table:], "5 extraneous bytes before marker 0xdb"),
        (lambda jpeg, table: jpeg[:table] + b"\xff\xff\xff" + jpeg[table:], None),
        (lambda jpeg, _: jpeg + b"a camera's notes", None),
    ],
)
def test_a_jpeg_with_fill_bytes_stray_bytes_or_no_end_is_decoded_with_a_remark(tmp_path, kind, spoil, remark, capfd):
    jpeg = KINDS_OF_JPEG[kind]
    path = tmp_path / "a.jpg"
    path.write_bytes(spoil(jpeg, jpeg.index(b"\xff\xdb")))  # the quantization tables
    said = []
    np.testing.assert_array_equal(read_image(path, 3, said.append), decode_image(jpeg, "whole"))
    assert [remark in line and str(path) in line for line in said] == [True] * (remark is not None)
    assert capfd.readouterr().err == ""  # libjpeg would print there, without a name


def test_a_missing_part_is_seen_behind_stray_bytes(tmp_path):
    """libjpeg prints only its first message, which is about the stray bytes."""
    for jpeg in KINDS_OF_JPEG.values():
        table = jpeg.index(b"\xff\xdb")
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg[:table] + b"stray" + jpeg[table:-50])
        with pytest.raises(DatasetError, match="breaks off"):
            read_image(path)


def test_each_thread_gets_its_own_remarks():
    odd = KINDS_OF_JPEG["baseline"]
    table = odd.index(b"\xff\xdb")
    odd = odd[:table] + b"stray" + odd[table:]

    def remarks(number):
        said = []
        decode_image(odd if number % 5 == 0 else KINDS_OF_JPEG["baseline"], str(number), 3, said.append)
        return [line.partition(":")[0] for line in said]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(remarks, range(60))) == [[str(n)] if n % 5 == 0 else [] for n in range(60)]


def bomb(form: str, size=(30000, 30000)) -> bytes:
    """A few hundred bytes that claim `size` (width, height): a tiny image whose header is changed."""
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, form)
    data = bytearray(file.getvalue())
    at, parts = {"JPEG": (data.find(b"\xff\xc0") + 5, ">HH"), "PNG": (16, ">II"), "BMP": (18, "<ii")}[form]
    struct.pack_into(parts, data, at, *(size[::-1] if form == "JPEG" else size))
    if form == "PNG":
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP"])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(form, monkeypatch):
    monkeypatch.setattr("yolo.data.images.cv2.imdecode", None)
    with pytest.raises(DatasetError, match="b: found 30000 x 30000 pixels, expected at most 268435456 in all; --max-p"):
        decode_image(bomb(form), "b")


def test_the_limit_of_pixels_can_be_set(monkeypatch):
    image = encoded()
    monkeypatch.setenv("YOLO_MAX_PIXELS", str(40 * 60))
    assert decode_image(image, "a").shape == (40, 60, 3)
    monkeypatch.setenv("YOLO_MAX_PIXELS", str(40 * 60 - 1))
    with pytest.raises(DatasetError, match="a: found 60 x 40 pixels, expected at most 2399 in all"):
        decode_image(image, "a")


def test_an_image_without_memory_for_it_is_one_line(monkeypatch):
    monkeypatch.setattr("yolo.data.images.cv2.imdecode", Mock(side_effect=MemoryError))
    with pytest.raises(DatasetError, match="^a: found 60 x 40 pixels, for which there is no memory$"):
        decode_image(encoded(), "a")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path):
    path = write_image(tmp_path / "a.jpg", NOISE)
    before = read_image(path)
    path.write_bytes(path.read_bytes() + b"a camera's notes" * 10)
    np.testing.assert_array_equal(read_image(path), before)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"no image\n", "text, expected an image"),
        (b"\0\1\2", "3 bytes that are no image"),
        (b"<!DOCTYPE html><html>", "a web page, expected an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"\xff\xd8", "a JPEG that breaks off"),
        (b"RIFF\x40\0\0\0WEBPVP8 ", "a WebP image, expected one that OpenCV can decode"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, found):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"a.jpg: found {found}") as error:
        read_image(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "away.jpg")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)


def test_a_network_of_other_channels_cannot_read_image_files(tmp_path):
    path = write_image(tmp_path / "a.png", NOISE)
    with pytest.raises(DatasetError, match="found a network of 4 channels, expected 1 or 3"):
        read_image(path, channels=4)


def test_an_image_of_one_pixel_is_an_image(tmp_path):
    path = write_image(tmp_path / "a.png", np.array([[[1, 2, 3]]], np.uint8))
    assert read_image(path).tolist() == [[[1, 2, 3]]]


def test_end_marks_before_and_after_the_pixels_do_not_count(tmp_path):
    ok, content = cv2.imencode(".jpg", np.full((20, 30, 3), 90, np.uint8))
    jpeg = content.tobytes()
    thumbnail = b"\xff\xe1" + (2 + len(jpeg)).to_bytes(2, "big") + jpeg  # as cameras keep one
    trailer = b"\xff\xda" * 9  # a film after the image
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg[:2] + thumbnail + jpeg[2:] + trailer)
    assert ok and read_image(path).shape == (20, 30, 3)
    path.write_bytes(jpeg[:2] + thumbnail + jpeg[2:-3])
    with pytest.raises(DatasetError, match="breaks off"):
        read_image(path)


def smooth(size):
    """A random image without sharp edges, so that every good way to halve it gives nearly the same."""
    rng = np.random.default_rng(size)
    small = rng.integers(0, 256, (size[0] // 16 + 1, size[1] // 16 + 1, 3), dtype=np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)


def obviously_halved(image):
    """The mean of every two by two pixels, those at odd ends doubled."""
    rows, columns = (side % 2 for side in image.shape[:2])
    even = np.pad(image.astype(float), ((0, rows), (0, columns), (0, 0)), mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (97, 150), (120, 64)])
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_half_an_image_is_the_mean_of_its_pixels(tmp_path, ending, size, channels):
    path = write_image(tmp_path / f"p{ending}", smooth(size))
    found = read_half(path, channels)
    assert found.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2, channels)
    assert found.dtype == np.uint8
    # JPEGs are halved by leaving out fine waves of each block: near the mean, but not it.
    off = np.abs(found - obviously_halved(read_image(path, channels)))
    assert off.mean() <= 2 and off.max() <= 16


def test_an_unreadable_image_has_the_message_of_read_image(tmp_path):
    path = write_image(tmp_path / "p.jpg", smooth((40, 50)))
    whole = path.read_bytes()
    for spoilt in (b"", whole[:300], b"\xff\xd8 no image \xff\xd9"):
        path.write_bytes(spoilt)
        with pytest.raises(DatasetError) as expected:
            read_image(path, 3)
        with pytest.raises(DatasetError) as found:
            read_half(path, 3)
        assert str(found.value) == str(expected.value)
    with pytest.raises(FileNotFoundError):
        read_half(tmp_path / "none.jpg", 3)


def test_a_jpeg_with_something_behind_it_is_read_too(tmp_path):
    path = write_image(tmp_path / "p.jpg", smooth((40, 50)))
    path.write_bytes(path.read_bytes() + b"a camera's own notes")
    assert read_half(path, 3).shape == (20, 25, 3)


def test_a_store_keeps_what_finds_room(tmp_path):
    paths = [write_image(tmp_path / f"{n}.png", draw([], (10, 10))) for n in range(3)]
    store = ImageStore(room=2 * 300)
    first = [store.read(path, 3, False) for path in paths]
    again = [store.read(path, 3, False) for path in paths]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True, False]
    np.testing.assert_array_equal(first[2], again[2])
    empty = ImageStore(room=0)
    assert empty.read(paths[0], 3, False) is not empty.read(paths[0], 3, False)


def test_a_store_keeps_whole_and_halved_images_apart(tmp_path):
    path = write_image(tmp_path / "p.png", draw([(0, 0, 10, 20, 1)], (20, 30)))
    store = ImageStore(room=10**6)
    for _ in range(2):
        np.testing.assert_array_equal(store.read(path, 3, False), read_image(path, 3))
        np.testing.assert_array_equal(store.read(path, 3, True), read_half(path, 3))


def test_a_png_whose_chunk_is_longer_than_the_file_is_refused_before_it_is_decoded():
    content = cv2.imencode(".png", NOISE)[1].tobytes()
    place = content.index(b"IDAT") - 4
    # OpenCV 5 would take 2 GB for this one
    huge = content[:place] + b"\x80\0\0\0" + content[place + 4 :]
    for broken in (huge, content[:-13], content[:-5], content[: place + 6]):
        with pytest.raises(DatasetError, match="a.png: found a PNG that breaks off, expected an image"):
            decode_image(broken, "a.png")
    assert np.array_equal(decode_image(content + b"more", "a.png"), decode_image(content, "a.png"))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
def test_what_a_decoder_prints_is_collected_where_no_folder_can_be_written(monkeypatch):
    """In a container with a read-only file system and without /tmp, no image could be decoded."""
    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_, **__: pytest.fail("a file in a folder"))
    messages = DecoderMessages()
    libc = ctypes.CDLL(None)
    stream = ctypes.c_void_p.in_dll(libc, "stderr")
    libc.fputs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    assert messages.call(lambda: libc.fputs(b"a line\n", stream) >= 0) == (True, "a line")
    assert messages.call(lambda: 1) == (1, "")
    messages._file.close()  # noqa: SLF001 - a process has one, for as long as it lives
