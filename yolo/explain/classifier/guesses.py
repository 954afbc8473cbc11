"""The predictions of a classifier for a data set: likeliest classes, and the probability of the true class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from yolo.data.class_folders import ClassifiedImage
from yolo.detect.classifier import Classifier
from yolo.errors import DatasetError
from yolo.evaluate.accuracy import Accuracy, viewed_batches

SMALLEST = 1e-12  # probability; a smaller one adds no information to the loss, and 0 would make it infinite


@dataclass(frozen=True)
class Guess:
    """The prediction of a classifier for one image.

    labels, probabilities: the likeliest classes, best first. ground_truth_probability: of the image's own class.
    rank: how many classes are likelier; of equal ones the first comes first.
    """

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
    ground_truth_probability: float
    rank: int

    @property
    def loss(self) -> float:
        """The cross entropy of the image, -log of the probability of its class."""
        return -math.log(max(self.ground_truth_probability, SMALLEST))


def guess_classes(classifier: Classifier, images: Sequence[ClassifiedImage], batch: int, workers: int) -> list[Guess]:
    """Run a classifier on images.

    Args:
        classifier: its `top` is the number of classes that a guess keeps.
        images: image files with their class.
        batch: images at a time.
        workers: processes that read images.

    Raises:
        DatasetError: an image can no longer be read, is too elongated for a crop, or gets a probability that is not
            finite.
    """
    guesses: list[Guess] = []
    for inputs, labels in viewed_batches(classifier, images, batch, workers):
        probabilities = classifier.probabilities(inputs)
        if not probabilities.isfinite().all():
            row = int(torch.nonzero(~probabilities.isfinite().all(dim=1))[0])
            place = images[len(guesses) + row].path
            raise DatasetError(f"{place}: found probabilities that are not finite; is the weights file damaged?")
        values, ranked = torch.sort(probabilities, dim=1, descending=True, stable=True)
        ranks = (ranked == labels[:, None]).int().argmax(dim=1)
        ground_truth = probabilities.gather(1, labels[:, None])[:, 0]
        columns = (ranked[:, : classifier.top], values[:, : classifier.top], ground_truth, ranks)
        for best, scores, probability, rank in zip(*(column.tolist() for column in columns), strict=True):
            guesses.append(Guess(tuple(best), tuple(scores), probability, rank))
    return guesses


def accuracy_of(names: Sequence[str], images: Sequence[ClassifiedImage], guesses: Sequence[Guess], k: int) -> Accuracy:
    """Count the images of each class, and those whose class is the most probable or among the `k` most probable.

    Args:
        names: the classes.
        images: image files with their class.
        guesses: of the classifier, for each image.
        k: of top-k.
    """
    ground_truth = np.array([image.label for image in images], np.int64)
    ranks = np.array([guess.rank for guess in guesses], np.int64)
    counts = (np.bincount(ground_truth[chosen], minlength=len(names)) for chosen in (ranks >= 0, ranks < 1, ranks < k))
    return Accuracy(tuple(names), k, *counts)
