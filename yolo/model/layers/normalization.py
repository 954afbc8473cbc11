"""Layers that scale, drop or cut the values of a map: crop, batch norm, local response norm, dropblock, softmaxes.

Tensors are `[B, C, H, W]` in and out; only a crop changes the shape.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built
from yolo.model.layers.convolution import batch_norm, batch_norm_tensors

BATCH_NORM_NUMBERS = 4  # stored for each channel: bias, scale, rolling mean and variance


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


def build_batchnorm(section: Section, before: BuildContext) -> Built:
    """[batchnorm] (parser.c parse_batchnorm)."""
    shape = before.shape(before.previous)
    before.afford(section, "channels", BATCH_NORM_NUMBERS * shape[0])
    return Built(BatchNorm(channels=shape[0]), (before.previous,), shape)


def build_normalization(section: Section, before: BuildContext) -> Built:
    """[lrn], [normalization] (parser.c parse_normalization)."""
    size = section.integer("size", 5, minimum=1)
    alpha, beta = section.number("alpha", 0.0001), section.number("beta", 0.75)
    kappa = section.number("kappa", 1.0)
    shape = before.shape(before.previous)
    if size // 2 > shape[0]:  # Darknet reads size // 2 channels, whatever there is
        raise section.error("size", f"at most {2 * shape[0] + 1}, for {shape[0]} channels")
    layer = LocalResponseNorm(size=size, alpha=alpha, beta=beta, kappa=kappa)
    return Built(layer, (before.previous,), shape)
