"""Run an exported file instead of a network in a `Detector`: names, input and decoding come from its metadata."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from yolo.defaults import CLASSIFIER_LAYOUT
from yolo.deploy.file_kinds import open_file
from yolo.deploy.layouts import RAW
from yolo.deploy.metadata import FileDescription, read_description
from yolo.deploy.readers import read_outputs
from yolo.detect.detector import Detector
from yolo.errors import WeightsError, shorten
from yolo.named_files import model_names
from yolo.records import Predictions
from yolo.settings import InputSettings

# What libraries and layouts raise for an input or outputs that differ from the metadata.
MISFITS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)


@dataclass(frozen=True)
class NmsSettings:
    """The settings of a head that a Detector reads."""

    nms_kind: str
    beta_nms: float


class ExportedNetwork(nn.Module):
    """The part of a Network that a Detector uses, computed by an exported file on the CPU.

    Args:
        path: Of the file, for errors.
        description: Its metadata.
        run: Computes its outputs.

    Attributes:
        description: As above.
        input, heads, layers, head_settings, classes, tree: As a Network's. A class hierarchy is already resolved in
            the file.
    """

    def __init__(self, path: Path, description: FileDescription, run: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        height, width = description.size
        self.path = path
        self.description = description
        self.input = InputSettings(height, width, description.channels, description.letterbox)
        self.heads = (0,)
        self.layers = nn.ModuleList([nn.Identity()])  # instead of a head: the file decodes itself
        self.head_settings = (NmsSettings(description.nms_kind, description.beta_nms),)
        self.classes = len(description.names)
        self.tree = None
        self.run = run
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # a Detector reads the device of the parameters

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return boxes, objectness and class probabilities, see Predictions. Raises WeightsError if the file has
        other outputs than in its metadata."""
        return _in_batches(images, self.description.batch, self._predict)

    def decode(self, raw: list[Tensor]) -> Predictions:
        """Return the outputs of `forward` as Predictions."""
        return Predictions(*raw)

    def _predict(self, images: Tensor) -> Predictions:
        try:
            predictions = read_outputs(self.description, self.run(images), len(images))
        except MISFITS as error:
            raise _misfit(self.path, str(error)) from error
        shapes = [tuple(each.shape) for each in predictions]
        rows = (len(images), *shapes[1][1:])
        if len(rows) != 2 or shapes != [(*rows, 4), rows, (*rows, self.classes)]:
            raise _misfit(self.path, f"outputs {shapes}")
        return predictions


class ExportedClassifier(nn.Module):
    """The part of a Network that a Classifier uses, computed by an exported file. Args, attributes: as above."""

    def __init__(self, path: Path, description: FileDescription, run: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        height, width = description.size
        self.path = path
        self.description = description
        self.input = InputSettings(height, width, description.channels, description.letterbox)
        self.heads = ()
        self.classes = len(description.names)
        self.tree = None
        self.dialect = description.dialect
        self.run = run

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [probabilities `[B, classes]`]. Raises WeightsError if the file has other outputs."""
        try:
            (probs,) = _in_batches(images, self.description.batch, self.run)
        except MISFITS as error:
            raise _misfit(self.path, str(error)) from error
        if probs.flatten(1).shape != (len(images), self.classes):
            raise _misfit(self.path, f"outputs {tuple(probs.shape)}")
        return [probs]

    def classify(self, raw: list[Tensor]) -> Tensor:
        """Return the output of `forward`."""
        return raw[0].flatten(1)


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
        raise WeightsError(f"{path}: found a classifier, expected a detector; use yolo-darknet classify --model")
    return ExportedNetwork(path, description, opened.run)


def open_detector(
    path: Path, names: Path | None, score_thresh: float, nms_thresh: float, letterbox: bool = False
) -> Detector:
    """Return a detector that an exported file computes.

    Args:
        path: The file.
        names: A .names file that replaces the names in the file.
        score_thresh, nms_thresh: As of a Detector.
        letterbox: Whether images keep their aspect ratio even if the file's metadata do not ask for it.

    Raises:
        DatasetError: `names` has another number of classes than the file, or cannot be read.
        MissingPackageError, OSError, WeightsError: As `open_network`.
    """
    network = open_network(path)
    used = network.description.names if names is None else model_names(names, network.classes, path)
    letterbox = letterbox or network.description.letterbox
    return Detector(network, used, score_thresh, nms_thresh, letterbox=letterbox, engine=network)


def open_classifier(path: Path) -> ExportedClassifier:
    """Return the classifier in an exported file.

    Raises:
        MissingPackageError: The package that runs it is not installed.
        OSError: It cannot be read.
        WeightsError: It is damaged, of another program, a detector, or holds no probabilities.
    """
    opened = open_file(path)
    description = read_description(path, opened.metadata)
    if not description.classifier:
        raise WeightsError(f"{path}: found a detector, expected a classifier; use yolo-darknet detect --model")
    if description.layout == RAW:
        raise WeightsError(f"{path}: found layout raw, what enters the softmax; expected --for {CLASSIFIER_LAYOUT}")
    return ExportedClassifier(path, description, opened.run)


def _misfit(path: Path, found: str) -> WeightsError:
    line = shorten((found.splitlines() or [""])[0])
    return WeightsError(f"{path}: found a network that differs from its metadata: {line}")


def _in_batches(images: Tensor, size: int | None, run: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
    """Return the result of `run` for images, a batch of `size` at a time (None: of any size)."""
    if size is None or size == len(images):
        return list(run(images))
    parts = [run(_filled(group, size)) for group in images.split(size)]
    return [_concatenated(tensors)[: len(images)] for tensors in zip(*parts, strict=True)]


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
