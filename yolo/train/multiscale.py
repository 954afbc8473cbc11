"""The size of the network input at a step, when a cfg says `random`. Pure numbers.

Source: AlexeyAB detector.c train_detector: a new size every 10 steps, the largest in the first and the last ones.
"""

import math

import numpy as np

STEPS_A_SIZE = 10
LARGEST_LAST_STEPS = 100  # so that batch norm's averages belong to the largest size
USUAL_FACTOR = 1.4  # what random=1 means
SIZE_STREAM = 2  # apart from the draws of order and pictures


def size_at_step(
    step: int,
    *,
    base: tuple[int, int],
    random: float,
    resize_step: int,
    max_batches: int,
    seed: int,
) -> tuple[int, int]:
    """(height, width) at `step`, in multiples of `resize_step`; base: the cfg's; random: 0, 1 or the largest factor."""
    if not random:
        return base
    most = USUAL_FACTOR if random == 1 else random
    block = (step - 1) // STEPS_A_SIZE
    largest = _scaled(base, most, resize_step)
    if block == 0 or step > max_batches - LARGEST_LAST_STEPS:
        return largest
    rng = np.random.default_rng((seed, SIZE_STREAM, block))
    factor = rng.uniform(1, most)  # utils.c rand_scale: a factor or its inverse
    factor = factor if rng.integers(2) else 1 / factor
    size = _scaled(base, factor, resize_step)
    if factor < 1 and (size[0] > base[0] or size[1] > base[1]):
        return base
    return size


def _scaled(base: tuple[int, int], factor: float, resize_step: int) -> tuple[int, int]:
    # C's roundl: halves go up, where Python's round goes to the even neighbour
    height, width = (
        max(resize_step, math.floor(factor * side / resize_step + 1.5) * resize_step)
        for side in base
    )
    return height, width
