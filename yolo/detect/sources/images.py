"""Read image files and image bytes as frames."""

from pathlib import Path

from yolo.data.images import decode_image, read_image
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.errors import DatasetError


def image_frame(path: Path, channels: int) -> SourceFrame | Fault:
    """Read one image file. A pipe, such as bash's `<(command)`, is read to its end."""
    try:
        image = read_image(path, channels)
    except DatasetError as error:
        return Fault(str(error))
    except OSError as error:  # not allowed, or gone since the folder was listed
        return Fault(f"{path}: {error.strerror}")
    return SourceFrame(image, str(path), path=path)


def frame_of_bytes(content: bytes, name: str, channels: int) -> SourceFrame:
    """Decode the bytes of an image file. Raises DatasetError if they are not an image."""
    return SourceFrame(decode_image(content, name, channels), name)
