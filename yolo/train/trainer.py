"""The training loop. `train` is the whole run; the functions below it are its steps, in the order in which they run.

The arithmetic is Darknet's (network.c train_network_datum, convolutional_layer.c update_convolutional_layer): the
losses of the `batch` images of a step are summed and divided by `batch`; SGD has momentum, and decays weights only.
"""

import math
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor, nn

from yolo.data.workers import prepared
from yolo.distributed import Processes
from yolo.engines.cuda import fastest_convolutions
from yolo.errors import DatasetError, DivergedError
from yolo.model.network import Network
from yolo.model.weights import save_weights
from yolo.records import LossResult, TrainingBatch
from yolo.schedule import Schedule, learning_rate
from yolo.train.amp import Precision
from yolo.train.checkpoint import Progress, Stateful, save_checkpoint
from yolo.train.ema import WeightEma
from yolo.train.log.copied import CopiedLosses, copied_losses
from yolo.train.log.logger import TOTAL_LOSS, Logger, NullLogger, mean_scalars
from yolo.train.optimizer import first_trainable, set_rate, set_step, train_mode
from yolo.train.validation import Loss, Validation, is_due
from yolo.train.watch import Watch

HANGUP = "SIGHUP"  # the terminal was closed; not on Windows
STOPPING = ("SIGINT", "SIGTERM", HANGUP)
SAME_CTRL_C = 1.0  # seconds; torchrun sends a terminal's Ctrl-C a second time to its processes
LARGEST_VALUE = 255.0  # of a uint8 image
ADVICE = "a lower learning_rate or a longer burn_in often helps"


@dataclass
class Run:
    """Everything a training run works with. `progress` changes from step to step, `interrupted` on Ctrl-C.

    network: the network that is trained, scored and saved.
    model: computes the raw maps in training: `network`, or a wrapper around it for several processes or torch.compile.
    loss: (raw maps, targets, images seen so far) → LossResult.
    freeze: the layers below this index do not change.
    ema: moving average of the weights, which is scored and saved as .weights in their place; None without one.
    batches: the mini-batches of this process, `subdivisions` for each step.
    batch: images of a step, of all processes together.
    last_step: the step after which training ends.
    validation: None without a valid list.
    folder, name: the files are folder/name_last.weights and so on.
    save_every, histograms_every: in steps; 0 writes no histograms.
    memory_format: of the images, and of the network's weights.
    watch: the images whose film strip is made; None without any, and in all processes but the first.
    """

    network: Network
    model: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    freeze: int
    precision: Precision
    ema: WeightEma | None
    batches: Iterable[TrainingBatch]
    batch: int
    subdivisions: int
    last_step: int
    validation: Validation | None
    logger: Logger | NullLogger
    processes: Processes
    folder: Path
    name: str
    save_every: int
    histograms_every: int
    device: torch.device
    progress: Progress
    memory_format: torch.memory_format = torch.channels_last
    interrupted: bool = field(default=False)
    watch: Watch | None = None


def train(run: Run) -> None:
    """Train until `last_step`, or until Ctrl-C. In both cases the last state is saved.

    Raises:
        DivergedError: the loss or a weight is not finite. The files stay as they were last saved.
        DatasetError: an image has become unreadable since it was checked, or a process that loads images has died.
        OSError: a file cannot be written, or another process of the run is lost.
        In the last two cases the steps done so far are saved.
    """
    batches = prepared(run.batches)
    if run.watch and not run.watch.strip.moments:
        watch(run, run.watch)
    train_mode(run.network, run.freeze)
    with _stop_on_signal(run), _save_on_loss(run), fastest_convolutions(run.device):
        for step in range(run.progress.step + 1, run.last_step + 1):
            with _buffers_kept(run.network):
                rate = begin_step(run, step)
                losses = [train_mini_batch(run, next(batches), step, part) for part in range(run.subdivisions)]
            update(run, step)
            run.logger.step(step, _mean_over_processes(run, losses), rate, run.batch)
            scored = run.validation is not None and is_due(step, run.validation, run.last_step)
            if scored:
                validate(run, run.validation)
            stopping = run.processes.any(run.interrupted)
            saved = step % run.save_every == 0 or step == run.last_step or stopping
            if run.watch and (scored or saved):
                watch(run, run.watch)
            if saved:
                save(run, "last")
            if stopping:
                run.interrupted = True
                return


