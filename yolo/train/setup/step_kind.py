"""How a step computes: in float32 or in 16 bits, with which memory format. On a CPU a short measurement decides."""

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from yolo.defaults import MEMORY_FORMATS
from yolo.errors import counted
from yolo.model.network import Network
from yolo.model.summary import layer_table
from yolo.train.amp import precision_of
from yolo.train.setup.options import Machine

log = logging.getLogger(__name__)

CHANNELS_LAST, CONTIGUOUS = MEMORY_FORMATS
FORMATS = {CHANNELS_LAST: torch.channels_last, CONTIGUOUS: torch.contiguous_format}
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, Arm
LEAST_STEPS = 50  # of a run; in a shorter one a measurement takes longer than it saves
MEASURED_SECONDS = 2.0  # no further round begins after it
ROUNDS = 5  # at most; two at least, the first of which is slow
MEASURED_BFLOPS = 10.0  # of a measured step: the images are chosen so that it is short
MOST_IMAGES = 4
STEP_PASSES = 3  # a step has about the work of three forward passes
# Fractions of the time of float32 with channels last. Another kind must take less, so that noise does not decide.
WORTH_16_BITS, WORTH_CONTIGUOUS = 0.85, 0.95


@dataclass(frozen=True)
class StepKind:
    """mixed: the forward pass in 16 bits (--amp); memory_format: of images and weights, a key of FORMATS."""

    mixed: bool = False
    memory_format: str = CHANNELS_LAST

    def __str__(self) -> str:
        return f"{'16 bits' if self.mixed else 'float32'}, {self.memory_format}"


def choose_step(
    network: Network, machine: Machine, device: torch.device, images: int, recorded: Mapping | None, processes: int = 1
) -> StepKind:
    """Return how the steps of a run compute: by the options, and for the rest the fastest on this machine.

    A resumed run has the kind of its checkpoint, because another kind would change the last digits. If the
    options leave a choice open, a measurement on the CPU decides; 16 bits only if the CPU has instructions for them.
    The network and the random numbers are not changed.

    Args:
        network: the network that is to be trained, on the CPU.
        machine: amp and memory_format; None leaves a choice open.
        device: where the network will be.
        images: images of a mini-batch.
        recorded: the settings of the checkpoint that is resumed; None for a new run.
        processes: number of processes, which must not choose differently.
    """
    default = StepKind(bool(machine.amp), machine.memory_format or CHANNELS_LAST)
    if machine.amp is not None and machine.memory_format is not None:
        return default
    if recorded is not None:
        mixed, memory_format = bool(recorded.get("amp", 0)), str(recorded.get("memory_format", CHANNELS_LAST))
        return StepKind(
            mixed if machine.amp is None else machine.amp,
            memory_format if machine.memory_format is None else machine.memory_format,
        )
    if device.type != "cpu" or processes > 1:
        return default  # --amp decides there
    steps = network.training_settings.max_batches
    if steps < LEAST_STEPS:
        log.info("a step computes in %s: the run is too short to measure what is fastest", default)
        return default
    amps = [False, has_bfloat16()] if machine.amp is None else [machine.amp]
    formats = FORMATS if machine.memory_format is None else [machine.memory_format]
    kinds = [StepKind(mixed, memory_format) for mixed in sorted(set(amps)) for memory_format in formats]
    if len(kinds) == 1:
        return kinds[0]
    count = _measured_images(network, images)
    seconds = measure_steps(network, kinds, count)
    kind = fastest_step(seconds)
    times = ", ".join(f"{each} {1000 * value:.0f} ms" for each, value in sorted(seconds.items(), key=lambda x: x[1]))
    log.info(
        "a step computes in %s: measured with %s, %s; --amp off --memory-format channels_last computes the "
        "same on every machine",
        kind, counted(count, "image"), times,
    )  # fmt: skip
    return kind


def fastest_step(seconds: Mapping[StepKind, float]) -> StepKind:
    """Return the fastest kind. Every kind but the first must be faster by a margin.

    seconds: of each kind; the first one is the default.
    """
    first = next(iter(seconds))

    def weighed(kind: StepKind) -> float:
        handicap = 1.0
        if kind.mixed != first.mixed:
            handicap *= WORTH_16_BITS
        if kind.memory_format != first.memory_format:
            handicap *= WORTH_CONTIGUOUS
        return seconds[kind] / handicap

    return min(seconds, key=weighed)


def measure_steps(network: Network, kinds: Sequence[StepKind], images: int) -> dict[StepKind, float]:
    """Return the seconds of a forward and a backward pass of each kind, the best of a few interleaved rounds.

    A copy of the network runs, on random images; neither the network nor the random numbers change.

    Args:
        network: on the CPU.
        kinds: what to measure.
        images: number of images.
    """
    copied = copy.deepcopy(network).train()
    shape = images, network.input.channels, network.input.height, network.input.width
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    best = dict.fromkeys(kinds, math.inf)
    begin = time.perf_counter()
    with torch.random.fork_rng(devices=[]):  # dropout draws
        for number in range(ROUNDS):
            if number > 1 and time.perf_counter() - begin > MEASURED_SECONDS:
                break
            for kind in kinds:
                best[kind] = min(best[kind], _seconds(copied, pixels, kind))
    return best


def _seconds(network: Network, pixels: torch.Tensor, kind: StepKind) -> float:
    """Return the seconds of a forward and a backward pass."""
    memory_format = FORMATS[kind.memory_format]
    network.to(memory_format=memory_format)
    pixels = pixels.contiguous(memory_format=memory_format)
    start = time.perf_counter()
    with precision_of(pixels.device, kind.mixed).autocast():
        raw = network(pixels)
    sum(map_.float().square().mean() for map_ in raw).backward()
    seconds = time.perf_counter() - start
    network.zero_grad()
    return seconds


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether the CPU has instructions for bfloat16; False if Linux does not list them."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())


def _measured_images(network: Network, images: int) -> int:
    """Return with how many images of a mini-batch a step is measured: few if the network is large."""
    billions = STEP_PASSES * layer_table(network)[1]
    return max(1, min(images, MOST_IMAGES, math.ceil(MEASURED_BFLOPS / max(billions, 1e-9))))
