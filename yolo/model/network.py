"""The network: a cfg's layers in order, each fed by the layers it names.

`Network.from_cfg(path)` builds it, `network(images)` gives a raw map for each head, `network.decode(raw)` the boxes,
objectness and class probabilities.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from yolo.cfg import Section, override, read_cfg
from yolo.errors import CfgError
from yolo.model import build_heads, build_layers
from yolo.model.graph import Before, Built, Shape
from yolo.model.heads import Predictions
from yolo.settings import HeadSettings, InputSettings, TrainingSettings, read_input, read_training

WEIGHTS_VERSION = (0, 2, 5)  # what AlexeyAB's Darknet writes (parser.c save_weights_upto)
PICTURE = -1  # the index that stands for the network's input

Builder = Callable[[Section, Before], Built]

# The kinds of section: a new one is a layer, a builder and a row here.
BUILDERS: dict[str, Builder] = {
    "conv": build_layers.build_convolutional,
    "convolutional": build_layers.build_convolutional,
    "max": build_layers.build_maxpool,
    "maxpool": build_layers.build_maxpool,
    "shortcut": build_layers.build_shortcut,
    "route": build_layers.build_route,
    "upsample": build_layers.build_upsample,
    "dropout": build_layers.build_dropout,
    "activation": build_layers.build_activation,
    "yolo": build_heads.build_yolo,
    "Gaussian_yolo": build_heads.build_gaussian_yolo,
    "region": build_heads.build_region,
    "avg": build_layers.build_avgpool,
    "avgpool": build_layers.build_avgpool,
    "scale_channels": build_layers.build_scale_channels,
    "sam": build_layers.build_sam,
    "reorg": build_layers.build_reorg,
    "reorg3d": build_layers.build_reorg3d,
    "soft": build_layers.build_softmax,
    "softmax": build_layers.build_softmax,
    "cost": build_layers.build_cost,
}

log = logging.getLogger(__name__)


class Network(nn.Module):
    """Any Darknet picture network.

    layers: the modules, by Darknet's index ([net] is not counted); heads: indices of the detection heads;
    input, training, head_settings: what the cfg says beyond the graph;
    weights_version: the header that its .weights file came with, kept for saving.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        built: tuple[Built, ...],
        input_settings: InputSettings,
        training_settings: TrainingSettings,
    ) -> None:
        super().__init__()
        self.kinds = kinds
        self.layers = nn.ModuleList(layer.module for layer in built)
        self.sources: tuple[tuple[int, ...], ...] = tuple(layer.sources for layer in built)
        self.shapes: tuple[Shape, ...] = tuple(layer.shape for layer in built)
        self.heads = tuple(index for index, layer in enumerate(built) if layer.head is not None)
        self.head_settings: tuple[HeadSettings, ...] = tuple(
            layer.head for layer in built if layer.head is not None
        )
        self.input = input_settings
        self.training_settings = training_settings
        self.weights_version = WEIGHTS_VERSION
        self._released = _last_uses(self.sources, self.outputs)

    @classmethod
    def from_cfg(
        cls,
        path: str | Path,
        size: tuple[int, int] | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> "Network":
        """Build the network of a .cfg file; `size` (height, width) and `overrides` go before what `[net]` says.

        Raises CfgError with file, line and key for whatever cannot become a network, and for an override that
        nothing reads. Keys of the file that nobody reads are logged once, with their lines.
        """
        overrides = dict(overrides or {})
        network, unread = build(override(read_cfg(path), overrides), size)
        for key, value in overrides.items():
            if any(entry.startswith(f"{key}={value} (") for entry in unread):
                raise CfgError(
                    f"{path}: found {key}={value} for [net], expected a key that is read"
                )
        if unread:
            log.warning("%s: keys that nothing reads: %s", path, ", ".join(unread))
        return network

    @property
    def outputs(self) -> tuple[int, ...]:
        """Indices of the layers whose outputs are the raw maps: the heads, which hand them on, or the last layer.

        Of a classifier it is what enters its [softmax].
        """
        for kind, sources in zip(self.kinds, self.sources, strict=True):
            if kind in ("soft", "softmax") and not self.heads:
                return sources
        return self.heads or (len(self.layers) - 1,)

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 `[B, C, H, W]`, RGB 0..1 → the raw maps, one a head in cfg order, `[B, A*(5+classes), h, w]`.

        Without a head: [the last layer's output]. The same in training and evaluation. H and W may differ from
        the cfg's as long as the network's strides divide them. A map is dropped once no later layer reads it.
        """
        if images.ndim != 4 or images.shape[1] != self.input.channels:
            expected = f"[B, {self.input.channels}, H, W]"
            raise ValueError(f"found images of shape {list(images.shape)}, expected {expected}")
        features: dict[int, Tensor] = {PICTURE: images}
        for index, (layer, sources) in enumerate(zip(self.layers, self.sources, strict=True)):
            features[index] = layer(*[features[source] for source in sources])
            for used in self._released[index]:
                del features[used]
        return [features[index] for index in self.outputs]

    def decode(self, raw: list[Tensor]) -> Predictions:
        """Raw maps → Predictions of all heads, head by head, then anchor, row, column."""
        if not self.heads:
            raise ValueError(
                "found a network without a detection head, expected at least one [yolo]"
            )
        parts = [self.layers[head].decode(map_) for head, map_ in zip(self.heads, raw, strict=True)]
        return Predictions(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)))


def build(
    sections: list[Section], size: tuple[int, int] | None = None
) -> tuple[Network, list[str]]:
    """The network of a cfg's sections, and its unread keys as "key=value (line n)"."""
    net, *rest = sections
    input_settings = read_input(net, size)
    training_settings = read_training(net)
    if not rest:
        raise CfgError(f"{net.path}: found only [net], expected layers after it")
    built: tuple[Built, ...] = ()
    for section in rest:
        if section.kind not in BUILDERS:
            expected = ", ".join(sorted(BUILDERS))
            raise CfgError(
                f"{section.path}:{section.line}: found [{section.kind}], expected one of {expected}"
            )
        built += (BUILDERS[section.kind](section, Before(input_settings, built)),)
    _check_classes(rest, built)
    unread = [
        f"{entry.key}={entry.value} (line {entry.line})"
        for section in sections
        for entry in section.unread()
    ]
    kinds = tuple(section.kind for section in rest)
    return Network(kinds, built, input_settings, training_settings), unread


def _check_classes(sections: list[Section], built: tuple[Built, ...]) -> None:
    """All heads must speak of the same classes: their predictions are laid side by side."""
    heads = [
        (s, b.module.classes) for s, b in zip(sections, built, strict=True) if b.head is not None
    ]
    for section, classes in heads[1:]:
        if classes != heads[0][1]:
            raise section.error("classes", f"{heads[0][1]}, as in the first head")


def _last_uses(
    sources: tuple[tuple[int, ...], ...], outputs: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """For each layer, the features that no layer after it reads and that are no output."""
    last = {
        source: index for index, layer_sources in enumerate(sources) for source in layer_sources
    }
    for index in range(len(sources)):
        last.setdefault(index, index)  # read by nobody: gone at once
    released: list[tuple[int, ...]] = []
    for index in range(len(sources)):
        released.append(tuple(s for s, at in last.items() if at == index and s not in outputs))
    return tuple(released)
