"""Compare a network with the ground truth of one image: find its labels, its loss and the fates of its objects."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from yolo.data_file import DataFile
from yolo.detect.detector import Detector
from yolo.explain.loss.object_fates import ObjectFate, fates_in_input
from yolo.explain.loss.placed import placed_targets
from yolo.explain.loss.taken_apart import ImageLoss, take_apart
from yolo.formats.label_files import label_files, labeled_boxes, read_list, read_rows
from yolo.letterbox import Placement
from yolo.records import LabeledBoxes
from yolo.train.losses.detection import DetectionLoss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparedImage:
    """An image compared with its labels: its loss, and the fate of each object."""

    loss: ImageLoss
    fates: tuple[ObjectFate, ...]
    placement: Placement


def image_labels(image: Path, classes: int, data: DataFile | None = None) -> LabeledBoxes | None:
    """Return the labels of an image, from its label file; None if there is none. Log the rows that cannot be used.

    If the image is in a list of the data set, its path in the list decides where its labels are, and an image without
    a label file has no objects, as in training.

    Raises:
        OSError: a file cannot be read.
        DatasetError: a list of the data set cannot be read.
    """
    place = None if data is None else _listed(image, data)
    file = next(label_files(place or image), None) or next(label_files(image), None)
    if file is None:
        return None if place is None else labeled_boxes([])
    rows, faults = read_rows(file, classes)
    for fault in faults:
        log.warning("%s; this row is left out", fault)
    return labeled_boxes(rows)


@torch.no_grad()
def compare_with_labels(
    detector: Detector, loss: DetectionLoss, pixels: np.ndarray, labels: LabeledBoxes, seen: int
) -> ComparedImage:
    """Compare the predictions of a network for an image with its labels.

    Args:
        detector: the network, with its thresholds and placement.
        loss: of the network.
        pixels: uint8 `[H, W, C]`.
        labels: of the image.
        seen: images that the network was trained on.
    """
    network = detector.network
    inputs, placement = detector.prepare(pixels)
    raw = network(inputs[None].to(next(network.parameters()).device))
    targets = placed_targets([labels], [placement])
    apart = take_apart(loss, raw, targets, seen)
    _, fates = fates_in_input(detector, raw, targets)
    return ComparedImage(apart, tuple(fates), placement)


def _listed(image: Path, data: DataFile) -> Path | None:
    """Return the path of an image in the lists of a data set; None if it is in none of them."""
    real = image.resolve()
    for listed in (data.train, data.valid):
        if listed is not None and Path(listed).exists():
            for path in read_list(listed):
                if path.name == image.name and path.resolve() == real:
                    return path
    return None
