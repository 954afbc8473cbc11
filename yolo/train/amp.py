"""In which precision a network computes while it trains: float32, or mixed with 16 bits (`--amp`).

Weights, losses, gradients of weights and updates are float32 either way; what is halved is the forward pass.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """dtype: of the forward pass; scaler: keeps small gradients of float16 above 0, and does nothing otherwise."""

    device_type: str
    dtype: torch.dtype
    scaler: torch.amp.GradScaler

    @property
    def words(self) -> str:
        """For people: "float32", "bfloat16" or "float16"."""
        return str(self.dtype).removeprefix("torch.")

    def forward(self) -> AbstractContextManager:
        """The context of a forward pass."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=mixed)


def precision_of(device: torch.device, mixed: bool) -> Precision:
    """float32, or `mixed`: bfloat16 on CPUs and on GPUs that have it, float16 with scaled gradients on older GPUs."""
    dtype = torch.float32
    if mixed:
        # emulated bfloat16 is slower than float32, so that only GPUs that compute in it count
        native = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = torch.bfloat16 if native else torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    return Precision(device.type, dtype, scaler)
