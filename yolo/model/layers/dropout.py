"""`[dropout]`: plain dropout, and DropBlock, which drops squares."""

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built

FULL_STRENGTH_AT = 0.85  # fraction of the training (AlexeyAB dropout_layer_kernels.cu)
DEFAULT_PROBABILITY = {"alexeyab": 0.2, "pjreddie": 0.5}  # of each Darknet's parse_dropout
DEFAULT_PIXELS = 7  # AlexeyAB parse_dropout, without any block size


class DropBlock(nn.Module):
    """In training, set a square block to zero in some channels of each image (AlexeyAB dropout_layer_kernels.cu).

    A block starts at each value with probability `probability` / (values per block). If several start in one channel,
    one of them is drawn; it is moved inside the map. The other values of an image are multiplied by (all values) /
    (values kept). Probability and block size grow with `progress`, the fraction of the training that is done, which
    the trainer sets.

    Args:
        probability: as above, at full strength.
        fraction: the block's side as a fraction of the map's height and width; 0 to use `pixels`.
        pixels: the block's side in pixels; 0 to use `fraction`.
    """

    def __init__(self, *, probability: float, fraction: float = 0.0, pixels: int = 0) -> None:
        super().__init__()
        self.p = probability  # as nn.Dropout calls it
        self.fraction = fraction
        self.pixels = pixels
        self.progress = 1.0

    def side(self, size: tuple[int, int]) -> int:
        """Return the block's current side on a map of (height, width): at least 1, at most the map's smaller side."""
        sides = (self.pixels or self.fraction * length for length in size)
        return min(max(1, min(length, int(side * self._strength()))) for side, length in zip(sides, size, strict=True))

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        height, width = features.shape[-2:]
        side = self.side((height, width))
        random = torch.rand(features.shape, device=features.device).flatten(2)
        lowest, place = random.min(dim=2)  # [B, C]
        drawn = lowest < self.p * self._strength() / side**2
        rows = _covered(place // width, side, height)
        columns = _covered(place % width, side, width)
        dropped = drawn[..., None, None] & rows[..., :, None] & columns[..., None, :]
        values = features[0].numel()
        kept = (values - dropped.flatten(1).sum(dim=1)).clamp(min=1)
        scale = (values / kept).to(features.dtype)
        return features.masked_fill(dropped, 0.0) * scale[:, None, None, None]

    def _strength(self) -> float:
        return min(1.0, self.progress / FULL_STRENGTH_AT)


def _covered(starts: Tensor, side: int, length: int) -> Tensor:
    """First pixels of blocks along an axis, `[B, C]` → the pixels that they cover, bool `[B, C, length]`.

    A block that would exceed the end by n pixels starts at pixel n.
    """
    last = length - side
    first = torch.where(starts > last, starts - last, starts).clamp(max=last)[..., None]
    offsets = torch.arange(length, device=starts.device) - first
    return (offsets >= 0) & (offsets < side)


def build_dropout(section: Section, context: BuildContext) -> Built:
    """[dropout] (parser.c parse_dropout; dropblock: AlexeyAB's)."""
    probability = section.number("probability", DEFAULT_PROBABILITY[context.dialect], minimum=0)
    dropblock = section.flag("dropblock")
    fraction = section.number("dropblock_size_rel", 0.0, minimum=0)
    pixels = section.integer("dropblock_size_abs", 0, minimum=0)
    if probability >= 1:
        raise section.error("probability", "a number below 1")
    if not dropblock:
        layer = nn.Dropout(probability)
    elif fraction and not pixels:
        layer = DropBlock(probability=probability, fraction=fraction)
    else:
        layer = DropBlock(probability=probability, pixels=pixels or DEFAULT_PIXELS)
    return Built(layer, (context.previous,), context.previous_shape)
