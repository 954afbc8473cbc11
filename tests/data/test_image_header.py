"""yolo.data.image_header: sizes and orientations of headers agree with decoded pixels; boxes turn with them."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_data import draw, write_image
from yolo.data.image_header import exif_orientation, parse_header, read_header, turned_boxes
from yolo.data.images import decode_image, read_image
from yolo.errors import DatasetError

BOX = (5, 8, 30, 20)  # x1 y1 x2 y2 of a box of another color


def noted_image(form: str, orientation: int) -> bytes:
    """An image of 48 x 64 pixels with a box, and a note on how to turn it, by Pillow."""
    image = Image.fromarray(draw([(*BOX, 0)]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    note = {"tiffinfo": {0x0112: orientation}} if form == "TIFF" else {"exif": exif.tobytes()}
    better = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    file = BytesIO()
    image.save(file, form, **note, **better.get(form, {}))
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_header_and_boxes_agree_with_the_pixels(tmp_path, form, orientation):
    path = tmp_path / "a"
    path.write_bytes(noted_image(form, orientation))
    pixels = read_image(path)
    header = read_header(path)
    assert (header.format, header.stored, header.orientation) == (form, (48, 64), orientation)
    assert header.size == pixels.shape[:2]
    ((x1, y1, x2, y2),) = turned_boxes(np.array([BOX]), header.stored, header.orientation)
    rows, columns = np.nonzero(pixels[:, :, 0] > 150)  # the box is red
    assert (x1, y1, x2, y2) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("form", ["BMP", "GIF", "AVIF"])
def test_other_formats_have_a_size(form):
    file = BytesIO()
    Image.fromarray(draw([])).save(file, form)
    header = parse_header(file.getvalue())
    assert (header.format, header.size) == (form, (48, 64))


def test_a_jpeg_header_behind_long_segments_fill_bytes_and_stray_bytes(tmp_path):
    path = write_image(tmp_path / "a.jpg", draw([]))
    jpeg = path.read_bytes()
    profile = (b"\xff\xe2\xff\xff" + bytes(65533)) * 3  # 192 KiB, longer than what is read first
    path.write_bytes(jpeg[:2] + profile + b"stray" + b"\xff\xff\xff" + jpeg[2:])
    assert read_header(path).size == (48, 64)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_no_header_is_none(content):
    assert parse_header(content) is None


@pytest.mark.parametrize("exif", [b"", b"MM\0*", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*" + bytes(40), b"Exif"])
def test_damaged_exif_turns_nothing(exif):
    assert exif_orientation(exif) == 1


def tiff_of(side: int, order: str, big: bool, kind: int, hidden_by: int | None) -> bytes:
    """A black TIFF of side x side pixels; kind: of its width and height; hidden_by: said in second entries of both."""
    strip = zlib.compress(bytes(side * side))
    place = "Q" if big else "I"
    entries = [(256, kind, side), (257, kind, side), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 16),
               (277, 3, 1), (278, 4, side), (279, 4, len(strip))]  # fmt: skip
    if hidden_by is not None:
        entries += [(256, 4, hidden_by), (257, 4, hidden_by)]
    number = {1: "B", 3: "H", 4: "I", 8: "h", 9: "i", 16: "Q"}
    rows = b"".join(
        struct.pack(order + "HH" + place, tag, kind, 1)
        + struct.pack(order + number[kind], value).ljust(8 if big else 4, b"\0")
        for tag, kind, value in sorted(entries, key=lambda entry: entry[0])
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    directory = struct.pack(order + ("Q" if big else "H"), len(entries)) + rows + bytes(8)
    start = struct.pack(order + ("HHQ" if big else "I"), *((8, 0) if big else ()), 16 + len(strip))
    return (head + start).ljust(16, b"\0") + strip + directory


@pytest.mark.parametrize("hidden_by", [None, 1])
@pytest.mark.parametrize("kind", [3, 4, 8, 9, 16])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_cannot_hide_its_size_from_the_limit(order, big, kind, hidden_by, monkeypatch):
    if kind == 16 and not big:
        return
    content = tiff_of(300, order, big, kind, hidden_by)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape == (300, 300)  # as libtiff reads it
    assert parse_header(content).stored == (300, 300)
    monkeypatch.setenv("YOLO_MAX_PIXELS", "1000")
    with pytest.raises(DatasetError, match="found 300 x 300 pixels"):
        decode_image(content, "a.tif")


def test_a_tiff_of_a_tile_that_is_far_larger_than_the_image_is_refused():
    content = tiff_of(300, "<", False, 4, None)
    for tag in (278, 279):  # the last two entries, which the reader of headers does not need, become those of tiles
        place = content.index(struct.pack("<H", tag), 16 + 100)
        content = content[:place] + struct.pack("<HHII", tag + 44, 4, 1, 5000) + content[place + 12 :]
    assert parse_header(content) is None
    assert parse_header(content.replace(struct.pack("<I", 5000), struct.pack("<I", 512))).stored == (300, 300)


@pytest.mark.parametrize("big", [False, True])
def test_the_first_bytes_of_a_tiff_say_nothing_where_they_end_in_its_directory(big):
    """The rest may say that a tile is huge, or how the camera was held."""
    content = tiff_of(300, "<", big, 4, None)
    end = len(content) - 8  # behind the entries
    assert parse_header(content[:end]).stored == (300, 300)
    for cut in (end - 1, end - 7 * (20 if big else 12)):  # both sides are in the first two entries
        assert parse_header(content[:cut]) is None


def test_a_tiff_without_a_size_that_is_sure_is_refused():
    content = tiff_of(300, "<", False, 4, None)
    place = content.index(struct.pack("<HHI", 256, 4, 1))
    unsure = content[: place + 2] + struct.pack("<H", 16) + content[place + 4 :]  # LONG8: its number lies elsewhere
    assert parse_header(unsure) is None
    with pytest.raises(DatasetError, match="a TIFF file without a size"):
        decode_image(unsure, "a.tif")
