"""Decode images of requests into network inputs, within limits."""

from dataclasses import dataclass

from torch import Tensor

from yolo.data.decoding.jpeg import JPEG_START
from yolo.data.decoding.png import PNG_START
from yolo.data.image_header import parse_header
from yolo.data.images import decode_image, ignore_remark
from yolo.detect.detector import Detector
from yolo.errors import DatasetError, counted
from yolo.letterbox import Placement
from yolo.serve.http.multipart import Part
from yolo.serve.http.refusal import RefusedError
from yolo.serve.limits import Limits

# First bytes of the accepted kinds of files. OpenCV decodes more kinds, which clients must not be able to use.
STARTS = {"JPEG": JPEG_START, "PNG": PNG_START, "BMP": b"BM", "TIFF": (b"II*\0", b"MM\0*")}
WEBP = b"RIFF", b"WEBP"  # at 0 and at 8
KINDS = "JPEG, PNG, BMP, WEBP or TIFF"
START_OF_SCAN = b"\xff\xda"
MOST_SCANS = 100  # of a JPEG, each of which costs a pass over all pixels; cameras and libjpeg write at most 10


@dataclass(frozen=True)
class PreparedImage:
    """An image of a request.

    name: of its file, None without one. size: (height, width). input: float32 `[C, H', W']`, for the network.
    placement: of the image in it. The pixels are not kept: a file of 200 kB may have 200 MB of them.
    """

    name: str | None
    size: tuple[int, int]
    input: Tensor
    placement: Placement


def is_image(content: bytes) -> bool:
    """Whether bytes begin like a file of one of KINDS."""
    if content[:4] == WEBP[0]:
        return content[8:12] == WEBP[1]
    return any(content.startswith(start) for start in STARTS.values())


def prepare_image(part: Part, detector: Detector, limits: Limits) -> PreparedImage:
    """Decode an image, the bytes of a file, and make it the network's input.

    Raises:
        RefusedError: 413 for too many pixels, 415 for another kind of file, 422 for a damaged one.
    """
    name = part.file_name or "the image"
    if not is_image(part.content):
        found = counted(len(part.content), "byte")
        raise RefusedError(415, f"{name}: found {found} that are no {KINDS} file")
    header = parse_header(part.content)
    if header is None:
        raise RefusedError(422, f"{name}: found no size in the file, expected a whole {KINDS} file")
    height, width = header.stored
    if height * width > limits.pixels:
        raise RefusedError(413, f"{name}: found {width} x {height} pixels, expected at most {limits.pixels} in all")
    if header.format == "JPEG" and part.content.count(START_OF_SCAN) > MOST_SCANS:
        raise RefusedError(422, f"{name}: found a JPEG of more than {MOST_SCANS} scans")
    try:
        pixels = decode_image(part.content, name, detector.network.input.channels, ignore_remark)
        prepared, placement = detector.prepare(pixels)
    except DatasetError as error:
        raise RefusedError(422, str(error)) from error
    except MemoryError as error:
        raise RefusedError(503, f"{name}: found no memory for {width} x {height} pixels") from error
    return PreparedImage(part.file_name, pixels.shape[:2], prepared, placement)
