"""cfg, data and options → what a detector trains on, by which loss, and how it is scored."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from yolo.cfg import DataFile, read_names
from yolo.data.anchors import box_sizes
from yolo.data.check import CheckedSet, check_list, objects_per_class, stopping
from yolo.data.dataset import StepSampler, training_images, training_loader
from yolo.defaults import DARKNET_LOG
from yolo.distributed import Processes
from yolo.errors import CfgError, DatasetError
from yolo.model.building import find_file
from yolo.model.class_tree import read_class_map
from yolo.model.heads.region import RegionSettings
from yolo.model.heads.yolo import YoloSettings, with_iou_loss
from yolo.model.network import Network
from yolo.train.checkpoint import Progress
from yolo.train.data_parallel import SharedSteps
from yolo.train.log.darknet import DarknetLoss
from yolo.train.losses.detection import HEAD_LOSSES, DetectionLoss
from yolo.train.multiscale import Sizes, check_stages
from yolo.train.setup.data_report import all_problems, anchor_lines, placement_of, problem_table
from yolo.train.setup.options import Options
from yolo.train.task import Task, steps_between_scores
from yolo.train.validation import Validation, detection_scores

log = logging.getLogger(__name__)

MOST_COUNTS = 100  # of classes in one line


@dataclass(frozen=True)
class DetectionData:
    """The names of the classes, and the usable images of both lists.

    valid: None without such a list; class_map: int64 `[L]`, the class of the heads for each label, where the cfg has one.
    """

    names: list[str]
    train: CheckedSet
    valid: CheckedSet | None
    class_map: Tensor | None


def check_detector(network: Network, options: Options) -> None:
    """Raise CfgError for heads that cannot be trained, and for `random` where the network has one size only."""
    if options.sizes:
        check_stages(network, network.input.channels, options.sizes)
    for index in network.heads:
        if type(network.layers[index]) not in HEAD_LOSSES:
            raise CfgError(
                f"{options.cfg}: found layer {index} [{network.kinds[index]}], expected a head that can be trained"
            )


def read_detection_data(options: Options, network: Network, data: DataFile) -> DetectionData:
    """Every list, label and image looked at, and told of. Raises DatasetError for what stops a run."""
    class_map = _read_class_map(network, options.cfg)
    names = _names(data, network.classes if class_map is None else len(class_map), class_map)
    channels = network.input.channels
    train = check_list(data.train, data.classes, channels)
    valid = data.valid and check_list(data.valid, data.classes, channels, data.difficult)
    for path, checked in ((data.train, train), (data.valid, valid)):
        if checked:
            counts = objects_per_class(checked.images, data.classes)
            shown = ", ".join(map(str, counts)) if len(counts) <= MOST_COUNTS else "many"
            found = len(checked.images), sum(counts)
            log.info("%s: %d images, %d objects (a class: %s)", path, *found, shown)
    table = problem_table(all_problems(network, names, train, valid), options.skip_problems)
    if table:
        log.warning("%s", table)
    _stop_where_nothing_helps(data, train, valid, options)
    size = network.input.height, network.input.width
    boxes = box_sizes(train.images, size, placement_of(network))
    for line in anchor_lines(network, boxes, options.cfg, options.data):
        log.info("%s", line)
    return DetectionData(names, train, valid, class_map)


def detection_task(
    options: Options, network: Network, data: DetectionData, batch: int, processes: Processes
) -> Task:
    """How `network` learns from `data`, `batch` images a step."""
    settings = network.training_settings
    validation = data.valid and Validation(
        score=partial(
            detection_scores, network, data.names, data.valid.images,
            batch=max(1, batch // settings.subdivisions // processes.world), workers=options.workers,
            processes=processes,
        ),
        every=steps_between_scores(options.map_every, len(data.train.images), batch),
        start=settings.schedule.burn_in,
    )  # fmt: skip
    heads = network.head_settings
    if options.iou_loss:
        heads = [
            with_iou_loss(head, options.iou_loss) if isinstance(head, YoloSettings) else head
            for head in heads
        ]
    loss = DetectionLoss(
        network,
        options.dialect,
        options.box_gradient,
        head_settings=heads,
        class_map=data.class_map,
    )
    if options.log == DARKNET_LOG:
        loss = DarknetLoss(loss, network, options.dialect, heads)
    return Task(
        loss=loss,
        batches=partial(_batches, options, network, data.train, batch, processes),
        validation=validation,
    )


def input_sizes(options: Options, network: Network, seed: int) -> Sizes:
    """What decides the input's size at each step."""
    settings = network.training_settings
    return Sizes(
        base=(network.input.height, network.input.width),
        random=network.head_settings[-1].random,  # Darknet takes it from the last layer
        resize_step=settings.resize_step,
        max_batches=settings.max_batches,
        seed=seed,
        dialect=options.dialect,
        stages=options.sizes,
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
    sampler = StepSampler(
        images=len(train.images),
        batch=batch,
        mini_batch=batch // settings.subdivisions,
        steps=range(progress.step + 1, settings.max_batches + 1),
        size_at=input_sizes(options, network, progress.seed).size_at,
        seed=progress.seed,
    )
    head = network.head_settings[-1]  # Darknet takes jitter, resize and max from the last layer
    images = training_images(train.images, network.input, settings, head, options.dialect)
    images.keep((network.input.height, network.input.width))
    return training_loader(
        images,
        SharedSteps(sampler, batch // settings.subdivisions, processes),
        options.workers,
        pin=options.device.startswith("cuda"),
    )


def _names(data: DataFile, classes: int, class_map: Tensor | None) -> list[str]:
    """The class names, after a check that cfg, .data and .names speak of the same number of classes."""
    if data.train is None or data.names is None:
        raise DatasetError(f"{data.path}: expected the keys train, valid and names")
    names = read_names(data.names)
    if classes != data.classes:
        expected = f"{classes} as in the {'heads' if class_map is None else 'map'} of the cfg"
        raise DatasetError(f"{data.path}: found classes={data.classes}, expected {expected}")
    if len(names) != data.classes:
        raise DatasetError(f"{data.names}: found {len(names)} names, expected {data.classes}")
    return names


def _stop_where_nothing_helps(
    data: DataFile, train: CheckedSet, valid: CheckedSet | None, options: Options
) -> None:
    for path, checked in ((data.train, train), (data.valid, valid)):
        if checked is None:
            continue
        serious = stopping(checked.problems)
        if serious and not options.skip_problems:
            raise DatasetError(
                f"{path}: found {len(serious)} problems, the first: {serious[0].message}; "
                "correct them, or leave these images and labels out with --on-problem skip"
            )
        if not checked.images:
            raise DatasetError(f"{path}: found no usable image")
    if sum(objects_per_class(train.images, data.classes)) == 0:
        raise DatasetError(
            f"{data.train}: found no object in any label file, expected some to learn from"
        )


def _read_class_map(network: Network, cfg: Path) -> Tensor | None:
    """Return the `map` of the [region]: the class of its tree for each label of the data set. None without a map."""
    settings = network.head_settings[-1]
    if not (isinstance(settings, RegionSettings) and settings.class_map):
        return None
    path, looked = find_file(cfg, settings.class_map)
    if path is None:
        raise CfgError(f"{cfg}: map: found no file {settings.class_map!r}, expected {looked}")
    return read_class_map(path, network.classes)
