"""Estimate how likely a label is wrong. The rule is learned from mistakes that are planted in the labels themselves.

The weight of a sign depends on the network and on the data: a low score is normal for a class that is hard to detect,
and unlabeled objects are common in loosely labeled crowds. So each label is compared with two wrong ones made from it:
one is moved, one has another class. Each detection without a label is compared with detections whose label is removed.
A logistic regression for each of the two gives the log odds of a mistake.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.explain.loss.evidence import is_explained, label_signs, overlaps, place_scores, unlabeled_signs
from yolo.explain.loss.object_fates import MATCHING_IOU
from yolo.explain.loss.placed import to_network
from yolo.letterbox import Placement
from yolo.records import Detections, Predictions, Targets

# Prior probability of a wrong label; Northcutt, Athalye, Mueller 2021, "Pervasive Label Errors
# in Test Sets Destabilize Machine Learning Benchmarks", find a mean of 3.3 % in ten data sets
PRIOR = 0.033
MOVED_IOU = 0.3  # a moved box overlaps its label by less
TRIES = 20  # random places for a moved box
MOST_PLANTED = 20_000  # labels from which mistakes are made: enough for nine weights
RIDGE = 1.0  # weight of the sum of squares in the regression
MOST_STEPS = 200  # of the regression
FITTING_SCORE = 0  # the column of `label_signs` whose mean over a class is its usual value


@dataclass
class SignRows:
    """Rows of signs of a list of images, in little memory. owners: the image of each row; labels: its class."""

    owners: array = field(default_factory=lambda: array("q"))
    labels: array = field(default_factory=lambda: array("q"))
    signs: array = field(default_factory=lambda: array("d"))

    def add(self, owner: int, labels: Tensor, signs: Tensor) -> None:
        """Append the signs `[N, S]` of labels `[N]` of an image."""
        self.owners.extend([owner] * len(signs))
        self.labels.extend(labels.tolist())
        self.signs.extend(signs.flatten().tolist())

    def table(self) -> np.ndarray:
        """Return the signs, float64 `[N, S]`; `[0, 0]` without a row."""
        rows = len(self.owners)
        return np.array(self.signs).reshape(rows, len(self.signs) // max(rows, 1))

    def classes(self) -> np.ndarray:
        """Return the class of each row, int64 `[N]`."""
        return np.array(self.labels, np.int64)


@dataclass
class Evidence:
    """Signs of a list of images: of its labels and of detections without a label, as they are and of made mistakes."""

    labels: SignRows = field(default_factory=SignRows)
    wrong_labels: SignRows = field(default_factory=SignRows)
    unlabeled: SignRows = field(default_factory=SignRows)
    left_out: SignRows = field(default_factory=SignRows)


@dataclass(frozen=True)
class LogOdds:
    """A logistic regression of standardized signs: bias + weights · (signs - mean) / scale; `[S]` each."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    def of(self, signs: np.ndarray) -> np.ndarray:
        """Return by how much signs `[N, S]` favor a mistake: the log of the likelihood ratio, `[N]`."""
        return self.bias + ((signs - self.mean) / self.scale) @ self.weights


