"""The training run: read `train` aloud to know what happens.

Arithmetic after Darknet (network.c train_network_datum, convolutional_layer.c update_convolutional_layer): the
losses of `batch` pictures are summed and divided by `batch`, momentum and decay as in SGD, decay on weights only.
"""

import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from yolo.data.check import LabelledPicture
from yolo.data.dataset import Batch, prepared
from yolo.data.pictures import read_picture
from yolo.detect.detector import Detector
from yolo.detect.draw import draw_truth_and_predictions
from yolo.errors import DatasetError, DivergedError
from yolo.evaluate.average_precision import mean_ap
from yolo.evaluate.evaluator import (
    MAP_NMS_THRESH,
    MAP_SCORE_THRESH,
    evaluate,
    picture_boxes,
    voc_scores,
)
from yolo.evaluate.report import average_precisions, class_table
from yolo.model.network import Network
from yolo.model.normalise import DropBlock
from yolo.model.weights import save_weights
from yolo.train.checkpoint import Progress, save_checkpoint
from yolo.train.journal import Journal
from yolo.train.loss import DetectionLoss, Losses
from yolo.train.schedule import Schedule, learning_rate

SHOWN_PICTURES = 4  # of the valid list, in TensorBoard, at each evaluation
SHOWN_THRESH = 0.25
LARGEST_VALUE = 255.0
ADVICE = "a lower learning_rate or a longer burn_in often helps"


@dataclass(frozen=True)
class Validation:
    """What is scored during training: detector and pictures; every how many steps, from which on."""

    detector: Detector
    pictures: Sequence[LabelledPicture]
    every: int
    start: int
    batch: int
    workers: int


@dataclass
class Run:
    """Everything a training run works with; `progress` says how far it is."""

    network: Network
    loss: DetectionLoss
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    batches: Iterable[Batch]
    batch: int
    subdivisions: int
    last_step: int
    validation: Validation | None
    journal: Journal
    folder: Path
    name: str
    save_every: int
    device: torch.device
    progress: Progress
    interrupted: bool = field(default=False)


def train(run: Run) -> None:
    """Train until `last_step`, or until Ctrl-C; either way the last state is saved.

    Raises DivergedError when the loss is not finite; the files stay as they were last saved. Raises DatasetError
    when a picture has gone bad since it was checked; what was learned until then is saved.
    """
    batches = prepared(run.batches)
    run.network.train()
    with _interruptible(run), _saved_when_data_fail(run):
        for step in range(run.progress.step + 1, run.last_step + 1):
            torch.manual_seed(_dropout_seed(run.progress.seed, step))
            rate = set_rate(run.optimiser, learning_rate(run.schedule, step))
            set_progress(run.network, step / run.last_step)
            losses = [train_mini_batch(run, next(batches), step) for _ in range(run.subdivisions)]
            run.optimiser.step()
            run.optimiser.zero_grad()
            run.progress = replace(run.progress, step=step, seen=run.progress.seen + run.batch)
            run.journal.step(step, losses, rate, run.batch)
            if run.validation and is_due(step, run.validation, run.last_step):
                score(run, run.validation)
            if step % run.save_every == 0 or step == run.last_step or run.interrupted:
                save(run, "last")
            if run.interrupted:
                return


def train_mini_batch(run: Run, batch: Batch, step: int) -> Losses:
    """Forward and backward of one mini-batch; gradients add up. Raises DivergedError."""
    images = batch.images.to(run.device, non_blocking=True)
    images = images.float().div_(LARGEST_VALUE)
    losses = run.loss(run.network(images), batch.targets.to(run.device))
    if not torch.isfinite(losses.total):
        parts = ("box", "objectness", "classification")
        found = ", ".join(f"{name} {float(getattr(losses, name)):g}" for name in parts)
        raise DivergedError(
            f"step {step}: found a loss that is not finite ({found}), expected numbers; {ADVICE}"
        )
    (losses.total / run.subdivisions).backward()
    return replace(losses, total=losses.total.detach())


