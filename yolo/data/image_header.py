"""What an image file says about itself before its pixels: format, size, and how a camera held it (EXIF)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from yolo.records import Size

HEAD = 2**16  # bytes that are read first; most headers fit
JPEG_START = b"\xff\xd8"
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment: TEM, RST0 ... RST7, SOI
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 ... SOF15: not DHT, JPG, DAC
EXIF_SEGMENT = 0xE1  # APP1
EXIF_START = b"Exif\0\0"
ORIENTATION_TAG = 0x0112  # EXIF 2.3, 4.6.4
TIFF_WIDTH, TIFF_HEIGHT = 256, 257  # tags
TURNED_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")  # OpenCV turns these; an AVIF turns itself
# What Pillow raises for damaged files; it documents only the first.
PILLOW_ERRORS = (
    *(OSError, ArithmeticError, AttributeError, EOFError, LookupError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, struct.error),
)


@dataclass(frozen=True)
class ImageHeader:
    """format: as Pillow calls it, such as "JPEG". stored: (height, width) of the stored pixels.

    orientation: EXIF's number, 1 to 8, of how the stored pixels are turned or mirrored for display; 1: not at all.
    """

    format: str
    stored: Size
    orientation: int = 1

    @property
    def size(self) -> Size:
        """The (height, width) of the image that `read_image` returns, turned as the camera was held."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def read_header(path: str | Path) -> ImageHeader | None:
    """Return the header of an image file, without decoding it; None if nothing is understood. Raises OSError."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
        header = parse_header(head)
        if header is None and len(head) == HEAD:
            header = parse_header(head + file.read())
    return header


def parse_header(data: bytes) -> ImageHeader | None:
    """Return the header in the bytes of an image file, or in its first bytes; None if nothing is understood."""
    return _jpeg_header(data) if data.startswith(JPEG_START) else _other_header(data)


def turned_boxes(boxes: np.ndarray, stored: Size, orientation: int) -> np.ndarray:
    """Turn boxes that were drawn on the stored pixels as `read_image` turns the image.

    Args:
        boxes: xyxy `[N, 4]`, in pixels from the corner of the image.
        stored: (height, width) of the stored pixels.
        orientation: EXIF's number, 1 to 8.

    Returns:
        The boxes xyxy `[N, 4]` of the turned image.
    """
    height, width = stored
    x, y = boxes[:, 0::2], boxes[:, 1::2]
    if orientation in (2, 3, 7, 8):
        x = width - x[:, ::-1]
    if orientation in (3, 4, 6, 7):
        y = height - y[:, ::-1]
    if orientation >= 5:
        x, y = y, x
    return np.stack((x, y), axis=-1).reshape(-1, 4)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments of a JPEG up to its first scan, or as far as `data` goes.

    Fill bytes and stray bytes before a marker are passed over, as libjpeg does (jdmarker.c next_marker).
    """
    place = len(JPEG_START)
    while True:
        place = data.find(b"\xff", place)
        while 0 <= place < len(data) and data[place] == 0xFF:
            place += 1
        if not 0 <= place < len(data):
            return
        marker = data[place]
        place += 1
        if marker == 0 or marker in ALONE:
            continue
        if marker == END_OF_IMAGE:
            return
        end = place + int.from_bytes(data[place : place + 2], "big")
        yield marker, place + 2, end
        if marker == START_OF_SCAN:
            return
        place = end


def _jpeg_header(data: bytes) -> ImageHeader | None:
    orientation, seen = 1, False
    for marker, start, end in jpeg_segments(data):
        if marker == EXIF_SEGMENT and not seen and data.startswith(EXIF_START, start):
            orientation, seen = exif_orientation(data[start + len(EXIF_START) : end]), True
        if marker in FRAMES and start + 5 <= len(data):
            height, width = (int.from_bytes(data[start + skip : start + skip + 2], "big") for skip in (1, 3))
            return ImageHeader("JPEG", (height, width), orientation)
    return None


def _other_header(data: bytes) -> ImageHeader | None:
    from PIL import Image  # here, because training decodes JPEGs without it

    Image.MAX_IMAGE_PIXELS, limit = None, Image.MAX_IMAGE_PIXELS  # read_image has a limit of its own
    try:
        with Image.open(BytesIO(data)) as image:
            width, height = image.size
            exif = image.info.get("exif", b"").removeprefix(EXIF_START)
            orientation = exif_orientation(exif)
            if image.format == "TIFF":
                width, height = int(image.tag_v2[TIFF_WIDTH]), int(image.tag_v2[TIFF_HEIGHT])
                orientation = _valid(image.tag_v2.get(ORIENTATION_TAG, 1))
    except PILLOW_ERRORS:
        return None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    return ImageHeader(image.format, (height, width), orientation if image.format in TURNED_FORMATS else 1)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in the bytes of EXIF, which are those of a small TIFF file; 1 without one."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order is None:
        return 1
    start = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[start : start + 2], order)
    for place in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        if int.from_bytes(exif[place : place + 2], order) == ORIENTATION_TAG:
            return _valid(int.from_bytes(exif[place + 8 : place + 10], order))
    return 1


def _valid(orientation: int) -> int:
    return orientation if orientation in range(1, 9) else 1
