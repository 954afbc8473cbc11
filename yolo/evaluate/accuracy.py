"""A classifier and a data set → how often the right class is the likeliest, or among the likeliest, class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from terminaltables import AsciiTable
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from yolo.console import progress
from yolo.data.class_folders import ClassifiedImage
from yolo.data.images import read_image
from yolo.data.workers import prepared, start_worker
from yolo.detect.classifier import Classifier, centered, cut
from yolo.errors import DatasetError
from yolo.evaluate.metrics.table import format_ap
from yolo.letterbox import letterboxed, place


@dataclass(frozen=True)
class Accuracy:
    """What a classifier made of a data set, class by class, all int64 `[classes]`.

    images: how many there are; first: those whose class was the likeliest; among: those whose class was among the
    `top` likeliest.
    """

    names: tuple[str, ...]
    top: int
    images: np.ndarray
    first: np.ndarray
    among: np.ndarray

    @property
    def top_1(self) -> float | None:
        """Share of all images whose class was the likeliest; None without an image."""
        return share(int(self.first.sum()), int(self.images.sum()))

    @property
    def top_k(self) -> float | None:
        """Share of all images whose class was among the `top` likeliest; None without an image."""
        return share(int(self.among.sum()), int(self.images.sum()))


class ViewedImages(Dataset):
    """Images as a classifier sees them, in the view of `tools/classify.py`, each with its class.

    size: (height, width) of the network input; letterbox: the whole image, otherwise its middle.
    """

    def __init__(
        self,
        images: Sequence[ClassifiedImage],
        size: tuple[int, int],
        channels: int,
        letterbox: bool,
    ) -> None:
        self.images = images
        self.size = size
        self.channels = channels
        self.letterbox = letterbox

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """float32 `[C, H, W]` 0..1, class."""
        path, label = self.images[index].path, self.images[index].label
        image = read_image(path, self.channels)
        if self.letterbox:
            return place(image, letterboxed(image.shape[:2], self.size)), label
        try:
            return cut(image, centered(image.shape[:2], self.size)), label
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error


def score(
    classifier: Classifier, images: Sequence[ClassifiedImage], batch: int, workers: int
) -> Accuracy:
    """Let `classifier` rank the classes of every image, `batch` at a time (classifier.c validate_classifier_single).

    Its `top` says how many classes an image has a chance with; its network stays in evaluation mode, on its device.
    Raises DatasetError for an image that has gone bad since it was checked, or that is too elongated to be cut.
    """
    network = classifier.network.eval()
    size = network.input.height, network.input.width
    dataset = ViewedImages(images, size, network.input.channels, classifier.letterbox)
    loader = DataLoader(dataset, batch_size=batch, num_workers=workers, worker_init_fn=start_worker)
    labels, first, among = [], [], []
    for inputs, ground_truth in progress(prepared(loader), "scoring", len(loader)):
        ranked = torch.stack([ranking.labels for ranking in classifier.rank(inputs)])
        hits = ranked == ground_truth[:, None]
        labels.append(ground_truth)
        first.append(hits[:, 0])
        among.append(hits.any(dim=1))
    return accuracy_of(
        classifier.names, min(classifier.top, len(classifier.names)), labels, first, among
    )


def accuracy_of(
    names: Sequence[str],
    top: int,
    labels: Sequence[Tensor],
    first: Sequence[Tensor],
    among: Sequence[Tensor],
) -> Accuracy:
    """Batches of classes int64 `[B]` and of hits bool `[B]` → Accuracy."""
    ground_truth = np.concatenate([np.zeros(0, np.int64), *(each.numpy() for each in labels)])
    counts = [
        np.bincount(ground_truth[hits], minlength=len(names))
        for hits in (
            np.ones(len(ground_truth), bool),
            np.concatenate([np.zeros(0, bool), *(each.numpy() for each in first)]),
            np.concatenate([np.zeros(0, bool), *(each.numpy() for each in among)]),
        )
    ]
    return Accuracy(tuple(names), top, *counts)


def share(hits: int, images: int) -> float | None:
    """hits / images; None without an image."""
    return hits / images if images else None


def accuracy_table(accuracy: Accuracy) -> str:
    """A row a class, then one of all images; of a class without an image n/a."""
    rows = zip(
        (*accuracy.names, "all"),
        *(
            (*counts.tolist(), int(counts.sum()))
            for counts in (accuracy.images, accuracy.first, accuracy.among)
        ),
        strict=True,
    )
    body = [
        [name, str(images), format_ap(share(first, images)), format_ap(share(among, images))]
        for name, images, first, among in rows
    ]
    table = AsciiTable([["class", "images", "top-1", f"top-{accuracy.top}"], *body])
    table.inner_footing_row_border = True
    table.justify_columns = {column: "right" for column in range(1, 4)}
    return table.table


def accuracy_line(accuracy: Accuracy) -> str:
    """All of it in one line: `top-1 0.731200  top-5 0.912300`."""
    first, among = (format_ap(value, digits=6) for value in (accuracy.top_1, accuracy.top_k))
    return f"top-1 {first}  top-{accuracy.top} {among}"
