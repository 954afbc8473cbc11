"""Layers that scale, drop or cut the values of a map: crop, batch norm, local response norm, dropblock, softmaxes.

Tensors are `[B, C, H, W]` in and out; only a crop changes the shape.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.model.convolution import batch_norm, batch_norm_tensors
from yolo.model.tree import Tree, group_softmax

BATCH_NORM_NUMBERS = 4  # stored for each channel: bias, scale, rolling mean and variance
FULL_STRENGTH_AT = 0.85  # of the training: AlexeyAB dropout_layer_kernels.cu


class Crop(nn.Module):
    """A part of the picture of `size` (height, width), times `scale` plus `shift` (crop_layer.c, as its CPU code).

    In evaluation the middle, the odd pixel right and below; in training one random place for the whole batch, mirrored
    every other time if `flip`. The GPU code draws for each picture and interpolates, also half pixels in evaluation.
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


class BatchNorm(nn.Module):
    """Batch norm as a layer of its own (batchnorm_layer.c)."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.norm = batch_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """biases, scales, rolling mean, rolling variance (AlexeyAB parser.c load_batchnorm_weights).

        pjreddie's files have no biases: there they stay what they were, 0 in his Darknet.
        """
        return batch_norm_tensors(self.norm)


class LocalResponseNorm(nn.Module):
    """Each value times norm^-beta, norm = kappa + alpha * squares of nearby channels (normalization_layer.c).

    Near channel c are c - (size - 1) // 2 to c + size // 2, as far as they exist. From their sum Darknet always takes
    the square of channel size // 2: its running sum begins without it, and takes it off when it leaves the window.
    torch's LocalResponseNorm has no such loss, divides alpha by size and lays even windows the other way.

    The gradient is the true one; Darknet's takes the norm for a constant ("approximate", as its source says).
    """

    def __init__(self, *, size: int, alpha: float, beta: float, kappa: float) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.kappa = kappa

    def forward(self, features: Tensor) -> Tensor:
        squares = features * features
        above, below = (self.size - 1) // 2, self.size // 2
        windows = F.pad(squares, (0, 0, 0, 0, above, below)).unfold(1, self.size, 1)
        lost = squares[:, below : below + 1].sum(dim=1, keepdim=True)  # 0 where there is no such
        norms = self.kappa + self.alpha * (windows.sum(dim=-1) - lost)
        return features * norms**-self.beta


class DropBlock(nn.Module):
    """In training, a square block of zeros in some channels of each picture (AlexeyAB dropout_layer_kernels.cu).

    Each value may begin a block, with `probability` over the block's values; of several in a channel one is drawn, and
    brought inside the map. The other values of a picture are scaled up by all its values over those kept.
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


class Softmax(nn.Module):
    """Softmax of a picture's values, divided by `temperature`, in each of `groups` equal parts (softmax_layer.c)."""

    def __init__(self, *, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups = groups
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        parts = features.reshape(features.shape[0], self.groups, -1) / self.temperature
        return torch.softmax(parts, dim=-1).reshape(features.shape)


class SpatialSoftmax(nn.Module):
    """Softmax over the channels of each pixel (softmax_layer.c forward_softmax_layer_gpu, spatial).

    Darknet's CPU code knows no `spatial`; its GPU code ignores the temperature, and so does this. It also starts a
    softmax at every channel, where threads then overwrite each other: this is what it means to compute.
    """

    def forward(self, features: Tensor) -> Tensor:
        return torch.softmax(features, dim=1)


class TreeSoftmax(nn.Module):
    """Softmax of a picture's values, divided by `temperature`, in each group of a class hierarchy (softmax_layer.c).

    The values are those of the tree's classes, in order.
    """

    def __init__(self, *, tree: Tree, temperature: float) -> None:
        super().__init__()
        self.tree = tree
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        values = features.flatten(1) / self.temperature
        return group_softmax(values, self.tree, dim=1).reshape(features.shape)


def cut(features: Tensor, top: int, left: int, size: tuple[int, int], flip: bool) -> Tensor:
    """The part of `[B, C, H, W]` of `size` (height, width) from (top, left) on; with `flip`, of the mirrored map."""
    if flip:
        features = features.flip(-1)
    return features[..., top : top + size[0], left : left + size[1]]


def _covered(starts: Tensor, side: int, length: int) -> Tensor:
    """Starts of blocks `[B, C]` along an axis → the pixels they cover, bool `[B, C, length]`.

    A block that would reach over the end begins as far from the axis's start as it lies behind the last whole one.
    """
    last = length - side
    first = torch.where(starts > last, starts - last, starts).clamp(max=last)[..., None]
    offsets = torch.arange(length, device=starts.device) - first
    return (offsets >= 0) & (offsets < side)
