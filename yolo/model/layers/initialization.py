"""How weights begin: as zeros that take no memory yet, then as uniform random numbers, made fast."""

import numpy as np
import torch
from torch import Tensor, nn

BLOCK = 2**16  # numbers made at a time, so that they are still in the cache when they are scaled

LARGEST_SEED = 2**63 - 1


def untouched_zeros(*shape: int) -> nn.Parameter:
    """A float32 parameter of zeros on the CPU, which the system gives memory only when they are written to."""
    return nn.Parameter(torch.from_numpy(np.zeros(shape, np.float32)))


def fill_uniform(weights: Tensor, bound: float) -> None:
    """Fill contiguous float32 `weights` on the CPU with numbers between -bound and bound.

    By numpy's generator, seeded by torch's so that torch.manual_seed decides: torch's own fill takes about twice as
    long, two seconds for the largest network that is built.
    """
    seed = torch.randint(LARGEST_SEED, ()).item()
    generator = np.random.Generator(np.random.SFC64(seed))
    numbers = weights.detach().view(-1).numpy()
    for start in range(0, numbers.size, BLOCK):
        block = numbers[start : start + BLOCK]
        generator.random(out=block, dtype=np.float32)
        block *= 2 * bound
        block -= bound
