"""`[crop]`: cuts a window out of the input and rescales its values."""

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built


class Crop(nn.Module):
    """A part of the image of `size` (height, width), times `scale` plus `shift` (crop_layer.c, as its CPU code).

    In evaluation the middle, the odd pixel right and below; in training one random place for the whole batch, mirrored
    every other time if `flip`. The GPU code draws for each image and interpolates, also half pixels in evaluation.
    """

    def __init__(
        self, *, size: tuple[int, int], flip: bool, scale: float = 2.0, shift: float = -1.0
    ) -> None:
        super().__init__()
        self.size = size
        self.flip = flip
        self.scale = scale
        self.shift = shift

    def forward(self, features: Tensor) -> Tensor:
        spare = features.shape[-2] - self.size[0], features.shape[-1] - self.size[1]
        if min(spare) < 0:
            raise ValueError(f"found a map of {list(features.shape)}, expected {self.size} or more")
        if self.training:
            top, left = (int(torch.randint(rest + 1, ())) for rest in spare)
            flip = self.flip and bool(torch.randint(2, ()))
        else:
            top, left, flip = spare[0] // 2, spare[1] // 2, False
        return cut(features, top, left, self.size, flip) * self.scale + self.shift


def cut(features: Tensor, top: int, left: int, size: tuple[int, int], flip: bool) -> Tensor:
    """The part of `[B, C, H, W]` of `size` (height, width) from (top, left) on; with `flip`, of the mirrored map."""
    if flip:
        features = features.flip(-1)
    return features[..., top : top + size[0], left : left + size[1]]


def build_crop(section: Section, before: BuildContext) -> Built:
    """[crop] (parser.c parse_crop).

    angle, saturation, exposure and shift are read and change nothing: only Darknet's GPU code knows them.
    """
    size = section.integer("crop_height", 1, minimum=1), section.integer("crop_width", 1, minimum=1)
    flip, noadjust = section.flag("flip"), section.flag("noadjust")
    for key, default in (("angle", 0.0), ("saturation", 1.0), ("exposure", 1.0), ("shift", 0.0)):
        section.number(key, default)
    channels, height, width = before.shape(before.previous)
    for key, wanted, there in (("crop_height", size[0], height), ("crop_width", size[1], width)):
        if wanted > there:
            raise section.error(key, f"at most the {there} pixels before it")
    scale, shift = (1.0, 0.0) if noadjust else (2.0, -1.0)
    layer = Crop(size=size, flip=flip, scale=scale, shift=shift)
    return Built(layer, (before.previous,), (channels, *size))