def make_optimiser(network: Network, momentum: float, decay: float) -> torch.optim.SGD:
    """SGD as Darknet updates: decay pulls on weights, which have several axes, not on biases and scales."""
    weights, others = [], []
    for parameter in network.parameters():
        (weights if parameter.ndim > 1 else others).append(parameter)
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum)


def set_progress(network: Network, progress: float) -> None:
    """Tell the layers that change while a network learns how far it is, 0 to 1."""
    for layer in network.layers:
        if isinstance(layer, DropBlock):
            layer.progress = progress


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> float:
    """Set and return the learning rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    return rate


def is_due(step: int, validation: Validation, last_step: int) -> bool:
    """Whether to score after this step; always after the last."""
    return step == last_step or (step >= validation.start and step % validation.every == 0)


def score(run: Run, validation: Validation) -> None:
    """Score the valid list, print its table, and keep the network where it is the best so far."""
    run.network.eval()
    evaluation = evaluate(
        validation.detector, validation.pictures, validation.batch, validation.workers
    )
    _show_pictures(run, validation)
    run.network.train()
    scores = voc_scores(evaluation)
    aps = average_precisions(scores, "voc07")
    mean = mean_ap(aps)
    truths = [each.match.truths for each in scores]
    detections = [each.match.detections for each in scores]
    metrics = {"voc07": aps, "area": average_precisions(scores, "area")}
    run.journal.say(
        f"step {run.progress.step}, {len(validation.pictures)} pictures of the valid list:"
    )
    run.journal.say(class_table(evaluation.names, truths, detections, metrics))
    if mean is None:
        run.journal.say("no object in the valid list: there is no mAP, and no best network")
        return
    run.journal.scores(run.progress.step, mean, dict(zip(evaluation.names, aps, strict=True)))
    if mean > run.progress.best_map:
        run.progress = replace(run.progress, best_map=mean)
        save(run, "best")


def save(run: Run, which: str) -> None:
    """Write NAME_which.pt, to go on from, and NAME_which.weights, for every Darknet.

    Raises DivergedError, and writes nothing, when the network is not finite: its loss would say so a step too late.
    """
    if not all(bool(torch.isfinite(value).all()) for value in run.network.state_dict().values()):
        raise DivergedError(
            f"step {run.progress.step}: found weights that are not finite, expected numbers; {ADVICE}"
        )
    name = f"{run.name}_{which}"  # may have dots of its own
    save_checkpoint(run.folder / f"{name}.pt", run.network, run.optimiser, run.progress)
    save_weights(run.network, run.folder / f"{name}.weights", run.progress.seen)


def _show_pictures(run: Run, validation: Validation) -> None:
    detector = validation.detector
    for index, labelled in enumerate(validation.pictures[:SHOWN_PICTURES]):
        picture = read_picture(labelled.path, run.network.input.channels)
        found = detector(picture)
        sure = (found.scores > SHOWN_THRESH).numpy()
        drawn = draw_truth_and_predictions(
            np.broadcast_to(picture, (*picture.shape[:2], 3)).copy(),
            picture_boxes(labelled.truth, labelled.size),
            labelled.truth.labels,
            found.boxes.numpy()[sure],
            found.scores.numpy()[sure],
            found.labels.numpy()[sure],
            detector.names,
        )
        run.journal.pictures_seen(run.progress.step, f"valid/{index}", drawn)


def validation_of(
    network: Network, names: Sequence[str], pictures: Sequence[LabelledPicture], **how: int
) -> Validation:
    """A Validation with Darknet's thresholds for mAP."""
    detector = Detector(
        network, names, MAP_SCORE_THRESH, MAP_NMS_THRESH, letterbox=network.input.letter_box
    )
    return Validation(detector, pictures, **how)


def _dropout_seed(seed: int, step: int) -> int:
    """A seed a step, so that a resumed run drops what an unbroken one drops."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


@contextmanager
def _saved_when_data_fail(run: Run) -> Iterator[None]:
    """The steps done are not lost to a picture that was deleted or a worker that was killed meanwhile."""
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
