"""Image files → decoded pixels, whole or at half their size, kept in memory while there is room."""

from pathlib import Path

import cv2
import numpy as np

from yolo.errors import DatasetError

# Channels → flags of OpenCV. It turns an image as its EXIF data say, as AlexeyAB's Darknet reads it by cv::imread.
WHOLE = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}
HALF = {1: cv2.IMREAD_REDUCED_GRAYSCALE_2, 3: cv2.IMREAD_REDUCED_COLOR_2}

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
ROOM = 256 * 2**20  # bytes; the main process fills it, and each worker may fill what is left


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
            image = read_half(path, channels) if halved else read_image(path, channels)
            if image.nbytes <= self.room:
                self.room -= image.nbytes
                self.kept[path, halved] = image
        return image


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Read an image as uint8 `[H, W, channels]`: RGB for 3 channels, gray for 1.

    Raises:
        DatasetError: The file is empty, truncated or not an image.
        OSError: The file cannot be read.
    """
    return decode_image(np.fromfile(path, np.uint8), path, channels)


def decode_image(content: np.ndarray, name: str | Path, channels: int = 3) -> np.ndarray:
    """Decode the bytes of an image file, uint8 `[N]`, as `read_image` does; name: of the image, for the error."""
    fault = _fault(content)
    if fault:
        raise DatasetError(f"{name}: found {fault}, expected an image")
    if channels not in WHOLE:
        raise DatasetError(f"found a network of {channels} channels, expected 1 or 3 for image files")
    image = _decode(content, WHOLE[channels])
    if image is None:
        raise DatasetError(f"{name}: found {len(content)} bytes that are no image that OpenCV can read")
    return image


def read_half(path: Path, channels: int) -> np.ndarray:
    """Read an image at half its size, `[(H + 1) // 2, (W + 1) // 2, C]`; raises what `read_image` does.

    A JPEG is decoded at that size, which costs a third of decoding it whole.
    """
    content = np.fromfile(path, np.uint8)
    ends = content[:2].tobytes(), content[-2:].tobytes()
    image = _decode(content, HALF[channels]) if ends == (JPEG_START, JPEG_END) else None
    if image is None:  # another format, or broken: read_image raises the error
        return _mean_of_four(read_image(path, channels))
    return image


def _decode(content: np.ndarray, flags: int) -> np.ndarray | None:
    """Decode an image as `[H, W, C]`; None if OpenCV cannot."""
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error:  # sizes beyond OpenCV's limits
        return None
    if image is None:
        return None
    return image[:, :, None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _fault(content: np.ndarray) -> str | None:
    """Return what is wrong with the bytes: libjpeg fills truncated images with gray and reports no error."""
    if len(content) == 0:
        return "an empty file"
    data = content.tobytes() if content[:2].tobytes() == JPEG_START else b""
    if data and data.find(JPEG_END, _first_scan(data)) < 0:
        return "a JPEG that breaks off"
    return None


def _first_scan(data: bytes) -> int:
    """Return where the pixels of a JPEG begin: after its segments, one of which may be a thumbnail with an end marker.

    The pixels cannot contain an end marker, so the first one after this place ends the image (ITU T.81, B.1.1).
    """
    place = len(JPEG_START)
    while place + 4 <= len(data) and data[place : place + 2] != JPEG_SCAN:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place


def _mean_of_four(image: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 pixels. A last row or column without a partner is doubled, as in a JPEG."""
    height, width, channels = image.shape
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = (width + 1) // 2, (height + 1) // 2
    return cv2.resize(even, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], channels)
