"""Set up a training run: from the options to a `Run`, with everything checked before the first step."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from yolo.cfg import override, read_cfg
from yolo.data_file import DataFile, check_data_files, read_data
from yolo.distributed import Processes, device_of
from yolo.errors import CfgError, WeightsError, counted
from yolo.explain.film.strip import Watched
from yolo.model.heads.yolo import with_iou_loss
from yolo.model.layers.sync_batchnorm import convert_sync_batchnorm
from yolo.model.network import IMAGE, Network
from yolo.model.weights import SAFETENSORS, load_weights, tensor_bytes
from yolo.names_file import read_classes
from yolo.schedule import Schedule, with_policy
from yolo.settings import TrainingSettings
from yolo.train.amp import Precision, precision_of
from yolo.train.checkpoint import Progress, Stateful, checkpoint_settings, load_checkpoint
from yolo.train.ema import WeightEma, darknet_ema, standard_ema
from yolo.train.log.logger import Logger, NullLogger, printer_of
from yolo.train.multiscale import check_stages
from yolo.train.optimizer import changes_with_time, make_optimizer
from yolo.train.setup.checks import batch_one_error, check_memory, slow_start
from yolo.train.setup.classification import classification_task
from yolo.train.setup.cutoff import Cutoff, check_named_cutoff, find_cutoff
from yolo.train.setup.detection import detection_task
from yolo.train.setup.options import Learning, Options, Output, StartPoint
from yolo.train.setup.preflight import check_channels
from yolo.train.setup.run_folder import run_folder
from yolo.train.setup.step_kind import FORMATS, StepKind, choose_step
from yolo.train.trainer import Run, stateful_parts
from yolo.train.watch import Watch, read_watched, watch_images

log = logging.getLogger(__name__)
SAVE_EVERY = 100  # steps (detector.c: _last.weights)
ALONE = Processes()


class _Prepared(NamedTuple):
    """What a run needs before its weights are loaded and its images are read.

    start_point: the options' one, with the cutoff found; batch: images of a step, of all processes.
    """

    network: Network
    data: DataFile
    start_point: StartPoint
    batch: int
    device: torch.device
    step_kind: StepKind
    optimizer: torch.optim.Optimizer
    precision: Precision
    ema: WeightEma | None


def start(options: Options, processes: Processes = ALONE) -> Run:
    """Build network, data and optimizer, load weights or a checkpoint, and open the logs.

    Args:
        options: those of the command line.
        processes: this process and the others.

    Returns:
        A run for `trainer.train`.

    Raises:
        CfgError, DatasetError, WeightsError: anything that would stop the run later. Nothing is written before.
    """
    learning, output = options.learning, options.output
    prepared = _prepare(options, processes)
    network, settings = prepared.network, prepared.network.training_settings
    progress = _load_progress(options, prepared)
    schedule = _schedule(settings, learning.policy)
    if output is not None and (line := slow_start(schedule, progress.step)):
        log.warning("%s: %s", options.cfg, line)
    watched = read_watched(output.watch if output else (), network.input.channels)
    # all images are read here: what can be checked without them comes before
    make_task = detection_task if network.heads else classification_task
    task = make_task(options, network, prepared.data, prepared.batch, processes)
    batches = task.batches(progress)
    folder = run_folder(output or Output(), prepared.data.backup, prepared.start_point.resume)
    writes = output is not None and processes.rank == 0
    watch = _make_watch(options.cfg.stem, prepared, watched, folder, progress.step) if writes else None
    name = options.cfg.stem
    return Run(
        network=network,
        model=_make_model(network, processes, prepared.device, options.machine.compiled),
        loss=task.loss,
        optimizer=prepared.optimizer,
        schedule=schedule,
        freeze=learning.freeze,
        precision=prepared.precision,
        ema=prepared.ema,
        batches=batches,
        batch=prepared.batch,
        subdivisions=settings.subdivisions,
        last_step=settings.max_batches,
        validation=task.validation,
        logger=_open_logger(folder, network, name, progress.step + 1, output.log) if writes else NullLogger(),
        processes=processes,
        folder=folder,
        name=name,
        save_every=SAVE_EVERY,
        histograms_every=output.histograms_every if output else 0,
        device=prepared.device,
        progress=progress,
        memory_format=FORMATS[prepared.step_kind.memory_format],
        watch=watch,
    )


def _make_watch(name: str, prepared: _Prepared, watched: Sequence[Watched], folder: Path, step: int) -> Watch | None:
    """Return the film strip of `--watch`, or that of the run that is resumed; None for a classifier."""
    network, data = prepared.network, prepared.data
    if not network.heads:
        return None
    resumed = step if prepared.start_point.resume else None
    return watch_images(watched, folder, network, list(read_classes(data.names)), name, resumed)


def _prepare(options: Options, processes: Processes) -> _Prepared:
    """Build the network and what updates it, on the device of this process. No image is read."""
    learning, machine = options.learning, options.machine
    network = read_network(options.cfg, options.dialect, dict(options.overrides), options.start.seed)
    if options.output and options.output.watch and not network.heads:
        raise CfgError(f"{options.cfg}: found a classifier with --watch, expected a detection head")
    settings = network.training_settings
    batch = settings.batch // settings.subdivisions * settings.subdivisions  # as Darknet divides
    data = read_data(options.data)
    check_data_files(data, "names", "labels", "train", "valid", *(("difficult",) if network.heads else ()))
    device = device_of(processes, machine.device)
    if learning.sizes:
        check_stages(network, learning.sizes)
    start_point = _with_cutoff(options, network)
    if start_point.weights and start_point.weights.suffix != SAFETENSORS:
        tensor_bytes(start_point.weights)  # raises if it is no weights file, before a step is measured
    recorded = checkpoint_settings(start_point.resume) if start_point.resume else None
    images = batch // settings.subdivisions // processes.world
    step_kind = choose_step(network, machine, device, images, recorded, processes.world)
    network.to(device, memory_format=FORMATS[step_kind.memory_format])
    if machine.sync_bn and processes.world > 1:
        convert_sync_batchnorm(network)
    optimizer = make_optimizer(network, settings, learning.freeze, start_point.cutoff or 0, learning.backbone_lr)
    precision = precision_of(device, step_kind.mixed)
    check_memory(options, network, batch, processes, device, precision.dtype)
    ema = _make_ema(network, settings, learning.ema)
    return _Prepared(network, data, start_point, batch, device, step_kind, optimizer, precision, ema)


def _load_progress(options: Options, prepared: _Prepared) -> Progress:
    """Load the weights or the checkpoint into the prepared parts, and return how far the run is."""
    network, start_point, ema = prepared.network, prepared.start_point, prepared.ema
    parts = stateful_parts(ema, prepared.precision)
    course = _course(network, options.learning, prepared.step_kind)
    try:
        progress = load_start(start_point, network, prepared.optimizer, parts, course)
    except WeightsError as error:
        raise _with_advice(error, options, network) from None
    if ema and not start_point.resume:
        ema.restart(network)
    if "batchnorm" in network.kinds:
        # pjreddie's order does not store the biases, which are trained
        network.weights_format = network.weights_format._replace(order="alexeyab")
    return progress


def read_network(cfg: Path, dialect: str, overrides: Mapping[str, str], seed: int) -> Network:
    """Build the network that is to be trained, with weights drawn by the seed.

    Args:
        cfg: the .cfg file.
        dialect: "alexeyab" or "pjreddie", the Darknet whose arithmetic is followed.
        overrides: other values of the cfg, see `yolo.cfg.override`.
        seed: of the weights.

    Returns:
        The network on the CPU.

    Raises:
        CfgError: the cfg has an error, or its network cannot be trained.
    """
    torch.manual_seed(seed)
    network = Network.from_cfg(cfg, overrides=overrides, dialect=dialect)
    if network.heads and network.training_settings.batch == 1:
        raise batch_one_error(read_cfg(cfg)[0])
    if not network.drawn:
        network.draw_weights()
    check_channels(network, cfg)
    if network.training_settings.max_batches < 1:
        raise CfgError(f"{cfg}: found max_batches=0, expected at least 1; --max-batches N sets it")
    return network


def _with_cutoff(options: Options, network: Network) -> StartPoint:
    """Return where the run starts, with the cutoff that `--cutoff auto` finds, or that the size confirms."""
    start_point = options.start
    if start_point.named_cutoff:
        check_named_cutoff(network, start_point.weights, start_point.cutoff)
    if not (start_point.find_cutoff and start_point.weights):
        return start_point
    found = _cutoff_of_file(options, network)
    if found is None:
        raise WeightsError(
            f"{start_point.weights}: found a size that fits neither the first layers of {options.cfg} nor this network "
            "with other classes, expected --cutoff N in place of --cutoff auto"
        )
    log.info("%s: holds %s: --cutoff %d", start_point.weights, found.found, found.layer)
    return replace(start_point, cutoff=found.layer)


def _with_advice(error: WeightsError, options: Options, network: Network) -> WeightsError:
    """Return an error that names a cutoff if the weights fill some layers of the network, else `error`."""
    start_point = options.start
    if start_point.weights is None or start_point.cutoff is not None:
        return error
    try:
        found = _cutoff_of_file(options, network)
    except WeightsError:  # no weights file at all
        return error
    if found is None or found.layer == len(network.layers):
        return error
    return WeightsError(
        f"{start_point.weights}: found {found.found}, expected {counted(network.classes, 'class')} and "
        f"{len(network.layers)} layers; --cutoff {found.layer} (or --cutoff auto) loads the layers below "
        f"{found.layer} and starts at step 0"
    )


def _cutoff_of_file(options: Options, network: Network) -> Cutoff | None:
    sections = override(read_cfg(options.cfg), dict(options.overrides))
    return find_cutoff(network, sections, options.start.weights)


def load_start(
    start_point: StartPoint,
    network: Network,
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, Stateful],
    course: Mapping[str, int | float | str],
) -> Progress:
    """Load the weights or the checkpoint from which a run starts.

    Args:
        start_point: the files, and what of them is used.
        network: gets the weights.
        optimizer: gets the state of a checkpoint.
        others: other parts of the run with a state, by name.
        course: the settings that change the result of the run; a checkpoint must have been saved with the same.

    Returns:
        How far the run is.

    Raises:
        WeightsError: a file does not fit, or its run is already complete.
    """
    settings = network.training_settings
    last = settings.max_batches
    if path := start_point.resume:
        progress = load_checkpoint(path, network, optimizer, others)
        for name, expected in progress.settings.items():
            if course.get(name, expected) != expected:
                raise WeightsError(
                    f"{path}: found a run with {name}={expected}, expected {course[name]} as cfg and "
                    "options say: a run resumes exactly only with the settings it was started with"
                )
        if progress.step >= last:
            raise WeightsError(
                f"{path}: found step {progress.step}, expected one before max_batches={last}; --max-batches N continues"
            )
        return progress
    progress = Progress(step=0, seen=0, seed=start_point.seed, best_map=-1.0, settings=course)
    if start_point.weights is None:
        return progress
    header = load_weights(network, start_point.weights, start_point.cutoff)
    if start_point.clear or start_point.cutoff is not None:
        return progress
    step = header.seen // (settings.batch // settings.subdivisions * settings.subdivisions)
    if step >= last:
        raise WeightsError(
            f"{start_point.weights}: found seen={header.seen} images, which is step {step} of max_batches={last}: "
            "nothing is left to train; --clear starts at step 0 with these weights, --max-batches N continues"
        )
    return replace(progress, step=step, seen=header.seen)


def data_parallel(network: Network, processes: Processes, device: torch.device) -> nn.parallel.DistributedDataParallel:
    """Wrap the network for several processes: their gradients become the mean of all."""
    # Layers that wait for their step have no gradient until then. A branch that leads to no head never has one.
    some_unused = changes_with_time(network) or len(_used_layers(network)) < len(network.layers)
    return nn.parallel.DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=some_unused,
    )


def _used_layers(network: Network) -> set[int]:
    """Return the indices of the layers that the raw maps depend on."""
    used: set[int] = set()
    left = list(network.outputs)
    while left:
        index = left.pop()
        if index != IMAGE and index not in used:
            used.add(index)
            left += network.sources[index]
    return used


def _course(network: Network, learning: Learning, step_kind: StepKind) -> dict[str, int | float | str]:
    """Return the settings that change the result of a run, beside data, seed and step. Checkpoints store them."""
    settings = network.training_settings
    return {
        "batch": settings.batch,
        "subdivisions": settings.subdivisions,
        "height": network.input.height,
        "width": network.input.width,
        "momentum": settings.momentum,
        "decay": settings.decay,
        "iou_loss": learning.iou_loss or "the cfg's",
        **({"box_gradient": learning.box_gradient} if _has_iou_loss(network, learning.iou_loss) else {}),
        "dialect": network.dialect,
        "policy": learning.policy or "the cfg's",
        "sizes": ",".join(map(str, learning.sizes)) or "the cfg's",
        "freeze": learning.freeze,
        "backbone_lr": learning.backbone_lr,
        "ema": learning.ema,
        "amp": int(step_kind.mixed),
        "memory_format": step_kind.memory_format,
    }


def _has_iou_loss(network: Network, iou_loss: str | None) -> bool:
    """Whether some head has a box loss whose gradient `--box-gradient` decides; iou_loss: of the command line."""
    heads = with_iou_loss(network.head_settings, iou_loss)
    return any(getattr(head, "box_overlap", None) is not None for head in heads)


def _schedule(settings: TrainingSettings, policy: str | None) -> Schedule:
    """Return the cfg's learning rate schedule, with the `--policy` of the command line if there is one."""
    return with_policy(settings.schedule, policy) if policy else settings.schedule


def _make_ema(network: Network, settings: TrainingSettings, decay: float) -> WeightEma | None:
    """Return the EMA of `--ema`, or else that of the cfg's ema_alpha, or None."""
    if decay:
        return standard_ema(network, decay)
    if settings.ema_alpha:
        return darknet_ema(network, settings.ema_alpha, settings.max_batches)
    return None


def _make_model(network: Network, processes: Processes, device: torch.device, compiled: bool) -> nn.Module:
    """Return the module that computes the raw maps in training."""
    model = data_parallel(network, processes, device) if processes.world > 1 else network
    return torch.compile(model) if compiled else model


def _open_logger(folder: Path, network: Network, title: str, first_step: int, log_format: str) -> Logger:
    folder.mkdir(parents=True, exist_ok=True)
    settings = network.training_settings
    return Logger(
        folder,
        first_step,
        settings.max_batches,
        printer=printer_of(log_format, network.dialect),
        max_loss=settings.max_chart_loss,
        title=title,
    )
