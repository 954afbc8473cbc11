"""cfg, data and options → a `Run`, with everything checked before the first step."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from yolo.cfg import DataFile, read_data, read_names
from yolo.data.augment import AugmentationSettings
from yolo.data.check import (
    MISSING_LABELS,
    CheckedSet,
    check_list,
    objects_per_class,
    problem_lines,
)
from yolo.data.dataset import StepSampler, TrainingPictures, training_loader
from yolo.errors import CfgError, DatasetError, WeightsError
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.settings import with_iou_loss
from yolo.train.checkpoint import Progress, load_checkpoint
from yolo.train.journal import Journal
from yolo.train.loss import DetectionLoss
from yolo.train.multiscale import size_at_step
from yolo.train.trainer import Run, Validation, make_optimiser, validation_of

MAP_EPOCHS = 4  # detector.c train_detector: mAP every 4 times through the list …
MAP_LEAST_STEPS = 100  # … but not more often than this
READABLE_CHANNELS = (1, 3)
SAVE_EVERY = 100  # detector.c: _last.weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the command line adds to cfg and data; `overrides` are values of [net]."""

    cfg: Path
    data: Path
    weights: Path | None = None
    cutoff: int | None = None
    clear: bool = False
    resume: Path | None = None
    iou_loss: str | None = None
    dialect: str = "alexeyab"
    overrides: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"
    workers: int = 2
    seed: int = 0
    out: Path | None = None
    map_every: int | None = None
    skip_problems: bool = False


def start(options: Options) -> Run:
    """Build network, data and optimiser; load weights or a checkpoint; open the journal.

    Raises CfgError, DatasetError or WeightsError, before anything is written, for whatever would stop the run later.
    """
    network = _network(options)
    data = read_data(options.data)
    names = _names(data, network)
    train = _checked(data, data.train, network, options, "train")
    valid = _checked(data, data.valid, network, options, "valid") if data.valid else None
    device = torch.device(options.device)
    # Pictures come channels last, and convolutions on them are quicker that way on CPU and GPU.
    network.to(device, memory_format=torch.channels_last)
    settings = network.training_settings
    optimiser = make_optimiser(network, settings.momentum, settings.decay)
    progress = _progress(options, network, optimiser)
    if "batchnorm" in network.kinds:
        network.weights_order = "alexeyab"  # pjreddie's has no place for the biases that it learns
    folder = options.out or data.backup or Path("backup")
    folder.mkdir(parents=True, exist_ok=True)
    batch = settings.batch // settings.subdivisions * settings.subdivisions  # as Darknet divides
    return Run(
        network=network,
        loss=DetectionLoss(network, options.dialect),
        optimiser=optimiser,
        schedule=settings.schedule,
        batches=_batches(network, train, batch, progress, options),
        batch=batch,
        subdivisions=settings.subdivisions,
        last_step=settings.max_batches,
        validation=_validation(options, network, names, valid, len(train.pictures), batch),
        journal=Journal(folder / "tensorboard", progress.step + 1, settings.max_batches),
        folder=folder,
        name=options.cfg.stem,
        save_every=SAVE_EVERY,
        device=device,
        progress=progress,
    )


def _batches(
    network: Network, train: CheckedSet, batch: int, progress: Progress, options: Options
) -> DataLoader:
    """The mini-batches of the steps that are left."""
    settings = network.training_settings
    head = network.head_settings[-1]  # Darknet takes jitter, random and max from the last layer
    augmentation = AugmentationSettings(
        jitter=head.jitter,
        resize=head.resize,
        flip=settings.flip,
        hue=settings.colour.hue,
        saturation=settings.colour.saturation,
        exposure=settings.colour.exposure,
        letter_box=network.input.letter_box,
    )
    sampler = StepSampler(
        pictures=len(train.pictures),
        batch=batch,
        mini_batch=batch // settings.subdivisions,
        steps=range(progress.step + 1, settings.max_batches + 1),
        size_at=partial(
            size_at_step,
            base=(network.input.height, network.input.width),
            random=head.random,
            resize_step=settings.resize_step,
            max_batches=settings.max_batches,
            seed=progress.seed,
        ),
        seed=progress.seed,
    )
    pictures = TrainingPictures(
        train.pictures, augmentation, network.input.channels, head.max_boxes
    )
    return training_loader(
        pictures, sampler, options.workers, pin=options.device.startswith("cuda")
    )


