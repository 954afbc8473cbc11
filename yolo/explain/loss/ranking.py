"""Images of a list ranked by their training loss without augmentation, or by how likely one of their labels is wrong.

The plain loss of an image grows with its objects, so it finds images with many mistakes, and crowds. A single wrong
label has two signs: the network contradicts the label, and it detects an object without a label. A missing label has
only the second sign; a label of a wrong class or in a wrong place has both. `doubt` estimates how likely each is.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from yolo.console.progress import progress
from yolo.data.labeled_images import LabeledImage
from yolo.data.workers import prepared
from yolo.detect.detector import Detector
from yolo.errors import DivergedError
from yolo.evaluate.evaluator import placed_loader
from yolo.explain.loss.doubt import MOST_PLANTED, DoubtRule, Evidence, gather, image_doubts, learned_rule
from yolo.explain.loss.object_fates import all_predictions, detections_in_input
from yolo.explain.loss.parts import BatchParts, batch_parts, detached_terms
from yolo.explain.loss.placed import placed_targets
from yolo.letterbox import Placement
from yolo.records import Targets
from yolo.train.losses.detection import DetectionLoss

COLUMNS = ("total", "box", "objectness_object", "objectness_background", "class")


MISTAKES_SEED = 0  # of the planted mistakes: two runs give the same ranking


@dataclass(frozen=True)
class ImageLosses:
    """The values by which I images are ranked, in the order of their list.

    values: float64 `[I, 5]`, their losses, one column for each of COLUMNS. doubts: `[I, 2]`, how likely the most
    doubtful label is wrong, and the most doubtful detection an object without a label; 0 without one. usual: class →
    mean objectness and class loss of its objects. rule: the weights of the signs of wrong labels in this list.
    """

    values: np.ndarray
    doubts: np.ndarray
    usual: dict[int, tuple[float, float]]
    rule: DoubtRule

    def by(self, part: str) -> np.ndarray:
        """Return what to rank by, `[I]`: "total", "box", "objectness", "class", a sum of losses; or "label", 0..1."""
        if part == "label":
            return 1 - (1 - self.doubts).prod(axis=1)
        if part == "objectness":
            return self.by("objectness_object") + self.by("objectness_background")
        return self.values[:, COLUMNS.index(part)]

    def ranked(self, part: str) -> np.ndarray:
        """Return the images, the first of the ranking first, int64 `[I]`; of equal ones the one with more loss."""
        return np.lexsort((-self.by("total"), -self.by(part)))


@dataclass(frozen=True)
class RawBatch:
    """The result of a network for a batch: its raw maps, and the placement of the images in its input."""

    raw: list[Tensor]
    placements: Sequence[Placement]


def image_losses(
    detector: Detector, loss: DetectionLoss, images: Sequence[LabeledImage], *, seen: int, batch: int, workers: int
) -> ImageLosses:
    """Compute the losses and doubts of the images of a list. Memory holds one batch, and a few numbers for each image.

    Args:
        detector: the network, with the thresholds of the detections; its placement is that of validation.
        loss: of the network.
        images: checked.
        seen: images that the network was trained on.
        batch: images at a time.
        workers: processes that read images.

    Raises:
        DatasetError: an image can no longer be read.
        DivergedError: a loss is not finite.
    """
    return losses_of(raw_batches(detector, images, batch, workers), detector, loss, images, seen)


def raw_batches(detector: Detector, images: Sequence[LabeledImage], batch: int, workers: int) -> Iterator[RawBatch]:
    """Yield what the network computes for the images of a list, in order.

    Args:
        detector: the network, and how images are placed.
        images: checked.
        batch: images at a time.
        workers: processes that read images.
    """
    network = detector.network
    loader = placed_loader(detector, images, batch, workers)
    device = next(network.parameters()).device
    for inputs, placements in progress(prepared(loader), "losses", len(loader)):
        with torch.no_grad():
            yield RawBatch(network(inputs.to(device)), placements)


def losses_of(
    batches: Iterable[RawBatch], detector: Detector, loss: DetectionLoss, images: Sequence[LabeledImage], seen: int
) -> ImageLosses:
    """Compute the losses and doubts of images from the results of the network.

    Args:
        batches: of `raw_batches`.
        detector: the network, with the thresholds of the detections.
        loss: of the network.
        images: the same, or with other labels.
        seen: images that the network was trained on.

    Raises:
        DivergedError: a loss is not finite.
    """
    values, objects, labels = array("d"), array("d"), array("q")
    evidence, rng, start = Evidence(), np.random.default_rng(MISTAKES_SEED), 0
    planted = MOST_PLANTED / max(1, sum(len(image.ground_truth.labels) for image in images))
    for each in batches:
        part = images[start : start + len(each.placements)]
        targets = placed_targets([image.ground_truth for image in part], each.placements)
        with torch.no_grad():
            heads = [detached_terms(terms) for terms in loss.terms(each.raw, targets.to(each.raw[0].device), seen)]
            _gather_batch(evidence, start, detector, each, targets, planted, rng)
        parts = batch_parts(heads, len(targets.labels))
        values.extend(_finite_rows(parts, part).flatten().tolist())
        means = torch.stack((parts.target_objectness, parts.target_classification), dim=1)
        trained = parts.cells > 0
        objects.extend((means / parts.cells.clamp(min=1)[:, None])[trained].flatten().tolist())
        labels.extend(targets.labels[trained].tolist())
        start += len(part)
    per_object, classes = np.array(objects).reshape(-1, 2), np.array(labels, np.int64)
    usual = {int(label): tuple(per_object[classes == label].mean(axis=0).tolist()) for label in np.unique(classes)}
    rule = learned_rule(evidence)
    of_labels = rule.of_labels(evidence.labels.classes(), evidence.labels.table())
    of_unlabeled = rule.of_unlabeled(evidence.unlabeled.table())
    doubts = [image_doubts(len(images), evidence.labels.owners, of_labels),
              image_doubts(len(images), evidence.unlabeled.owners, of_unlabeled)]  # fmt: skip
    return ImageLosses(np.array(values).reshape(-1, len(COLUMNS)), np.stack(doubts, axis=1), usual, rule)


def _finite_rows(parts: BatchParts, images: Sequence[LabeledImage]) -> Tensor:
    """Return the losses of a batch, `[B, 5]`."""
    columns = parts.total, parts.box, parts.objectness_object, parts.objectness_background, parts.classification
    rows = torch.stack(columns, dim=1)
    finite = torch.isfinite(rows).all(dim=1)
    if not finite.all():
        path = images[int(torch.nonzero(~finite)[0])].path
        raise DivergedError(f"{path}: found a loss that is not finite, expected numbers")
    return rows


def _gather_batch(
    evidence: Evidence,
    start: int,
    detector: Detector,
    batch: RawBatch,
    targets: Targets,
    planted: float,
    rng: np.random.Generator,
) -> None:
    """Add the signs of a batch, whose first image is number `start`. planted: part of labels to make mistakes of."""
    found = zip(all_predictions(detector, batch.raw), detections_in_input(detector, batch.raw), strict=True)
    for at, (predictions, detections) in enumerate(found):
        mine = Targets(*(part[targets.image_index == at] for part in targets))
        chosen = rng.random(len(mine.labels)) < planted
        gather(evidence, start + at, predictions, detections, mine, batch.placements[at], chosen, rng)
