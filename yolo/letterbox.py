"""Where an image lies inside the network input (stretched or letterboxed), the resizing itself, and the way back.

Both follow Darknet: AlexeyAB image.c resize_image and letterbox_image, yolo_layer.c correct_yolo_boxes.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LETTERBOX_GRAY = 0.5  # image.c letterbox_image: fill_image(boxed, .5)

LARGEST_VALUE = 255.0  # of a uint8 pixel


@dataclass(frozen=True)
class Placement:
    """An image inside a network input: `content` of its pixels' rows and columns begin at `offset`.

    image, network, content: (height, width); offset: (y, x), whole pixels.
    """

    image: tuple[int, int]
    network: tuple[int, int]
    content: tuple[int, int]
    offset: tuple[int, int]


def stretched(image: tuple[int, int], network: tuple[int, int]) -> Placement:
    """The image pulled over the whole input, its aspect lost: AlexeyAB's way of testing."""
    return Placement(image, network, network, (0, 0))


def letterboxed(image: tuple[int, int], network: tuple[int, int]) -> Placement:
    """The image in its own aspect, centered, as large as fits: pjreddie's way, AlexeyAB's with -letter_box."""
    (height, width), (rows, columns) = image, network
    if columns / width < rows / height:
        content = (max(1, height * columns // width), columns)
    else:
        content = (rows, max(1, width * rows // height))
    return Placement(
        image, network, content, ((rows - content[0]) // 2, (columns - content[1]) // 2)
    )


def place(image: np.ndarray, placement: Placement) -> Tensor:
    """A uint8 image `[H, W, C]` → what the network sees, float32 `[C, H', W']` in 0..1, as `placement` says."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    content = resize(pixels.float() / LARGEST_VALUE, placement.content)
    if placement.content == placement.network:
        return content
    top, left = placement.offset
    bottom = placement.network[0] - placement.content[0] - top
    right = placement.network[1] - placement.content[1] - left
    return F.pad(content, (left, right, top, bottom), value=LETTERBOX_GRAY)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """float `[C, H, W]` → `[C, *size]`, bilinear with the corner pixels of both on each other (image.c resize_image).

    cv2.resize lays pixel *centers* over each other instead, which moves small networks' scores by up to 0.07.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image[None], size, mode="bilinear", align_corners=True)[0]


def to_image(boxes: Tensor, placement: Placement) -> Tensor:
    """xyxy `[N, 4]` relative to the network input (0..1) → xyxy in image pixels; nothing is clipped.

    Darknet takes half the padding as a fraction here although `offset` is rounded down (correct_yolo_boxes).
    """
    rows, columns = placement.network
    height, width = placement.content
    margin = boxes.new_tensor([(columns - width) / 2, (rows - height) / 2] * 2)
    network = boxes.new_tensor([columns, rows] * 2)
    content = boxes.new_tensor([width, height] * 2)
    image = boxes.new_tensor([placement.image[1], placement.image[0]] * 2)
    return (boxes * network - margin) / content * image


def to_network(boxes: Tensor, placement: Placement) -> Tensor:
    """xyxy `[N, 4]` relative to the image (0..1) → xyxy relative to the network input (0..1)."""
    rows, columns = placement.network
    height, width = placement.content
    top, left = placement.offset
    content = boxes.new_tensor([width, height] * 2)
    margin = boxes.new_tensor([left, top] * 2)
    return (boxes * content + margin) / boxes.new_tensor([columns, rows] * 2)
