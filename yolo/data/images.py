"""Decode image files, at full or half size, and keep the pixels in memory while there is room."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from yolo.data.decoding.jpeg import JPEG_END, JPEG_START, missing_part, read_scans, without_stray_bytes
from yolo.data.decoding.messages import MESSAGES
from yolo.data.decoding.png import PNG_START, png_breaks_off
from yolo.data.image_header import ImageHeader, is_tiff, parse_header
from yolo.defaults import MAX_PIXELS_VARIABLE, MOST_PIXELS
from yolo.errors import DatasetError, counted
from yolo.files.contents import START, known_content, open_input

log = logging.getLogger(__name__)

# Channels → flags of OpenCV. It turns an image by its EXIF data, as AlexeyAB's Darknet reads it by cv::imread.
RGB = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # from OpenCV 4.10 on: saves a copy of the pixels
WHOLE = {1: cv2.IMREAD_GRAYSCALE, 3: RGB or cv2.IMREAD_COLOR}
HALF = {
    1: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    3: cv2.IMREAD_REDUCED_COLOR_2 - cv2.IMREAD_COLOR + RGB if RGB else cv2.IMREAD_REDUCED_COLOR_2,
}

ROOM = 256 * 2**20  # bytes; the main process fills it, and each worker may fill what is left
NO_MEMORY = -4  # OpenCV's StsNoMem
Remark = Callable[[str], None]  # called with one line about an image that could be decoded nevertheless


def log_remark(line: str) -> None:
    """Log a remark on an image as a warning."""
    log.warning("%s", line)


def ignore_remark(_line: str) -> None:
    """For images that were checked before: the check has reported the remark."""


class ImageStore:
    """Decoded images by path, up to `room` bytes; an image without room is decoded each time.

    No image is removed for another one: an epoch reads every image once, so the last images that were read are the
    last that are needed again. The result of `read` does not depend on what is kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept: dict[tuple[Path, bool], np.ndarray] = {}

    def read(self, path: Path, channels: int, halved: bool) -> np.ndarray:
        """Return the result of `read_half` or `read_image`. It must not be written to."""
        image = self.kept.get((path, halved))
        if image is None:
            image = read_half(path, channels) if halved else read_image(path, channels, ignore_remark)
            if image.nbytes <= self.room:
                self.room -= image.nbytes
                self.kept[path, halved] = image
        return image


def read_image(path: str | Path, channels: int = 3, remark: Remark = log_remark) -> np.ndarray:
    """Read an image as uint8 `[H, W, channels]`, upright: RGB for 3 channels, gray for 1.

    Args:
        path: the file.
        channels: 3 or 1.
        remark: called with a line if the file is damaged but can be decoded, as OpenCV does.

    Raises:
        DatasetError: The file is empty, not an image, lacks a part of it, or has more pixels than the limit.
        OSError: The file cannot be read.
    """
    with open_input(path) as file:
        content = file.read()
    return decode_image(content, path, channels, remark)


def decode_image(content: bytes, name: str | Path, channels: int = 3, remark: Remark = log_remark) -> np.ndarray:
    """Decode the bytes of an image file as `read_image` does.

    Args:
        content: the bytes of the file.
        name: of the image, for messages.
        channels: 3 or 1.
        remark: called with a line if the image is damaged but can be decoded.

    Returns:
        uint8 `[H, W, channels]`, upright: RGB for 3 channels, gray for 1.

    Raises:
        DatasetError: the bytes are no image, lack a part of it, or have more pixels than the limit.
    """
    if channels not in WHOLE:
        raise DatasetError(f"found a network of {channels} channels, expected 1 or 3 for image files")
    return _decode(content, name, WHOLE[channels], remark)


def read_half(path: Path, channels: int) -> np.ndarray:
    """Read an image at half its size, `[(H + 1) // 2, (W + 1) // 2, C]`; raises what `read_image` does.

    A JPEG is decoded at that size, which takes a third of the time. Remarks are ignored, because training reads images
    this way after its check.
    """
    with open_input(path) as file:
        content = file.read()
    if content.startswith(JPEG_START):
        return _decode(content, path, HALF[channels], ignore_remark)
    return _mean_of_four(decode_image(content, path, channels, ignore_remark))


