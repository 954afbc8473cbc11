"""The network: a cfg's layers in order. Each layer reads the layers that its section names.

`Network.from_cfg(path)` builds it, `network(images)` gives a raw map for each head, `network.decode(raw)` the boxes,
objectness and class probabilities.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo.cfg import Section, check_overrides, override, read_cfg
from yolo.errors import CfgError, counted
from yolo.model.builders import get_builder
from yolo.model.building import LARGEST_MAP, BuildContext, Built, Shape, stored_tensors
from yolo.model.class_tree import Tree, path_probabilities
from yolo.model.operations import layer_operations
from yolo.records import Predictions, WeightsFormat
from yolo.settings import (
    HeadSettings,
    InputSettings,
    LayerControls,
    TrainingSettings,
    read_controls,
    read_input,
    read_training,
)

log = logging.getLogger(__name__)

# The dialects and the version that each Darknet writes into a .weights file (parser.c save_weights_upto).
WEIGHTS_VERSIONS = {"alexeyab": (0, 2, 5), "pjreddie": (0, 2, 0)}

# Networks with more stored numbers are built with zeros, as random weights would take seconds and are mostly replaced.
MOST_DRAWN_NUMBERS = 150_000_000
MOST_LAYERS = 4096  # our own limit; the longest published cfg has some 400
# Our own limits for one image, to find mistyped sizes. Published networks are far below: the largest, yolov4-p7 at 1536
# pixels, needs about 700 BFLOPs. 100,000 BFLOPs are ten minutes of a CPU with 150 BFLOPs per second, and 256 GiB are
# more than the memory of a GPU.
MOST_OPERATIONS = 1e14
MOST_OUTPUT_BYTES = 2**38
FLOAT_BYTES = 4
SOFTMAX = ("soft", "softmax")
MOST_NAMED_KEYS = 20  # of a cfg, in one line
IMAGE = -1  # the index of the network's input among the sources of a layer


class Network(nn.Module):
    """A Darknet network for images, as its cfg describes it. It holds no state of a training.

    Attributes:
        kinds: the name of each layer's section.
        layers: the modules, by Darknet's index ([net] is not counted).
        sources: for each layer the indices of the layers that it reads.
        shapes: (channels, height, width) of each layer's output.
        heads: indices of the detection heads.
        input, training_settings: the values of [net].
        head_settings: the values of each head beyond its shape.
        controls: for each layer, which part of it is loaded and trained.
        dialect: "alexeyab" or "pjreddie", the Darknet that is followed where the two differ.
        weights_format: the format of the .weights file that was loaded last, at first the one of the dialect;
            `save_weights` writes it, so that loading and saving gives the same bytes.
        drawn: whether the weights started as random numbers, not as zeros.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        built: Sequence[Built],
        input_settings: InputSettings,
        training_settings: TrainingSettings,
        controls: tuple[LayerControls, ...],
        dialect: str,
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self.layers = nn.ModuleList(layer.module for layer in built)
        self.sources: tuple[tuple[int, ...], ...] = tuple(layer.sources for layer in built)
        self.shapes: tuple[Shape, ...] = tuple(layer.shape for layer in built)
        self.heads = tuple(index for index, layer in enumerate(built) if layer.head is not None)
        self.head_settings: tuple[HeadSettings, ...] = tuple(layer.head for layer in built if layer.head is not None)
        self.input = input_settings
        self.training_settings = training_settings
        self.controls = controls
        self._detached = frozenset(i for i, c in enumerate(controls) if c.onlyforward)
        self.dialect = dialect
        self.weights_format = WeightsFormat(WEIGHTS_VERSIONS[dialect], dialect)
        self.drawn = False
        self._released = _last_uses(self.sources, self.outputs)

    @classmethod
    def from_cfg(
        cls,
        path: str | Path,
        size: tuple[int, int] | None = None,
        overrides: Mapping[str, str] | None = None,
        dialect: str = "alexeyab",
    ) -> "Network":
        """Build the network of a .cfg file. Keys of the file that are not used are logged once, with their lines.

        Args:
            path: the .cfg file.
            size: (height, width) of the network input, instead of the one in [net].
            overrides: values instead of those in the file, by key as for `yolo.cfg.override`.
            dialect: "alexeyab" or "pjreddie", where the two compute different things (docs/differences.md).

        Returns:
            The network, with random weights unless it is very large.

        Raises:
            CfgError: the cfg cannot become a network, or an override is not used; with file, line and key.
        """
        overrides = dict(overrides or {})
        sections = override(read_cfg(path), overrides)
        network, unread = build(sections, size, dialect)
        check_overrides(sections, overrides)
        if unread:
            more = f" and {len(unread) - MOST_NAMED_KEYS} more" if len(unread) > MOST_NAMED_KEYS else ""
            log.warning("%s: unused or repeated keys: %s%s", path, ", ".join(unread[:MOST_NAMED_KEYS]), more)
        return network

    def draw_weights(self) -> None:
        """Draw random weights for every layer, as Darknet does."""
        for layer in self.layers:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        self.drawn = True

    @property
    def outputs(self) -> tuple[int, ...]:
        """Indices of the layers whose outputs are the raw maps: the heads, which return their input, or the last layer.

        For a classifier with a [softmax] it is the layer before that; it may be IMAGE.
        """
        if self.heads:
            return self.heads
        softmax = self._softmax()
        return (len(self.layers) - 1,) if softmax is None else self.sources[softmax]

    def _softmax(self) -> int | None:
        """Index of the [softmax] at the end of a classifier, before any [cost]; None without one."""
        last = last_output(self.kinds)
        return last if self.kinds[last] in SOFTMAX else None

    def input_shapes(self, index: int) -> tuple[Shape, ...]:
        """Return the (channels, height, width) of each source of a layer, for an image of the cfg's size."""
        image = self.input.channels, self.input.height, self.input.width
        return tuple(image if source == IMAGE else self.shapes[source] for source in self.sources[index])

    @property
    def letterboxed(self) -> bool:
        """Whether Darknet letterboxes images for this network: with letter_box=1, and pjreddie's except for YOLOv1."""
        by_dialect = self.dialect == "pjreddie" and "detection" not in self.kinds
        return self.input.letter_box or by_dialect

    @property
    def tree(self) -> Tree | None:
        """The class hierarchy of the heads, or of the [softmax] at the end of a classifier; None without one."""
        softmax = self._softmax()
        ends = self.heads or (() if softmax is None else (softmax,))
        trees = (getattr(self.layers[index], "tree", None) for index in ends)
        return next((tree for tree in trees if tree is not None), None)

    @property
    def classes(self) -> int:
        """The number of classes: the same for all heads, or the outputs of a classifier."""
        if self.heads:
            return self.layers[self.heads[-1]].classes
        # a [softmax] has as many outputs as inputs
        softmax = self._softmax()
        return math.prod(self.shapes[-1 if softmax is None else softmax])

    def forward(self, images: Tensor, first_trainable: int = 0) -> list[Tensor]:
        """Compute the raw maps. Training and evaluation give the same maps.

        Args:
            images: float32 `[B, C, H, W]`, RGB 0..1. H and W may differ from the cfg's if all strides divide them.
            first_trainable: no gradient is computed in the layers below this index (AlexeyAB network_kernels.cu
                backward_network_gpu).

        Returns:
            One raw map for each head in cfg order, `[B, A*(5+classes), h, w]`. Without a head: [the input of the
            softmax, or the output of the last layer]. A map is freed when no later layer reads it.
        """
        if images.ndim != 4 or images.shape[1] != self.input.channels:
            expected = f"[B, {self.input.channels}, H, W]"
            raise ValueError(f"found images of shape {list(images.shape)}, expected {expected}")
        features: dict[int, Tensor] = {IMAGE: images}
        if first_trainable:
            with torch.no_grad():
                self._pass(features, 0, first_trainable)
        self._pass(features, first_trainable, len(self.layers))
        return [features[index] for index in self.outputs]

    def _pass(self, features: dict[int, Tensor], first: int, end: int) -> None:
        """Compute the layers from `first` up to `end` into `features`, and remove features that are no longer read."""
        rows = enumerate(zip(self.layers, self.sources, strict=True))
        for index, (layer, sources) in islice(rows, first, end):
            features[index] = layer(*[features[source] for source in sources])
            if index in self._detached:
                features[index] = features[index].detach()
            for used in self._released[index]:
                del features[used]

    def decode(self, raw: list[Tensor]) -> Predictions:
        """Decode raw maps into the Predictions of all heads, in the order head, anchor, row, column."""
        if not self.heads:
            raise ValueError("found a network without a detection head, expected at least one [yolo]")
        parts = [self.layers[head].decode(map_) for head, map_ in zip(self.heads, raw, strict=True)]
        return Predictions(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)))

    def classify(self, raw: list[Tensor]) -> Tensor:
        """Return the probabilities `[B, classes]` for the output of `forward`: the softmax, if the network has one.

        With a class hierarchy: each class's probability times those of its ancestors (pjreddie tree.c
        hierarchy_predictions).
        """
        if self.heads:
            raise ValueError("found a network with a detection head, expected a classifier")
        softmax = self._softmax()
        if softmax is None:
            return raw[0].flatten(1)
        probabilities = self.layers[softmax](raw[0]).flatten(1)
        tree = self.tree
        return probabilities if tree is None else path_probabilities(probabilities, tree)


