"""The parts of the training loss: of the images of a list, by part and by class, and of the steps of the run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from yolo.data.labeled_images import LabeledImage
from yolo.data.workers import prepared
from yolo.detect.detector import Detector
from yolo.evaluate.analysis.report import ClassLoss, LossReport, LossStep
from yolo.evaluate.evaluator import placed_loader
from yolo.explain.loss.parts import batch_parts, detached_terms
from yolo.explain.loss.placed import label_name, placed_targets
from yolo.formats.scalars import SCALARS_FILE, read_loss_parts
from yolo.train.losses.detection import DetectionLoss

MOST_IMAGES = 100  # of a list, spread evenly: their means hardly differ from those of all, at a fraction of the time
MOST_STEPS = 60  # columns of the chart of a run
PARTS = ("box", "objectness_object", "objectness_background", "classification")


def loss_report(
    detector: Detector,
    loss: DetectionLoss,
    images: Sequence[LabeledImage],
    *,
    seen: int,
    batch: int,
    workers: int,
    run: Path,
) -> LossReport | None:
    """Return the loss of at most MOST_IMAGES images of a list by part; None if it is not finite.

    Args:
        detector: the network, its engine, and the placement of the images.
        loss: of the network.
        images: checked.
        seen: images that the network was trained on.
        batch: images at a time.
        workers: processes that read images.
        run: the folder of the weights, which has the table of the training run if they were trained here.

    Raises DatasetError if an image can no longer be read.
    """
    chosen = [images[at] for at in np.linspace(0, len(images) - 1, min(len(images), MOST_IMAGES)).round().astype(int)]
    device = next(detector.network.parameters()).device
    sums, background = np.zeros(len(PARTS)), 0
    objects = np.zeros((0, 3))
    labels: list[int] = []
    start = 0
    for inputs, placements in prepared(placed_loader(detector, chosen, batch, workers)):
        labeled = [each.ground_truth for each in chosen[start : start + len(inputs)]]
        targets = placed_targets(labeled, placements)
        with torch.no_grad():
            raw = detector.engine(inputs.to(device))
            heads = [detached_terms(terms) for terms in loss.terms(raw, targets.to(device), seen)]
        parts = batch_parts(heads, len(targets.labels))
        sums += [float(getattr(parts, name).sum()) for name in PARTS]
        background += sum(terms.objectness.numel() - len(terms.positive) for terms in heads)
        rows = torch.stack((parts.target_box, parts.target_objectness, parts.target_classification), dim=1)
        objects = np.concatenate((objects, rows.numpy()))
        labels += targets.labels.tolist()
        start += len(inputs)
    if not (np.isfinite(sums).all() and np.isfinite(objects).all()):
        return None
    return LossReport(
        len(chosen),
        background / len(chosen),
        *(sums / len(chosen)).tolist(),
        classes=class_losses(objects, np.array(labels, np.int64), detector.names),
        steps=joined_steps(read_loss_parts(run / SCALARS_FILE)),
    )


def class_losses(objects: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> tuple[ClassLoss, ...]:
    """Return the mean loss of an object of each class, the class with the largest sum first.

    Args:
        objects: `[M, 3]`, the box, objectness and class loss of each object.
        labels: `[M]`, their classes.
        names: of the classes.
    """
    found = []
    for label in np.unique(labels).tolist():
        mine = objects[labels == label]
        found.append(ClassLoss(label_name(names, label), len(mine), *mine.mean(axis=0).tolist()))
    return tuple(sorted(found, key=lambda each: -each.total * each.objects))


def joined_steps(steps: Sequence[tuple[int, tuple[float, ...]]]) -> tuple[LossStep, ...]:
    """Join the steps of a run to at most MOST_STEPS groups of consecutive ones, each with its mean loss by part."""
    group = -(-len(steps) // MOST_STEPS)
    found = []
    for at in range(0, len(steps), max(group, 1)):
        mine = steps[at : at + group]
        found.append(LossStep(mine[0][0], mine[-1][0], *np.mean([parts for _, parts in mine], axis=0).tolist()))
    return tuple(found)
