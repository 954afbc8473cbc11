"""yolo.data.image_header: sizes and orientations of headers agree with decoded pixels; boxes turn with them."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_data import draw, write_image
from yolo.data.image_header import exif_orientation, parse_header, read_header, turned_boxes
from yolo.data.images import read_image

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
