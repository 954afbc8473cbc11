"""cfg, data and options → a `Run`, with everything checked before the first step."""

import logging
import math
from pathlib import Path

import torch
from torch import nn

from yolo.cfg import read_data
from yolo.distributed import Processes, device_of
from yolo.errors import CfgError
from yolo.model.layers.sync_batchnorm import convert_sync_batchnorm
from yolo.model.network import Network
from yolo.schedule import Schedule, with_policy
from yolo.settings import TrainingSettings
from yolo.train.amp import Precision, precision_of
from yolo.train.data_parallel import spread
from yolo.train.ema import WeightAverage, darknet_average, usual_average
from yolo.train.log.logger import Logger, NullLogger, printer_of
from yolo.train.optimizer import make_optimizer
from yolo.train.setup.classification import classification_task, read_classification_data
from yolo.train.setup.data_report import memory_line
from yolo.train.setup.detection import (
    check_detector,
    detection_task,
    input_sizes,
    read_detection_data,
)
from yolo.train.setup.memory import estimate, free_bytes
from yolo.train.setup.options import Options
from yolo.train.setup.resume import beginning
from yolo.train.trainer import Run, states

log = logging.getLogger(__name__)

READABLE_CHANNELS = (1, 3)

SAVE_EVERY = 100  # detector.c: _last.weights

ALONE = Processes()


def start(options: Options, processes: Processes = ALONE) -> Run:
    """Build network, data and optimizer; load weights or a checkpoint; open the journal.

    Raises CfgError, DatasetError or WeightsError, before anything is written, for whatever would stop the run later.
    """
    network = read_network(options)
    settings = network.training_settings
    data = read_data(options.data)
    batch = settings.batch // settings.subdivisions * settings.subdivisions  # as Darknet divides
    read, make_task = (
        (read_detection_data, detection_task)
        if network.heads
        else (read_classification_data, classification_task)
    )
    sets = read(options, network, data)
    device = device_of(processes, options.device)
    # Images come channels last, and convolutions on them are quicker that way on CPU and GPU.
    network.to(device, memory_format=torch.channels_last)
    if options.synced_norm and processes.world > 1:
        convert_sync_batchnorm(network)
    optimizer = make_optimizer(
        network, settings, options.freeze, options.cutoff or 0, options.backbone_lr
    )
    precision = precision_of(device, options.mixed)
    average = _average(options, network, settings)
    progress = beginning(options, network, optimizer, states(average, precision))
    if average and not options.resume:
        average.restart(network)
    if "batchnorm" in network.kinds:
        # pjreddie's order has no place for the biases, which are trained
        network.weights_format = network.weights_format._replace(order="alexeyab")
    _tell_memory(options, network, precision, batch // settings.subdivisions // processes.world)
    task = make_task(options, network, sets, batch, processes)
    batches = task.batches(progress)
    folder = options.out or data.backup or Path("backup")
    return Run(
        network=network,
        model=_model(network, options, processes, device),
        loss=task.loss,
        optimizer=optimizer,
        schedule=_schedule(options, settings),
        precision=precision,
        average=average,
        batches=batches,
        batch=batch,
        subdivisions=settings.subdivisions,
        last_step=settings.max_batches,
        validation=task.validation,
        journal=_journal(options, network, folder, progress.step + 1, processes),
        processes=processes,
        folder=folder,
        name=options.cfg.stem,
        save_every=SAVE_EVERY,
        histograms_every=options.histograms_every,
        device=device,
        progress=progress,
    )


def read_network(options: Options) -> Network:
    """The network that is to be trained, its weights drawn by the seed. Raises CfgError where it cannot be trained."""
    torch.manual_seed(options.seed)
    network = Network.from_cfg(
        options.cfg, overrides=dict(options.overrides), dialect=options.dialect
    )
    if not network.drawn:
        network.draw_weights()
    if network.input.channels not in READABLE_CHANNELS:
        expected = " or ".join(map(str, READABLE_CHANNELS))
        raise CfgError(
            f"{options.cfg}: found channels={network.input.channels}, expected {expected}: those of image files"
        )
    if network.training_settings.max_batches < 1:
        raise CfgError(
            f"{options.cfg}: found max_batches=0, expected at least 1; --max-batches N sets it"
        )
    if network.heads:
        check_detector(network, options)
    return network


def _tell_memory(options: Options, network: Network, precision: Precision, images: int) -> None:
    """What a mini-batch will take, at the largest input that the run may choose."""
    settings = network.training_settings
    size = network.input.height, network.input.width
    if network.heads:
        sizes = input_sizes(options, network, options.seed)
        steps = (1, settings.max_batches, *(stage.first_step for stage in options.sizes))
        size = max((sizes.size_at(step) for step in steps), key=math.prod)
    copies = (2 if settings.adam else 1) + bool(options.ema or settings.ema_alpha)
    memory = estimate(network, images, size, copies, precision.dtype)
    device = next(network.parameters()).device
    line = memory_line(memory, free_bytes(device), images, size, settings.subdivisions)
    log.info("%s", line)


def _schedule(options: Options, settings: TrainingSettings) -> Schedule:
    schedule = settings.schedule
    return with_policy(schedule, options.policy) if options.policy else schedule


def _average(
    options: Options, network: Network, settings: TrainingSettings
) -> WeightAverage | None:
    """The command line's average goes before the cfg's."""
    if options.ema:
        return usual_average(network, options.ema)
    if settings.ema_alpha:
        return darknet_average(network, settings.ema_alpha, settings.max_batches)
    return None


def _model(
    network: Network, options: Options, processes: Processes, device: torch.device
) -> nn.Module:
    """What computes the raw maps in training."""
    model = spread(network, processes, device)
    return torch.compile(model) if options.compiled else model


def _journal(
    options: Options, network: Network, folder: Path, first_step: int, processes: Processes
) -> Logger | NullLogger:
    if processes.rank > 0:
        return NullLogger()
    folder.mkdir(parents=True, exist_ok=True)
    settings = network.training_settings
    return Logger(
        folder,
        first_step,
        settings.max_batches,
        printer=printer_of(options.log, options.dialect),
        max_loss=settings.max_chart_loss,
        title=options.cfg.stem,
    )
