"""Read and write Darknet's `.weights` files. Every byte of a file is checked.

Format (AlexeyAB parser.c load_weights_upto, save_weights_upto): int32 major, minor, revision; `seen`, the number of
images trained on, 64-bit from version 0.2 on and 32-bit before; then float32 tensors, layer by layer. Little endian.
Two things differ between files. pjreddie's have no biases for [batchnorm]. And where major or minor is above 1000,
the weights of connected layers are `[inputs, outputs]` (load_connected_weights).
A file that is loaded must not hold what dontload and dontloadscales of the cfg leave out. A file that is written holds
all tensors.
"""

import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo.errors import WeightsError, counted
from yolo.files.contents import EMPTY, START, known_content, open_input
from yolo.files.writing import replacing
from yolo.model.building import stored_tensors
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.records import WeightsFormat, WeightsHeader
from yolo.settings import LayerControls

log = logging.getLogger(__name__)
FLOAT = np.dtype("<f4")
VERSION_FORMAT = struct.Struct("<3i")
SEEN_32, SEEN_64 = struct.Struct("<I"), struct.Struct("<Q")
OLD_VERSION = 1000  # major or minor: from it on `seen` has 32 bits, above it weights are transposed
SAFETENSORS = ".safetensors"
LARGEST_VERSION = 9999  # of major and minor; files in use have at most some above 1000, which marks transposed weights
LARGEST_USABLE = 1e18  # the square of a larger one is near the end of float32
VARIANCES = ("rolling variance", "running_var")  # the ends of their names, in both kinds of files
BATCHNORM = "batchnorm"
CONNECTED = ("conn", "connected")
SCALES = ("scales", "rolling mean", "rolling variance")  # what dontloadscales leaves out


class _Slot(NamedTuple):
    """One tensor, laid out as in the file: its layer and how many bytes it takes there; 0: the file leaves it out."""

    layer: int
    kind: str
    name: str
    tensor: Tensor
    bytes: int

    @property
    def place(self) -> str:
        return f"layer {self.layer} [{self.kind}] {self.name}"


