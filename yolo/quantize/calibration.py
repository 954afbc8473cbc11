"""Read the images that a network is calibrated with."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from yolo.data.images import ignore_remark, read_image
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError
from yolo.files.folders import visible
from yolo.formats.label_files import read_list
from yolo.letterbox import Placement, place
from yolo.records import Size

MOST_IMAGES = 300  # of a longer list, evenly spread; more images change the ranges little


def read_calibration(path: Path, channels: int, size: Size, placed: Callable[[Size, Size], Placement]) -> list[Tensor]:
    """Return network inputs, each float32 `[1, C, H, W]` in 0..1, of at most MOST_IMAGES images.

    Args:
        path: A list of images, or a folder with images.
        channels: Of the network input.
        size: (height, width) of the network input.
        placed: How an image is placed in it, such as `stretched`.

    Raises:
        DatasetError: There is no image, or one cannot be read.
        OSError: The list is not there.
    """
    files = _files(path)
    chosen = [files[index * len(files) // MOST_IMAGES] for index in range(MOST_IMAGES)]
    inputs = []
    for file in files if len(files) <= MOST_IMAGES else chosen:
        image = read_image(file, channels, ignore_remark)
        inputs.append(place(image, placed(image.shape[:2], size))[None])
    return inputs


def batches_of(images: Sequence[Tensor], batch: int) -> list[Tensor]:
    """Join images to batches `[batch, C, H, W]`; the last images of an incomplete one are the first ones again."""
    joined = []
    for start in range(0, len(images), batch):
        joined.append(torch.cat([images[index % len(images)] for index in range(start, start + batch)]))
    return joined


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return read_list(path)
    files = [file for file in visible(path) if file.suffix.lower() in IMAGE_ENDINGS]
    if not files:
        raise DatasetError(f"{path}: found no image in this folder, expected images to calibrate with")
    return files
