"""cfg, data and options → what a detector trains on, by which loss, and how it is scored."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch.utils.data import DataLoader

from yolo.cfg import DataFile, read_names
from yolo.data.check import MISSING_LABELS, CheckedSet, check_list, objects_per_class, problem_lines
from yolo.data.dataset import StepSampler, training_loader, training_pictures
from yolo.errors import CfgError, DatasetError
from yolo.model.network import Network
from yolo.train.checkpoint import Progress
from yolo.train.darknet_log import DarknetLoss
from yolo.train.loss import HEAD_LOSSES, DetectionLoss
from yolo.train.multiscale import Sizes
from yolo.train.options import DARKNET_LOG, Options
from yolo.train.parallel import Processes, SharedSteps
from yolo.train.task import Task, steps_between_scores
from yolo.train.validation import Validation, detection_scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectionData:
    """The names of the classes, and the usable pictures of both lists; valid: None without such a list."""

    names: list[str]
    train: CheckedSet
    valid: CheckedSet | None


def check_detector(network: Network, options: Options) -> None:
    """Raise CfgError for heads that cannot be trained, and for `random` where the network has one size only."""
    for index in network.heads:
        if type(network.layers[index]) not in HEAD_LOSSES:
            raise CfgError(
                f"{options.cfg}: found layer {index} [{network.kinds[index]}], expected a head that can be trained"
            )


def read_detection_data(options: Options, network: Network, data: DataFile) -> DetectionData:
    """Every list, label and picture looked at. Raises DatasetError for what stops a run."""
    names = _names(data, network)
    train = _checked(data, data.train, network, options, "train")
    valid = _checked(data, data.valid, network, options, "valid") if data.valid else None
    return DetectionData(names, train, valid)


def detection_task(
    options: Options, network: Network, data: DetectionData, batch: int, processes: Processes
) -> Task:
    """How `network` learns from `data`, `batch` pictures a step."""
    settings = network.training_settings
    validation = data.valid and Validation(
        score=partial(
            detection_scores, network, data.names, data.valid.pictures,
            batch=max(1, batch // settings.subdivisions // processes.world), workers=options.workers,
            processes=processes,
        ),
        every=steps_between_scores(options.map_every, len(data.train.pictures), batch),
        start=settings.schedule.burn_in,
    )  # fmt: skip
    loss = DetectionLoss(network, options.dialect, options.box_gradient)
    return Task(
        loss=DarknetLoss(loss, network, options.dialect) if options.log == DARKNET_LOG else loss,
        batches=partial(_batches, options, network, data.train, batch, processes),
        validation=validation,
    )


def _batches(
    options: Options,
    network: Network,
    train: CheckedSet,
    batch: int,
    processes: Processes,
    progress: Progress,
) -> DataLoader:
    """This process's mini-batches of the steps that are left."""
    settings = network.training_settings
    head = network.head_settings[-1]  # Darknet takes jitter, random and max from the last layer
    sizes = Sizes(
        base=(network.input.height, network.input.width),
        random=head.random,
        resize_step=settings.resize_step,
        max_batches=settings.max_batches,
        seed=progress.seed,
        dialect=options.dialect,
        stages=options.sizes,
    )
    sampler = StepSampler(
        pictures=len(train.pictures),
        batch=batch,
        mini_batch=batch // settings.subdivisions,
        steps=range(progress.step + 1, settings.max_batches + 1),
        size_at=sizes.size_at,
        seed=progress.seed,
    )
    pictures = training_pictures(train.pictures, network.input, settings, head, options.dialect)
    return training_loader(
        pictures,
        SharedSteps(sampler, batch // settings.subdivisions, processes),
        options.workers,
        pin=options.device.startswith("cuda"),
    )


def _names(data: DataFile, network: Network) -> list[str]:
    """The class names, after a check that cfg, .data and .names speak of the same number of classes."""
    if data.train is None or data.names is None:
        raise DatasetError(f"{data.path}: expected the keys train, valid and names")
    names = read_names(data.names)
    if network.classes != data.classes:
        expected = f"{network.classes} as in the heads of the cfg"
        raise DatasetError(f"{data.path}: found classes={data.classes}, expected {expected}")
    if len(names) != data.classes:
        raise DatasetError(f"{data.names}: found {len(names)} names, expected {data.classes}")
    return names


def _checked(
    data: DataFile, path: Path, network: Network, options: Options, which: str
) -> CheckedSet:
    """The list's usable pictures; logs what is in it and what is wrong with it."""
    difficult = data.difficult if which == "valid" else None
    checked = check_list(path, data.classes, network.input.channels, difficult)
    counts = objects_per_class(checked.pictures, data.classes)
    log.info(
        "%s: %d pictures, %d objects (a class: %s)",
        path, len(checked.pictures), sum(counts), ", ".join(map(str, counts)),
    )  # fmt: skip
    for line in problem_lines(checked.problems):
        log.warning("%s", line)
    serious = [problem for problem in checked.problems if problem.kind != MISSING_LABELS]
    if serious and not options.skip_problems:
        raise DatasetError(
            f"{path}: found {len(serious)} problems, the first: {serious[0].message}; "
            "correct them, or leave these pictures and labels out with --on-problem skip"
        )
    if not checked.pictures:
        raise DatasetError(f"{path}: found no usable picture")
    if which == "train" and sum(counts) == 0:
        raise DatasetError(
            f"{path}: found no object in any label file, expected some to learn from"
        )
    return checked
