"""Convert every accepted form of an image to uint8 pixels for the detector."""

from importlib import import_module
from os import PathLike
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from torch import Tensor

from yolo.data.images import decode_image, read_image
from yolo.detect.sources.frame import SourceFrame

COLORS = ("rgb", "bgr")


@runtime_checkable
class PilImage(Protocol):
    """An image of Pillow, which this package does not need."""

    def convert(self, mode: str) -> "PilImage":
        """Return the image in another mode."""
        ...


@runtime_checkable
class ImageFile(Protocol):
    """An open file, or io.BytesIO."""

    def read(self) -> bytes:
        """Return what is left to read."""
        ...


ImageLike: TypeAlias = np.ndarray | Tensor | str | PathLike | bytes | ImageFile | PilImage | SourceFrame


def image_pixels(image: ImageLike, channels: int, color: str = "rgb") -> np.ndarray:
    """Return an image as a uint8 array for a network.

    Args:
        image: An array or tensor `[H, W, C]`, the path of a file, its bytes, the open file, an image of Pillow, or a
            frame of a source. A phone's photo is turned by its EXIF orientation, also as an image of Pillow.
        channels: Of the network, 3 or 1.
        color: Order of the channels of an array, "rgb" or "bgr" (as cv2.imread gives them), in either case.

    Raises:
        DatasetError: The file or the bytes are not an image.
        OSError: The file cannot be read.
        ValueError: Another order of colors.
        TypeError: Something that is not an image.
    """
    if color.lower() not in COLORS:
        raise ValueError(f"found color {color!r}, expected one of {', '.join(COLORS)}")
    if isinstance(image, Tensor):
        image = image.cpu().numpy()
    if isinstance(image, np.ndarray):
        return image[..., ::-1] if color.lower() == "bgr" and image.ndim == 3 else image
    if isinstance(image, SourceFrame):
        return image.image
    if isinstance(image, str | PathLike):
        return read_image(image, channels)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image), "bytes", channels)
    if isinstance(image, PilImage):
        ops = import_module("PIL.ImageOps")  # Pillow is installed, because the image is one of Pillow's
        turned = ops.exif_transpose(image)
        return np.array(turned.convert("RGB" if channels == 3 else "L"))
    if isinstance(image, ImageFile):
        content = image.read()
        if isinstance(content, bytes):
            return decode_image(content, "file", channels)
    found = f"{type(image).__module__}.{type(image).__name__}"
    raise TypeError(f"found {found}, expected an array, a path, bytes or an image of Pillow")
