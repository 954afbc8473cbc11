"""The ground truth of a batch as the loss takes it."""

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """M labelled boxes of the B pictures of a batch, in label-file order.

    image_index: int64 `[M]`, which picture; labels: int64 `[M]`; boxes: float32 `[M, 4]` cxcywh, 0..1 of the
    network input.
    """

    image_index: Tensor
    labels: Tensor
    boxes: Tensor

    def to(self, device: torch.device | str) -> "Targets":
        """The same on another device."""
        return Targets(*(tensor.to(device, non_blocking=True) for tensor in self))