def pixel_limit() -> int:
    """Return how many pixels an image may have: YOLO_MAX_PIXELS of the environment, else MOST_PIXELS."""
    given = os.environ.get(MAX_PIXELS_VARIABLE, "")
    return int(given) if given.isascii() and given.isdigit() else MOST_PIXELS


def _decode(content: bytes, name: str | Path, flags: int, remark: Remark) -> np.ndarray:
    header = parse_header(content)
    if header:
        _check_size(header, name)
    elif is_tiff(content):
        raise DatasetError(f"{name}: found a TIFF file without a size that can be read, expected an image")
    if content.startswith(PNG_START) and png_breaks_off(content):
        raise DatasetError(f"{name}: found a PNG that breaks off, expected an image")
    if content.startswith(JPEG_START):
        image, warnings = _decode_jpeg(content, name, flags, header)
    else:
        image, warnings = _opencv(content, name, flags, header)
    if warnings:
        remark(f"{name}: decoded, with a remark: {warnings}")
    return image


def _decode_jpeg(content: bytes, name: str | Path, flags: int, header: ImageHeader | None) -> tuple[np.ndarray, str]:
    """Return the pixels of a JPEG and a remark. Raises DatasetError if a part of the image is missing."""
    no_end, whole = False, True
    if not content.endswith(JPEG_END):
        content += JPEG_END  # as libjpeg does at the end of a file (jdatasrc.c fill_input_buffer)
        whole, end = read_scans(content)
        no_end = end == len(content)
    image, printed = _opencv(content, name, flags, header)
    first = printed
    if "extraneous" in printed:
        _, first = _opencv(without_stray_bytes(content), name, flags, header)
    fault = missing_part(image, header.orientation if header else 1, first or printed)
    if no_end and not whole:
        fault = "a JPEG that breaks off"
    if fault:
        raise DatasetError(f"{name}: found {fault}, expected an image")
    return image, printed or ("no end marker" if no_end else "")


def _check_size(header: ImageHeader, name: str | Path) -> None:
    height, width = header.stored
    if height * width > pixel_limit():
        raise DatasetError(
            f"{name}: found {width} x {height} pixels, expected at most {pixel_limit()} in all; "
            "--max-pixels N allows more, if there is memory"
        )


def _opencv(content: bytes, name: str | Path, flags: int, header: ImageHeader | None) -> tuple[np.ndarray, str]:
    """Return the pixels `[H, W, C]` and what the decoder printed. Raises DatasetError if OpenCV cannot decode them."""
    try:
        if content:
            image, printed = MESSAGES.call(lambda: cv2.imdecode(np.frombuffer(content, np.uint8), flags))
        else:
            image, printed = None, ""
        if image is not None:
            if image.ndim == 2:
                return image[:, :, None], printed
            return image if flags & RGB else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), printed
    except (cv2.error, MemoryError) as error:
        if isinstance(error, MemoryError) or error.code == NO_MEMORY:
            height, width = header.stored if header else ("?", "?")
            raise DatasetError(f"{name}: found {width} x {height} pixels, for which there is no memory") from None
        printed = ""
    kind = known_content(content[:START])
    if content.startswith(JPEG_START):
        kind, printed = "a JPEG that breaks off", ""
    reason = f" ({printed})" if printed else ""
    if kind is None:
        raise DatasetError(
            f"{name}: found {counted(len(content), 'byte')}{reason} that are no image that OpenCV can read"
        )
    expected = "one that OpenCV can decode" if kind.endswith("image") else "an image"
    raise DatasetError(f"{name}: found {kind}{reason}, expected {expected}")


def _mean_of_four(image: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 pixels. A last row or column without a partner is doubled, as in a JPEG."""
    height, width, channels = image.shape
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = (width + 1) // 2, (height + 1) // 2
    return cv2.resize(even, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], channels)
