"""`[crop]`: a window of the input, with rescaled values."""

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built


class Crop(nn.Module):
    """A window of the image, times `scale` plus `shift`, as Darknet's CPU code (crop_layer.c).

    In evaluation the window is in the center. In training it is at one random place for the whole batch, and mirrored
    with probability 1/2 if `flip`. Darknet's GPU code draws a place for each image and interpolates, in evaluation too.

    Args:
        size: (height, width) of the window.
        flip: mirror some windows in training.
        scale, shift: the factor of the values, and what is added after it.
    """

    def __init__(self, *, size: tuple[int, int], flip: bool, scale: float = 2.0, shift: float = -1.0) -> None:
        super().__init__()
        self.size = size
        self.flip = flip
        self.scale = scale
        self.shift = shift

    def forward(self, features: Tensor) -> Tensor:
        spare = features.shape[-2] - self.size[0], features.shape[-1] - self.size[1]
        if min(spare) < 0:
            raise ValueError(f"found a map of shape {list(features.shape)}, expected at least {self.size} pixels")
        if self.training:
            top, left = (int(torch.randint(rest + 1, ())) for rest in spare)
            flip = self.flip and bool(torch.randint(2, ()))
        else:
            top, left, flip = spare[0] // 2, spare[1] // 2, False
        return crop_window(features, top, left, self.size, flip) * self.scale + self.shift


def crop_window(features: Tensor, top: int, left: int, size: tuple[int, int], flip: bool) -> Tensor:
    """Return a window of a map.

    Args:
        features: `[B, C, H, W]`.
        top, left: of the window.
        size: (height, width) of the window.
        flip: mirror the map first.
    """
    if flip:
        features = features.flip(-1)
    return features[..., top : top + size[0], left : left + size[1]]


def build_crop(section: Section, context: BuildContext) -> Built:
    """[crop] (parser.c parse_crop).

    angle, saturation, exposure and shift are read and have no effect: only Darknet's GPU code uses them.
    """
    size = section.integer("crop_height", 1, minimum=1), section.integer("crop_width", 1, minimum=1)
    flip, noadjust = section.flag("flip"), section.flag("noadjust")
    for key, default in (("angle", 0.0), ("saturation", 1.0), ("exposure", 1.0), ("shift", 0.0)):
        section.number(key, default)
    channels, height, width = context.previous_shape
    for key, length, limit in (("crop_height", size[0], height), ("crop_width", size[1], width)):
        if length > limit:
            raise section.error(key, f"at most the {limit} pixels of the previous layer")
    scale, shift = (1.0, 0.0) if noadjust else (2.0, -1.0)
    layer = Crop(size=size, flip=flip, scale=scale, shift=shift)
    return Built(layer, (context.previous,), (channels, *size))
