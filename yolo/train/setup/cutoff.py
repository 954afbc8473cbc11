"""Find the layers of a network that a weights file can fill, from sizes alone: `--cutoff auto`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from yolo.cfg import Section
from yolo.errors import CfgError, WeightsError, counted
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.model.safetensors_file import different_layer
from yolo.model.weights import SAFETENSORS, layer_bytes, tensor_bytes
from yolo.train.setup.fitted_cfg import KEY_OF_CHANNELS, class_values


@dataclass(frozen=True)
class Cutoff:
    """The file fills the layers below `layer`. found: what the file holds, in words."""

    layer: int
    found: str


def find_cutoff(network: Network, sections: Sequence[Section], path: Path) -> Cutoff | None:
    """Return the cutoff of a weights file; None if its size fits no number of first layers of the network.

    A file may hold the whole network, its first layers, or the same network with another number of classes: then the
    layers before the first one whose size depends on the classes are the same.

    Args:
        network: what the file is loaded into.
        sections: it was built from these, [net] first.
        path: the file, .weights or .safetensors.

    Raises:
        WeightsError: a .safetensors file is broken, or a .weights file is shorter than its header.
    """
    if path.suffix == SAFETENSORS:
        layer = different_layer(network, path)
        return Cutoff(layer, f"the layers below {layer} of this network") if layer else None
    size = tensor_bytes(path)
    for order in WEIGHTS_VERSIONS:
        layers = layer_bytes(network, order)
        found = _prefix(layers, size) or _other_classes(network, sections, layers, size)
        if found is not None:
            return found
    return None


def check_named_cutoff(network: Network, path: Path, cutoff: int) -> None:
    """Raise WeightsError unless a file NAME.conv.N ends with the layers below N = `cutoff` of the network."""
    size = tensor_bytes(path)
    expected = {sum(layer_bytes(network, order)[:cutoff]) for order in WEIGHTS_VERSIONS}
    if size not in expected:
        raise WeightsError(
            f"{path}: found {size:,} bytes after the header, expected {max(expected):,} for the layers below "
            f"{cutoff}, as its name says; is this another network's file? --cutoff N loads the layers below N anyway"
        )


def _prefix(layers: Sequence[int], size: int) -> Cutoff | None:
    """Return the first layers whose sizes add up to `size`."""
    if size == sum(layers):
        return Cutoff(len(layers), "the whole network")
    for number, total in enumerate(accumulate(layers), 1):
        if total == size > 0:
            return Cutoff(number, f"the first {counted(number, 'layer')} of this network")
    return None


def _other_classes(network: Network, sections: Sequence[Section], layers: Sequence[int], size: int) -> Cutoff | None:
    """Return the layers that do not depend on the classes, if the network has `size` bytes with other classes.

    The bytes of a convolution are in proportion to its filters, and those before a head grow evenly with the classes.
    """
    try:
        one, two = (_outputs(network, sections, classes) for classes in (1, 2))
    except CfgError:  # a class hierarchy, or a head whose size comes from no layer of its own
        return None
    now = _outputs(network, sections, network.classes)
    per_output = {layer: layers[layer] / now[layer] for layer in now}
    slope = sum(per_output[layer] * (two[layer] - one[layer]) for layer in now)
    with_one = sum(layers) + sum(per_output[layer] * (one[layer] - now[layer]) for layer in now)
    classes = 1 + (size - with_one) / slope if slope else 0.0
    if classes < 1 or classes != int(classes):
        return None
    return Cutoff(min(now), f"this network with {counted(int(classes), 'class')}")


def _outputs(network: Network, sections: Sequence[Section], classes: int) -> dict[int, int]:
    """Return the filters or outputs that layers before heads need for a number of classes, by layer."""
    values = class_values(network, sections, classes)
    kinds = network.kinds
    keys = {number - 1: KEY_OF_CHANNELS[kinds[number - 1]] for number in values if kinds[number - 1] in KEY_OF_CHANNELS}
    return {layer: int(values[layer + 1][key]) for layer, key in keys.items()}
