"""yolo.evaluate.metrics.near_pairs against a comparison of every box with every other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo.evaluate.metrics import voc
from yolo.evaluate.metrics.near_pairs import near_pairs
from yolo.records import GroundTruth, ScoredBoxes

side = st.one_of(
    st.integers(-8, 8).map(lambda each: each / 4),  # many that touch, are equal or inverted
    st.floats(-1e17, 1e17),
    st.sampled_from([-np.inf, np.inf, np.nan, 1e308, -1e308, 5e-324]),
)
boxes = st.lists(st.tuples(side, side, side, side), max_size=12).map(lambda rows: np.array(rows).reshape(-1, 4))


@settings(max_examples=150, deadline=None)
@given(boxes, boxes, st.sampled_from([0.0, 1.0]), st.sampled_from([1, 7, 1000]))
def test_no_pair_that_overlaps_is_missing_or_there_twice(ours, theirs, extent, at_once):
    parts = list(near_pairs(ours, theirs, extent, at_once))
    pairs = [pair for part in parts for pair in zip(*(each.tolist() for each in part), strict=True)]
    with np.errstate(all="ignore"):
        grid = np.indices((len(ours), len(theirs))).reshape(2, -1)
        overlap = voc.iou_of_pairs(ours[grid[0]], theirs[grid[1]], extent) > 0
    assert len(set(pairs)) == len(pairs)
    assert set(zip(*grid[:, overlap].tolist(), strict=True)) <= set(pairs)
    for one, other in parts:
        assert list(zip(one, other, strict=True)) == sorted(zip(one, other, strict=True))


def test_one_image_of_many_boxes_is_scored_as_by_all_pairs_with_few_of_them(monkeypatch):
    random = np.random.default_rng(3)
    corners = random.uniform(0, 300, (1500, 2))
    boxes = np.hstack((corners, corners + random.exponential(10, (1500, 2)))).round(0)  # equal ones among them
    boxes[0] = (0, 0, 300, 300)
    zero = np.zeros(1500, np.int64)
    ground_truth = GroundTruth(zero, zero, boxes, random.random(1500) < 0.1)
    shaken = boxes + random.integers(-1, 2, boxes.shape)
    found = ScoredBoxes(zero, zero, random.integers(0, 50, 1500) / 50, shaken)
    compared = []
    original = voc.iou_of_pairs

    def counting(some, *rest):
        compared.append(len(some))
        return original(some, *rest)

    monkeypatch.setattr(voc, "iou_of_pairs", counting)
    swept = voc.match_detections(ground_truth, found, 0, 0.5, 1.0), voc.score_classes(ground_truth, found, 1, 0.5, 1.0)
    assert sum(compared) < 2 * 1500**2 / 20
    monkeypatch.setattr(voc, "CROWDED", 10**6)
    every = voc.match_detections(ground_truth, found, 0, 0.5, 1.0), voc.score_classes(ground_truth, found, 1, 0.5, 1.0)
    for one, other in zip(vars(swept[0]).values(), vars(every[0]).values(), strict=True):
        assert np.array_equal(one, other)
    assert (swept[1][0].voc07_ap, swept[1][0].area_ap) == (every[1][0].voc07_ap, every[1][0].area_ap)
    assert 0.05 < swept[1][0].area_ap < 0.95
