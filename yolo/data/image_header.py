"""Read the header of an image file: format, size, and orientation of the camera (EXIF)."""

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from yolo.data.decoding.jpeg import FRAMES, JPEG_START, jpeg_segments
from yolo.files.contents import open_input
from yolo.records import Size

HEAD = 2**16  # bytes that are read first; most headers fit
EXIF_SEGMENT = 0xE1  # APP1
EXIF_START = b"Exif\0\0"
ORIENTATION_TAG = 0x0112  # EXIF 2.3, 4.6.4
TIFF_WIDTH, TIFF_HEIGHT, TILE_WIDTH, TILE_HEIGHT = 256, 257, 322, 323  # tags
LARGEST_TILE = 2**22  # pixels of a tile of an image that is smaller; programs write 64 x 64 to 1024 x 1024
# Of the whole numbers that libtiff takes for a size, by their kinds: BYTE, SHORT, LONG, SBYTE, SSHORT, SLONG, LONG8.
NUMBER_BYTES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 16: 8}
TURNED_FORMATS = ("PNG", "WEBP")  # of Pillow's; an AVIF turns itself
# What Pillow raises for damaged files; it documents only the first.
PILLOW_ERRORS = (
    *(OSError, ArithmeticError, AttributeError, EOFError, LookupError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, struct.error),
)


class _Layout(NamedTuple):
    """Where things are in a TIFF file, in bytes: order of the bytes of a number; place and length of the first
    directory's place; length of its count of entries, of an entry, and of the start of an entry before its value."""

    order: Literal["little", "big"]
    place: int
    place_bytes: int
    count_bytes: int
    entry: int
    value: int


TIFF_LAYOUTS = {
    b"II*\0": _Layout("little", 4, 4, 2, 12, 8),
    b"MM\0*": _Layout("big", 4, 4, 2, 12, 8),
    b"II+\0": _Layout("little", 8, 8, 8, 20, 12),  # BigTIFF
    b"MM\0+": _Layout("big", 8, 8, 8, 20, 12),
}


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
    """Return the header of an image file, without decoding it; None for an unknown format. Raises OSError."""
    with open_input(path) as file:
        head = file.read(HEAD)
        header = parse_header(head)
        if header is None and len(head) == HEAD:
            header = parse_header(head + file.read())
    return header


def parse_header(data: bytes) -> ImageHeader | None:
    """Return the header in the bytes of an image file, or in its first bytes.

    None for an unknown format, or a size without pixels, so that callers may divide by it.
    """
    if data.startswith(JPEG_START):
        header = _jpeg_header(data)
    else:
        header = _tiff_header(data) if is_tiff(data) else _other_header(data)
    return header if header and min(header.stored) > 0 else None


def is_tiff(data: bytes) -> bool:
    """Whether the first bytes of a file are those of a TIFF file."""
    return data[:4] in TIFF_LAYOUTS


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


def _jpeg_header(data: bytes) -> ImageHeader | None:
    orientation, seen = 1, False
    for marker, start, end in jpeg_segments(data):
        if marker == EXIF_SEGMENT and not seen and data.startswith(EXIF_START, start):
            orientation, seen = exif_orientation(data[start + len(EXIF_START) : end]), True
        if marker in FRAMES and start + 5 <= len(data):
            height, width = (int.from_bytes(data[start + skip : start + skip + 2], "big") for skip in (1, 3))
            return ImageHeader("JPEG", (height, width), orientation)
    return None


def _tiff_header(data: bytes) -> ImageHeader | None:
    """Return the size that libtiff reads; None if it is uncertain, because a malicious file could hide a huge size."""
    entries, whole = _first_directory(data)
    if not whole:
        return None
    inline = TIFF_LAYOUTS[data[:4]].entry - TIFF_LAYOUTS[data[:4]].value
    sides = [entries.get(tag, (0, 0)) for tag in (TIFF_HEIGHT, TIFF_WIDTH)]
    if not all(NUMBER_BYTES.get(kind, inline + 1) <= inline for kind, _ in sides):
        return None
    (_, height), (_, width) = sides
    (_, rows), (_, columns) = (entries.get(tag, (0, 0)) for tag in (TILE_HEIGHT, TILE_WIDTH))
    if rows * columns > max(LARGEST_TILE, height * width):
        return None  # a tile is decoded as a whole, also where the image ends in it
    return ImageHeader("TIFF", (height, width), _orientation(entries))


def _other_header(data: bytes) -> ImageHeader | None:
    from PIL import Image  # imported here, because JPEGs are read without it

    Image.MAX_IMAGE_PIXELS, limit = None, Image.MAX_IMAGE_PIXELS  # read_image has a limit of its own
    try:
        with Image.open(BytesIO(data)) as image:
            width, height = image.size
            exif = image.info.get("exif", b"").removeprefix(EXIF_START)
    except PILLOW_ERRORS:
        return None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    orientation = exif_orientation(exif) if image.format in TURNED_FORMATS else 1
    return ImageHeader(image.format, (height, width), orientation)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in the bytes of EXIF, which are those of a small TIFF file; 1 without one."""
    entries, _ = _first_directory(exif)
    return _orientation(entries)


def _first_directory(tiff: bytes) -> tuple[dict[int, tuple[int, int]], bool]:
    """Return the entries of the first directory of a TIFF file by their tags, and whether `tiff` holds all of them.

    An entry is its kind and its first number.
    Of several entries with a tag the first one counts, as in libtiff (tif_dirread.c TIFFReadDirectory).
    """
    layout = TIFF_LAYOUTS.get(tiff[:4])
    if layout is None:
        return {}, False

    def number(place: int, length: int) -> int:
        return int.from_bytes(tiff[place : place + length], layout.order)

    start = number(layout.place, layout.place_bytes)
    first = start + layout.count_bytes
    end = first + layout.entry * number(start, layout.count_bytes)
    entries: dict[int, tuple[int, int]] = {}
    for place in range(first, min(end, len(tiff) - layout.entry + 1), layout.entry):
        tag, kind = number(place, 2), number(place + 2, 2)
        entries.setdefault(tag, (kind, number(place + layout.value, NUMBER_BYTES.get(kind, 2))))
    return entries, end <= len(tiff)


def _orientation(entries: dict[int, tuple[int, int]]) -> int:
    _, orientation = entries.get(ORIENTATION_TAG, (0, 1))
    return orientation if orientation in range(1, 9) else 1