@dataclass(frozen=True)
class DoubtRule:
    """The weights of signs in a list of images. label, unlabeled: None if there were no planted mistakes to learn from.

    usual: class → the mean of its labels' column FITTING_SCORE.
    """

    label: LogOdds | None
    unlabeled: LogOdds | None
    usual: dict[int, float]

    def of_labels(self, labels: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """Return how likely labels `[M]` with signs `[M, 6]` are wrong, 0..1."""
        return _probability(self.label, with_usual(signs, labels, self.usual))

    def of_unlabeled(self, signs: np.ndarray) -> np.ndarray:
        """Return how likely detections with signs `[K, 3]` are objects without a label, 0..1."""
        return _probability(self.unlabeled, signs)


def gather(
    evidence: Evidence,
    owner: int,
    predictions: Predictions,
    detections: Detections,
    targets: Targets,
    placement: Placement,
    chosen: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Add the signs of an image to `evidence`.

    Args:
        evidence: of the images so far.
        owner: number of the image.
        predictions: of the image, before any threshold, in 0..1 of the network input.
        detections: of the image, in the same frame.
        targets: its labels, in the same frame.
        placement: of the image in the network input.
        chosen: from which labels mistakes are made, bool `[M]`.
        rng: for the mistakes.
    """
    boxes, labels = cxcywh_to_xyxy(targets.boxes), targets.labels
    scores = place_scores(predictions, detections, boxes)
    evidence.labels.add(owner, labels, label_signs(scores, labels))
    ious, same = overlaps(detections, targets)
    frame = image_in_network(placement)
    places, signs = unlabeled_signs(detections, ious, same, frame)
    evidence.unlabeled.add(owner, detections.labels[places], signs)
    if not chosen.any():
        return
    classes = predictions.class_probs.shape[1]
    if classes > 1:
        other = (labels + torch.from_numpy(rng.integers(1, classes, len(labels)))) % classes
        evidence.wrong_labels.add(owner, other[chosen], label_signs(scores, other)[chosen])
    from_labels, moved = moved_boxes(targets.boxes[chosen], frame, rng)
    if len(moved):
        its_labels = labels[chosen][from_labels]
        elsewhere = place_scores(predictions, detections, cxcywh_to_xyxy(moved))
        evidence.wrong_labels.add(owner, its_labels, label_signs(elsewhere, its_labels))
    for target in np.flatnonzero(chosen).tolist():
        _leave_out(evidence.left_out, owner, detections, ious, same, target, frame)


def doubts_in_image(
    rule: DoubtRule, predictions: Predictions, detections: Detections, targets: Targets, placement: Placement
) -> tuple[list[float], dict[int, float]]:
    """Return how likely each label is wrong, and each detection without a label an object: `[M]`, and detection → it.

    Args:
        rule: learned from the list.
        predictions: of the image, before any threshold, in 0..1 of the network input.
        detections: of the image, in the same frame.
        targets: its labels, in the same frame.
        placement: of the image in the network input.
    """
    scores = place_scores(predictions, detections, cxcywh_to_xyxy(targets.boxes))
    places, signs = unlabeled_signs(detections, *overlaps(detections, targets), image_in_network(placement))
    of_labels = rule.of_labels(targets.labels.numpy(), label_signs(scores, targets.labels).numpy())
    return of_labels.tolist(), dict(zip(places.tolist(), rule.of_unlabeled(signs.numpy()).tolist(), strict=True))


def _leave_out(
    rows: SignRows, owner: int, detections: Detections, ious: Tensor, same: Tensor, target: int, frame: Tensor
) -> None:
    """Add the signs of the best detection that only `target` explains, if there is one."""
    kept = [other for other in range(ious.shape[1]) if other != target]
    found = (ious[:, target] >= MATCHING_IOU) & same[:, target] & ~is_explained(ious[:, kept], same[:, kept])
    if found.any():
        best = [int(found.int().argmax())]  # detections have descending scores
        one = detections[best]
        _, signs = unlabeled_signs(one, ious[best][:, kept], same[best][:, kept], frame)
        rows.add(owner, one.labels, signs)


def moved_boxes(boxes: Tensor, frame: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return boxes at random other places of the image, cxcywh `[K, 4]`, and from which of the boxes, int64 `[K]`.

    A box overlaps the one that it comes from by less than MOVED_IOU; one that finds no such place in TRIES is left out.
    boxes: cxcywh `[M, 4]`; frame: the image, xyxy `[4]`.
    """
    half = boxes[:, 2:] / 2
    low, high = torch.minimum(frame[:2] + half, frame[2:] - half), torch.maximum(frame[:2] + half, frame[2:] - half)
    draws = torch.from_numpy(rng.random((TRIES, len(boxes), 2))).to(boxes)
    moved = torch.cat((low + draws * (high - low), boxes[:, 2:].expand(TRIES, -1, -1)), dim=2)
    apart = paired_iou(cxcywh_to_xyxy(moved), cxcywh_to_xyxy(boxes)[None]) < MOVED_IOU  # [TRIES, M]
    sources = torch.nonzero(apart.any(dim=0))[:, 0]
    first = apart.int().argmax(dim=0)
    return sources, moved[first[sources], sources]


def image_in_network(placement: Placement) -> Tensor:
    """Return where an image is in the network input, xyxy in 0..1, float32 `[4]`."""
    whole = torch.tensor([[0.5, 0.5, 1.0, 1.0]])
    return cxcywh_to_xyxy(to_network(whole, placement))[0]


def learned_rule(evidence: Evidence) -> DoubtRule:
    """Learn the weights of signs from the planted mistakes."""
    right, classes = evidence.labels.table(), evidence.labels.classes()
    usual = {int(label): float(right[classes == label, FITTING_SCORE].mean()) for label in np.unique(classes)}
    wrong = evidence.wrong_labels
    return DoubtRule(
        label=fitted_log_odds(with_usual(right, classes, usual), with_usual(wrong.table(), wrong.classes(), usual)),
        unlabeled=fitted_log_odds(evidence.unlabeled.table(), evidence.left_out.table()),
        usual=usual,
    )


def with_usual(signs: np.ndarray, labels: np.ndarray, usual: dict[int, float]) -> np.ndarray:
    """Return signs with one more column: the usual value of their class, or for a new class the mean of all classes."""
    if not len(labels):
        return np.zeros((0, 0))
    middle = float(np.mean(list(usual.values()))) if usual else 0.0
    return np.column_stack((signs, [usual.get(label, middle) for label in labels.tolist()]))


@torch.enable_grad()
def fitted_log_odds(right: np.ndarray, wrong: np.ndarray) -> LogOdds | None:
    """Fit a logistic regression; both kinds have the same weight, for any number of rows.

    right, wrong: signs `[N, S]`, `[K, S]`. Without a row of either kind: None.
    """
    if not len(right) or not len(wrong):
        return None
    signs = np.concatenate((right, wrong))
    deviation = signs.std(axis=0)
    mean, scale = signs.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
    inputs = torch.from_numpy((signs - mean) / scale)
    is_wrong = torch.from_numpy(np.repeat([0.0, 1.0], [len(right), len(wrong)]))
    of_row = len(signs) / 2 / torch.where(is_wrong > 0, len(wrong), len(right))
    solution = torch.zeros(signs.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([solution], max_iter=MOST_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        log_odds = inputs @ solution[:-1] + solution[-1]
        misses = F.binary_cross_entropy_with_logits(log_odds, is_wrong, weight=of_row, reduction="sum")
        value = misses + RIDGE / 2 * solution[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    weights = solution.detach().numpy()
    return LogOdds(mean, scale, weights[:-1], float(weights[-1]))


def image_doubts(images: int, owners: Sequence[int], doubts: np.ndarray) -> np.ndarray:
    """Return the largest of the doubts `[N]` that each image owns, 0 without one, `[images]`."""
    found = np.zeros(images)
    np.maximum.at(found, np.asarray(owners, np.int64), doubts)
    return found


def _probability(rule: LogOdds | None, signs: np.ndarray) -> np.ndarray:
    """Return how likely each row of signs is a mistake; without a rule PRIOR."""
    log_odds = rule.of(signs) if rule is not None and len(signs) else np.zeros(len(signs))
    return _sigmoid(log_odds + np.log(PRIOR / (1 - PRIOR)))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))  # without an overflow
