"""Darknet's `.weights` files, in and out, with every byte accounted for.

Format (AlexeyAB parser.c load_weights_upto, save_weights_upto): int32 major, minor, revision; `seen`, the number of
pictures trained on, 64-bit from version 0.2 on and 32-bit before; then float32 tensors, layer by layer. Little endian.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo.errors import WeightsError
from yolo.files import replacing
from yolo.model.network import WEIGHTS_VERSION, Network

FLOAT = np.dtype("<f4")
VERSION_FORMAT = struct.Struct("<3i")
SEEN_32, SEEN_64 = struct.Struct("<I"), struct.Struct("<Q")
TRANSPOSED_VERSION = (
    1000  # a major or minor above this marks pjreddie's transposed files, with 32-bit seen
)


class WeightsHeader(NamedTuple):
    """The head of a .weights file. seen: pictures trained on so far."""

    major: int
    minor: int
    revision: int
    seen: int


class _Slot(NamedTuple):
    """One tensor of the file: whose it is and how many bytes it takes."""

    layer: int
    kind: str
    name: str
    tensor: Tensor

    @property
    def bytes(self) -> int:
        return self.tensor.numel() * FLOAT.itemsize


def load_weights(network: Network, path: str | Path, cutoff: int | None = None) -> WeightsHeader:
    """Fill `network` from a .weights file; returns its header.

    Without `cutoff` the file must hold exactly the network's tensors. With it only the layers below `cutoff` are
    loaded, from a backbone file such as darknet53.conv.74 or from the beginning of a whole one.
    Raises WeightsError, naming layer and bytes, for a file that is too short or too long; the network stays as it was.
    """
    slots = list(_slots(network, cutoff))
    with open(path, "rb") as file:
        header = _read_header(file, path)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        _check_size(path, slots, start, size, whole=cutoff is None, layers=len(network.layers))
        count = sum(slot.tensor.numel() for slot in slots)
        values = np.fromfile(file, FLOAT, count)
    if len(values) != count:
        found = f"{len(values) * FLOAT.itemsize} bytes"
        raise WeightsError(f"{path}: found {found} of tensors, expected {count * FLOAT.itemsize}")
    _fill(slots, torch.from_numpy(values.astype(np.float32, copy=False)))
    if cutoff is None:
        network.weights_version = header[:3]
    return header


def save_weights(
    network: Network, path: str | Path, seen: int = 0, cutoff: int | None = None
) -> None:
    """Write `network` (its layers below `cutoff`) as a .weights file, whole or not at all.

    The version is the one the network was loaded with, so that loading and saving gives the same bytes; a new
    network's is AlexeyAB's 0.2.5, and so is that of one whose 32-bit header cannot hold `seen`.
    """
    version = network.weights_version
    if not _seen_is_64_bit(version) and seen >= 2**32:
        version = WEIGHTS_VERSION
    with replacing(path) as file:
        file.write(VERSION_FORMAT.pack(*version))
        file.write((SEEN_64 if _seen_is_64_bit(version) else SEEN_32).pack(seen))
        for slot in _slots(network, cutoff):
            values = slot.tensor.detach().to("cpu", torch.float32).contiguous().numpy()
            file.write(memoryview(values.astype(FLOAT, copy=False)).cast("B"))


def read_header(path: str | Path) -> WeightsHeader:
    """The header alone. Raises WeightsError for a file too short to have one."""
    with open(path, "rb") as file:
        return _read_header(file, path)


def weights_bytes(network: Network) -> int:
    """Size of the network's .weights file with the 64-bit header."""
    return VERSION_FORMAT.size + SEEN_64.size + sum(slot.bytes for slot in _slots(network, None))


def _slots(network: Network, cutoff: int | None) -> Iterator[_Slot]:
    for index, (kind, layer) in enumerate(zip(network.kinds, network.layers, strict=True)):
        if cutoff is not None and index >= cutoff:
            return
        for name, tensor in layer.darknet_tensors() if hasattr(layer, "darknet_tensors") else ():
            yield _Slot(index, kind, name, tensor)


def _fill(slots: list[_Slot], values: Tensor) -> None:
    start = 0
    with torch.no_grad():
        for slot in slots:
            count = slot.tensor.numel()
            slot.tensor.copy_(values[start : start + count].view(slot.tensor.shape))
            start += count


def _seen_is_64_bit(version: tuple[int, int, int]) -> bool:
    """pjreddie parser.c load_weights_upto; AlexeyAB dropped the clause on transposed files and misreads them."""
    major, minor, _ = version
    return major * 10 + minor >= 2 and max(major, minor) < TRANSPOSED_VERSION


def _read_header(file: BinaryIO, path: str | Path) -> WeightsHeader:
    version = _read_struct(file, VERSION_FORMAT, path)
    (seen,) = _read_struct(file, SEEN_64 if _seen_is_64_bit(version) else SEEN_32, path)
    return WeightsHeader(*version, seen)


def _read_struct(file: BinaryIO, layout: struct.Struct, path: str | Path) -> tuple:
    content = file.read(layout.size)
    if len(content) != layout.size:
        size = os.fstat(file.fileno()).st_size
        raise WeightsError(f"{path}: found {size} bytes, expected a header of 16 or 20 bytes first")
    return layout.unpack(content)


def _check_size(
    path: str | Path, slots: list[_Slot], start: int, size: int, whole: bool, layers: int
) -> None:
    position = start
    for slot in slots:
        left = size - position
        if left < slot.bytes:
            hint = ""
            if left == 0 and whole and slot.name == "biases" and slot.layer > 0:
                hint = (
                    f"; a file that ends before layer {slot.layer} loads with cutoff={slot.layer}"
                )
            raise WeightsError(
                f"{path}: layer {slot.layer} [{slot.kind}] {slot.name} at byte {position}: "
                f"found {left} bytes left, expected {slot.bytes}{hint}"
            )
        position += slot.bytes
    if whole and position != size:
        raise WeightsError(
            f"{path}: found {size - position} bytes left after the last of {layers} layers at byte {position}, "
            "expected the end of the file; is this another network's file?"
        )
