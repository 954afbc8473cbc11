"""Read and write .safetensors files: a network's tensors by name, with the header of their .weights file."""

import hashlib
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from yolo.errors import WeightsError
from yolo.files.contents import TEXTS, named_content, open_input
from yolo.files.text import escaped_text, unescaped_text
from yolo.files.writing import replacing
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.records import WeightsFormat, WeightsHeader

FORMAT = "darknet"  # our own mark in the metadata
VERSION = re.compile(r"(-?\d{1,10})\.(-?\d{1,10})\.(-?\d{1,10})")
SEEN = re.compile(r"\d{1,20}")
LAYER = re.compile(r"layers\.(\d+)\.")  # how the name of a layer's tensor begins
SCALES = re.compile(r"\.norm\.(?!bias$)")  # dontloadscales: all of a batch norm but its biases


def load_state(
    network: Network, path: str | Path, cutoff: int | None = None
) -> tuple[WeightsHeader, dict[str, Tensor]]:
    """Fill `network` (its layers below `cutoff`) from a .safetensors file that `save_state` wrote.

    The file must not hold tensors that dontload and dontloadscales of the cfg leave out, as a .weights file. These
    tensors do not change.

    Returns:
        The header, and the tensors of the file by name.

    Raises:
        WeightsError: the file is broken or has another origin, or a tensor has another name, shape or kind of number;
            the message names the first one. The network is unchanged.
    """
    tensors = named_tensors(network, cutoff)
    expected = {name: tensors[name] for name in tensors if not _is_unloaded(network, name)}
    metadata, content = _read(path)
    header, format = _read_metadata(path, metadata)
    found = {name: content[name] for name in content if _is_below(name, cutoff)}
    _check(path, found, expected, known=tensors.keys())
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(found[name])
    if cutoff is None:
        network.weights_format = format
    return header, found


def read_cfg_note(path: str | Path) -> tuple[str | None, str | None]:
    """Return the name of the .cfg that `save_state` noted in a file, and the SHA-256 of its bytes; None without one.

    Raises WeightsError for a file of another kind.
    """
    metadata, _ = _read(path, with_tensors=False)
    name = metadata.get("cfg")
    return (Path(unescaped_text(name)).name if name else None), metadata.get("cfg_sha256")


def save_state(
    network: Network,
    path: str | Path,
    seen: int = 0,
    cutoff: int | None = None,
    cfg: str | Path | None = None,
) -> None:
    """Write `network` as a .safetensors file, whole or not at all.

    The names are those of `network.state_dict()`. The metadata hold what is needed to make a .weights file of it.

    Args:
        network: the network to write.
        path: file to write; an existing one is replaced.
        seen: images trained on so far, for the metadata.
        cutoff: write only the layers below this index.
        cfg: the network's .cfg file; its name and the SHA-256 of its bytes are added to the metadata.
    """
    version, order = network.weights_format
    metadata = {
        "format": FORMAT,
        "version": ".".join(map(str, version)),
        "seen": str(seen),
        "order": order,
    }
    if cfg is not None:
        metadata["cfg"] = escaped_text(Path(cfg).name)  # the format holds UTF-8 only
        metadata["cfg_sha256"] = hashlib.sha256(Path(cfg).read_bytes()).hexdigest()
    tensors = named_tensors(network, cutoff)
    content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    with replacing(path) as file:
        file.write(content)


def different_layer(network: Network, path: str | Path) -> int:
    """Return the first layer whose tensors a .safetensors file lacks or has in other shapes; else the number of layers.

    Raises WeightsError for a broken file.
    """
    _, found = _read(path)
    for name, tensor in named_tensors(network).items():
        layer = LAYER.match(name)
        if layer and not _is_unloaded(network, name) and (name not in found or found[name].shape != tensor.shape):
            return int(layer[1])
    return len(network.layers)


def named_tensors(network: Network, cutoff: int | None = None) -> dict[str, Tensor]:
    """Return the `state_dict()` of the layers below `cutoff`, each tensor under its first name only (share_index)."""
    unique = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    return {name: tensor for name, tensor in network.state_dict().items() if name in unique and _is_below(name, cutoff)}


def _is_below(name: str, cutoff: int | None) -> bool:
    layer = LAYER.match(name)
    return cutoff is None or layer is None or int(layer[1]) < cutoff


def _is_unloaded(network: Network, name: str) -> bool:
    """Return whether dontload or dontloadscales of its layer leave a tensor out of the files that are loaded."""
    layer = int(LAYER.match(name)[1])
    controls = network.controls[layer]
    scales = SCALES.search(name) is not None and network.kinds[layer] != "batchnorm"
    return controls.dontload or (controls.dontloadscales and scales)


def _read(path: str | Path, with_tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return metadata and, on request, tensors of a .safetensors file."""
    try:
        # Open it twice: Python's own errors name the file.
        with open_input(path), _in_unicode(Path(path)) as name, safe_open(name, framework="pt") as file:
            keys = file.keys() if with_tensors else ()
            return file.metadata() or {}, {key: file.get_tensor(key) for key in keys}
    except SafetensorError as error:
        kind = named_content(path)
        found = f"a broken file ({error})" if kind in (*TEXTS, "a .safetensors file") else kind
        raise WeightsError(f"{path}: found {found}, expected a .safetensors file") from None


@contextmanager
def _in_unicode(path: Path) -> Iterator[Path]:
    """Yield a path to a file in UTF-8, because safetensors accepts no other: a link if the file's path is not UTF-8."""
    if escaped_text(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "link.safetensors"
        link.symlink_to(path.absolute())
        yield link


def _read_metadata(path: str | Path, metadata: dict[str, str]) -> tuple[WeightsHeader, WeightsFormat]:
    """Return what `save_state` wrote. Raises WeightsError for other metadata."""
    version = VERSION.fullmatch(metadata.get("version", ""))
    seen = SEEN.fullmatch(metadata.get("seen", ""))
    order = metadata.get("order")
    if metadata.get("format") == FORMAT and version and seen and order in WEIGHTS_VERSIONS:
        header = WeightsHeader(*map(int, version.groups()), int(seen[0]))
        if all(-(2**31) <= number < 2**31 for number in header[:3]) and header.seen < 2**64:
            return header, WeightsFormat(header[:3], order)
    keys = ("format", "version", "seen", "order")
    found = ", ".join(f"{key}={metadata.get(key)}" for key in keys)
    raise WeightsError(f"{path}: found metadata {found}, expected format={FORMAT} and what `convert_weights` writes")


def _check(
    path: str | Path,
    found: dict[str, Tensor],
    expected: dict[str, Tensor],
    known: Collection[str],
) -> None:
    for name, tensor in expected.items():
        if name not in found:
            raise WeightsError(f"{path}: found no {name}, expected one of {_describe(tensor)}")
        theirs = found[name]
        kinds = {theirs.is_floating_point(), tensor.is_floating_point()}
        if theirs.shape != tensor.shape or len(kinds) > 1:
            raise WeightsError(f"{path}: found {name} of {_describe(theirs)}, expected {_describe(tensor)}")
    for name in sorted(found.keys() - expected.keys()):
        hint = "is it another network's file?"
        if name in known:
            hint = "dontload or dontloadscales of the cfg means that the file does not hold it"
        raise WeightsError(f"{path}: found {name} of {_describe(found[name])}, expected no tensor of that name; {hint}")


def _describe(tensor: Tensor) -> str:
    return f"shape {list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
