"""What every metric and report begins with: truth and detections of a set of pictures, side by side."""

from dataclasses import dataclass

import numpy as np

from yolo.evaluate.average_precision import GroundTruth, ScoredBoxes


@dataclass(frozen=True)
class Evaluation:
    """Truth and detections of a set of pictures, boxes xyxy in continuous picture pixels.

    sizes: int64 `[I, 2]`, (height, width) of each picture; image_ids: the pictures' names without folder and ending.
    """

    names: tuple[str, ...]
    image_ids: tuple[str, ...]
    sizes: np.ndarray
    truth: GroundTruth
    detections: ScoredBoxes
