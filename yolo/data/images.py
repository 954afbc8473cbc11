"""Reading image files: decoded pixels, or a named error."""

from pathlib import Path

import cv2
import numpy as np

from yolo.errors import DatasetError

# Darknet reads pixels as they are stored and ignores the camera's orientation note.
DECODE_COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

DECODE_GRAY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION


JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """The image as uint8 `[H, W, channels]`, RGB for 3 channels and gray for 1.

    Raises DatasetError for a file that is empty, truncated or no image, OSError for one that is not there.
    """
    content = np.fromfile(path, np.uint8)
    fault = _fault(content)
    if fault:
        raise DatasetError(f"{path}: found {fault}, expected an image")
    image = _decode(content, channels)
    if image is None:
        raise DatasetError(
            f"{path}: found {len(content)} bytes that are no image that OpenCV can read"
        )
    return image


def _decode(content: np.ndarray, channels: int) -> np.ndarray | None:
    if channels not in (1, 3):
        raise DatasetError(
            f"found a network of {channels} channels, expected 1 or 3 for image files"
        )
    try:
        image = cv2.imdecode(content, DECODE_GRAY if channels == 1 else DECODE_COLOR)
    except cv2.error:  # sizes beyond OpenCV's limits
        return None
    if image is None:
        return None
    if channels == 1:
        return image[:, :, None]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _fault(content: np.ndarray) -> str | None:
    """What is wrong with the bytes before decoding; libjpeg fills truncated images with gray and says nothing."""
    if len(content) == 0:
        return "an empty file"
    data = content.tobytes() if content[:2].tobytes() == JPEG_START else b""
    if data and data.find(JPEG_END, _first_scan(data)) < 0:
        return "a JPEG that breaks off"
    return None


def _first_scan(data: bytes) -> int:
    """Where a JPEG's pixels begin, past its segments (a thumbnail among them has an end marker of its own).

    Inside the pixels the end marker cannot occur, so the first one after this place is the image's (ITU T.81, B.1.1).
    """
    place = len(JPEG_START)
    while place + 4 <= len(data) and data[place : place + 2] != JPEG_SCAN:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place
