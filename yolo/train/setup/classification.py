"""Set up the training of a classifier: its data sets, loss, batches and validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from yolo.cfg import override, read_cfg
from yolo.data.augment.classifier import classifier_settings
from yolo.data.class_folders import ClassifiedImage, read_class_images, read_class_names
from yolo.data.classifier_dataset import ClassificationImages, collate_classified
from yolo.data.dataset import training_loader
from yolo.data_file import DataFile, check_classes, check_data_files
from yolo.defaults import TOP_CLASSES
from yolo.detect.classifier import Classifier
from yolo.distributed import Processes
from yolo.errors import DatasetError
from yolo.evaluate.accuracy import Accuracy, accuracy_table, classifier_accuracy
from yolo.model.network import Network
from yolo.train.checkpoint import Progress
from yolo.train.losses.classification import ClassificationLoss, ClassificationLosses, loss_weight
from yolo.train.multiscale import Stage
from yolo.train.setup.options import Options, Output
from yolo.train.setup.steps import sharded_steps
from yolo.train.validation import Scores, Task, Validation, steps_between_scores


@dataclass(frozen=True)
class ClassificationData:
    """The class names, and the usable images of both sets, each with its class.

    valid: None without such a set; top: an image counts as correct if its class is among this number of likeliest ones.
    """

    names: list[str]
    train: tuple[ClassifiedImage, ...]
    valid: tuple[ClassifiedImage, ...] | None
    top: int


def classification_task(options: Options, network: Network, data: DataFile, batch: int, processes: Processes) -> Task:
    """Set up the training of a classifier.

    Args:
        options: the options of the run.
        network: the network without detection heads.
        data: the .data file.
        batch: images of a step, of all processes together.
        processes: the processes of the run.

    Returns:
        Its loss, batches and validation.

    Raises:
        CfgError: the cfg has no loss.
        DatasetError: the data set has a problem that stops the run.
    """
    machine, output = options.machine, options.output or Output()
    weight = loss_weight(override(read_cfg(options.cfg), dict(options.overrides)))
    sets = read_classification_data(network, data, options.cfg, options.skip_problems)
    validation = sets.valid and Validation(
        score=partial(
            classification_scores, network, sets, max(1, batch // processes.world),
            machine.workers, processes,
        ),
        every=steps_between_scores(output.map_every, len(sets.train), batch),
        start=network.training_settings.schedule.burn_in,
    )  # fmt: skip
    return Task(
        loss=partial(_loss, ClassificationLoss(network, weight)),
        batches=partial(
            _batches, network, sets.train, batch, options.learning.sizes, processes,
            machine.workers, pin=machine.device.startswith("cuda"),
        ),
        validation=validation,
    )  # fmt: skip


def read_classification_data(network: Network, data: DataFile, cfg: Path, skip_problems: bool) -> ClassificationData:
    """Check all images of a data set, and log a summary and the problems.

    Args:
        network: the network that is to be trained.
        data: the .data file.
        cfg: the .cfg file, for messages.
        skip_problems: leave broken images out instead of stopping.

    Returns:
        The class names, and the usable images of both sets.

    Raises:
        DatasetError: the data set has a problem that stops the run.
    """
    if data.train is None or data.names is None:
        raise DatasetError(f"{data.path}: expected the keys train, valid and names (or labels)")
    check_data_files(data, "names", "labels", "train", "valid")
    check_classes(data, network.classes, cfg)
    names, labels = (read_class_names(file, data.classes) for file in (data.names, data.labels))
    channels = network.input.channels
    train = read_class_images(data.train, labels, channels, skip_problems)
    valid = read_class_images(data.valid, labels, channels, skip_problems) if data.valid else None
    return ClassificationData(names, train, valid, min(data.top or TOP_CLASSES, len(names)))


def classification_scores(
    network: Network,
    data: ClassificationData,
    batch: int,
    workers: int,
    processes: Processes,
) -> Scores | None:
    """Compute top-1 and top-k accuracy of the valid set. Each process classifies a part of the images.

    Args:
        network: the network in evaluation mode.
        data: the data set.
        batch: images of a mini-batch.
        workers: processes that load images.
        processes: the processes of the run.

    Returns:
        The scores in the first process, None in the others.
    """
    classifier = Classifier(network, data.names, data.top, network.dialect == "pjreddie")
    mine = classifier_accuracy(classifier, processes.shard(data.valid), batch, workers)
    parts = processes.gather([mine], processes.world)
    if parts is None:
        return None
    accuracy = _total(parts)
    return Scores(
        name="top1",
        best_by=accuracy.top_1,
        table=accuracy_table(accuracy),
        values={f"top{data.top}": accuracy.top_k},
    )


def _total(parts: Sequence[Accuracy]) -> Accuracy:
    """Add up the counts of several processes."""
    return replace(
        parts[0],
        images=sum(part.images for part in parts),
        first=sum(part.first for part in parts),
        among=sum(part.among for part in parts),
    )


def _loss(loss: ClassificationLoss, raw: Sequence[Tensor], targets: Tensor, _seen: int) -> ClassificationLosses:
    return loss(raw, targets)


def _batches(
    network: Network,
    classified: Sequence[ClassifiedImage],
    batch: int,
    stages: Sequence[Stage],
    processes: Processes,
    workers: int,
    progress: Progress,
    *,
    pin: bool,
) -> DataLoader:
    """Return this process's mini-batches of the steps after `progress`."""
    settings = network.training_settings
    images = ClassificationImages(
        classified,
        classifier_settings(settings, network.input.width, network.dialect),
        network.input.channels,
        network.classes,
        settings.label_smooth_eps,
        network.tree,
    )
    shard = sharded_steps(network, len(classified), batch, stages, progress, processes)
    return training_loader(images, shard, collate_classified, workers, pin=pin)