def load_weights(network: Network, path: str | Path, cutoff: int | None = None) -> WeightsHeader:
    """Fill `network` from a .weights file, or by its suffix from a .safetensors file. Return the file's header.

    Without `cutoff` the file must hold exactly the network's tensors. With `cutoff` only the layers below it are
    loaded, from a backbone file such as darknet53.conv.74 or from the beginning of a whole file.
    A layer with dontload keeps its tensors, and a layer with dontloadscales keeps its scales and statistics: they take
    no bytes of the file, as in both Darknets. A file that does hold them is therefore too long.
    NaN, infinite and huge numbers and negative variances are loaded, with a warning in the log.

    Raises:
        WeightsError: the file is too short or too long; the message names layer and bytes. The network is unchanged.
    """
    if Path(path).suffix == SAFETENSORS:
        # imported here, as most runs read no .safetensors file
        from yolo.model.safetensors_file import load_state

        header, tensors = load_state(network, path, cutoff)
        _warn_if_unusable(path, tensors.items())
        return header
    with open_input(path) as file:
        header = _read_header(file, path)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        format = WeightsFormat(header[:3], _find_order(network, cutoff, header[:3], size - start))
        slots = _loaded_slots(network, cutoff, format)
        _check_size(path, slots, start, size, whole=cutoff is None)
        if cutoff is None:
            _check_end(path, network, slots, size - start)
        count = sum(slot.bytes for slot in slots) // FLOAT.itemsize
        values = np.fromfile(file, FLOAT, count)
    if len(values) != count:
        found = f"{len(values) * FLOAT.itemsize} bytes"
        raise WeightsError(f"{path}: found {found} of tensors, expected {count * FLOAT.itemsize}")
    counts = [slot.bytes // FLOAT.itemsize for slot in slots]
    parts = torch.from_numpy(values.astype(np.float32, copy=False)).split(counts)
    places = (slot.place for slot in slots)
    _warn_if_unusable(path, zip(places, parts, strict=True))
    _fill(slots, parts)
    if cutoff is None:
        network.weights_format = format
    return header


def save_weights(network: Network, path: str | Path, seen: int = 0, cutoff: int | None = None) -> None:
    """Write `network` as a .weights file, or by its suffix as a .safetensors file, whole or not at all.

    The file has the format `network.weights_format`, so that loading and saving gives the same bytes. Only where its
    32-bit header cannot hold `seen`, the version is the one of the network's dialect.

    Args:
        network: the network to write.
        path: file to write; an existing one is replaced.
        seen: images trained on so far, for the header.
        cutoff: write only the layers below this index.

    Raises:
        WeightsError: pjreddie's order would lose biases of a [batchnorm] that are not 0.
    """
    if Path(path).suffix == SAFETENSORS:
        from yolo.model.safetensors_file import save_state

        save_state(network, path, seen, cutoff)
        return
    version, order = network.weights_format
    if not _seen_is_64_bit(version) and seen >= 2**32:
        version = WEIGHTS_VERSIONS[order]
    slots = list(_slots(network, cutoff, WeightsFormat(version, order)))
    _check_left_out(path, slots)
    with replacing(path) as file:
        file.write(VERSION_FORMAT.pack(*version))
        file.write((SEEN_64 if _seen_is_64_bit(version) else SEEN_32).pack(seen))
        for slot in slots:
            if slot.bytes:
                values = slot.tensor.detach().to("cpu", torch.float32).contiguous().numpy()
                file.write(memoryview(values.astype(FLOAT, copy=False)).cast("B"))


def weights_bytes(network: Network) -> int:
    """Return the size of the network's .weights file with a 64-bit header."""
    return VERSION_FORMAT.size + SEEN_64.size + sum(slot.bytes for slot in _all_slots(network))


def layer_bytes(network: Network, order: str) -> list[int]:
    """Return how many bytes of a .weights file in the order of a dialect each layer takes when it is loaded."""
    sizes = [0] * len(network.layers)
    for slot in _loaded_slots(network, None, _current_format(order)):
        sizes[slot.layer] += slot.bytes
    return sizes


def tensor_bytes(path: str | Path) -> int:
    """Return how many bytes of tensors follow the header of a .weights file. Raises WeightsError without a header."""
    with open_input(path) as file:
        _read_header(file, path)
        return os.fstat(file.fileno()).st_size - file.tell()


def check_rest(network: Network, path: str | Path, cutoff: int) -> None:
    """Raise WeightsError unless a .weights file ends with the layers below `cutoff` or with the network's last one."""
    with open_input(path) as file:
        header = _read_header(file, path)
        size = os.fstat(file.fileno()).st_size - file.tell()
    order = _find_order(network, cutoff, header[:3], size)
    part, whole = (_loaded_bytes(network, upto, order) for upto in (cutoff, None))
    if size not in (part, whole):
        raise WeightsError(
            f"{path}: found {counted(size - part, 'byte')} after the layers below {cutoff}, expected none or "
            f"{whole - part} of all other layers; is this another network's file?"
        )


def _slots(network: Network, cutoff: int | None, format: WeightsFormat) -> Iterator[_Slot]:
    transposed = max(format.version[:2]) > OLD_VERSION
    for index, (kind, layer) in enumerate(zip(network.kinds, network.layers, strict=True)):
        if cutoff is not None and index >= cutoff:
            return
        for name, tensor in stored_tensors(layer):
            left_out = format.order == "pjreddie" and kind == BATCHNORM and name == "biases"
            if transposed and kind in CONNECTED and name == "weights":
                tensor = tensor.T
            size = 0 if left_out else tensor.numel() * FLOAT.itemsize
            yield _Slot(index, kind, name, tensor, size)


def _all_slots(network: Network) -> Iterator[_Slot]:
    """Yield the slots of a whole file in the network's own order."""
    return _slots(network, None, _current_format(network.weights_format.order))


def _loaded_slots(network: Network, cutoff: int | None, format: WeightsFormat) -> list[_Slot]:
    """Return the slots of a file that is loaded: without those that dontload and dontloadscales leave out of it."""
    slots = _slots(network, cutoff, format)
    return [slot for slot in slots if not _is_unloaded(slot, network.controls[slot.layer])]


def _is_unloaded(slot: _Slot, controls: LayerControls) -> bool:
    # the scales of a [batchnorm] are read for any value of the key (load_batchnorm_weights)
    scales = slot.name in SCALES and slot.kind != BATCHNORM
    return controls.dontload or (controls.dontloadscales and scales)


def _loaded_bytes(network: Network, cutoff: int | None, order: str) -> int:
    slots = _loaded_slots(network, cutoff, _current_format(order))
    return sum(slot.bytes for slot in slots)


def _current_format(order: str) -> WeightsFormat:
    """Return the format in which the Darknet of this dialect writes files today."""
    return WeightsFormat(WEIGHTS_VERSIONS[order], order)


def _find_order(network: Network, cutoff: int | None, version: tuple[int, int, int], size: int) -> str:
    """Return the dialect in whose order a file with `size` bytes of tensors is.

    In that order the file ends where it may end, with the layers below `cutoff` or with the last layer. Where both
    orders fit, or neither, the version decides: AlexeyAB's Darknet writes revision 5.
    """
    if BATCHNORM not in network.kinds:
        return network.dialect
    fitting = [
        order for order in WEIGHTS_VERSIONS if size in (_loaded_bytes(network, upto, order) for upto in (cutoff, None))
    ]
    if len(fitting) == 1:
        return fitting[0]
    return "alexeyab" if version[2] == WEIGHTS_VERSIONS["alexeyab"][2] else "pjreddie"


def _fill(slots: Sequence[_Slot], parts: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for slot, part in zip(slots, parts, strict=True):
            if slot.bytes:
                slot.tensor.copy_(part.view(slot.tensor.shape))
            else:
                slot.tensor.zero_()


def _seen_is_64_bit(version: tuple[int, int, int]) -> bool:
    """pjreddie parser.c load_weights_upto; AlexeyAB dropped the clause on transposed files and misreads them."""
    major, minor, _ = version
    return major * 10 + minor >= 2 and max(major, minor) < OLD_VERSION


def _read_header(file: BinaryIO, path: str | Path) -> WeightsHeader:
    kind = known_content(file.read(START))
    if kind and kind != EMPTY:
        raise WeightsError(f"{path}: found {kind}, expected Darknet's .weights")
    file.seek(0)
    version = _read_struct(file, VERSION_FORMAT, path)
    if not all(0 <= number <= LARGEST_VERSION for number in version):
        found = ".".join(map(str, version))
        raise WeightsError(f"{path}: found version {found}, expected one such as 0.2.5; this is no .weights file")
    (seen,) = _read_struct(file, SEEN_64 if _seen_is_64_bit(version) else SEEN_32, path)
    return WeightsHeader(*version, seen)


def _read_struct(file: BinaryIO, layout: struct.Struct, path: str | Path) -> tuple[int, ...]:
    content = file.read(layout.size)
    if len(content) != layout.size:
        size = os.fstat(file.fileno()).st_size
        raise WeightsError(f"{path}: found {counted(size, 'byte')}, expected a header of 16 or 20 bytes first")
    return layout.unpack(content)


def _check_size(path: str | Path, slots: Sequence[_Slot], start: int, size: int, whole: bool) -> None:
    """Raise WeightsError, naming the first tensor that does not fit, for a file of `size` bytes that is too short."""
    position, ended = start, None  # ended: the last layer that is complete
    for slot in slots:
        left = size - position
        if left < slot.bytes:
            hint = ""
            if left == 0 and whole and ended not in (None, slot.layer):
                hint = f"; a file that ends before layer {slot.layer} loads with cutoff={slot.layer}"
            found = f"found {counted(left, 'byte')} left, expected {slot.bytes}"
            raise WeightsError(f"{path}: {slot.place} at byte {position}: {found}{hint}")
        position += slot.bytes
        ended = slot.layer if slot.bytes else ended


def _check_end(path: str | Path, network: Network, slots: Sequence[_Slot], size: int) -> None:
    """Raise WeightsError for a file whose `size` bytes of tensors do not end with the last layer."""
    end = sum(slot.bytes for slot in slots)
    if size == end:
        return
    hint = "is this another network's file?"
    if any(_is_unloaded(slot, network.controls[slot.layer]) for slot in _all_slots(network)):
        hint = "dontload and dontloadscales of the cfg mean that it does not hold those tensors"
    position = os.path.getsize(path) - size + end
    raise WeightsError(
        f"{path}: found {counted(size - end, 'byte')} left after the last of {len(network.layers)} layers "
        f"at byte {position}, expected the end of the file; {hint}"
    )


def _check_left_out(path: str | Path, slots: Sequence[_Slot]) -> None:
    for slot in slots:
        if not slot.bytes and slot.tensor.count_nonzero():
            count = int(slot.tensor.count_nonzero())
            raise WeightsError(
                f"{path}: {slot.place}: found {count} of {slot.tensor.numel()} that are not 0, expected all 0, as "
                "pjreddie's files do not store them; AlexeyAB's do"
            )


def _warn_if_unusable(path: str | Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Log one line if a tensor, named by its place in the file, has numbers with which nothing can be computed.

    Those are NaN, infinite numbers, negative variances, and numbers whose squares are infinite. This is no error:
    a network that has diverged may have to be inspected.
    """
    tensors = [(place, tensor) for place, tensor in tensors if not _is_usable(place, tensor)]
    for is_bad, what in (
        (lambda place, tensor: ~torch.isfinite(tensor), "that are NaN or infinite"),
        (lambda place, tensor: (tensor < 0) & place.endswith(VARIANCES), "below 0, which no variance is"),
        (lambda place, tensor: tensor.abs() > LARGEST_USABLE, f"above {LARGEST_USABLE:g}"),
    ):
        bad = [(place, tensor, count) for place, tensor in tensors if (count := int(is_bad(place, tensor).sum()))]
        if bad:
            place, tensor, count = bad[0]
            more = f", and such in {len(bad) - 1} more tensors" if len(bad) > 1 else ""
            log.warning(
                "%s: %s: found %d of %d numbers %s%s; has its training diverged?",
                path, place, count, tensor.numel(), what, more,
            )  # fmt: skip
            return


def _is_usable(place: str, tensor: Tensor) -> bool:
    """Look at the smallest and the largest number only, which are NaN if one is: one pass over the tensor."""
    if not tensor.numel():
        return True
    low, high = map(float, tensor.aminmax())
    least = 0.0 if place.endswith(VARIANCES) else -LARGEST_USABLE
    return least <= low and high <= LARGEST_USABLE