def last_output(kinds: Sequence[str]) -> int:
    """Return the index of the last layer that is not a [cost]; 0 if there is none."""
    return max((index for index, kind in enumerate(kinds) if kind != "cost"), default=0)


def build(
    sections: list[Section], size: tuple[int, int] | None = None, dialect: str = "alexeyab"
) -> tuple[Network, list[str]]:
    """Build the network of a cfg's sections. Return it and the keys that are not used, as "key=value (line n)"."""
    if dialect not in WEIGHTS_VERSIONS:
        raise ValueError(f"found dialect {dialect!r}, expected one of {', '.join(WEIGHTS_VERSIONS)}")
    net, *rest = sections
    # first, so that the error for a recurrent network names its layers, not a missing width
    builders = [get_builder(section) for section in rest]
    input_settings = read_input(net, size)
    training_settings = read_training(net)
    if not 1 <= len(rest) <= MOST_LAYERS:
        found = "only [net]" if not rest else f"{counted(len(rest), 'layer')} after [net]"
        raise CfgError(f"{net.path}: found {found}, expected 1 to {MOST_LAYERS} layers after it")
    built: list[Built] = []
    numbers = 0
    totals = _Totals(0.0, 0)
    for section, builder in zip(rest, builders, strict=True):
        layer = builder(section, BuildContext(input_settings, dialect, built, numbers))
        _check_sources(section, layer, built)
        _check_shape(section, layer.shape)
        built.append(layer)
        totals = _added(totals, layer, built, input_settings)
        _check_totals(section, totals)
        numbers += sum(tensor.numel() for _, tensor in stored_tensors(layer.module))
    _check_classes(rest, built)
    controls = tuple(read_controls(section) for section in rest)
    unread = [str(entry) for section in sections for entry in section.unread()]
    kinds = tuple(section.kind for section in rest)
    network = Network(kinds, built, input_settings, training_settings, controls, dialect)
    if numbers <= MOST_DRAWN_NUMBERS:
        network.draw_weights()
    return network, unread


