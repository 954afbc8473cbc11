"""Small sets of images and detections for tests of the files that hold them, and how to compare them."""

import numpy as np
from hypothesis import strategies as st

from tests.helpers import box_rows
from tests.helpers.box_rows import ground_truth_of
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet
from yolo.records import GroundTruth, ScoredBoxes

NAMES = ("cat", "dog", "eel")
FILES = ("a.jpg", "b/c-d.jpg", "e.f.png")
SIZES = np.array([(80, 100), (375, 500), (33, 7)])  # (height, width)
COCO_IDS = CocoIds((7, 139, 2), (18, 3, 90))
LARGEST = 1e6  # pixels


def voc_annotation(*objects, size=(0, 0)) -> str:
    """XML of objects (name, xmin, ymin, xmax, ymax[, difficult]); size: (height, width), 0 as some tools write it."""
    text = f"<annotation><size><height>{size[0]}</height><width>{size[1]}</width></size>"
    for name, xmin, ymin, xmax, ymax, *difficult in objects:
        text += f"<object><name>{name}</name>"
        text += "".join(f"<difficult>{each}</difficult>" for each in difficult)
        text += f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>"
        text += f"<ymax>{ymax}</ymax></bndbox></object>"
    return text + "</annotation>"


def some_ground_truth(origin: float = 0.0) -> GroundTruth:
    """A cat in the first image; a dog and a difficult cat in the second."""
    cat, dog = np.array((10, 20, 40, 60)) + origin, np.array((0, 0, 500, 375)) + origin
    hard = np.array((100, 50, 150, 150)) + origin
    return ground_truth_of((0, 0, cat, False), (1, 1, dog, False), (1, 0, hard, True))


def images_of(ground_truth: GroundTruth | None = None, origin: float = 0.0) -> GroundTruthSet:
    """The three images, with sizes and COCO's ids."""
    ground_truth = ground_truth_of() if ground_truth is None else ground_truth
    return GroundTruthSet(NAMES, FILES, SIZES, ground_truth, origin, COCO_IDS)


def detections_of(*rows) -> ScoredBoxes:
    """Rows (image, class, score, xmin, ymin, xmax, ymax)."""
    return box_rows.detections_of(*((*row[:3], row[3:]) for row in rows))


@st.composite
def any_detections(draw, largest: float = LARGEST) -> ScoredBoxes:
    """Up to eight detections, any floats: outside the image, without area, of equal scores."""
    number = st.one_of(st.floats(-largest, largest), st.integers(-1000, 1000).map(lambda each: each / 64))
    side = st.tuples(number, number).map(sorted)
    score = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([0.0, 0.5, 1.0]))
    row = st.tuples(st.integers(0, 2), st.integers(0, 2), score, side, side)
    rows = draw(st.lists(row, max_size=8))
    return detections_of(*((at, label, each, x[0], y[0], x[1], y[1]) for at, label, each, x, y in rows))


@st.composite
def near_detections(draw) -> ScoredBoxes:
    """Up to eight detections that reach over their images by less than half, so that fractions of it can hold them."""
    side = st.tuples(st.floats(-0.45, 1.45), st.floats(-0.45, 1.45)).map(sorted)
    row = st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(-1e9, 1e9), side, side)
    rows = draw(st.lists(row, max_size=8))
    return detections_of(
        *(
            (at, label, score, *(np.array((x[0], y[0], x[1], y[1])) * np.tile(SIZES[at][::-1], 2)))
            for at, label, score, x, y in rows
        )
    )


def grouped(detections: ScoredBoxes) -> np.ndarray:
    """Rows (image, class, score, box), image by image and class by class, in their order there."""
    order = np.lexsort((detections.labels, detections.image_index))
    columns = (detections.image_index, detections.labels, detections.scores, detections.boxes)
    return np.column_stack(columns)[order]
