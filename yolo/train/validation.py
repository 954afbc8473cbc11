"""Records of a training task (loss, batches, validation), and the scores of a detector during training."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from yolo.data.images import ignore_remark, read_image
from yolo.data.labeled_images import LabeledImage, image_boxes
from yolo.detect.detector import Detector
from yolo.detect.draw import draw_ground_truth_and_predictions
from yolo.distributed import Processes
from yolo.evaluate.evaluator import detections_of, evaluation_of
from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH, MAP_SCORE_THRESH
from yolo.evaluate.metrics.table import average_precisions, class_table
from yolo.evaluate.metrics.voc import ClassScore, mean_ap, voc_scores
from yolo.model.network import Network
from yolo.records import LossResult, Targets, TrainingBatch
from yolo.train.checkpoint import Progress

SHOWN_IMAGES = 4  # images of the valid list in TensorBoard at each evaluation
SHOWN_THRESH = 0.25
SHOWN_BOXES = 100  # of an image, the best; an untrained network of many classes finds a hundred thousand
SHOWN_CURVES = 100  # classes, those with most ground truth
MAP_EPOCHS = 4  # detector.c train_detector: mAP every 4 times through the list …
MAP_LEAST_STEPS = 100  # … but not more often than this

# (raw maps, targets, images seen so far) → loss
Loss = Callable[[Sequence[Tensor], Targets | Tensor, int], LossResult]
Curve = tuple[np.ndarray, np.ndarray, int]  # correct bool [N], scores [N], number of ground truths


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation.

    name, best_by: the score by which the best network is chosen; None where there was nothing to score;
    table: the scores as text to print; values: further scores by name; curves: precision-recall curves by class;
    images: uint8 `[H, W, 3]` by name.
    """

    name: str
    best_by: float | None
    table: str
    values: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    images: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """score: runs in every process and returns Scores in the first one, None in the others. every, start: steps."""

    score: Callable[[], Scores | None]
    every: int
    start: int


@dataclass(frozen=True)
class Task:
    """What the setup of detection and that of classification return.

    loss: (raw maps, targets, images seen so far) → LossResult; batches: from how far a run is, the mini-batches of the
    next steps; validation: None without a valid list.
    """

    loss: Loss
    batches: Callable[[Progress], Iterable[TrainingBatch]]
    validation: Validation | None


def is_due(step: int, validation: Validation, last_step: int) -> bool:
    """Return whether to score after this step; always after the last one."""
    return step == last_step or (step >= validation.start and step % validation.every == 0)


def steps_between_scores(wanted: int | None, images: int, batch: int) -> int:
    """Return `wanted`, or by default Darknet's interval for a list of so many images."""
    return wanted or max(MAP_LEAST_STEPS, MAP_EPOCHS * images // batch)


def detection_scores(
    network: Network,
    names: Sequence[str],
    images: Sequence[LabeledImage],
    batch: int,
    workers: int,
    processes: Processes,
) -> Scores | None:
    """Compute the mAP of the valid list with Darknet's thresholds. Each process detects in a part of the images.

    Args:
        network: the network in evaluation mode.
        names: the names of the classes.
        images: the valid list.
        batch: images of a mini-batch.
        workers: processes that load images.
        processes: the processes of the run.

    Returns:
        The scores in the first process, None in the others.
    """
    detector = Detector(network, names, MAP_SCORE_THRESH, MAP_NMS_THRESH, letterbox=network.letterboxed)
    mine = detections_of(detector, processes.shard(images), batch, workers)
    found = processes.gather(mine, len(images))
    if found is None:
        return None
    scores = voc_scores(evaluation_of(names, images, found))
    aps = average_precisions(scores, "voc07")
    area = average_precisions(scores, "area")
    values = {f"ap/{name}": value for name, value in zip(names, aps, strict=True) if value is not None}
    if (mean := mean_ap(area)) is not None:
        values["map/area"] = mean
    return Scores(
        name="map/voc07",
        best_by=mean_ap(aps),
        table=class_table(
            names,
            [each.match.ground_truths for each in scores],
            [each.match.detections for each in scores],
            {"voc07": aps, "area": area},
        ),
        values=values,
        curves=_curves(names, scores),
        images=dict(_shown(detector, images[:SHOWN_IMAGES])),
    )


def _curves(names: Sequence[str], scores: Sequence[ClassScore]) -> dict[str, Curve]:
    """Return the curves of the SHOWN_CURVES classes with most ground truth, in the order of the classes."""
    counts = np.array([score.match.ground_truths for score in scores])
    shown = np.sort(np.argsort(-counts, kind="stable")[:SHOWN_CURVES])
    return {names[label]: _curve(scores[label]) for label in shown.tolist()}


def _curve(score: ClassScore) -> Curve:
    return score.match.true_positive, score.match.scores, score.match.ground_truths


def _shown(detector: Detector, images: Sequence[LabeledImage]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a name and an image with ground truth and detections drawn into it."""
    for index, labeled in enumerate(images):
        image = read_image(labeled.path, detector.network.input.channels, ignore_remark)
        found = detector(image)
        sure = np.flatnonzero((found.scores > SHOWN_THRESH).numpy())[:SHOWN_BOXES]  # the best come first
        yield (
            f"valid/{index}",
            draw_ground_truth_and_predictions(
                np.broadcast_to(image, (*image.shape[:2], 3)).copy(),
                image_boxes(labeled.ground_truth, labeled.size),
                labeled.ground_truth.labels,
                found.boxes.numpy()[sure],
                found.scores.numpy()[sure],
                found.labels.numpy()[sure],
                detector.names,
            ),
        )
