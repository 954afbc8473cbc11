"""The cache of files that engines make from a network. The name of a file depends on everything that changes it."""

import atexit
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import cv2
import torch
from torch import nn

from yolo.engines.onnx_file import write_onnx
from yolo.errors import CfgError, WeightsError
from yolo.files.folders import writable
from yolo.model.network import Network

log = logging.getLogger(__name__)
FILE_VERSION = 1  # increase it when the same network is exported to another file
CACHE_VARIABLE = "YOLO_DARKNET_CACHE"  # names another folder
MOST_BYTES = 4 * 2**30  # of all files; the least recently used ones are removed
ENDINGS = (".onnx", ".xml")  # of the files that count
OPENING_ERRORS = (WeightsError, RuntimeError, cv2.error)  # of ONNX Runtime (by open_onnx), OpenVINO and OpenCV
Opened = TypeVar("Opened")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of functions in settings: the address differs in each process
PLAIN = (bool, int, float, str, tuple, type(None))


class RawMaps(nn.Module):
    """A network as an exporter needs it: images in, a tuple of raw maps out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.network(images))


def cache_folder() -> Path:
    """Return the folder for files that can be made again: $YOLO_DARKNET_CACHE, else the user's cache.

    Without a home that can be written, it is a folder of this user in the system's temporary folder.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "yolo-darknet"
    return folder if writable(folder) else Path(tempfile.gettempdir()) / f"yolo-darknet-{os.getuid()}"


def network_key(network: Network) -> str:
    """Return a hash of what a network computes: its graph, the settings of its layers and all its numbers."""
    digest = hashlib.sha256(_graph_text(network).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def graph_key(network: Network) -> str:
    """Return a hash of a network's graph and the settings of its layers, without its weights."""
    return hashlib.sha256(_graph_text(network).encode()).hexdigest()[:32]


def open_cached(network: Network, size: tuple[int, int], open_: Callable[[Path], Opened]) -> Opened:
    """Return the result of `open_` for the ONNX file of a network's raw maps, see `open_kept`.

    Args:
        network: Folded. The file has an input `images` of any batch size and an output for each raw map.
        size: (height, width) of the images; the file holds for this size only.
        open_: Reads the file.

    Raises:
        CfgError: It cannot open the file, such as for a layer that the engine does not have.
        MissingPackageError: The package onnx is not installed.
        OSError: As `open_kept`.
    """
    height, width = size
    name = f"{network_key(network)}-{width}x{height}-v{FILE_VERSION}.onnx"

    def write(path: Path) -> None:
        images = torch.zeros(2, network.input.channels, height, width)
        names = [f"map{index}" for index in range(len(network.outputs))]
        write_onnx(RawMaps(network), images, path, output_names=names, dynamic_batch=True)

    try:
        return open_kept(name, write, open_)
    except OPENING_ERRORS as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        path = cache_folder() / name
        raise CfgError(f"{path}: found a network that this engine cannot read: {reason}") from error


def open_kept(name: str, write: Callable[[Path], None], open_: Callable[[Path], Opened]) -> Opened:
    """Return the result of `open_` for a file in the cache folder.

    A file that is missing, or that cannot be opened, is made. If the cache folder cannot be written, the file is made
    in the system's temporary folder, until this process ends, and a line is logged.

    Args:
        name: Of the file, made from everything that its content depends on.
        write: Makes the file.
        open_: Reads it. It may read the file again later.

    Raises:
        OSError: The temporary folder cannot be written either.
        Exception: As raised by `write`, and by `open_` for a new file.
    """
    path = cache_folder() / name
    if path.exists():
        with suppress(OSError):  # a folder that can be read only
            path.touch()  # so that others are removed first
        with suppress(*OPENING_ERRORS):  # a damaged disk, a file of another user
            return open_(path)
    try:
        write(path)
        make_room(path.parent, path)
    except OSError as error:
        log.warning("%s: %s; the engine's file is made for this run only", error.filename, error.strerror)
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / name
        write(path)
    return open_(path)


def make_room(folder: Path, newest: Path) -> None:
    """Remove the least recently used exported files, until the rest is at most MOST_BYTES."""
    files = sorted(
        (file for file in folder.glob("*") if file.suffix in ENDINGS),
        key=lambda file: file.stat().st_mtime,
        reverse=True,
    )
    total = 0
    for file in files:
        beside = file.with_suffix(".bin")  # the numbers of OpenVINO's IR
        parts = [file, beside] if beside.exists() else [file]
        total += sum(part.stat().st_size for part in parts)
        if total > MOST_BYTES and file != newest:
            for part in parts:
                part.unlink(missing_ok=True)


def _graph_text(network: Network) -> str:
    """Return the graph as text: the modules with their plain attributes and the functions of their activations."""
    rows = [repr((network.kinds, network.sources, network.outputs, network.dialect))]
    for name, module in network.named_modules():
        settings = {
            key: value if isinstance(value, PLAIN) else getattr(value, "__qualname__", None)
            for key, value in sorted(vars(module).items())
            if not key.startswith("_") and key != "training"
        }
        rows.append(f"{name} {type(module).__name__} {settings}")
    return ADDRESS.sub("", "\n".join(rows))
