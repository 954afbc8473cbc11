"""Ground truths and detections as rows, their columns, and hypothesis strategies for few boxes that overlap much."""

import numpy as np
import torch
from hypothesis import strategies as st

from yolo.records import Detections, GroundTruth, ScoredBoxes

SQUARE, SHIFTED, FAR = (0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)
CLASSES = 2


def ground_truth_of(*rows) -> GroundTruth:
    """Rows of (image, label, box, difficult)."""
    image, label, box, difficult = zip(*rows, strict=True) if rows else ((), (), (), ())
    return GroundTruth(
        np.array(image, dtype=np.int64),
        np.array(label, dtype=np.int64),
        np.array(box, dtype=np.float64).reshape(-1, 4),
        np.array(difficult, dtype=bool),
    )


def detections_of(*rows) -> ScoredBoxes:
    """Rows of (image, label, score, box)."""
    image, label, score, box = zip(*rows, strict=True) if rows else ((), (), (), ())
    return ScoredBoxes(
        np.array(image, dtype=np.int64),
        np.array(label, dtype=np.int64),
        np.array(score, dtype=np.float64),
        np.array(box, dtype=np.float64).reshape(-1, 4),
    )


def detections_in_image(*rows) -> Detections:
    """Rows of x1, y1, x2, y2, score, label of one image."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].long())


# few boxes that overlap much, and exactly by 1/3, 1/2 or 2/3, with the last pixel counted or not
boxes = st.sampled_from(
    [
        (0, 0, 0, 0),
        (0, 0, 1, 0),
        (0, 0, 2, 0),
        (0, 0, 1, 1),
        (0, 0, 2, 1),
        (0, 0, 3, 1),
        (5, 5, 6, 6),
    ]
)
images, labels = st.integers(0, 1), st.integers(0, CLASSES - 1)
few_scores = st.sampled_from([0.004, 0.005, 0.1, 0.25, 0.5, 0.75])  # many ties; two of Darknet's
ground_truth_rows = st.lists(st.tuples(images, labels, boxes, st.booleans()), max_size=12)
detection_rows = st.lists(st.tuples(images, labels, few_scores, boxes), max_size=25)
thresholds = st.sampled_from([1 / 3, 0.5, 2 / 3])
extents = st.sampled_from([0.0, 1.0])
