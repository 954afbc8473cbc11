"""Types for argparse: convert the text of an option to a checked value."""

import math
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from yolo.console.progress import download_bar
from yolo.console.run import missing_file, stop
from yolo.defaults import AUTO
from yolo.errors import WeightsError
from yolo.named_files import given_or_shipped, weights_table

DEVICE_KINDS = ("cpu", "cuda", "mps", "xpu")  # torch names more, which cannot train
WEIGHTS_FOLDER = Path("weights")  # where published weights are kept


def whole_number(minimum: int) -> Callable[[str], int]:
    """A type for argparse: a whole number of at least `minimum`."""

    def convert(text: str) -> int:
        if not re.fullmatch("[+-]?[0-9]{1,18}", text) or int(text) < minimum:
            raise ArgumentTypeError(f"found {text!r}, expected a whole number from {minimum} on")
        return int(text)

    return convert


def cutoff_or_auto(text: str) -> int | str:
    """A type for argparse: a number of layers, or "auto"."""
    return text if text == AUTO else whole_number(1)(text)


def fraction(text: str) -> float:
    """A type for argparse: a number from 0 to 1, or a percentage such as 20%."""
    digits, percent = (text[:-1], 100.0) if text.endswith("%") else (text, 1.0)
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?", digits) or float(digits) > percent:
        raise ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return float(digits) / percent


def positive(text: str) -> float:
    """A type for argparse: a finite number above 0."""
    if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) or not (0 < float(text) < math.inf):
        raise ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return float(text)


def usable_device(name: str) -> str:
    """A type for argparse: the name of a device that this machine has, such as cpu, cuda or cuda:1.

    "auto" is the GPU if there is one, else the CPU. The CPU is accepted without importing torch.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.empty(0, device=name).device.type
    except (RuntimeError, AssertionError, NotImplementedError):  # unknown; not built in; not there
        kind = None
    if kind not in DEVICE_KINDS:
        raise ArgumentTypeError(f"found {name!r}, expected a device that this machine has")
    return name


def new_file(text: str) -> Path:
    """A type for argparse: a file to write, not a folder."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"found the folder {text!r}, expected a file")
    new_folder(str(path.parent))
    return path


def new_folder(text: str) -> Path:
    """A type for argparse: a folder to write to, which need not exist. A file in its place ends the command."""
    path = Path(text)
    there = next((each for each in (path, *path.parents) if each.exists()), path)
    if there.exists() and not there.is_dir():
        stop(f"{there}: found a file, expected a folder to write to")
    return path


def key_value(text: str) -> tuple[str, str]:
    """A type for argparse: KEY=VALUE."""
    key, _, value = text.partition("=")
    if not (key and value):
        raise ArgumentTypeError(f"found {text!r}, expected KEY=VALUE")
    return key, value


def cfg_file(text: str) -> Path:
    """A type for argparse: a .cfg file, or the name of one that comes with the package."""
    return _given_or_shipped(text, ".cfg")


def pixel_size(text: str) -> tuple[int, int]:
    """A type for argparse: WIDTHxHEIGHT in pixels, as (height, width)."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ArgumentTypeError(f"found {text!r}, expected WIDTHxHEIGHT")
    return int(found[2]), int(found[1])


def names_file(text: str) -> Path:
    """A type for argparse: a .names file, or the name of one that comes with the package."""
    return _given_or_shipped(text, ".names")


def _given_or_shipped(text: str, ending: str) -> Path:
    try:
        return given_or_shipped(text, ending)
    except LookupError as error:
        stop(error.args[0])


def weights_file(text: str) -> Path:
    """A type for argparse: a weights file, or the name of a published one, which is downloaded into weights/."""
    path = Path(text)
    if path.exists():
        return path
    if path.name != text:  # a path, not a name
        stop(missing_file(text, sys.argv))

    from yolo.named_files import find_weights

    try:
        with download_bar(text) as progress:
            return find_weights(text, WEIGHTS_FOLDER, weights_table(), progress)
    except WeightsError as error:
        stop(str(error))
