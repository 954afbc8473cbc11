"""yolo.evaluate.metrics.coco_matching against a loop over every pair of boxes."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers import slow_tide
from tests.helpers.scoring_scenes import found_of, ground_truth_of, scenes
from yolo.evaluate.metrics import coco_matching, voc


@pytest.mark.parametrize(("portion", "crowded"), [(1, 256), (3, 2), (1_000_000, 256), (1_000_000, 1)])
@given(scene=scenes())
@settings(max_examples=60, deadline=None)
def test_all_pairs_of_an_image_are_there_in_portions_of_any_size(portion, crowded, scene):
    ground_truth, found = scene
    expected = {}
    for d, box in enumerate(found.boxes):
        for t, other in enumerate(ground_truth.boxes):
            measure = slow_tide.covered if ground_truth.difficult[t] else slow_tide.iou
            overlap = measure(box, other)
            if found.image_index[d] == ground_truth.image_index[t] and overlap >= 0.1:
                expected[d, t] = overlap
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voc, "PAIRS_AT_ONCE", portion)
        patch.setattr(voc, "CROWDED", crowded)
        pairs = coco_matching.overlapping_pairs(ground_truth, found, 0.1)
    ours = dict(zip(zip(pairs.detection, pairs.ground_truth, strict=True), pairs.overlap, strict=True))
    assert len(ours) == len(pairs.overlap) and ours == pytest.approx(expected)


def test_boxes_without_an_area_overlap_nothing():
    ground_truth = ground_truth_of([(0, 0, (2, 2, 2, 5), False), (0, 0, (0, 0, 4, 4), False)])
    found = found_of([(0, 0, 0.9, (2, 2, 2, 5)), (0, 0, 0.9, (3, 3, 1, 1))])
    assert len(coco_matching.overlapping_pairs(ground_truth, found, 0.1).overlap) == 0


def test_the_best_partner_is_the_first_of_equals():
    pairs = coco_matching.OverlappingPairs(np.array([0, 0, 2]), np.array([5, 3, 4]), np.array([0.5, 0.5, 0.2]))
    overlap, best = coco_matching.best_partner(pairs, 3)
    assert overlap.tolist() == [0.5, 0, 0.2] and best.tolist() == [3, -1, 4]
