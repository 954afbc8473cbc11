"""Where a picture lies inside the network input (stretched or letterboxed), the resizing itself, and the way back.

Both follow Darknet: AlexeyAB image.c resize_image and letterbox_image, yolo_layer.c correct_yolo_boxes.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LETTERBOX_GREY = 0.5  # image.c letterbox_image: fill_image(boxed, .5)

LARGEST_VALUE = 255.0  # of a uint8 pixel


@dataclass(frozen=True)
class Placement:
    """A picture inside a network input: `content` of its pixels' rows and columns begin at `offset`.

    picture, network, content: (height, width); offset: (y, x), whole pixels.
    """

    picture: tuple[int, int]
    network: tuple[int, int]
    content: tuple[int, int]
    offset: tuple[int, int]


def stretched(picture: tuple[int, int], network: tuple[int, int]) -> Placement:
    """The picture pulled over the whole input, its aspect lost: AlexeyAB's way of testing."""
    return Placement(picture, network, network, (0, 0))


def letterboxed(picture: tuple[int, int], network: tuple[int, int]) -> Placement:
    """The picture in its own aspect, centred, as large as fits: pjreddie's way, AlexeyAB's with -letter_box."""
    (height, width), (rows, columns) = picture, network
    if columns / width < rows / height:
        content = (max(1, height * columns // width), columns)
    else:
        content = (rows, max(1, width * rows // height))
    return Placement(
        picture, network, content, ((rows - content[0]) // 2, (columns - content[1]) // 2)
    )


def place(picture: np.ndarray, placement: Placement) -> Tensor:
    """A uint8 picture `[H, W, C]` → what the network sees, float32 `[C, H', W']` in 0..1, as `placement` says."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
    content = resize(pixels.float() / LARGEST_VALUE, placement.content)
    if placement.content == placement.network:
        return content
    top, left = placement.offset
    bottom = placement.network[0] - placement.content[0] - top
    right = placement.network[1] - placement.content[1] - left
    return F.pad(content, (left, right, top, bottom), value=LETTERBOX_GREY)


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """float `[C, H, W]` → `[C, *size]`, bilinear with the corner pixels of both on each other (image.c resize_image).

    cv2.resize lays pixel *centres* over each other instead, which moves small networks' scores by up to 0.07.
    """
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return F.interpolate(picture[None], size, mode="bilinear", align_corners=True)[0]


def to_picture(boxes: Tensor, placement: Placement) -> Tensor:
    """xyxy `[N, 4]` relative to the network input (0..1) → xyxy in picture pixels; nothing is clipped.

    Darknet takes half the padding as a fraction here although `offset` is rounded down (correct_yolo_boxes).
    """
    rows, columns = placement.network
    height, width = placement.content
    margin = boxes.new_tensor([(columns - width) / 2, (rows - height) / 2] * 2)
    network = boxes.new_tensor([columns, rows] * 2)
    content = boxes.new_tensor([width, height] * 2)
    picture = boxes.new_tensor([placement.picture[1], placement.picture[0]] * 2)
    return (boxes * network - margin) / content * picture


def to_network(boxes: Tensor, placement: Placement) -> Tensor:
    """xyxy `[N, 4]` relative to the picture (0..1) → xyxy relative to the network input (0..1)."""
    rows, columns = placement.network
    height, width = placement.content
    top, left = placement.offset
    content = boxes.new_tensor([width, height] * 2)
    margin = boxes.new_tensor([left, top] * 2)
    return (boxes * content + margin) / boxes.new_tensor([columns, rows] * 2)
