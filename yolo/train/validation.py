"""What is scored while a network trains, and what the scores are shown as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from yolo.data.check import LabeledImage
from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.detect.draw import draw_ground_truth_and_predictions
from yolo.distributed import Processes
from yolo.evaluate.evaluator import detections_of, evaluation_of, image_boxes
from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH, MAP_SCORE_THRESH
from yolo.evaluate.metrics.table import average_precisions, class_table
from yolo.evaluate.metrics.voc import ClassScore, mean_ap, voc_scores
from yolo.model.network import Network

SHOWN_IMAGES = 4  # of the valid list, in TensorBoard, at each evaluation

SHOWN_THRESH = 0.25

Curve = tuple[np.ndarray, np.ndarray, int]  # correct bool [N], scores [N], number of ground truths


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    best_by: the number by which the best network is chosen, None where there was nothing to score, and its `name`;
    table: for people; values: further numbers by name; curves: by class, for precision against recall; images: by
    name, uint8 `[H, W, 3]`.
    """

    name: str
    best_by: float | None
    table: str
    values: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    images: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """What is scored during training, every how many steps, from which on.

    score: runs on every process, and gives Scores on the first one, None on the others.
    """

    score: Callable[[], Scores | None]
    every: int
    start: int


def is_due(step: int, validation: Validation, last_step: int) -> bool:
    """Whether to score after this step; always after the last."""
    return step == last_step or (step >= validation.start and step % validation.every == 0)


def detection_scores(
    network: Network,
    names: Sequence[str],
    images: Sequence[LabeledImage],
    batch: int,
    workers: int,
    processes: Processes,
) -> Scores | None:
    """mAP of the valid list with Darknet's thresholds; each process looks at its share of the images."""
    detector = Detector(
        network, names, MAP_SCORE_THRESH, MAP_NMS_THRESH, letterbox=network.letterboxed
    )
    mine = detections_of(detector, processes.share(images), batch, workers)
    found = processes.gather(mine, len(images))
    if found is None:
        return None
    scores = voc_scores(evaluation_of(names, images, found))
    aps = average_precisions(scores, "voc07")
    area = average_precisions(scores, "area")
    values = {
        f"ap/{name}": value for name, value in zip(names, aps, strict=True) if value is not None
    }
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
        curves=dict(zip(names, map(_curve, scores), strict=True)),
        images=dict(_shown(detector, images[:SHOWN_IMAGES])),
    )


def _curve(score: ClassScore) -> Curve:
    return score.match.true_positive, score.match.scores, score.match.ground_truths


def _shown(detector: Detector, images: Sequence[LabeledImage]):
    """Name and image, ground truth and prediction drawn into it."""
    for index, labeled in enumerate(images):
        image = read_image(labeled.path, detector.network.input.channels)
        found = detector(image)
        sure = (found.scores > SHOWN_THRESH).numpy()
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
