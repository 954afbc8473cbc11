"""What a checkpoint file may contain. A file with any other content is rejected before any part of it is used."""

import errno
import math
import pickle
import zipfile
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from yolo.errors import WeightsError, shorten
from yolo.files.contents import open_input
from yolo.model.network import WEIGHTS_VERSIONS

FORMAT = 2  # of the file's layout; raised when it changes
LARGEST_STEP = 2**31 - 1  # Darknet's max_batches is a C int
LARGEST_COUNT = 2**63 - 1  # images seen, and seeds
LARGEST_VERSION = 9999  # of a .weights file, as in yolo.model.weights
EXPECTED = "a checkpoint that `train` wrote, NAME_last.pt"
WHOLE = "a whole number from 0 on"

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


def read_content(path: str | Path) -> dict:
    """Return the fields of a checkpoint, each of the right type and in its range. No code of the file is run.

    Raises:
        WeightsError: the file is no checkpoint, is damaged (its checksums differ), is compressed, or a field is none
            that `save_checkpoint` writes.
        OSError: the file cannot be read.
    """
    with open_input(path) as file:
        if not zipfile.is_zipfile(file):
            raise WeightsError(f"{path}: found another or a broken kind of file, expected {EXPECTED}")
        file.seek(0)
        try:
            _check_archive(path, file)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
        except WeightsError:
            raise
        except (
            zipfile.BadZipFile, RuntimeError, pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError,
            AttributeError, NotImplementedError, OverflowError, AssertionError, MemoryError, RecursionError,
        ):  # fmt: skip
            raise WeightsError(f"{path}: found a broken file, expected {EXPECTED}") from None
        except OSError as error:
            if error.errno != errno.EINVAL:  # a place in the file that is no place
                raise
            raise WeightsError(f"{path}: found a broken file, expected {EXPECTED}") from None
    if not isinstance(content, dict) or content.keys() != KEYS or content["format"] != FORMAT:
        raise WeightsError(f"{path}: found something else, expected {EXPECTED}")
    _check_fields(path, content)
    return content


def check_optimizer(path: str | Path, optimizer: Optimizer, state: Mapping) -> None:
    """Raise WeightsError unless a state fits an optimizer: other layers are frozen, or it is another optimizer."""
    own = optimizer.state_dict()["param_groups"]
    groups = state["param_groups"]
    expected, found = ([len(group["params"]) for group in each] for each in (own, groups))
    if expected != found:
        raise WeightsError(
            f"{path}: found an optimizer of {sum(found)} tensors in {len(found)} groups, expected {sum(expected)} in "
            f"{len(expected)}: resume with the options that the run was started with"
        )
    for group, mine in zip(groups, own, strict=True):
        for key in group.keys() & mine.keys():
            if not _is_same_kind(group[key], mine[key]):
                shown = shorten(repr(group[key]))
                raise WeightsError(f"{path}: found {key}={shown} of the optimizer, expected one such as {mine[key]!r}")
    parameters = dict(enumerate(each for group in optimizer.param_groups for each in group["params"]))
    for number, values in state["state"].items():
        for name, value in values.items():
            shape = parameters[number].shape if number in parameters else None
            if not isinstance(value, Tensor) or (value.ndim > 0 and value.shape != shape):
                found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                place = f"{name} of tensor {shorten(repr(number))} of the optimizer"
                raise WeightsError(f"{path}: {place}: found {found}, expected {shape and tuple(shape)}")


def _check_archive(path: str | Path, file: object) -> None:
    """Raise WeightsError for compressed members, which may be small files and much memory, and for wrong checksums."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = next((each for each in members if each.compress_type != zipfile.ZIP_STORED), None)
        if packed or len({each.filename for each in members}) < len(members):
            found = f"compressed ({shorten(packed.filename)})" if packed else "two members of one name"
            raise WeightsError(f"{path}: found {found}, expected {EXPECTED}")
        damaged = archive.testzip()
    if damaged:
        raise WeightsError(f"{path}: found a damaged file (checksum of {shorten(damaged)}), expected {EXPECTED}")


def _check_fields(path: str | Path, content: dict) -> None:
    """Raise WeightsError for the first field of another type or out of its range."""
    version = content["weights_version"]
    settings, optimizer = content["how"], content["optimiser"]
    versions = isinstance(version, (tuple, list)) and len(version) == 3
    for name, is_good, expected in (
        ("step", _is_count(content["step"], LARGEST_STEP), WHOLE),
        ("seen", _is_count(content["seen"], LARGEST_COUNT), WHOLE),
        ("seed", _is_count(content["seed"], LARGEST_COUNT), WHOLE),
        ("best_map", _is_number(content["best_map"]) and -1 <= content["best_map"] <= 1, "a number from -1 to 1"),
        ("weights_version", versions and all(_is_count(each, LARGEST_VERSION) for each in version), "three numbers"),
        ("weights_order", content["weights_order"] in tuple(WEIGHTS_VERSIONS), " or ".join(WEIGHTS_VERSIONS)),
        ("how", _is_named(settings, (int, float, str)), "settings by name"),
        ("network", _is_named(content["network"], Tensor), "tensors by name"),
        ("others", _is_named(content["others"], dict) and all(map(_is_state, content["others"].values())), "states"),
        ("optimiser", _is_optimizer_state(optimizer), "the state of an optimizer"),
    ):
        if not is_good:
            found = shorten(repr(content[name])) if not isinstance(content[name], dict) else "something else"
            raise WeightsError(f"{path}: {name}: found {found}, expected {expected}")


def _is_count(value: object, largest: int) -> bool:
    return type(value) is int and 0 <= value <= largest


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_named(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, kind) for k, v in value.items())


def _is_state(value: dict) -> bool:
    return _is_named(value, (Tensor, int, float))


def _is_optimizer_state(state: object) -> bool:
    if not isinstance(state, dict) or state.keys() != {"state", "param_groups"}:
        return False
    groups, tensors = state["param_groups"], state["state"]
    return (
        isinstance(groups, list)
        and all(isinstance(each, dict) and isinstance(each.get("params"), list) for each in groups)
        and isinstance(tensors, dict)
        and all(type(k) is int and isinstance(v, dict) for k, v in tensors.items())
    )


def _is_same_kind(found: object, own: object) -> bool:
    """Whether a value of a parameter group may replace `own`: a number for a number, a list for a list."""
    if isinstance(own, (list, tuple)):
        same_length = isinstance(found, (list, tuple)) and len(found) == len(own)
        return same_length and all(map(_is_same_kind, found, own))
    if _is_number(own):
        return _is_number(found)
    return found is None or isinstance(found, (bool, str)) or type(found) is type(own)
