"""The engine `auto`: choose the fastest engine on this machine for a network, by a short measurement that is kept."""

import importlib.metadata
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Lock

import cv2
import torch
from torch import Tensor

from yolo.engines.cache import cache_folder, graph_key
from yolo.engines.precision import ENGINE_PRECISIONS
from yolo.engines.shapes import Engine
from yolo.errors import CfgError, ExportError, MissingPackageError, WeightsError
from yolo.files.writing import write_text
from yolo.model.network import Network

log = logging.getLogger(__name__)

# Without `compile`, which needs up to a minute at each start. `torch` comes first, so that it is chosen in a tie.
CANDIDATES = ("torch", "openvino", "onnxruntime", "opencv")
PACKAGES = ("torch", "openvino", "onnxruntime", "opencv-python", "opencv-python-headless")
CHOICES = "choices.json"  # in the cache folder
FIRST_ROUNDS = 3  # rounds with all engines in turn
CONTENDER = 1.25  # an engine drops out if its best time is more than this times the smallest median
LEAST_ROUNDS, MOST_ROUNDS = 7, 25  # further rounds of the contenders
MEASURED_SECONDS = 1.5  # after LEAST_ROUNDS, further rounds end after it
MOST_SECONDS = 30.0  # of a slow network: about the time of further rounds, at least one of them
WORTHWHILE = 0.97  # another engine must take less than this fraction of torch's time, so that noise does not decide
# Errors of an engine that cannot compute a network, such as for a layer that it does not have.
NOT_ABLE = (CfgError, ExportError, WeightsError, OSError, RuntimeError, cv2.error)

Build = Callable[[str], Engine]  # the name of an engine → the engine


class FastestMaps:
    """`maps(images)` computes the raw maps by the engine that is the fastest for images of this size.

    The first batch of a size is measured, once with one image and once with more. The choice is kept in the cache
    folder by machine, versions, threads, network (without its weights), size and precision.

    Args:
        network: Not changed.
        precision: Of the engines.
        build: Makes an engine; MissingPackageError and CfgError leave it out.
    """

    def __init__(self, network: Network, precision: str, build: Build) -> None:
        self._graph = graph_key(network)
        self._precision = precision
        self._build = build
        self._engines: dict[str, Engine] = {}
        self._lock = Lock()
        self.chosen: dict[tuple[int, ...], str] = {}  # by (height, width, 1 or 2 for more images, threads)

    def __call__(self, images: Tensor) -> list[Tensor]:
        """float32 `[B, C, H, W]` → float32 raw maps, as `Network.forward` gives them."""
        kind = (*images.shape[2:], min(2, len(images)), torch.get_num_threads())
        with self._lock:  # of several threads, one measures and the others wait
            if kind not in self.chosen:
                self.chosen[kind] = self._choose(images)
                keep = set(self.chosen.values())
                self._engines = {name: engine for name, engine in self._engines.items() if name in keep}
            engine = self._engine(self.chosen[kind])
        return engine(images)

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = self._build(name)
        return self._engines[name]

    def _choose(self, images: Tensor) -> str:
        """Return the name of the fastest engine for images of this size, from the cache or by a measurement."""
        height, width = images.shape[2:]
        batch = "one" if len(images) == 1 else "many"
        parts = (self._graph, f"{width}x{height}", batch, self._precision, f"{torch.get_num_threads()} threads")
        key = " ".join((*parts, machine_text()))
        path = cache_folder() / CHOICES
        kept = _read_choices(path).get(key)
        if kept in CANDIDATES and self._tried(kept, images):
            return kept
        milliseconds = self._measure(images)
        name = fastest(milliseconds)
        log.info("engine auto: %s (%s)", name, ", ".join(f"{each} {ms:.1f} ms" for each, ms in milliseconds.items()))
        _keep_choice(path, key, name)
        return name

    def _measure(self, images: Tensor) -> dict[str, float]:
        """Return the median milliseconds of each engine that works. torch always does."""
        fit = [name for name in CANDIDATES if self._precision in ENGINE_PRECISIONS[name]]
        able = [name for name in fit if name == "torch" or self._tried(name, images)]
        calls = {name: partial(self._engine(name), images) for name in able}
        for call in calls.values():
            call()  # compiles, allocates
        return {name: 1000 * each for name, each in contest(calls).items()}

    def _tried(self, name: str, images: Tensor) -> bool:
        """Whether an engine is installed and runs the network."""
        try:
            self._engine(name)(images)
        except MissingPackageError:
            return False
        except NOT_ABLE as error:
            log.info("engine auto: without %s: %s", name, str(error).splitlines()[0])
            return False
        return True


def contest(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each call, over a few rounds, or many for calls that may be the fastest.

    Other work on the machine makes a call slower, never faster. So a call drops out only if even its best time is far
    from the smallest median, and close calls are measured in more rounds.
    """
    seconds = interleaved_seconds(calls, FIRST_ROUNDS, FIRST_ROUNDS, 0)
    leading = min(map(statistics.median, seconds.values()))
    close = {name: call for name, call in calls.items() if min(seconds[name]) <= CONTENDER * leading}
    if len(close) > 1:
        affordable = int(MOST_SECONDS / max(sum(min(seconds[name]) for name in close), 1e-9))
        least = min(max(1, affordable), LEAST_ROUNDS)
        for name, more in interleaved_seconds(close, least, MOST_ROUNDS, MEASURED_SECONDS).items():
            seconds[name] += more
    return {name: statistics.median(each) for name, each in seconds.items()}


def interleaved_seconds(
    calls: Mapping[str, Callable[[], object]], least: int, most: int, enough: float
) -> dict[str, list[float]]:
    """Return the seconds of each call in each round. They run in turn, so that a busy moment affects all of them.

    Each round begins with another call, because threads of the call before may still spin.

    Args:
        calls: By name.
        least, most: Number of rounds.
        enough: Seconds after which no further round begins.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls.items())
    begun = time.perf_counter()
    for number in range(most):
        if number >= least and time.perf_counter() - begun > enough:
            break
        first = number % len(order)
        for name, call in (*order[first:], *order[:first]):
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def fastest(milliseconds: Mapping[str, float]) -> str:
    """Return the fastest engine. It is torch, unless another one is faster by more than noise."""
    name = min(milliseconds, key=milliseconds.__getitem__)
    return name if milliseconds[name] < WORTHWHILE * milliseconds["torch"] else "torch"


def machine_text() -> str:
    """Return what a measurement depends on, beside the network: processor, cores, versions of the engines."""
    versions = [f"{name}={_version(name)}" for name in PACKAGES]
    return " ".join((_processor(), f"{os.cpu_count()} cores", *versions))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    """Return the processor's name; Linux gives it in /proc/cpuinfo only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _read_choices(path: Path) -> dict[str, str]:
    """Return the kept choices; none if the file is missing or broken."""
    try:
        choices = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return choices if isinstance(choices, dict) else {}


def _keep_choice(path: Path, key: str, name: str) -> None:
    try:
        write_text(path, json.dumps({**_read_choices(path), key: name}, indent=1) + "\n")
    except OSError as error:  # a folder that cannot be written: measured again next time
        log.warning("the choice of the engine cannot be stored: %s: %s", error.filename, error.strerror)
