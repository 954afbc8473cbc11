"""Set up the training of a detector: its data sets, loss, batches and validation."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from yolo.data.anchors import box_sizes
from yolo.data.check import CheckedSet, check_list, objects_per_class, stopping
from yolo.data.dataset import collate, training_images, training_loader
from yolo.data.head_anchors import placement_of
from yolo.data.labeled_images import LabeledImage
from yolo.data_file import DataFile, check_classes, check_data_files, check_names
from yolo.defaults import DARKNET_LOG
from yolo.distributed import Processes
from yolo.errors import CfgError, DatasetError, counted
from yolo.files.text import printable_text
from yolo.model.building import find_file
from yolo.model.class_tree import read_class_map
from yolo.model.heads.region import RegionSettings
from yolo.model.heads.yolo import with_iou_loss
from yolo.model.network import Network
from yolo.names_file import read_classes
from yolo.train.checkpoint import Progress
from yolo.train.log.darknet import DarknetLoss
from yolo.train.losses.detection import DetectionLoss
from yolo.train.multiscale import Stage
from yolo.train.setup.options import Options, Output
from yolo.train.setup.preflight import all_problems, anchor_lines, problem_table
from yolo.train.setup.steps import sharded_steps
from yolo.train.validation import Task, Validation, detection_scores, steps_between_scores

log = logging.getLogger(__name__)
MOST_COUNTS = 20  # of classes in one line


@dataclass(frozen=True)
class DetectionData:
    """The names of the classes, and the usable images of both lists.

    valid: None without such a list; class_map: int64 `[L]`, the class of the heads for each label, or None.
    """

    names: list[str]
    train: CheckedSet
    valid: CheckedSet | None
    class_map: Tensor | None


def detection_task(options: Options, network: Network, data: DataFile, batch: int, processes: Processes) -> Task:
    """Set up the training of a detector.

    Args:
        options: the options of the run.
        network: the network with its detection heads.
        data: the .data file.
        batch: images of a step, of all processes together.
        processes: the processes of the run.

    Returns:
        Its loss, batches and validation.

    Raises:
        CfgError: the `map` of a [region] is not there.
        DatasetError: the data set has a problem that stops the run.
    """
    learning, machine, output = options.learning, options.machine, options.output or Output()
    sets = read_detection_data(network, data, options.cfg, options.skip_problems, options.recheck)
    settings = network.training_settings
    heads = with_iou_loss(network.head_settings, learning.iou_loss)
    loss = DetectionLoss(
        network,
        network.dialect,
        learning.box_gradient,
        head_settings=heads,
        class_map=sets.class_map,
    )
    if output.log == DARKNET_LOG:
        loss = DarknetLoss(loss, network, network.dialect, heads)
    validation = sets.valid and Validation(
        score=partial(
            detection_scores, network, sets.names, sets.valid.images,
            batch=max(1, batch // settings.subdivisions // processes.world), workers=machine.workers,
            processes=processes,
        ),
        every=steps_between_scores(output.map_every, len(sets.train.images), batch),
        start=settings.schedule.burn_in,
    )  # fmt: skip
    return Task(
        loss=loss,
        batches=partial(
            _batches, network, sets.train.images, batch, learning.sizes, processes,
            machine.workers, pin=machine.device.startswith("cuda"),
        ),
        validation=validation,
    )  # fmt: skip


def read_detection_data(
    network: Network, data: DataFile, cfg: Path, skip_problems: bool, recheck: bool = False
) -> DetectionData:
    """Check all lists, labels and images of a data set, and log a summary, the problems and the fit of the anchors.

    Args:
        network: the network that is to be trained.
        data: the .data file.
        cfg: the .cfg file, for the `map` of a [region] and for messages.
        skip_problems: leave broken images and labels out instead of stopping.
        recheck: read all files, also those that have not changed since the last check.

    Returns:
        The class names, and the usable images of both lists.

    Raises:
        DatasetError: the data set has a problem that stops the run.
    """
    class_map = _read_class_map(network, cfg)
    names = _read_names(data, network.classes, class_map)
    channels = network.input.channels
    train = check_list(data.train, data.classes, channels, recheck=recheck)
    valid = data.valid and check_list(data.valid, data.classes, channels, data.difficult, recheck)
    for path, checked in ((data.train, train), (data.valid, valid)):
        if checked:
            counts = objects_per_class(checked.images, data.classes)
            found = counted(len(checked.images), "image"), counted(sum(counts), "object")
            log.info("%s: %s, %s (%s)", path, *found, _class_counts(names, counts))
    table = problem_table(all_problems(network, names, train, valid), skip_problems)
    if table:
        log.warning("%s", table)
    _check_usable(data, train, valid, skip_problems)
    size = network.input.height, network.input.width
    boxes = box_sizes(train.images, size, placement_of(network))
    for line in anchor_lines(network, boxes, cfg, data.path):
        log.info("%s", line)
    return DetectionData(names, train, valid, class_map)


def _batches(
    network: Network,
    labeled: Sequence[LabeledImage],
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
    head = network.head_settings[-1]  # Darknet takes jitter, resize and max from the last layer
    images = training_images(labeled, network.input, settings, head, network.dialect)
    images.keep((network.input.height, network.input.width))
    shard = sharded_steps(network, len(labeled), batch, stages, progress, processes)
    return training_loader(images, shard, collate, workers, pin=pin)


def _class_counts(names: Sequence[str], counts: Sequence[int]) -> str:
    """Return how many objects each class has; of many classes the range."""
    if len(counts) <= MOST_COUNTS:
        return ", ".join(f"{printable_text(name)} {count}" for name, count in zip(names, counts, strict=True))
    return f"{min(counts)} to {max(counts)} of each of {len(counts)} classes"


def _read_names(data: DataFile, classes: int, class_map: Tensor | None) -> list[str]:
    """Read the class names. Raises DatasetError unless cfg, .data and .names have the same number of classes."""
    if data.train is None or data.names is None:
        raise DatasetError(f"{data.path}: expected the keys train, valid and names")
    check_data_files(data, "names", "labels", "train", "valid", "difficult")
    names = list(read_classes(data.names))
    expected, where = (classes, "heads") if class_map is None else (len(class_map), "map")
    check_classes(data, expected, f"the {where} of the cfg")
    check_names(data, names)
    return names


def _check_usable(data: DataFile, train: CheckedSet, valid: CheckedSet | None, skip_problems: bool) -> None:
    """Raise DatasetError for problems that stop the run, and for lists without a usable image or without an object."""
    for path, checked in ((data.train, train), (data.valid, valid)):
        if checked is None:
            continue
        serious = stopping(checked.problems)
        if serious and not skip_problems:
            raise DatasetError(
                f"{path}: found {counted(len(serious), 'problem')}, the first: {serious[0].message}; "
                "correct them, or leave these images and labels out with --on-problem skip"
            )
        if not checked.images:
            raise DatasetError(f"{path}: found no usable image")
    if sum(objects_per_class(train.images, data.classes)) == 0:
        raise DatasetError(f"{data.train}: found no object in any label file, expected some to learn from")


def _read_class_map(network: Network, cfg: Path) -> Tensor | None:
    """Read the `map` of a [region]: the class of its tree for each label of the data set. None without a map."""
    settings = network.head_settings[-1]
    if not (isinstance(settings, RegionSettings) and settings.class_map):
        return None
    path, looked = find_file(cfg, settings.class_map)
    if path is None:
        raise CfgError(f"{cfg}: map: found no file {settings.class_map!r}, expected {looked}")
    return read_class_map(path, network.classes)
