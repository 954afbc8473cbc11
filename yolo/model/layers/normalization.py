"""`[batchnorm]`, `[lrn]`, `[normalization]`: batch norm and local response norm. Tensors are `[B, C, H, W]` in and
out."""

import torch.nn.functional as F
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built
from yolo.model.layers.parameters import BATCH_NORM_VALUES, batch_norm, batch_norm_tensors


class BatchNorm(nn.Module):
    """Batch norm as a layer of its own (batchnorm_layer.c)."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.norm = batch_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features)

    def darknet_tensors(self) -> list[tuple[str, Tensor]]:
        """Return biases, scales, rolling mean, rolling variance (AlexeyAB parser.c load_batchnorm_weights).

        pjreddie's files have no biases; in his Darknet they are 0.
        """
        return batch_norm_tensors(self.norm)


class LocalResponseNorm(nn.Module):
    """Each value times norm^-beta, norm = kappa + alpha * sum of squares of nearby channels (normalization_layer.c).

    The window of channel c is c - (size - 1) // 2 to c + size // 2, as far as these exist. Darknet's running sum never
    adds the square of channel size // 2 but subtracts it when it leaves the window, so all sums lack it; the sums here
    lack it too. torch's LocalResponseNorm includes it, divides alpha by size, and shifts even windows to the other
    side. The gradient is the true one; Darknet's treats the norm as a constant ("approximate" in its source).
    """

    def __init__(self, *, size: int, alpha: float, beta: float, kappa: float) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.kappa = kappa

    def forward(self, features: Tensor) -> Tensor:
        squares = features * features
        before, after = (self.size - 1) // 2, self.size // 2
        rows = F.pad(squares.flatten(2), (0, 0, before, after))[:, None]  # [B, 1, C + size - 1, H * W]
        # the mean times the number of channels: ONNX has no operator for `unfold`
        sums = F.avg_pool2d(rows, (self.size, 1), stride=1)[:, 0].reshape(features.shape) * self.size
        missing = squares[:, after : after + 1].sum(dim=1, keepdim=True)  # 0 without such a channel
        norms = self.kappa + self.alpha * (sums - missing)
        return features * norms**-self.beta


def build_batchnorm(section: Section, context: BuildContext) -> Built:
    """[batchnorm] (parser.c parse_batchnorm)."""
    shape = context.previous_shape
    context.check_stored_values(section, "channels", BATCH_NORM_VALUES * shape[0])
    return Built(BatchNorm(channels=shape[0]), (context.previous,), shape)


def build_normalization(section: Section, context: BuildContext) -> Built:
    """[lrn], [normalization] (parser.c parse_normalization)."""
    size = section.integer("size", 5, minimum=1)
    alpha, beta = section.number("alpha", 0.0001), section.number("beta", 0.75)
    kappa = section.number("kappa", 1.0)
    shape = context.previous_shape
    if size // 2 > shape[0]:  # Darknet reads size // 2 channels, even beyond the last one
        raise section.error("size", f"at most {2 * shape[0] + 1}, for {shape[0]} channels")
    layer = LocalResponseNorm(size=size, alpha=alpha, beta=beta, kappa=kappa)
    return Built(layer, (context.previous,), shape)
