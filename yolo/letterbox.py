"""Placement of an image in the network input, stretched or letterboxed; resizing; conversion of boxes.

As Darknet does it: AlexeyAB image.c resize_image and letterbox_image, yolo_layer.c correct_yolo_boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LETTERBOX_GRAY = 0.5  # image.c letterbox_image: fill_image(boxed, .5)
MAX_PIXEL = 255.0
FEW_PIXELS = 2**22  # up to this number, resizing all of them at once is faster: 50 MB as float32


@dataclass(frozen=True)
class Placement:
    """Where an image is in a network input. All sizes are (height, width) in pixels.

    image: size of the image; network: size of the network input; content: size of the resized image in it;
    offset: (y, x) of its first pixel.
    """

    image: tuple[int, int]
    network: tuple[int, int]
    content: tuple[int, int]
    offset: tuple[int, int]


def stretched(image: tuple[int, int], network: tuple[int, int]) -> Placement:
    """Stretch the image to the whole input, which changes its aspect ratio: AlexeyAB's default for detection."""
    return Placement(image, network, network, (0, 0))


def letterboxed(image: tuple[int, int], network: tuple[int, int]) -> Placement:
    """Center the image, as large as fits in its own aspect ratio: pjreddie's way, AlexeyAB's with -letter_box."""
    (height, width), (rows, columns) = image, network
    if columns / width < rows / height:
        content = (max(1, height * columns // width), columns)
    else:
        content = (rows, max(1, width * rows // height))
    return Placement(image, network, content, ((rows - content[0]) // 2, (columns - content[1]) // 2))


def place(image: np.ndarray, placement: Placement) -> Tensor:
    """Return the network input for a uint8 image `[H, W, C]`: float32 `[C, H', W']`, 0..1.

    Its memory layout may be that of the image, channels last; `batch_of` keeps it.
    """
    content = resized_pixels(image, placement.content)
    if placement.content == placement.network:
        return content
    top, left = placement.offset
    bottom = placement.network[0] - placement.content[0] - top
    right = placement.network[1] - placement.content[1] - left
    return F.pad(batch_of([content]), (left, right, top, bottom), value=LETTERBOX_GRAY)[0]


def batch_of(images: Sequence[Tensor]) -> Tensor:
    """Network inputs `[C, H, W]` → `[B, C, H, W]` in the memory layout of the first; a single one is not copied.

    PyTorch takes a tensor for channels last by its strides, which `image[None]` and torch.stack do not keep.
    """
    if not images[0].permute(1, 2, 0).is_contiguous():
        return torch.stack(tuple(images))
    rows = [image.permute(1, 2, 0) for image in images]
    return (rows[0][None] if len(rows) == 1 else torch.stack(rows)).permute(0, 3, 1, 2)


def resized_pixels(image: np.ndarray, size: tuple[int, int]) -> Tensor:
    """uint8 `[H, W, C]` → float32 `[C, *size]` in 0..1, as `resize` resizes.

    Only the pixels of a large image that are used become float32: all of them would take 12 bytes a pixel and more.
    """
    if image.shape[0] * image.shape[1] <= FEW_PIXELS or image.shape[:2] == tuple(size):
        pixels = torch.from_numpy(image.astype(np.float32, order="C")).permute(2, 0, 1)
        return resize(pixels, size).div_(MAX_PIXEL)
    upper, lower, down = _neighbors(image.shape[0], size[0])
    left, right, across = _neighbors(image.shape[1], size[1])
    down = down[:, None]
    content = sum(
        row_weight
        * sum(weight * _used_pixels(image, rows, columns) for columns, weight in ((left, 1 - across), (right, across)))
        for rows, row_weight in ((upper, 1 - down), (lower, down))
    )
    return content.contiguous()


def _neighbors(length: int, new: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return, for each of `new` places in `length` pixels, the pixel before it, the next one, and its weight."""
    step = torch.tensor((length - 1) / (new - 1) if new > 1 else 0.0)
    place = torch.arange(new) * step
    before = place.long().clamp(max=length - 1)
    return before.numpy(), (before + 1).clamp(max=length - 1).numpy(), place - before


def _used_pixels(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    """float32 `[C, rows, columns]` in 0..1 of a uint8 image `[H, W, C]`."""
    return torch.from_numpy(image[rows[:, None], columns]).permute(2, 0, 1).float().div_(MAX_PIXEL)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """float `[C, H, W]` → `[C, *size]`, bilinear with align_corners (image.c resize_image).

    cv2.resize does not align corners, which changes the scores of small networks by up to 0.07.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(batch_of([image]), size, mode="bilinear", align_corners=True)[0]


def to_image(boxes: Tensor, placement: Placement) -> Tensor:
    """xyxy `[N, 4]` relative to the network input (0..1) → xyxy in image pixels, not clipped.

    Darknet uses half the padding without rounding here, although `offset` is rounded down (correct_yolo_boxes).
    """
    rows, columns = placement.network
    height, width = placement.content
    margin = boxes.new_tensor([(columns - width) / 2, (rows - height) / 2] * 2)
    network = boxes.new_tensor([columns, rows] * 2)
    content = boxes.new_tensor([width, height] * 2)
    image = boxes.new_tensor([placement.image[1], placement.image[0]] * 2)
    return (boxes * network - margin) / content * image
