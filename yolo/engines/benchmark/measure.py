"""Measure all engines and precisions on the same images: time of a batch in interleaved rounds, start, memory."""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from yolo.defaults import AUTO, INT8, INT8_ENGINES
from yolo.engines.build import build_engine
from yolo.engines.choose import NOT_ABLE, interleaved_seconds
from yolo.engines.precision import ENGINE_PRECISIONS
from yolo.engines.shapes import Engine
from yolo.errors import MissingPackageError
from yolo.model.network import Network

log = logging.getLogger(__name__)
LEAST_ROUNDS = 3
STATUS = Path("/proc/self/statm")  # Linux: pages of this process, the second number is what it holds in memory
PAGE = 4096


@dataclass(frozen=True)
class EngineTime:
    """One engine in one precision on batches of one size.

    size: (height, width) of the images. batch: their number. median, best: milliseconds of a batch. start: seconds
    until the first result, with export and compilation. memory: bytes by which the process grew for it, None where the
    system does not report it. difference: the largest one to PyTorch's float32 maps, relative to their largest value.
    """

    engine: str
    precision: str
    size: tuple[int, int]
    batch: int
    median: float
    best: float
    rounds: int
    start: float
    memory: int | None
    difference: float


@dataclass(frozen=True)
class LeftOut:
    """An engine and precision that does not run here, and why, in one line."""

    engine: str
    precision: str
    reason: str


def measure_engines(
    network: Network,
    combinations: Sequence[tuple[str, str]],
    size: tuple[int, int],
    batch: int,
    rounds: int,
    enough: float,
    build: Callable[[Network, str, str], Engine] = build_engine,
) -> tuple[list[EngineTime], list[LeftOut]]:
    """Measure engines on one batch of random images.

    Args:
        network: Not changed.
        combinations: (engine, precision) pairs.
        size: (height, width) of the images.
        batch: Number of images.
        rounds: At most; LEAST_ROUNDS at least.
        enough: Seconds after which no further round begins.
        build: Makes the engine of a combination.

    Returns:
        The times, fastest first, and the combinations that do not run.
    """
    images = torch.rand(batch, network.input.channels, *size)
    with torch.inference_mode():
        device = next(network.parameters(), images).device
        expected = [raw.float().cpu() for raw in network.eval()(images.to(device))]
    calls, starts, left_out = {}, {}, []
    for engine, precision in combinations:
        log.info("starting %s %s for %d x %d x %d ...", engine, precision, batch, *size)
        try:
            calls[engine, precision], starts[engine, precision] = _started(
                partial(build, network, engine, precision), images, expected
            )
        except (*NOT_ABLE, MissingPackageError) as error:
            left_out.append(LeftOut(engine, precision, str(error).splitlines()[0]))
    names = {f"{engine} {precision}": (engine, precision) for engine, precision in calls}
    by_name = {name: partial(_settled, calls[pair], images, device) for name, pair in names.items()}
    seconds = interleaved_seconds(by_name, LEAST_ROUNDS, rounds, enough)
    times = [
        EngineTime(
            engine=pair[0],
            precision=pair[1],
            size=size,
            batch=batch,
            median=1000 * statistics.median(seconds[name]),
            best=1000 * min(seconds[name]),
            rounds=len(seconds[name]),
            **starts[pair],
        )
        for name, pair in names.items()
    ]
    return sorted(times, key=lambda each: each.median), left_out


def combinations_of(engines: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of the engines and precisions that go together."""
    return [
        (engine, each)
        for engine in engines
        for each in precisions
        if each in ENGINE_PRECISIONS["torch" if engine == AUTO else engine]
        or (each == INT8 and engine in (*INT8_ENGINES, AUTO))
    ]


def _started(build: Callable[[], Engine], images: Tensor, expected: list[Tensor]):
    """Return an engine after its first two batches, and start, memory and difference as EngineTime has them."""
    before, begun = resident_bytes(), time.perf_counter()
    run = build()
    maps = [raw.cpu() for raw in run(images)]
    start = time.perf_counter() - begun
    run(images)
    after = resident_bytes()
    difference = max(
        float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in zip(maps, expected, strict=True)
    )
    memory = None if before is None or after is None else max(0, after - before)
    return run, {"start": start, "memory": memory, "difference": difference}


def _settled(run: Engine, images: Tensor, device: torch.device) -> None:
    """Compute a batch, and wait for it where the device works on its own."""
    run(images)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def resident_bytes() -> int | None:
    """Return how much memory this process holds; None if the system does not report it."""
    try:
        return int(STATUS.read_text().split()[1]) * PAGE
    except OSError:
        return None
