"""Small made-up scenes of truths and detections, for tests that compare two ways of scoring them."""

import numpy as np
from hypothesis import strategies as st

from yolo.records import Evaluation, GroundTruth, ScoredBoxes

SIDE = 12  # of the pictures; boxes have whole corners, so that IoUs fall exactly on thresholds
CLASSES, PICTURES = 3, 3
NAMES = ("ant", "bee", "cow")


def truth_of(rows):
    """rows: (picture, class, xyxy, difficult) each."""
    pictures, labels, boxes, difficult = zip(*rows, strict=True) if rows else ((), (), (), ())
    return GroundTruth(
        np.array(pictures, np.int64), np.array(labels, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4), np.array(difficult, bool),
    )  # fmt: skip


def found_of(rows):
    """rows: (picture, class, score, xyxy) each, put in the order of their pictures, as an evaluator gives them."""
    rows = sorted(rows, key=lambda row: row[0])
    pictures, labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return ScoredBoxes(
        np.array(pictures, np.int64), np.array(labels, np.int64),
        np.array(scores, np.float64), np.array(boxes, np.float64).reshape(-1, 4),
    )  # fmt: skip


def evaluation_of(truth, found, names=NAMES, pictures=PICTURES, size=(SIDE, SIDE)):
    """An Evaluation of pictures p0, p1, ..."""
    return Evaluation(
        tuple(names), tuple(f"p{index}" for index in range(pictures)),
        np.array([size] * pictures, np.int64).reshape(-1, 2), truth, found,
    )  # fmt: skip


@st.composite
def boxes(draw, side=SIDE):
    x, y = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
    return x, y, draw(st.integers(x + 1, side)), draw(st.integers(y + 1, side))


@st.composite
def scenes(draw, difficult=True):
    """(GroundTruth, ScoredBoxes) of up to seven truths and ten detections, half of those near a truth."""
    picture, label = st.integers(0, PICTURES - 1), st.integers(0, CLASSES - 1)
    hard = st.booleans() if difficult else st.just(False)
    truths = draw(st.lists(st.tuples(picture, label, boxes(), hard), max_size=7))
    score = st.sampled_from((0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9))
    found = draw(st.lists(st.tuples(picture, label, score, boxes()), max_size=5))
    for where, what, (x1, y1, x2, y2), _ in draw(
        st.lists(st.sampled_from(truths), max_size=5) if truths else st.just([])
    ):
        moved = (x1, y1, x2 + draw(st.integers(0, 3)), y2 + draw(st.integers(0, 2)))
        other = draw(st.sampled_from((what, what, (what + 1) % CLASSES)))
        found.append((where, other, draw(score), moved))
    return truth_of(truths), found_of(found)
