"""The report of a classifier on a data set, as records: accuracy, confusions, calibration, images with their losses."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolo.data.class_folders import ClassifiedImage
from yolo.evaluate.analysis.json_records import json_name
from yolo.evaluate.analysis.report import About
from yolo.evaluate.metrics.calibration import Calibration, calibration
from yolo.evaluate.metrics.operating_point import ratio
from yolo.explain.classifier.guesses import Guess

FORMAT = 1  # of classifier.json
CLASSIFIER_FILE = "classifier.json"
MOST_IN_A_MATRIX = 100  # classes; the page shows pairs alone of more
MOST_PAIRS = 200  # confused pairs in the file
TOP_LOSSES = 24
CORRECT_IMAGES = 12  # half of them the least sure, half the surest


@dataclass(frozen=True)
class ClassAccuracy:
    """One class. first, among: images whose class was the likeliest, or among the top k. guessed: images that it was
    the likeliest class of; precision: the fraction of them that belong to it. A fraction of 0 images is None."""

    name: str
    images: int
    first: int
    among: int
    guessed: int
    top_1: float | None
    top_k: float | None
    precision: float | None


@dataclass(frozen=True)
class ConfusedPair:
    """How often images of one class were taken for another; `images`: of the first class."""

    ground_truth: str = json_name("truth")
    guess: str
    count: int
    images: int


@dataclass(frozen=True)
class GuessedImage:
    """An image with its guess; the classes are names, the likeliest first."""

    path: str
    ground_truth: str = json_name("truth")
    ground_truth_probability: float = json_name("truth_probability")
    rank: int
    loss: float
    guesses: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class ClassifierReport:
    """The report. k: of top-k; confidence: mean probability of the likeliest class; loss: mean cross entropy.

    matrix: rows are the images' classes, columns the likeliest classes; empty with more than MOST_IN_A_MATRIX classes.
    """

    format: int
    about: About
    images: int
    k: int
    top_1: float | None
    top_k: float | None
    confidence: float | None
    loss: float | None
    classes: tuple[ClassAccuracy, ...]
    pairs: tuple[ConfusedPair, ...]
    matrix: tuple[tuple[int, ...], ...]
    calibration: Calibration
    top_losses: tuple[GuessedImage, ...]
    correct: tuple[GuessedImage, ...]


def classifier_report(
    names: Sequence[str], images: Sequence[ClassifiedImage], guesses: Sequence[Guess], k: int, about: About
) -> ClassifierReport:
    """Build the report of a classifier.

    Args:
        names: of the classes.
        images: with their classes.
        guesses: one for each image.
        k: an image counts for top-k if its class is among the k likeliest.
        about: where the guesses come from.
    """
    ground_truth = np.array([image.label for image in images], np.int64)
    guessed = np.array([guess.labels[0] for guess in guesses], np.int64)
    sure = np.array([guess.probabilities[0] for guess in guesses], np.float64)
    ranks = np.array([guess.rank for guess in guesses], np.int64)
    correct = ground_truth == guessed
    order = sorted(range(len(guesses)), key=lambda at: -guesses[at].loss)
    worst = [at for at in order if not correct[at]] + [at for at in order if correct[at]]
    worst = sorted(worst[:TOP_LOSSES], key=lambda at: -guesses[at].loss)
    sure_order = [at for at in np.argsort(sure, kind="stable").tolist() if correct[at]]
    shown = _least_and_most_sure(sure_order, ground_truth.tolist())
    total = len(images)
    return ClassifierReport(
        format=FORMAT,
        about=about,
        images=total,
        k=k,
        top_1=ratio(int(correct.sum()), total),
        top_k=ratio(int((ranks < k).sum()), total),
        confidence=float(sure.mean()) if total else None,
        loss=float(np.mean([guess.loss for guess in guesses])) if total else None,
        classes=_classes(names, ground_truth, guessed, ranks < k),
        pairs=confused_pairs(names, ground_truth, guessed),
        matrix=_matrix(ground_truth, guessed, len(names)) if len(names) <= MOST_IN_A_MATRIX else (),
        calibration=calibration(sure, correct),
        top_losses=tuple(_image(names, images[at], guesses[at]) for at in worst),
        correct=tuple(_image(names, images[at], guesses[at]) for at in shown),
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names; those of several classes, as two "crane" in ImageNet, with the number of their class."""
    counts = Counter(names)
    return [f"{name} ({label})" if counts[name] > 1 else name for label, name in enumerate(names)]


def confused_pairs(names: Sequence[str], ground_truth: np.ndarray, guessed: np.ndarray) -> tuple[ConfusedPair, ...]:
    """Return the most frequent pairs of an image's class and another one that it was taken for, int64 `[N]` each."""
    images = np.bincount(ground_truth, minlength=len(names))
    wrong = ground_truth != guessed
    counts = Counter(zip(ground_truth[wrong].tolist(), guessed[wrong].tolist(), strict=True))
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_PAIRS]
    return tuple(ConfusedPair(names[one], names[other], count, int(images[one])) for (one, other), count in most)


def _classes(
    names: Sequence[str], ground_truth: np.ndarray, guessed: np.ndarray, among: np.ndarray
) -> tuple[ClassAccuracy, ...]:
    classes = len(names)
    counts = [
        np.bincount(values, minlength=classes).tolist()
        for values in (ground_truth, ground_truth[ground_truth == guessed], ground_truth[among], guessed)
    ]
    return tuple(
        ClassAccuracy(
            name=name,
            images=images,
            first=first,
            among=inside,
            guessed=taken,
            top_1=ratio(first, images),
            top_k=ratio(inside, images),
            precision=ratio(first, taken),
        )
        for name, images, first, inside, taken in zip(names, *counts, strict=True)
    )


def _matrix(ground_truth: np.ndarray, guessed: np.ndarray, classes: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(ground_truth * classes + guessed, minlength=classes**2).reshape(classes, classes)
    return tuple(map(tuple, counts.tolist()))


def _least_and_most_sure(places: Sequence[int], labels: Sequence[int]) -> list[int]:
    """Return some of the correct images, given by ascending probability: the least sure and the surest ones.

    In each half, no class has a second image before all classes have one. labels: the class of every image.
    """
    half = CORRECT_IMAGES // 2
    least = _of_many_classes(places, labels)[:half]
    rest = [at for at in places if at not in set(least)]
    most = _of_many_classes(rest[::-1], labels)[:half]
    return sorted(least, key=places.index) + sorted(most, key=places.index)


def _of_many_classes(places: Sequence[int], labels: Sequence[int]) -> list[int]:
    """Return the first image of each class, then the second ones, and so on."""
    seen: Counter[int] = Counter()
    rounds = []
    for at in places:
        rounds.append(seen[labels[at]])
        seen[labels[at]] += 1
    return [at for _, at in sorted(zip(rounds, places, strict=True), key=lambda pair: pair[0])]


def _image(names: Sequence[str], image: ClassifiedImage, guess: Guess) -> GuessedImage:
    return GuessedImage(
        path=str(image.path),
        ground_truth=names[image.label],
        ground_truth_probability=guess.ground_truth_probability,
        rank=guess.rank,
        loss=guess.loss,
        guesses=tuple(names[label] for label in guess.labels),
        probabilities=guess.probabilities,
    )
