"""Labels that are probably mistakes: two boxes on one object, and boxes of an unusual size for their class."""

from dataclasses import dataclass

import numpy as np

from yolo.data.labeled_images import BoxTable, image_boxes
from yolo.evaluate.metrics.voc import CONTINUOUS, image_pairs_with_iou
from yolo.records import GroundTruth, LabeledBoxes, ScoredBoxes

SAME_PLACE = 0.75  # IoU of two labels; fewer than one in a hundred pairs of different objects that overlap reach it
UNUSUAL = 5.0  # robust standard deviations of the logarithm of the area from the class's median
LEAST_OBJECTS = 20  # of a class that has a usual size
MAD_TO_SIGMA = 1.4826  # of a normal distribution
LEAST_SIGMA = 0.15  # lower bound, so that in a class of nearly equal boxes only 1.5 to 2 times the area is unusual


@dataclass(frozen=True)
class OddLabel:
    """image: position in the list. boxes: positions in the image, one or two. what: in words. strength: for sorting."""

    image: int
    boxes: tuple[int, ...]
    what: str
    strength: float


def doubled_labels(table: BoxTable, names: tuple[str, ...]) -> list[OddLabel]:
    """Return pairs of boxes of one image that nearly coincide, those of different classes first, then by IoU."""
    images, starts = table.image_index(), table.ends - np.diff(table.ends, prepend=0)
    boxes, rows = image_boxes(LabeledBoxes(table.labels, table.boxes), (1, 1)), np.arange(len(images))
    ground_truth = GroundTruth(images, table.labels, boxes, np.zeros(len(images), bool))
    same = ScoredBoxes(images, table.labels, np.zeros(len(images)), boxes)
    found = []
    for first, second, iou in image_pairs_with_iou(ground_truth, rows, same, rows, CONTINUOUS):
        for one, other, value in zip(*(each[(first < second) & (iou > SAME_PLACE)] for each in (first, second, iou)),
                                     strict=True):  # fmt: skip
            image = int(images[one])
            a, b = names[table.labels[one]], names[table.labels[other]]
            what = f"two boxes of {a}" if a == b else f"{a} and {b} on one object"
            places = int(one - starts[image]), int(other - starts[image])
            found.append(OddLabel(image, places, f"{what}, IoU {value:.2f}", float(value) + (a != b)))
    return sorted(found, key=lambda each: -each.strength)


def unusual_sizes(table: BoxTable, sizes: np.ndarray, names: tuple[str, ...]) -> list[OddLabel]:
    """Return boxes whose area is far from their class's, the farthest first. sizes: (height, width) `[N, 2]`."""
    images, starts = table.image_index(), table.ends - np.diff(table.ends, prepend=0)
    pixels = table.boxes[:, 2:] * sizes[images][:, ::-1]
    logs = np.log(np.maximum(pixels.prod(axis=1), 1e-6))
    found = []
    for label, name in enumerate(names):
        rows = np.flatnonzero(table.labels == label)
        if len(rows) < LEAST_OBJECTS:
            continue
        median = np.median(logs[rows])
        sigma = max(MAD_TO_SIGMA * float(np.median(np.abs(logs[rows] - median))), LEAST_SIGMA)
        far = (logs[rows] - median) / sigma
        for row, value in zip(rows[np.abs(far) > UNUSUAL], far[np.abs(far) > UNUSUAL], strict=True):
            width, height = pixels[row]
            times = float(np.exp(abs(logs[row] - median)))
            kind = "larger" if value > 0 else "smaller"
            what = f"{name} of {width:.0f} × {height:.0f} pixels: {times:.0f} times {kind} than the median"
            found.append(OddLabel(int(images[row]), (int(row - starts[images[row]]),), what, abs(float(value))))
    return sorted(found, key=lambda each: -each.strength)
