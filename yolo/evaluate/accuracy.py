"""Top-1 and top-k accuracy of a classifier on a data set, for each class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from terminaltables import AsciiTable
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from yolo.console.progress import progress
from yolo.data.class_folders import ClassifiedImage
from yolo.data.images import ignore_remark, read_image
from yolo.data.workers import joined_in_worker, prepared, start_worker
from yolo.detect.classifier import Classifier, center_crop, center_placement
from yolo.errors import DatasetError
from yolo.evaluate.metrics.operating_point import ratio
from yolo.evaluate.metrics.table import format_ap
from yolo.letterbox import letterboxed, place


@dataclass(frozen=True)
class Accuracy:
    """Counts of images by their class, all int64 `[classes]`.

    images: all images. first: those whose class had the highest probability. among: those whose class was among the
    `top` highest.
    """

    names: tuple[str, ...]
    top: int
    images: np.ndarray
    first: np.ndarray
    among: np.ndarray

    @property
    def top_1(self) -> float | None:
        """The fraction of all images whose class had the highest probability; None without an image."""
        return ratio(int(self.first.sum()), int(self.images.sum()))

    @property
    def top_k(self) -> float | None:
        """The fraction of all images whose class was among the `top` highest; None without an image."""
        return ratio(int(self.among.sum()), int(self.images.sum()))


@dataclass(frozen=True)
class ViewedImages(Dataset):
    """Images prepared for a classifier as `classify` does, each with its class.

    size: (height, width) of the network input. letterbox: use the whole image, otherwise a center crop.
    """

    images: Sequence[ClassifiedImage]
    size: tuple[int, int]
    channels: int
    letterbox: bool

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return (image float32 `[C, H, W]` in 0..1, class)."""
        path, label = self.images[index].path, self.images[index].label
        image = read_image(path, self.channels, ignore_remark)
        if self.letterbox:
            return place(image, letterboxed(image.shape[:2], self.size)), label
        try:
            return center_crop(image, center_placement(image.shape[:2], self.size)), label
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error


def classifier_accuracy(
    classifier: Classifier, images: Sequence[ClassifiedImage], batch: int, workers: int
) -> Accuracy:
    """Rank the classes of every image and count the correct ones (classifier.c validate_classifier_single).

    Args:
        classifier: its `top` is the k of top-k; its network stays in evaluation mode, on its device.
        images: image files with their class.
        batch: images at a time.
        workers: processes that read images.

    Raises:
        DatasetError: an image can no longer be read, or is too elongated for a crop.
    """
    classes = len(classifier.names)
    counts = np.zeros((3, classes), np.int64)
    for inputs, labels in viewed_batches(classifier, images, batch, workers):
        ranked = torch.stack([ranking.labels for ranking in classifier.rank(inputs)])
        correct = ranked == labels[:, None]
        for row, chosen in zip(
            counts, (torch.ones_like(labels, dtype=torch.bool), correct[:, 0], correct.any(dim=1)),
            strict=True,
        ):  # fmt: skip
            row += np.bincount(labels[chosen].numpy(), minlength=classes)
    return Accuracy(tuple(classifier.names), min(classifier.top, classes), *counts)


def viewed_batches(
    classifier: Classifier, images: Sequence[ClassifiedImage], batch: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the network inputs of images, in order.

    Args:
        classifier: its network is set to evaluation mode.
        images: image files with their class.
        batch: images at a time.
        workers: processes that read images.

    Yields:
        network inputs `[B, C, H, W]` and classes int64 `[B]`.

    Raises:
        DatasetError: an image can no longer be read, or is too elongated for a crop.
    """
    network = classifier.network.eval()
    size = network.input.height, network.input.width
    dataset = ViewedImages(images, size, network.input.channels, classifier.letterbox)
    join = partial(joined_in_worker, default_collate)
    loader = DataLoader(dataset, batch, num_workers=workers, collate_fn=join, worker_init_fn=start_worker)
    yield from progress(prepared(loader), "scoring", len(loader))


def accuracy_table(accuracy: Accuracy) -> str:
    """Format one row per class, then one of all images; n/a without an image."""
    rows = zip(
        (*accuracy.names, "all"),
        *((*counts.tolist(), int(counts.sum())) for counts in (accuracy.images, accuracy.first, accuracy.among)),
        strict=True,
    )
    body = [
        [name, str(images), format_ap(ratio(first, images)), format_ap(ratio(among, images))]
        for name, images, first, among in rows
    ]
    table = AsciiTable([["class", "images", "top-1", f"top-{accuracy.top}"], *body])
    table.inner_footing_row_border = True
    table.justify_columns = {column: "right" for column in range(1, 4)}
    return table.table
