"""An exported file in the place of a network, for a `Detector`: names, input and decoding come from its metadata."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from yolo.deploy.file_kinds import open_file
from yolo.deploy.metadata import FileDescription, read_description
from yolo.deploy.readers import read_outputs
from yolo.errors import WeightsError
from yolo.records import Predictions
from yolo.settings import InputSettings


@dataclass(frozen=True)
class NmsSettings:
    """What a Detector asks a head for."""

    nms_kind: str
    beta_nms: float


class ExportedNetwork(nn.Module):
    """What a Detector uses of a Network, computed by an exported file on the CPU.

    Attributes:
        description: What the file's metadata say.
        input, heads, layers, head_settings, classes, tree: As a Network's. A class hierarchy is already resolved in
            the file.
    """

    def __init__(self, description: FileDescription, run: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        height, width = description.size
        self.description = description
        self.input = InputSettings(height, width, description.channels, description.letterbox)
        self.heads = (0,)
        self.layers = nn.ModuleList([nn.Identity()])  # in the place of a head: the file decodes itself
        self.head_settings = (NmsSettings(description.nms_kind, description.beta_nms),)
        self.classes = len(description.names)
        self.tree = None
        self.run = run
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # a Detector asks where the parameters are

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return boxes, objectness and class probabilities, see Predictions."""
        size = self.description.batch
        if size is None or size == len(images):
            return list(self._predict(images))
        parts = [self._predict(_filled(group, size)) for group in images.split(size)]
        return [_concatenated(tensors)[: len(images)] for tensors in zip(*parts, strict=True)]

    def decode(self, raw: list[Tensor]) -> Predictions:
        """Return what `forward` returned as Predictions."""
        return Predictions(*raw)

    def _predict(self, images: Tensor) -> Predictions:
        return read_outputs(self.description, self.run(images), len(images))


def open_network(path: Path) -> ExportedNetwork:
    """Return the network in an exported file.

    Raises:
        MissingPackageError: The package that runs it is not installed.
        OSError: It cannot be read.
        WeightsError: It is damaged, of another program, or a classifier.
    """
    opened = open_file(path)
    description = read_description(path, opened.metadata)
    if description.classifier:
        raise WeightsError(f"{path}: found a classifier, expected a detector")
    return ExportedNetwork(description, opened.run)


def _filled(images: Tensor, size: int) -> Tensor:
    """Return `size` images: the given ones, then black ones."""
    return torch.cat((images, images.new_zeros(size - len(images), *images.shape[1:])))


def _concatenated(tensors: tuple[Tensor, ...]) -> Tensor:
    """Concatenate batches; the layout `nms` gives them different numbers of predictions, which zeros fill up."""
    most = max(each.shape[1] for each in tensors)
    filled = []
    for each in tensors:
        missing = each.new_zeros(each.shape[0], most - each.shape[1], *each.shape[2:])
        filled.append(torch.cat((each, missing), dim=1))
    return torch.cat(filled)
