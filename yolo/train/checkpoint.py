"""Checkpoints: network, optimizer, EMA, step and best score, with which a run resumes exactly."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch.optim import Optimizer

from yolo.errors import WeightsError
from yolo.files.writing import replacing
from yolo.model.network import Network
from yolo.records import WeightsFormat
from yolo.train.checkpoint_content import FORMAT, check_optimizer, read_content


class Stateful(Protocol):
    """A part of a run with a state beside network and optimizer: the EMA of the weights, the scaler of gradients."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> object: ...


@dataclass(frozen=True)
class Progress:
    """How far a run is. Every later random choice follows from `step` and `seed`.

    step: updates done; seen: images trained on since the weights were new; best_map: best score so far, -1 before one;
    settings: what else changes the result of the run (batch, input size, loss …), by name. A run with other settings
    cannot resume a checkpoint exactly.
    """

    step: int
    seen: int
    seed: int
    best_map: float
    settings: Mapping[str, int | float | str] = field(default_factory=dict)


def save_checkpoint(
    path: str | Path,
    network: Network,
    optimizer: Optimizer,
    progress: Progress,
    others: Mapping[str, Stateful] | None = None,
) -> None:
    """Write a checkpoint that `torch.load(weights_only=True)` reads, whole or not at all.

    Args:
        path: file to write; an existing one is replaced.
        network: the network that is trained.
        optimizer: its optimizer.
        progress: how far the run is.
        others: other parts of the run with a state, by name.
    """
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
        "how": dict(progress.settings),
    }
    # Write to memory first: when the disk is full torch.save raises an internal error instead of the OSError.
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
    """Load the states of network, optimizer and `others`.

    Args:
        path: the checkpoint.
        network: gets the parameters and statistics of the checkpoint.
        optimizer: gets the state of the checkpoint's optimizer.
        others: other parts of the run with a state, by name; the checkpoint must have them.

    Returns:
        How far the run of the checkpoint was.

    Raises:
        WeightsError: the file is no checkpoint, has another network, or lacks one of the `others`. Nothing is changed.
    """
    content = read_content(path)
    expected = {name: (tuple(value.shape), value.dtype) for name, value in network.state_dict().items()}
    found = {name: (tuple(value.shape), value.dtype) for name, value in content["network"].items()}
    if expected != found:
        different = min(name for name, _ in expected.items() ^ found.items())
        raise WeightsError(
            f"{path}: found {different} {_shown(found.get(different))}, "
            f"expected {_shown(expected.get(different))}; is it the checkpoint of another cfg?"
        )
    missing = [name for name in others or {} if name not in content["others"]]
    if missing:
        raise WeightsError(f"{path}: found a run without {missing[0]}, expected one with it, as the options say")
    check_optimizer(path, optimizer, content["optimiser"])
    for name, other in (others or {}).items():
        try:
            other.load_state_dict(content["others"][name])
        except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            first_line = str(error).partition("\n")[0]
            raise WeightsError(f"{path}: {name}: {first_line}, expected the state that `train` saved") from None
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimiser"])
    version, order = tuple(content["weights_version"]), content["weights_order"]
    network.weights_format = WeightsFormat(version, order)
    return Progress(content["step"], content["seen"], content["seed"], content["best_map"], content["how"])


def checkpoint_step(path: str | Path) -> int:
    """Return how many steps the run of a checkpoint has done. Raises WeightsError if the file is no checkpoint."""
    return read_content(path)["step"]


def checkpoint_settings(path: str | Path) -> Mapping[str, int | float | str]:
    """Return the settings of a checkpoint's run that change its result, see Progress.

    Raises:
        WeightsError: the file is no checkpoint.
    """
    return read_content(path)["how"]


def _shown(tensor: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    """Return the shape and the kind of numbers of a tensor for an error."""
    return "missing" if tensor is None else f"of shape {tensor[0]}, {str(tensor[1]).removeprefix('torch.')}"
