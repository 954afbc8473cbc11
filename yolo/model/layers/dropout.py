"""`[dropout]`: plain dropout, and DropBlock, which drops whole squares."""

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built

FULL_STRENGTH_AT = 0.85  # of the training: AlexeyAB dropout_layer_kernels.cu


class DropBlock(nn.Module):
    """In training, a square block of zeros in some channels of each image (AlexeyAB dropout_layer_kernels.cu).

    Each value may begin a block, with `probability` over the block's values; of several in a channel one is drawn, and
    brought inside the map. The other values of an image are scaled up by all its values over those kept.
    share, pixels: the block's side, as a share of the map's height and width or in pixels; one of the two is 0.
    progress: 0 to 1, how far the training is; the trainer sets it, and probability and side grow with it.
    """

    def __init__(self, *, probability: float, share: float = 0.0, pixels: int = 0) -> None:
        super().__init__()
        self.probability = probability
        self.share = share
        self.pixels = pixels
        self.progress = 1.0

    def side(self, size: tuple[int, int]) -> int:
        """The block's side on a map of (height, width), now: at least 1, at most the map's."""
        sides = (self.pixels or self.share * length for length in size)
        return min(
            max(1, min(length, int(side * self._strength())))
            for side, length in zip(sides, size, strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        height, width = features.shape[-2:]
        side = self.side((height, width))
        lots = torch.rand(features.shape, device=features.device).flatten(2)
        lowest, place = lots.min(dim=2)  # [B, C]
        drawn = lowest < self.probability * self._strength() / side**2
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
    """Starts of blocks `[B, C]` along an axis → the pixels they cover, bool `[B, C, length]`.

    A block that would reach over the end begins as far from the axis's start as it lies behind the last whole one.
    """
    last = length - side
    first = torch.where(starts > last, starts - last, starts).clamp(max=last)[..., None]
    offsets = torch.arange(length, device=starts.device) - first
    return (offsets >= 0) & (offsets < side)


DROPOUT = {"alexeyab": 0.2, "pjreddie": 0.5}  # the default of each Darknet's parse_dropout

DROPBLOCK_PIXELS = 7  # AlexeyAB parse_dropout, where no size is given


def build_dropout(section: Section, before: BuildContext) -> Built:
    """[dropout] (parser.c parse_dropout; dropblock: AlexeyAB's); nothing in evaluation."""
    probability = section.number("probability", DROPOUT[before.dialect], minimum=0)
    dropblock = section.flag("dropblock")
    share = section.number("dropblock_size_rel", 0.0, minimum=0)
    pixels = section.integer("dropblock_size_abs", 0, minimum=0)
    if probability >= 1:
        raise section.error("probability", "a share below 1")
    if not dropblock:
        layer = nn.Dropout(probability)
    elif share and not pixels:
        layer = DropBlock(probability=probability, share=share)
    else:
        layer = DropBlock(probability=probability, pixels=pixels or DROPBLOCK_PIXELS)
    return Built(layer, (before.previous,), before.shape(before.previous))
