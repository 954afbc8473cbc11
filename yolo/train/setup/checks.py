"""Checks before any image is read: the cfg's batch and burn_in, and the memory. They raise an error or log a line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from yolo.cfg import Section
from yolo.distributed import Processes, images_of_process
from yolo.errors import CfgError
from yolo.model.network import Network
from yolo.schedule import Schedule, learning_rate
from yolo.train.multiscale import largest_input
from yolo.train.setup.free_memory import free_bytes
from yolo.train.setup.options import Options
from yolo.train.setup.preflight import estimate_memory, fits, fitting_subdivisions, memory_line

log = logging.getLogger(__name__)
TRAINING_BATCH = {"batch": 64, "subdivisions": 16}  # of published cfgs, instead of their values for testing
SINGLE_VALUE = "Expected more than 1 value per channel"  # the beginning of torch's message
BURN_IN_DIVISOR = 10  # advice: a tenth of the run


def batch_one_error(net: Section) -> CfgError:
    """Return the error for batch=1, which published cfgs have for testing (AlexeyAB detector.c train_detector)."""
    lines = {entry.key: f" (line {entry.line})" for entry in reversed(net.entries)}
    batch, subdivisions = (f"{key}={value}{lines.get(key, '')}" for key, value in TRAINING_BATCH.items())
    both = " ".join(f"{key}={value}" for key, value in TRAINING_BATCH.items())
    return CfgError(
        f"{net.path}: found batch=1, which is for testing, expected for training such as {batch} and {subdivisions} "
        f"in [net]; --set {both} does it without editing"
    )


def slow_start(schedule: Schedule, step: int) -> str:
    """Describe a burn_in that is longer than the run; "" otherwise. step: the last one of the run."""
    last = schedule.max_batches
    if schedule.burn_in <= last:
        return ""
    highest = max(learning_rate(schedule, each) for each in (step + 1, last))
    return (
        f"found burn_in={schedule.burn_in}, but the run ends at step {last}: the learning rate rises to {highest:.2g} "
        f"only, of {schedule.learning_rate:g}, so little is learned; --set burn_in={max(1, last // BURN_IN_DIVISOR)} "
        "or more steps help"
    )


def check_memory(
    options: Options,
    network: Network,
    batch: int,
    processes: Processes,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Log how much memory the run needs.

    Args:
        options: of the run.
        network: on `device`; nothing else of the run is there yet.
        batch: images of a step, of all processes together.
        processes: each has an equal part of a mini-batch.
        device: where the network is.
        dtype: of the forward pass.

    Raises:
        CfgError: the run does not fit into the free memory, or a mini-batch has no equal part for each process.
    """
    settings, freeze = network.training_settings, options.learning.freeze
    has_ema = bool(options.learning.ema or settings.ema_alpha)
    copies = (2 if settings.adam else 1) + has_ema
    size = largest_input(network, options.learning.sizes)
    images = images_of_process(batch // settings.subdivisions, processes)
    with _named_variance(options.cfg):
        memory = estimate_memory(network, images, size, copies, dtype, freeze)
    free = free_bytes(device)
    line = memory_line(memory, free, images, size)
    if free is None or fits(memory, free) or options.machine.ignore_memory:
        log.info("%s", line)
        return
    with _named_variance(options.cfg):
        fitting = fitting_subdivisions(
            network, settings.batch, size, free, processes=processes.world, copies=copies, dtype=dtype, freeze=freeze,
        )  # fmt: skip
    advice = "a smaller width and height may fit" if fitting is None else f"--set subdivisions={fitting} fits"
    raise CfgError(
        f"{options.cfg}: {line}; found subdivisions={settings.subdivisions}, expected more: {advice}; "
        "--ignore-memory tries it as it is"
    )


@contextmanager
def _named_variance(cfg: Path) -> Iterator[None]:
    """Turn torch's error for a batch norm over a single value into a CfgError."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(SINGLE_VALUE):
            raise
        raise CfgError(
            f"{cfg}: found mini-batches of 1 image and a batch norm over a map of 1x1, which has no variance, "
            "expected fewer subdivisions, or a larger width and height"
        ) from None
