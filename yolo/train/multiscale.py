"""The size of the network input at each step: random with `random` of the cfg, or in stages with `--sizes`.

Source: AlexeyAB detector.c train_detector, pjreddie examples/detector.c train_detector. Both choose a size for a block
of STEPS_A_SIZE steps, so the largest size at the end starts with a whole block.
"""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolo.errors import CfgError
from yolo.model.network import Network
from yolo.model.sizes import computes_size
from yolo.records import Size

STEPS_A_SIZE = 10
LARGEST_LAST_STEPS = 100  # so that the statistics of batch norm belong to the largest size
DEFAULT_FACTOR = 1.4  # random=1

# pjreddie's: (rand() % 10 + 10) * 32 for every cfg, and at the end the largest
PJREDDIE_UNIT, PJREDDIE_LEAST, PJREDDIE_MOST = 32, 10, 19
PJREDDIE_LAST_STEPS = 200
SIZE_STREAM = 2  # of the random generator; order and images have others
STAGE = re.compile(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?@(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Stage:
    """size: (height, width) of the network input from `first_step` on."""

    first_step: int
    size: Size


@dataclass(frozen=True)
class Sizes:
    """The input sizes of a run. They are multiples of `resize_step`.

    base: (height, width) of the cfg; random: 0, 1 or the largest factor of it; dialect: the Darknet whose `random` is
    followed; stages: if given, nothing is random.
    """

    base: Size
    random: float
    resize_step: int
    max_batches: int
    seed: int
    dialect: str = "alexeyab"
    stages: tuple[Stage, ...] = ()

    def size_at(self, step: int) -> Size:
        """Return (height, width) at `step`, counted from 1. It depends only on this record and the step."""
        if self.stages:
            return [stage.size for stage in self.stages if stage.first_step <= max(step, 1)][-1]
        block = (step - 1) // STEPS_A_SIZE
        rng = np.random.default_rng((self.seed, SIZE_STREAM, block))
        if self.dialect == "pjreddie":
            return _pjreddies(self, block, rng) if int(self.random) else self.base
        return _alexeyabs(self, block, rng) if self.random else self.base


def parse_stages(text: str) -> tuple[Stage, ...]:
    """A type for argparse: `224@0,320x256@500`, a side or WIDTHxHEIGHT and the first step of that size."""
    stages = []
    for part in text.split(","):
        if not (match := STAGE.fullmatch(part.strip())):
            raise ArgumentTypeError(f"found {part!r}, expected SIZE@STEP, SIZE as 416 or 320x256")
        width, height, step = match.groups()
        stages.append(Stage(int(step), (int(height or width), int(width))))
    steps = [stage.first_step for stage in stages]
    if steps[0] > 1:
        raise ArgumentTypeError(f"found {text!r}, expected a first size from step 0 on")
    if any(later <= max(earlier, 1) for earlier, later in zip(steps, steps[1:], strict=False)):
        raise ArgumentTypeError(f"found {text!r}, expected each size at a later step")
    return tuple(stages)


def input_sizes(network: Network, stages: Sequence[Stage], seed: int) -> Sizes:
    """Return what decides the size of a network's input at each step.

    Args:
        network: detectors may have `random`, which Darknet takes from the last layer; its classifiers have a key of
            [net] for it, which its cfgs do not use.
        stages: of `--sizes`.
        seed: of the run.
    """
    settings = network.training_settings
    return Sizes(
        base=(network.input.height, network.input.width),
        random=network.head_settings[-1].random if network.heads else 0.0,
        resize_step=settings.resize_step,
        max_batches=settings.max_batches,
        seed=seed,
        dialect=network.dialect,
        stages=tuple(stages),
    )


def largest_input(network: Network, stages: Sequence[Stage] = ()) -> Size:
    """Return the largest (height, width) of a network's input in training. Random sizes begin and end with it."""
    sizes = input_sizes(network, stages, seed=0)
    steps = (1, sizes.max_batches, *(stage.first_step for stage in stages))
    return max((sizes.size_at(step) for step in steps), key=math.prod)


def check_stages(network: Network, stages: Sequence[Stage]) -> None:
    """Raise CfgError for a size that the network cannot compute, because its strides do not divide it.

    The network is in evaluation mode afterwards.
    """
    for height, width in {stage.size for stage in stages}:
        if not computes_size(network, (height, width)):
            raise CfgError(
                f"--sizes: found {width}x{height}, expected one that every layer can compute: a multiple of its stride"
            )


def _alexeyabs(sizes: Sizes, block: int, rng: np.random.Generator) -> Size:
    """Return the cfg's size times a factor or its inverse (utils.c rand_scale); largest in the first and last block."""
    most = DEFAULT_FACTOR if sizes.random == 1 else sizes.random
    largest = _scaled(sizes, most)
    # the first block is largest to show whether the memory suffices; in Darknet that is the first one after each start
    if block == 0 or block * STEPS_A_SIZE > sizes.max_batches - LARGEST_LAST_STEPS:
        return largest
    factor = rng.uniform(min(1, most), max(1, most))
    factor = factor if rng.integers(2) else 1 / factor
    size = _scaled(sizes, factor)
    if factor < 1 and (size[0] > sizes.base[0] or size[1] > sizes.base[1]):
        return sizes.base
    return size


def _pjreddies(sizes: Sizes, block: int, rng: np.random.Generator) -> Size:
    """Return a square of 320 to 608 pixels."""
    last = block * STEPS_A_SIZE + PJREDDIE_LAST_STEPS > sizes.max_batches
    units = PJREDDIE_MOST if last else int(rng.integers(PJREDDIE_LEAST, PJREDDIE_MOST + 1))
    return units * PJREDDIE_UNIT, units * PJREDDIE_UNIT


def _scaled(sizes: Sizes, factor: float) -> Size:
    # C's roundl rounds halves up, Python's round to the even neighbor
    unit = sizes.resize_step
    height, width = (max(unit, math.floor(factor * side / unit + 1.5) * unit) for side in sizes.base)
    return height, width
