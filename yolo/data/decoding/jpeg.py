"""Read the segments of a JPEG file, and find out whether a part of its image is missing (ITU T.81, annexes B and G)."""

import re
from collections.abc import Iterator

import numpy as np

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment: TEM, RST0 ... RST7, SOI
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 ... SOF15: not DHT, JPG, DAC
PROGRESSIVE = (0xC2, 0xCA)
COEFFICIENTS = 64  # of a block

# What libjpeg prints when data of the image end too early (jerror.h: JWRN_HIT_MARKER, JWRN_JPEG_EOF), when it finds
# another restart marker than the next one (JWRN_MUST_RESYNC), or passes over data to reach one (JWRN_EXTRANEOUS_DATA).
BREAKS_OFF = re.compile("premature end", re.I)
LOSES_PART = re.compile("instead of RST|bytes before marker 0xd[0-7]")
GRAY = 128  # of pixels that had no data
# Where the last stored pixel is after turning, by EXIF's orientation: row and column.
LAST_PIXEL = {2: (-1, 0), 3: (0, 0), 4: (0, -1), 6: (-1, 0), 7: (0, 0), 8: (0, -1)}


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments of a JPEG up to its first scan, or as far as `data` goes.

    Fill bytes and stray bytes before a marker are passed over, as libjpeg does (jdmarker.c next_marker).
    """
    place = len(JPEG_START)
    while (found := _next_marker(data, place)) is not None:
        marker, place = found
        if marker == END_OF_IMAGE:
            return
        end = place + int.from_bytes(data[place : place + 2], "big")
        yield marker, place + 2, end
        if marker == START_OF_SCAN:
            return
        place = end


def without_stray_bytes(data: bytes) -> bytes:
    """Return a JPEG without the bytes that are between the segments before its first scan.

    libjpeg prints only its first message. Without these bytes, that message is about the image.
    """
    parts, end = [JPEG_START], len(JPEG_START)
    for marker, start, end in jpeg_segments(data):
        parts.append(b"\xff" + bytes([marker]) + data[start - 2 : end])
    return b"".join([*parts, data[end:]])


def missing_part(image: np.ndarray, orientation: int, printed: str) -> str | None:
    """Return which part of its image a decoded JPEG lacks, in words; None if it is whole.

    Args:
        image: the decoded pixels `[H, W, C]`, turned.
        orientation: EXIF's number of how they were turned.
        printed: libjpeg's first message about it, or nothing; later ones are never printed, but pixels without data
            are gray.
    """
    if BREAKS_OFF.search(printed):
        return "a JPEG that breaks off"
    last = image[LAST_PIXEL.get(orientation, (-1, -1))]
    if LOSES_PART.search(printed) or (printed and (last == GRAY).all()):
        return f"a JPEG that lacks a part ({printed})"
    return None


def read_scans(data: bytes) -> tuple[bool, int]:
    """Return whether the scans bring every coefficient of every component to its full precision, and where they end.

    This finds a file that stops between two scans, which libjpeg accepts as whole. The end is after the end marker.
    """
    components: dict[int, np.ndarray] = {}  # id → bits that are missing of each coefficient
    progressive = False
    place = len(JPEG_START)
    while (found := _next_marker(data, place)) is not None:
        marker, start = found
        if marker == END_OF_IMAGE:
            place = start
            break
        place = start + int.from_bytes(data[start : start + 2], "big")
        segment = data[start + 2 : place]
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
            ids = segment[6 : 6 + 3 * segment[5] : 3] if len(segment) > 5 else b""
            components = {each: np.full(COEFFICIENTS, COEFFICIENTS) for each in ids}
        elif marker == START_OF_SCAN and segment:
            count = segment[0]
            first, last, bits = (segment[1 + 2 * count :] + b"\0\0\0")[:3]
            span = slice(first, last + 1) if progressive else slice(None)
            for each in segment[1 : 1 + 2 * count : 2]:
                if each in components:
                    components[each][span] = bits & 15 if progressive else 0
    return bool(components) and all((left == 0).all() for left in components.values()), place


def _next_marker(data: bytes, place: int) -> tuple[int, int] | None:
    """Return the next marker with a segment, or the end of the image, and where its segment begins."""
    while True:
        place = data.find(b"\xff", place)
        while 0 <= place < len(data) and data[place] == 0xFF:
            place += 1
        if not 0 <= place < len(data):
            return None
        marker = data[place]
        place += 1
        if marker and marker not in ALONE:
            return marker, place
