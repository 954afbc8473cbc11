"""The training run: read `train` aloud to know what happens.

Arithmetic after Darknet (network.c train_network_datum, convolutional_layer.c update_convolutional_layer): the
losses of `batch` images are summed and divided by `batch`, momentum and decay as in SGD, decay on weights only.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor, nn

from yolo.data.workers import prepared
from yolo.distributed import Processes
from yolo.errors import DatasetError, DivergedError
from yolo.model.network import Network
from yolo.model.weights import save_weights
from yolo.schedule import Schedule, learning_rate
from yolo.train.amp import Precision
from yolo.train.checkpoint import Progress, Stateful, save_checkpoint
from yolo.train.ema import WeightAverage
from yolo.train.log.logger import Logger, mean_scalars
from yolo.train.optimizer import set_rate, set_step
from yolo.train.validation import Validation, is_due

LARGEST_VALUE = 255.0

ADVICE = "a lower learning_rate or a longer burn_in often helps"


@dataclass
class Run:
    """Everything a training run works with; `progress` says how far it is.

    model: what computes the raw maps: `network`, or a wrapper around it for several processes or compiled code;
    loss: (what model gives, targets, images seen so far) → an object with `total` and `scalars()`;
    batches: mini-batches of this process, `subdivisions` a step; batch: images a step, of all processes;
    average: of the weights, which is then what is scored and kept as .weights; None without one.
    """

    network: Network
    model: nn.Module
    loss: Callable[..., object]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    average: WeightAverage | None
    batches: Iterable
    batch: int
    subdivisions: int
    last_step: int
    validation: Validation | None
    journal: Logger
    processes: Processes
    folder: Path
    name: str
    save_every: int
    histograms_every: int
    device: torch.device
    progress: Progress
    interrupted: bool = field(default=False)


@dataclass(frozen=True)
class SharedLosses:
    """The losses of a step, the mean of several processes' `scalars()`; total: this process's."""

    total: Tensor
    values: dict[str, float]

    def scalars(self) -> dict[str, float]:
        """What is worth watching, by name."""
        return self.values


def train(run: Run) -> None:
    """Train until `last_step`, or until Ctrl-C; either way the last state is saved.

    Raises DivergedError when the loss is not finite; the files stay as they were last saved. Raises DatasetError
    when an image has gone bad since it was checked; what was learned until then is saved.
    """
    batches = prepared(run.batches)
    run.network.train()
    with _interruptible(run), _saved_when_data_fail(run):
        for step in range(run.progress.step + 1, run.last_step + 1):
            rate = begin_step(run, step)
            losses = [train_mini_batch(run, next(batches), step, part) for part in parts(run)]
            update(run, step)
            run.journal.step(step, of_all_processes(run, losses), rate, run.batch)
            if run.validation and is_due(step, run.validation, run.last_step):
                score(run, run.validation)
            stopping = run.processes.any(run.interrupted)
            if step % run.save_every == 0 or step == run.last_step or stopping:
                save(run, "last")
            if stopping:
                run.interrupted = True
                return


def begin_step(run: Run, step: int) -> float:
    """Bring learning rate, layers that change with time and random numbers to this step; returns the rate."""
    torch.manual_seed(_dropout_seed(run.progress.seed, step, run.processes.rank))
    set_step(run.network, step, run.last_step)
    return set_rate(run.optimizer, learning_rate(run.schedule, step))


def parts(run: Run) -> range:
    """The numbers of a step's mini-batches."""
    return range(run.subdivisions)