def _network(options: Options) -> Network:
    torch.manual_seed(options.seed)
    network = Network.from_cfg(
        options.cfg, overrides=dict(options.overrides), dialect=options.dialect
    )
    if not network.drawn:
        network.draw_weights()
    if not network.heads:
        raise CfgError(f"{options.cfg}: found no [yolo], expected at least one head to train")
    for index in network.heads:
        if network.kinds[index] != "yolo":
            found = f"layer {index} [{network.kinds[index]}]"
            raise CfgError(
                f"{options.cfg}: found {found}, expected [yolo]: no other head trains yet"
            )
    if network.input.channels not in READABLE_CHANNELS:
        expected = " or ".join(map(str, READABLE_CHANNELS))
        raise CfgError(
            f"{options.cfg}: found channels={network.input.channels}, expected {expected}: those of picture files"
        )
    if network.training_settings.max_batches < 1:
        raise CfgError(
            f"{options.cfg}: found max_batches=0, expected at least 1; --max-batches N sets it"
        )
    if options.iou_loss:
        network.head_settings = tuple(
            with_iou_loss(settings, options.iou_loss) for settings in network.head_settings
        )
    return network


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


def _progress(options: Options, network: Network, optimiser: torch.optim.Optimizer) -> Progress:
    """Where to begin: at a checkpoint, at the `seen` of a .weights file, or at the start."""
    how = _how(options, network)
    beginning = Progress(step=0, seen=0, seed=options.seed, best_map=-1.0, how=how)
    last = network.training_settings.max_batches
    if options.resume:
        progress = load_checkpoint(options.resume, network, optimiser)
        for name, expected in progress.how.items():
            if how.get(name) != expected:
                raise WeightsError(
                    f"{options.resume}: found a run with {name}={expected}, expected {how.get(name)} as cfg and "
                    "options say: it goes on exactly only with what it began with"
                )
        if progress.step >= last:
            raise WeightsError(
                f"{options.resume}: found step {progress.step}, expected one before max_batches={last}; "
                "--max-batches N trains on"
            )
        return progress
    if options.weights is None:
        return beginning
    header = load_weights(network, options.weights, options.cutoff)
    if options.clear or options.cutoff is not None:
        return beginning
    settings = network.training_settings
    step = header.seen // (settings.batch // settings.subdivisions * settings.subdivisions)
    if step >= last:
        raise WeightsError(
            f"{options.weights}: found seen={header.seen}, which is step {step} of max_batches={last}: "
            "nothing is left to train; --clear starts at step 0"
        )
    return replace(beginning, step=step, seen=header.seen)


def _how(options: Options, network: Network) -> dict[str, int | float | str]:
    """What decides the course of a run beside data, seed and step; kept in checkpoints."""
    settings = network.training_settings
    return {
        "batch": settings.batch,
        "subdivisions": settings.subdivisions,
        "height": network.input.height,
        "width": network.input.width,
        "momentum": settings.momentum,
        "decay": settings.decay,
        "iou_loss": options.iou_loss or "the cfg's",
        "dialect": options.dialect,
    }


def _validation(
    options: Options,
    network: Network,
    names: Sequence[str],
    valid: CheckedSet | None,
    train_pictures: int,
    batch: int,
) -> Validation | None:
    if valid is None:
        return None
    every = options.map_every or max(MAP_LEAST_STEPS, MAP_EPOCHS * train_pictures // batch)
    mini_batch = max(1, batch // network.training_settings.subdivisions)
    return validation_of(
        network,
        names,
        valid.pictures,
        every=every,
        start=network.training_settings.schedule.burn_in,
        batch=mini_batch,
        workers=options.workers,
    )
