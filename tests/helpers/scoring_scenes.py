"""Small random scenes of ground truths and detections, for tests that compare two ways to score them."""

import numpy as np
from hypothesis import strategies as st

from tests.helpers import box_rows
from yolo.records import Evaluation

SIDE = 12  # of the images; boxes have whole corners, so that IoUs fall exactly on thresholds
CLASSES, IMAGES = 3, 3
NAMES = ("ant", "bee", "cow")


def ground_truth_of(rows):
    """Return the ground truth of rows (image, class, xyxy, difficult)."""
    return box_rows.ground_truth_of(*rows)


def found_of(rows):
    """Return detections of rows (image, class, score, xyxy), sorted by image, as the evaluator returns them."""
    return box_rows.detections_of(*sorted(rows, key=lambda row: row[0]))


def evaluation_of(ground_truth, found, names=NAMES, images=IMAGES, size=(SIDE, SIDE)):
    """Return an Evaluation of images p0, p1, ..."""
    return Evaluation(
        tuple(names), tuple(f"p{index}" for index in range(images)),
        np.array([size] * images, np.int64).reshape(-1, 2), ground_truth, found,
    )  # fmt: skip


@st.composite
def boxes(draw, side=SIDE):
    x, y = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
    return x, y, draw(st.integers(x + 1, side)), draw(st.integers(y + 1, side))


@st.composite
def scenes(draw, difficult=True):
    """Draw up to seven ground truths and ten detections, half of which are near a ground truth."""
    image, label = st.integers(0, IMAGES - 1), st.integers(0, CLASSES - 1)
    hard = st.booleans() if difficult else st.just(False)
    ground_truths = draw(st.lists(st.tuples(image, label, boxes(), hard), max_size=7))
    score = st.sampled_from((0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9))
    found = draw(st.lists(st.tuples(image, label, score, boxes()), max_size=5))
    for where, what, (x1, y1, x2, y2), _ in draw(
        st.lists(st.sampled_from(ground_truths), max_size=5) if ground_truths else st.just([])
    ):
        moved = (x1, y1, x2 + draw(st.integers(0, 3)), y2 + draw(st.integers(0, 2)))
        other = draw(st.sampled_from((what, what, (what + 1) % CLASSES)))
        found.append((where, other, draw(score), moved))
    return ground_truth_of(ground_truths), found_of(found)
