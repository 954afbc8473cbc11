"""cfg, data and options → what a classifier trains on, by which loss, and how it is scored."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from yolo.cfg import DataFile, read_cfg, read_names
from yolo.data.augment.classifier import classifier_settings
from yolo.data.check import problem_lines
from yolo.data.class_folders import (
    STRAY_FILE,
    UNSEEN_CLASS,
    ClassifiedImage,
    images_per_class,
    read_classified,
)
from yolo.data.classifier_dataset import ClassificationImages, classification_loader
from yolo.data.dataset import StepSampler
from yolo.defaults import TOP_CLASSES
from yolo.detect.classifier import Classifier
from yolo.distributed import Processes
from yolo.errors import DatasetError
from yolo.evaluate.accuracy import Accuracy, accuracy_table, classifier_accuracy
from yolo.model.network import Network
from yolo.train.checkpoint import Progress
from yolo.train.data_parallel import SharedSteps
from yolo.train.losses.classification import ClassificationLoss, ClassificationLosses, loss_weight
from yolo.train.multiscale import Sizes
from yolo.train.setup.options import Options
from yolo.train.task import Task, steps_between_scores
from yolo.train.validation import Scores, Validation

log = logging.getLogger(__name__)

HARMLESS = (STRAY_FILE, UNSEEN_CLASS)  # named, but they stop nothing


@dataclass(frozen=True)
class ClassificationData:
    """The names to show, and the usable images of both sets, each with its class; valid: None without such a set.

    top: how many of the likeliest classes may hold the right one; weight: of the loss, from the cfg's last sections.
    """

    names: list[str]
    train: tuple[ClassifiedImage, ...]
    valid: tuple[ClassifiedImage, ...] | None
    top: int
    weight: float


def read_classification_data(
    options: Options, network: Network, data: DataFile
) -> ClassificationData:
    """Every image looked at. Raises CfgError for a cfg without a loss, DatasetError for what stops a run."""
    weight = loss_weight(read_cfg(options.cfg))
    if data.train is None or data.names is None:
        raise DatasetError(f"{data.path}: expected the keys train, valid and names (or labels)")
    if data.classes != network.classes:
        expected = f"{network.classes} as in {options.cfg}"
        raise DatasetError(f"{data.path}: found classes={data.classes}, expected {expected}")
    names, labels = (_names(file, data.classes) for file in (data.names, data.labels))
    train = _checked(data.train, labels, network, options)
    valid = _checked(data.valid, labels, network, options) if data.valid else None
    return ClassificationData(names, train, valid, min(data.top or TOP_CLASSES, len(names)), weight)


def classification_task(
    options: Options, network: Network, data: ClassificationData, batch: int, processes: Processes
) -> Task:
    """How `network` learns from `data`, `batch` images a step."""
    validation = data.valid and Validation(
        score=partial(
            classification_scores, network, data, max(1, batch // processes.world),
            options.workers, processes,
        ),
        every=steps_between_scores(options.map_every, len(data.train), batch),
        start=network.training_settings.schedule.burn_in,
    )  # fmt: skip
    return Task(
        loss=partial(_loss, ClassificationLoss(network, data.weight)),
        batches=partial(_batches, options, network, data, batch, processes),
        validation=validation,
    )


def classification_scores(
    network: Network,
    data: ClassificationData,
    batch: int,
    workers: int,
    processes: Processes,
) -> Scores | None:
    """Top-1 and top-k of the valid set; each process looks at its share of the images."""
    classifier = Classifier(network, data.names, data.top, network.dialect == "pjreddie")
    mine = classifier_accuracy(classifier, processes.share(data.valid), batch, workers)
    parts = processes.gather([mine], processes.world)
    if parts is None:
        return None
    accuracy = together(parts)
    return Scores(
        name="top1",
        best_by=accuracy.top_1,
        table=accuracy_table(accuracy),
        values={f"top{data.top}": accuracy.top_k},
    )


def together(parts: Sequence[Accuracy]) -> Accuracy:
    """What several processes counted, each in its share of the images."""
    return replace(
        parts[0],
        images=sum(part.images for part in parts),
        first=sum(part.first for part in parts),
        among=sum(part.among for part in parts),
    )


def _loss(
    loss: ClassificationLoss, raw: Sequence[Tensor], targets: Tensor, _seen: int
) -> ClassificationLosses:
    return loss(raw, targets)


def _batches(
    options: Options,
    network: Network,
    data: ClassificationData,
    batch: int,
    processes: Processes,
    progress: Progress,
) -> DataLoader:
    """This process's mini-batches of the steps that are left."""
    settings = network.training_settings
    sizes = Sizes(
        base=(network.input.height, network.input.width),
        random=0.0,  # Darknet's classifiers have a key of [net] for it, which its cfgs leave alone
        resize_step=settings.resize_step,
        max_batches=settings.max_batches,
        seed=progress.seed,
        stages=options.sizes,
    )
    sampler = StepSampler(
        images=len(data.train),
        batch=batch,
        mini_batch=batch // settings.subdivisions,
        steps=range(progress.step + 1, settings.max_batches + 1),
        size_at=sizes.size_at,
        seed=progress.seed,
    )
    images = ClassificationImages(
        data.train,
        classifier_settings(settings, network.input.width, options.dialect),
        network.input.channels,
        network.classes,
        settings.label_smooth_eps,
        network.tree,
    )
    return classification_loader(
        images,
        SharedSteps(sampler, batch // settings.subdivisions, processes),
        options.workers,
        pin=options.device.startswith("cuda"),
    )


def _names(path: Path, classes: int) -> list[str]:
    """The first `classes` names of a list; ImageNet's has more, as Darknet publishes it."""
    names = read_names(path)
    if len(names) < classes:
        raise DatasetError(f"{path}: found {len(names)} names, expected at least {classes}")
    return names[:classes]


def _checked(
    path: Path, labels: Sequence[str], network: Network, options: Options
) -> tuple[ClassifiedImage, ...]:
    """The usable images; logs what there is and what is wrong with the others."""
    images, problems = read_classified(path, labels, network.input.channels)
    counts = images_per_class(images, len(labels))
    log.info(
        "%s: %d images of %d classes, %d to %d a class",
        path, len(images), len(labels), min(counts), max(counts),
    )  # fmt: skip
    for line in problem_lines(problems):
        log.warning("%s", line)
    serious = [problem for problem in problems if problem.kind not in HARMLESS]
    if serious and not options.skip_problems:
        raise DatasetError(
            f"{path}: found {len(serious)} problems, the first: {serious[0].message}; "
            "correct them, or leave these images out with --on-problem skip"
        )
    if not images:
        raise DatasetError(f"{path}: found no usable image")
    return images
