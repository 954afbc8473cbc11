"""Automatic mixed precision (`--amp`): the forward pass of training in float32 or in 16 bits.

Weights, losses, gradients of weights and updates are float32 in both cases.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

# Darknet's gradients are sums over a whole map. With torch's own 65,536 they overflow, and the first steps would be
# left out. The scaler doubles it from here on while no gradient overflows.
INITIAL_SCALE = 256.0


@dataclass(frozen=True)
class Precision:
    """dtype: of the forward pass; scaler: keeps small float16 gradients above 0, and does nothing for other dtypes."""

    device_type: str
    dtype: torch.dtype
    scaler: torch.amp.GradScaler

    @property
    def name(self) -> str:
        """The dtype without torch's prefix: "float32", "bfloat16" or "float16"."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context of a forward pass."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=mixed)


def precision_of(device: torch.device, mixed: bool) -> Precision:
    """Return float32, or with `mixed` bfloat16, or float16 with scaled gradients on GPUs without bfloat16."""
    dtype = torch.float32
    if mixed:
        # bfloat16 that a GPU only emulates is slower than float32
        native = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = torch.bfloat16 if native else torch.float16
    return precision_in(device.type, dtype)


def precision_in(device_type: str, dtype: torch.dtype) -> Precision:
    """Return the precision of a forward pass in `dtype`."""
    scaler = torch.amp.GradScaler(device_type, init_scale=INITIAL_SCALE, enabled=dtype == torch.float16)
    return Precision(device_type, dtype, scaler)
