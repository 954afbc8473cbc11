"""Everything needed to go on exactly: parameters, optimizer, average, step, best score. Written whole or not at all."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch.optim import Optimizer

from yolo.errors import WeightsError
from yolo.files import replacing
from yolo.model.network import Network
from yolo.records import WeightsFormat

FORMAT = 2  # of the file's layout; raised when it changes

KEYS = {
    "format",
    "network",
    "optimiser",
    "others",
    "step",
    "seen",
    "seed",
    "best_map",
    "weights_version",
    "weights_order",
    "how",
}


class Stateful(Protocol):
    """What has a state beside network and optimizer: an average of the weights, the scale of gradients."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> object: ...


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `step` updates done, `seen` images (from the start of the weights), the best mAP so far.

    Together with `seed` these give every random choice that is still to come. how: what else decides the course of
    the run (batch, input size, loss …), by name; a checkpoint of another `how` cannot go on exactly.
    """

    step: int
    seen: int
    seed: int
    best_map: float
    how: Mapping[str, int | float | str] = field(default_factory=dict)


def save_checkpoint(
    path: str | Path,
    network: Network,
    optimizer: Optimizer,
    progress: Progress,
    others: Mapping[str, Stateful] | None = None,
) -> None:
    """Write a checkpoint that `torch.load(weights_only=True)` reads; others: by name, what else has a state."""
    content = {
        "format": FORMAT,
        "network": network.state_dict(),
        "optimiser": optimizer.state_dict(),
        "others": {name: other.state_dict() for name, other in (others or {}).items()},
        "step": progress.step,
        "seen": progress.seen,
        "seed": progress.seed,
        "best_map": progress.best_map,
        "weights_version": network.weights_format.version,
        "weights_order": network.weights_format.order,
        "how": dict(progress.how),
    }
    # By way of memory: when the disk is full torch hides the OSError behind an internal one of its own.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as file:
        file.write(buffer.getbuffer())


def load_checkpoint(
    path: str | Path,
    network: Network,
    optimizer: Optimizer,
    others: Mapping[str, Stateful] | None = None,
) -> Progress:
    """Bring network, optimizer and `others` to where the checkpoint left them.

    Raises WeightsError for a file that is no checkpoint, another network's, or without one of the `others`; nothing
    is changed then.
    """
    content = _read(path)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in content["network"].items()}
    if expected != found:
        different = sorted(expected.items() ^ found.items())[0][0]
        raise WeightsError(
            f"{path}: found {different} of shape {found.get(different)}, "
            f"expected {expected.get(different)}; is it the checkpoint of another cfg?"
        )
    missing = [name for name in others or {} if name not in content["others"]]
    if missing:
        raise WeightsError(
            f"{path}: found a run without {missing[0]}, expected one with it, as the options say"
        )
    _check_optimizer(path, optimizer, content["optimiser"])
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimiser"])
    for name, other in (others or {}).items():
        other.load_state_dict(content["others"][name])
    version, order = tuple(content["weights_version"]), content["weights_order"]
    network.weights_format = WeightsFormat(version, order)
    return Progress(
        content["step"], content["seen"], content["seed"], content["best_map"], content["how"]
    )


def _check_optimizer(path: str | Path, optimizer: Optimizer, state: dict) -> None:
    """Other layers may be frozen, or the other optimizer asked for: then the groups are others."""
    expected = [len(group["params"]) for group in optimizer.state_dict()["param_groups"]]
    found = [len(group["params"]) for group in state["param_groups"]]
    if expected != found:
        raise WeightsError(
            f"{path}: found an optimizer of {sum(found)} tensors in {len(found)} groups, expected {sum(expected)} in "
            f"{len(expected)}: it goes on only with the options it began with"
        )


def _read(path: str | Path) -> dict:
    expected = "a checkpoint that tools/train.py wrote, NAME_last.pt"
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise WeightsError(
                f"{path}: found another or a broken kind of file, expected {expected}"
            )
        file.seek(0)
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, ValueError):
            raise WeightsError(f"{path}: found a broken file, expected {expected}") from None
    if not isinstance(content, dict) or content.keys() != KEYS or content["format"] != FORMAT:
        raise WeightsError(f"{path}: found something else, expected {expected}")
    return content
