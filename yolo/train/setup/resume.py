"""Where a run begins: at the start, at the `seen` of a .weights file, or exactly where a checkpoint left off."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from yolo.errors import WeightsError
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.train.checkpoint import Progress, Stateful, load_checkpoint
from yolo.train.setup.options import Options


def beginning(
    options: Options,
    network: Network,
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, Stateful],
) -> Progress:
    """Load what the options name. Raises WeightsError for files that do not fit and for runs that are over."""
    how = _how(options, network)
    last = network.training_settings.max_batches
    if options.resume:
        progress = load_checkpoint(options.resume, network, optimizer, others)
        for name, expected in progress.how.items():
            if how.get(name, expected) != expected:
                raise WeightsError(
                    f"{options.resume}: found a run with {name}={expected}, expected {how[name]} as cfg and "
                    "options say: it goes on exactly only with what it began with"
                )
        if progress.step >= last:
            raise WeightsError(
                f"{options.resume}: found step {progress.step}, expected one before max_batches={last}; "
                "--max-batches N trains on"
            )
        return progress
    progress = Progress(step=0, seen=0, seed=options.seed, best_map=-1.0, how=how)
    if options.weights is None:
        return progress
    header = load_weights(network, options.weights, options.cutoff)
    if options.clear or options.cutoff is not None:
        return progress
    settings = network.training_settings
    step = header.seen // (settings.batch // settings.subdivisions * settings.subdivisions)
    if step >= last:
        raise WeightsError(
            f"{options.weights}: found seen={header.seen} images, which is step {step} of max_batches={last}: "
            "nothing is left to train; --clear starts at step 0 with these weights, --max-batches N trains on"
        )
    return replace(progress, step=step, seen=header.seen)


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
        "box_gradient": options.box_gradient,
        "dialect": options.dialect,
        "policy": options.policy or "the cfg's",
        "sizes": ",".join(map(str, options.sizes)) or "the cfg's",
        "freeze": options.freeze,
        "backbone_lr": options.backbone_lr,
        "ema": options.ema,
        "amp": int(options.mixed),
    }