def _check_sources(section: Section, layer: Built, built: list[Built]) -> None:
    """Raise CfgError for a layer that reads a head. Darknet would read activated values; heads have no output here."""
    for source in layer.sources:
        if source >= 0 and built[source].head is not None:
            raise CfgError(
                f"{section.path}:{section.line}: found [{section.kind}] after the head in layer {source}, "
                "expected [route] to the layer to go on from"
            )


def _check_shape(section: Section, shape: Shape) -> None:
    channels, height, width = shape
    if channels * height * width > LARGEST_MAP:
        raise CfgError(
            f"{section.path}:{section.line}: [{section.kind}] found an output of {channels}x{height}x{width}, "
            f"expected at most {LARGEST_MAP} values"
        )


class _Totals(NamedTuple):
    """What an image needs in the layers so far: operations, and bytes of all outputs in float32."""

    operations: float
    bytes: int


def _added(totals: _Totals, layer: Built, built: Sequence[Built], image: InputSettings) -> _Totals:
    source = layer.sources[0]
    shape = (image.channels, image.height, image.width) if source == IMAGE else built[source].shape
    operations = layer_operations(layer.module, shape, layer.shape)
    return _Totals(totals.operations + operations, totals.bytes + FLOAT_BYTES * math.prod(layer.shape))


def _check_totals(section: Section, totals: _Totals) -> None:
    """Raise CfgError, naming the section, if the network up to it is too large to compute."""
    for found, most, unit, what in (
        (totals.operations, MOST_OPERATIONS, 1e9, "BFLOPs"),
        (totals.bytes, MOST_OUTPUT_BYTES, 2**30, "GiB of outputs"),
    ):
        if found > most:
            raise CfgError(
                f"{section.path}:{section.line}: [{section.kind}] found {found / unit:,.0f} {what} for one image up to "
                f"this layer, expected at most {most / unit:,.0f}; is a size or a stride mistyped?"
            )


def _check_classes(sections: list[Section], built: list[Built]) -> None:
    """Raise CfgError unless all heads have the same classes: their predictions are concatenated."""
    heads = [each for each in zip(sections, built, strict=True) if each[1].head is not None]
    for section, head in heads[1:]:
        classes = heads[0][1].module.classes
        if head.module.classes != classes:
            runs = "Darknet runs it, but has room for the classes of one head only"
            raise section.error("classes", f"{classes}, as in the first head; {runs}")


def _last_uses(sources: tuple[tuple[int, ...], ...], outputs: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return for each layer the features that no later layer reads and that are no output."""
    last = {source: index for index, layer_sources in enumerate(sources) for source in layer_sources}
    for index in range(len(sources)):
        last.setdefault(index, index)  # read by no layer: freed at once
    return tuple(
        tuple(s for s, at in last.items() if at == index and s not in outputs) for index in range(len(sources))
    )