def begin_step(run: Run, step: int) -> float:
    """Set random seed, learning rate and the layers that change with time for this step. Return the learning rate."""
    torch.manual_seed(_step_seed(run.progress.seed, step, run.processes.rank))
    set_step(run.network, step, run.last_step, run.freeze)
    return set_rate(run.optimizer, learning_rate(run.schedule, step))


def train_mini_batch(run: Run, batch: TrainingBatch, step: int, part: int) -> LossResult:
    """Run forward and backward for one mini-batch. The gradients of a step's mini-batches add up.

    Args:
        run: the run; its parameters get gradients.
        batch: images uint8 `[B, C, H, W]`, and targets.
        step: number of the step, from 1.
        part: number of the mini-batch in the step, from 0.

    Returns:
        The loss of the mini-batch.

    Raises:
        DivergedError: the loss is not finite.
    """
    images = batch.images.to(run.device, non_blocking=True)
    images = images.to(torch.float32, memory_format=run.memory_format).div_(LARGEST_VALUE)
    with _gradient_exchange(run, last=part == run.subdivisions - 1):
        with run.precision.autocast():
            raw = run.model(images, first_trainable(run.network.controls, run.freeze, step))
        seen = run.progress.seen + part * (run.batch // run.subdivisions)
        losses = run.loss(raw, batch.targets, seen)
        copied = copied_losses(losses)
        run.precision.scaler.scale(losses.total / run.subdivisions).backward()
    _check_finite(copied, step)  # after the backward pass has started, so that a GPU need not wait
    return copied


def update(run: Run, step: int) -> None:
    """Update the weights, and their EMA, with the gradients of the step."""
    if run.histograms_every and step % run.histograms_every == 0:
        run.logger.histograms(step, dict(_weights_and_gradients(run.network)))
    run.precision.scaler.step(run.optimizer)
    run.precision.scaler.update()
    run.optimizer.zero_grad()
    if run.ema:
        run.ema.update(run.network, step)
    run.progress = replace(run.progress, step=step, seen=run.progress.seen + run.batch)


def validate(run: Run, validation: Validation) -> None:
    """Score the valid list, log the scores, and save the network as NAME_best if it is the best so far."""
    run.network.eval()
    with _ema_as_weights(run):
        # each process scores a part of the images: all of them with the same network
        run.processes.broadcast_buffers(run.network)
        scores = validation.score()
    train_mode(run.network, run.freeze)
    if scores is None:
        return
    step = run.progress.step
    run.logger.message(f"step {step}, the valid list:\n{scores.table}")
    run.logger.scores(step, scores.name, scores.best_by, scores.values)
    run.logger.curves(step, scores.curves)
    for name, image in scores.images.items():
        run.logger.image(step, name, image)
    if scores.best_by is None:
        run.logger.message("no object in the valid list: there is no mAP, and no best network")
    elif scores.best_by > run.progress.best_map:
        run.progress = replace(run.progress, best_map=scores.best_by)
        save(run, "best")


def watch(run: Run, watched: Watch) -> None:
    """Add the network's present detections to the film strip. If it cannot be written, training continues."""
    step = run.progress.step
    run.network.eval()
    try:
        with _ema_as_weights(run):
            frames = watched.shoot(step)
    except OSError as error:
        run.logger.message(f"warning: {error}; training continues without this frame of step {step}")
    else:
        for name, frame in frames.items():
            run.logger.image(step, f"watch/{name}", frame)
    train_mode(run.network, run.freeze)


def save(run: Run, which: str) -> None:
    """Write NAME_which.pt, to resume from, and NAME_which.weights, for every Darknet. Only the first process writes.

    Raises:
        DivergedError: a weight is not finite. Nothing is written; the loss would show it only a step later.
    """
    if not all(bool(torch.isfinite(value).all()) for value in run.network.state_dict().values()):
        raise DivergedError(f"step {run.progress.step}: found weights that are not finite, expected numbers; {ADVICE}")
    if run.processes.rank > 0:
        return
    name = f"{run.name}_{which}"  # may contain dots
    checkpoint = run.folder / f"{name}.pt"
    others = stateful_parts(run.ema, run.precision)
    save_checkpoint(checkpoint, run.network, run.optimizer, run.progress, others)
    with _ema_as_weights(run):
        save_weights(run.network, run.folder / f"{name}.weights", run.progress.seen)


def stateful_parts(ema: WeightEma | None, precision: Precision) -> dict[str, Stateful]:
    """Return the parts of a run that have a state beside network and optimizer, by their name in a checkpoint."""
    parts: dict[str, Stateful] = {}
    if ema:
        parts["average"] = ema
    if precision.scaler.is_enabled():
        parts["scaler"] = precision.scaler
    return parts


@dataclass(frozen=True)
class _MeanLosses:
    """The losses of a step over several processes. values: mean of their scalars; total: the one of this process."""

    total: Tensor
    values: dict[str, float]

    def scalars(self) -> dict[str, float]:
        return self.values


def _mean_over_processes(run: Run, losses: Sequence[LossResult]) -> Sequence[LossResult]:
    if run.processes.world == 1:
        return losses
    return [_MeanLosses(losses[0].total, run.processes.mean(mean_scalars(losses)))]


def _check_finite(losses: LossResult, step: int) -> None:
    # the copied number arrives before the backward pass ends; losses.total would wait for its end
    total = losses.scalars()[TOTAL_LOSS] if isinstance(losses, CopiedLosses) else losses.total.detach()
    if math.isfinite(total):
        return
    found = ", ".join(
        f"{name.removeprefix('loss/')} {float(value):g}"
        for name, value in losses.scalars().items()
        if name.startswith("loss/") and name != "loss/total"
    )
    raise DivergedError(
        f"step {step}: found a loss that is not finite ({found or float(losses.total)}), expected numbers; {ADVICE}"
    )


def _weights_and_gradients(network: Network) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        yield f"weights/{name}", parameter.detach()
        if parameter.grad is not None:
            yield f"gradients/{name}", parameter.grad


def _ema_as_weights(run: Run) -> AbstractContextManager[None]:
    """Use the EMA as the weights of the network within this context, if there is one."""
    return run.ema.applied(run.network) if run.ema else nullcontext()


def _gradient_exchange(run: Run, last: bool) -> AbstractContextManager[None]:
    """Let several processes exchange gradients once for each step, with its last mini-batch."""
    return nullcontext() if last or run.processes.world == 1 else run.model.no_sync()


def _step_seed(seed: int, step: int, rank: int) -> int:
    """Return a seed for each step and process, so that a resumed run draws the same dropout as an unbroken one."""
    entropy = (seed, step, rank) if rank else (seed, step)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@contextmanager
def _buffers_kept(network: nn.Module) -> Iterator[None]:
    """Put the buffers back, such as the statistics of batch norm, if this context ends with an error.

    So a step that is interrupted changes nothing that is saved.
    """
    buffers = list(network.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    except BaseException:
        for buffer, old in zip(buffers, before, strict=True):
            buffer.copy_(old)
        raise


@contextmanager
def _save_on_loss(run: Run) -> Iterator[None]:
    """Save the steps done so far if an image, a process that loads images, a disk or another process fails."""
    begun = run.progress.step
    try:
        yield
    except (DatasetError, OSError, RuntimeError) as error:
        lost = run.processes.world > 1 or not isinstance(error, RuntimeError)
        if lost and run.progress.step > begun:
            with suppress(OSError, DivergedError):  # the first error is the one to show
                save(run, "last")
        raise


@contextmanager
def _stop_on_signal(run: Run) -> Iterator[None]:
    """Finish the step and save on Ctrl-C, SIGTERM, or SIGHUP of a closed terminal. A second Ctrl-C stops at once."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if run.interrupted and number == signal.SIGINT and time.monotonic() - first > SAME_CTRL_C:
            raise KeyboardInterrupt
        if not run.interrupted:
            first, run.interrupted = time.monotonic(), True

    first = 0.0
    numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    # nohup has a run ignore SIGHUP
    numbers = [each for each in numbers if each.name != HANGUP or signal.getsignal(each) != signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
