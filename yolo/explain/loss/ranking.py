"""Images of a list ranked by their training loss without augmentation, or by what speaks against their labels.

A wrong label shows itself in two ways. The network contradicts it: the objectness and class loss of the object are
large, compared with those of other objects of its class. And the network finds something that no label explains: a
detection with a high score. A removed label has only the second sign, a label of a wrong class or in a wrong place has
both. The plain loss of an image has a third reason, many objects, so it finds images where much is wrong. For single
wrong labels the images are ranked by each sign, and the two places are added up.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.console import progress
from yolo.data.dataset import EvaluationImages, evaluation_loader
from yolo.data.labeled_images import LabeledImage
from yolo.data.workers import prepared
from yolo.detect.detector import Detector
from yolo.errors import DivergedError
from yolo.explain.loss.object_fates import MATCHING_IOU, detections_in_input
from yolo.explain.loss.parts import batch_parts, detached_terms
from yolo.explain.loss.placed import placed_targets
from yolo.records import Detections, Targets
from yolo.train.losses.detection import DetectionLoss

COLUMNS = ("total", "box", "objectness_object", "objectness_background", "class")


@dataclass(frozen=True)
class ImageLosses:
    """What ranks I images, in the order of their list.

    values: float64 `[I, 5]`, their losses, one column for each of COLUMNS. contradiction: `[I]`, of the object that the
    network contradicts most: how many standard deviations its objectness and its class loss are above the mean of its
    class, added up; -inf without an object. unexplained: `[I]`, the highest score of a detection that no label of its
    class explains. usual: class → mean objectness and class loss of its objects.
    """

    values: np.ndarray
    contradiction: np.ndarray
    unexplained: np.ndarray
    usual: dict[int, tuple[float, float]]

    def by(self, part: str) -> np.ndarray:
        """Return what to rank by, `[I]`: "total", "box", "objectness", "class", a sum of losses; or "label", 0..1."""
        if part == "label":
            places = _places(self.contradiction) + _places(self.unexplained)
            return places / max(2 * (len(places) - 1), 1)
        if part == "objectness":
            return self.by("objectness_object") + self.by("objectness_background")
        return self.values[:, COLUMNS.index(part)]

    def ranked(self, part: str) -> np.ndarray:
        """Return the images, the first of the ranking first, int64 `[I]`; of equal ones the first of the list."""
        return np.argsort(-self.by(part), kind="stable")


def image_losses(
    detector: Detector, loss: DetectionLoss, images: Sequence[LabeledImage], *, seen: int, batch: int, workers: int
) -> ImageLosses:
    """Compute what ranks the images of a list. In memory are a batch of images, and a few numbers an image and object.

    Args:
        detector: the network, with the thresholds of the detections; its placement is that of validation.
        loss: of the network.
        images: checked.
        seen: images that the network was trained on.
        batch: images at a time.
        workers: processes that read images.

    Raises:
        DatasetError: an image cannot be read any more.
        DivergedError: a loss is not finite.
    """
    network = detector.network
    size = network.input.height, network.input.width
    dataset = EvaluationImages(images, size, network.input.channels, detector.placement)
    loader = evaluation_loader(dataset, batch, workers)
    device = next(network.parameters()).device
    values, objects, owners, labels = array("d"), array("d"), array("q"), array("q")
    unexplained, start = array("d"), 0
    for inputs, placements in progress(prepared(loader), "losses", len(loader)):
        targets = placed_targets([images[start + at].ground_truth for at in range(len(inputs))], placements)
        with torch.no_grad():
            raw = network(inputs.to(device))
            heads = [detached_terms(terms) for terms in loss.terms(raw, targets.to(device), seen)]
            parts = batch_parts(heads, len(targets.labels))
            unexplained.extend(_unexplained(detector, raw, targets))
        columns = parts.total, parts.box, parts.objectness_object, parts.objectness_background, parts.classification
        rows = torch.stack(columns, dim=1)
        if not torch.isfinite(rows).all():
            at = start + int(torch.nonzero(~torch.isfinite(rows).all(dim=1))[0])
            raise DivergedError(f"{images[at].path}: found a loss that is not finite, expected numbers")
        values.extend(rows.flatten().tolist())
        means = torch.stack((parts.target_objectness, parts.target_classification), dim=1)
        trained = parts.cells > 0
        objects.extend((means / parts.cells.clamp(min=1)[:, None])[trained].flatten().tolist())
        owners.extend((targets.image_index + start)[trained].tolist())
        labels.extend(targets.labels[trained].tolist())
        start += len(inputs)
    per_object, classes = np.array(objects).reshape(-1, 2), np.array(labels, np.int64)
    contradiction = np.full(len(images), -np.inf)
    np.maximum.at(contradiction, np.array(owners, np.int64), in_deviations(per_object, classes))
    usual = {int(label): tuple(per_object[classes == label].mean(axis=0).tolist()) for label in np.unique(classes)}
    return ImageLosses(np.array(values).reshape(-1, len(COLUMNS)), contradiction, np.array(unexplained), usual)


def in_deviations(losses: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how far losses `[M, V]` are above the means of their classes `[M]`, in standard deviations, added up."""
    result = np.zeros(len(labels))
    for label in np.unique(labels):
        mine = losses[labels == label]
        deviation = mine.std(axis=0)
        scaled = np.divide(mine - mine.mean(axis=0), deviation, out=np.zeros_like(mine), where=deviation > 0)
        result[labels == label] = scaled.sum(axis=1)
    return result


def is_explained(detections: Detections, targets: Targets) -> torch.Tensor:
    """Return which detections of an image have a label of their class with an IoU of at least MATCHING_IOU, bool `[N]`.

    The boxes of both are in the same frame.
    """
    objects = cxcywh_to_xyxy(targets.boxes)
    ious = paired_iou(detections.boxes[:, None], objects[None]) * (detections.labels[:, None] == targets.labels[None])
    return (ious >= MATCHING_IOU).any(dim=1)


def _unexplained(detector: Detector, raw: Sequence[torch.Tensor], targets: Targets) -> Iterator[float]:
    """Yield for each image the highest score of a detection that no label explains, 0 without one."""
    for image, detections in enumerate(detections_in_input(detector, raw)):
        mine = targets.image_index == image
        explained = is_explained(detections, Targets(*(part[mine] for part in targets)))
        yield float(detections.scores[~explained].max()) if not explained.all() else 0.0


def _places(values: np.ndarray) -> np.ndarray:
    """Return the place of each value among all, 0 for the smallest; equal values share the mean of their places."""
    unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse] if len(unique) else values
