"""Training images, kept decoded while there is room for them; at half their size where that is all that is needed."""

from pathlib import Path

import cv2
import numpy as np

from yolo.data.images import JPEG_END, JPEG_START, read_image

HALF = {  # channels → how OpenCV decodes at half the size, whatever the camera's orientation note says
    1: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    3: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
}

ROOM = (
    256 * 2**20
)  # bytes; the main process keeps so many for all, and what it left free each worker for itself


class ImageStore:
    """Decoded images by path, up to `room` bytes of them; what finds no room is decoded each time.

    Nothing is thrown out for another: where every image comes once an epoch, the ones that came last are those that
    are needed last. What `read` gives does not depend on what is kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept: dict[tuple[Path, bool], np.ndarray] = {}

    def read(self, path: Path, channels: int, halved: bool) -> np.ndarray:
        """As `read_image` or `read_half`; not to be written to."""
        image = self.kept.get((path, halved))
        if image is None:
            image = read_half(path, channels) if halved else read_image(path, channels)
            if image.nbytes <= self.room:
                self.room -= image.nbytes
                self.kept[path, halved] = image
        return image


def read_half(path: Path, channels: int) -> np.ndarray:
    """As `read_image`, `[(H + 1) // 2, (W + 1) // 2, C]`; of a JPEG only the half is ever decoded."""
    content = np.fromfile(path, np.uint8)
    ends = content[:2].tobytes(), content[-2:].tobytes()
    image = _decoded(content, HALF[channels]) if ends == (JPEG_START, JPEG_END) else None
    if image is None:  # another format, or broken: read_picture says how
        return _mean_of_four(read_image(path, channels))
    return image[:, :, None] if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decoded(content: np.ndarray, how: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(content, how)
    except cv2.error:
        return None


def _mean_of_four(image: np.ndarray) -> np.ndarray:
    """Every two by two pixels become one; a last row or column that has no partner counts twice, as in JPEGs."""
    height, width, channels = image.shape
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = (width + 1) // 2, (height + 1) // 2
    return cv2.resize(even, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], channels)