def train_mini_batch(run: Run, batch: object, step: int, part: int) -> object:
    """Forward and backward of one mini-batch; gradients add up. Raises DivergedError."""
    images = batch.images.to(run.device, non_blocking=True)
    images = images.float().div_(LARGEST_VALUE)
    with _synchronized(run, last=part == run.subdivisions - 1):
        with run.precision.forward():
            raw = run.model(images)
        seen = run.progress.seen + part * (run.batch // run.subdivisions)
        losses = run.loss(raw, batch.targets.to(run.device), seen)
        _check_finite(losses.total, losses, step)
        run.precision.scaler.scale(losses.total / run.subdivisions).backward()
    return losses


def update(run: Run, step: int) -> None:
    """One step of the optimizer, and of the average of the weights."""
    if run.histograms_every and step % run.histograms_every == 0:
        run.journal.histograms(step, dict(_weights_and_gradients(run.network)))
    run.precision.scaler.step(run.optimizer)
    run.precision.scaler.update()
    run.optimizer.zero_grad()
    if run.average:
        run.average.update(run.network, step)
    run.progress = replace(run.progress, step=step, seen=run.progress.seen + run.batch)


def of_all_processes(run: Run, losses: Sequence) -> Sequence:
    """What the journal is told: with several processes, the mean of what each saw."""
    if run.processes.world == 1:
        return losses
    return [SharedLosses(losses[0].total, run.processes.mean(mean_scalars(losses)))]


def score(run: Run, validation: Validation) -> None:
    """Score the valid list, print its table, and keep the network where it is the best so far."""
    run.network.eval()
    with _averaged(run):
        run.processes.same_buffers(run.network)  # the images are shared out, the network is one
        scores = validation.score()
    run.network.train()
    if scores is None:
        return
    step = run.progress.step
    run.journal.message(f"step {step}, the valid list:\n{scores.table}")
    run.journal.scores(step, scores.name, scores.best_by, scores.values)
    run.journal.curves(step, scores.curves)
    for name, image in scores.images.items():
        run.journal.image(step, name, image)
    if scores.best_by is None:
        run.journal.message("no object in the valid list: there is no mAP, and no best network")
    elif scores.best_by > run.progress.best_map:
        run.progress = replace(run.progress, best_map=scores.best_by)
        save(run, "best")


def save(run: Run, which: str) -> None:
    """Write NAME_which.pt, to go on from, and NAME_which.weights, for every Darknet. Only the first process writes.

    Raises DivergedError, and writes nothing, when the network is not finite: its loss would say so a step too late.
    """
    if not all(bool(torch.isfinite(value).all()) for value in run.network.state_dict().values()):
        raise DivergedError(
            f"step {run.progress.step}: found weights that are not finite, expected numbers; {ADVICE}"
        )
    if run.processes.rank > 0:
        return
    name = f"{run.name}_{which}"  # may have dots of its own
    checkpoint = run.folder / f"{name}.pt"
    states_now = states(run.average, run.precision)
    save_checkpoint(checkpoint, run.network, run.optimizer, run.progress, states_now)
    with _averaged(run):
        save_weights(run.network, run.folder / f"{name}.weights", run.progress.seen)


def states(average: WeightAverage | None, precision: Precision) -> dict[str, Stateful]:
    """What has a state beside network and optimizer, by name."""
    named: dict[str, Stateful] = {}
    if average:
        named["average"] = average
    if precision.scaler.is_enabled():
        named["scaler"] = precision.scaler
    return named


def _check_finite(total: Tensor, losses: object, step: int) -> None:
    if torch.isfinite(total):
        return
    found = ", ".join(
        f"{name.removeprefix('loss/')} {float(value):g}"
        for name, value in losses.scalars().items()
        if name.startswith("loss/") and name != "loss/total"
    )
    raise DivergedError(
        f"step {step}: found a loss that is not finite ({found or float(total)}), expected numbers; {ADVICE}"
    )


def _weights_and_gradients(network: Network) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        yield f"weights/{name}", parameter.detach()
        if parameter.grad is not None:
            yield f"gradients/{name}", parameter.grad


def _averaged(run: Run):
    """The average of the weights in place of the weights, where there is one to use."""
    return run.average.applied(run.network) if run.average else nullcontext()


def _synchronized(run: Run, last: bool):
    """Several processes exchange gradients once a step, with its last mini-batch."""
    return nullcontext() if last or run.processes.world == 1 else run.model.no_sync()


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """A seed a step and process, so that a resumed run drops what an unbroken one drops."""
    entropy = (seed, step, rank) if rank else (seed, step)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@contextmanager
def _saved_when_data_fail(run: Run) -> Iterator[None]:
    """The steps done are not lost to an image that was deleted or a worker that was killed meanwhile."""
    try:
        yield
    except DatasetError:
        if run.progress.step > 0:
            save(run, "last")
        raise


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM let the step end and be saved; a second Ctrl-C stops at once."""

    def note(_signal: int, _frame: FrameType | None) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
