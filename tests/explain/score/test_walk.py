"""A class walked through: by hand, and equal to the scorers on random scenes."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers import scoring_scenes as scenes
from tests.helpers.box_rows import FAR, SHIFTED, SQUARE, detections_of, ground_truth_of
from yolo.evaluate.metrics.coco import coco_score
from yolo.evaluate.metrics.darknet import POINTS, darknet_map
from yolo.evaluate.metrics.voc import NO_GROUND_TRUTH, VOC_PIXEL_EXTENT, match_class, voc_scores
from yolo.explain.score.readings import best_of_images, coco_readings, eleven_points, plateaus_of
from yolo.explain.score.scored_set import scored_evaluation
from yolo.explain.score.walk import (
    IGNORED,
    NOTHING,
    TAKEN,
    TOO_FAR,
    TRUE_POSITIVE,
    missed_objects,
    unseen_part,
    walk_class,
)
from yolo.explain.score.walked_score import class_number, walked_score

TOUCHING = (8, 0, 18, 10)  # overlaps SQUARE by less than half


def test_each_detection_has_its_outcome_and_the_numbers_so_far():
    # objects: SQUARE in images 0 and 1, a difficult one in image 2, one of another class in image 3
    ground_truth = ground_truth_of(
        (0, 0, SQUARE, False), (1, 0, SQUARE, False), (2, 0, SQUARE, True), (3, 1, SQUARE, False)
    )
    found = detections_of(
        (0, 0, 0.9, SQUARE),  # found
        (2, 0, 0.8, SQUARE),  # difficult
        (0, 0, 0.7, SQUARE),  # taken by the first
        (1, 0, 0.6, TOUCHING),  # too far
        (3, 0, 0.5, SQUARE),  # nothing of its class, but another class
        (1, 0, 0.4, SQUARE),  # found
        (1, 1, 0.95, SQUARE),  # another class
    )
    walk = walk_class(ground_truth, found, 0, 0.5, 0.0)
    assert walk.outcome.tolist() == [TRUE_POSITIVE, IGNORED, TAKEN, TOO_FAR, NOTHING, TRUE_POSITIVE]
    assert walk.ground_truth.tolist() == [0, 2, 0, 1, NO_GROUND_TRUTH, 1]
    assert walk.taken_by.tolist() == [
        NO_GROUND_TRUTH,
        NO_GROUND_TRUTH,
        0,
        NO_GROUND_TRUTH,
        NO_GROUND_TRUTH,
        NO_GROUND_TRUTH,
    ]
    assert walk.true_positives.tolist() == [1, 1, 1, 1, 1, 2]
    assert walk.false_positives.tolist() == [0, 0, 1, 2, 3, 3]
    assert walk.recall.tolist() == [0.5, 0.5, 0.5, 0.5, 0.5, 1]
    assert walk.precision.tolist() == [1, 1, 1 / 2, 1 / 3, 1 / 4, 2 / 5]
    assert (walk.ground_truths, walk.difficult) == (2, 1)
    assert walk.other[4] == 3 and walk.other_iou[4] == 1
    # by hand: half of the recall at precision 1, half at 2/5
    assert [(each.start, each.end, each.precision) for each in plateaus_of(walk)] == [(0, 0.5, 1), (0.5, 1, 0.4)]
    points = eleven_points(walk)
    assert [each.place for each in points] == [0] * 6 + [5] * 5
    assert [each.precision for each in points] == [1] * 6 + [0.4] * 5


def test_an_object_is_missed_for_one_of_three_reasons():
    ground_truth = ground_truth_of(
        (0, 0, SQUARE, False), (0, 0, SHIFTED, False),  # one detection lies on both, best on the first
        (1, 0, SQUARE, False),  # only touched
        (2, 0, SQUARE, False),  # nothing near
        (2, 0, FAR, True),  # difficult: not missed
    )  # fmt: skip
    found = detections_of((0, 0, 0.9, SQUARE), (1, 0, 0.8, TOUCHING))
    walk = walk_class(ground_truth, found, 0, 0.5, 0.0)
    missed = missed_objects(walk, ground_truth, found, 0, 0.5, 0.0)
    assert (missed.untouched, missed.near, missed.lost) == (1, 1, 1)


def test_a_cut_list_reports_how_much_its_end_could_add():
    ground_truth = ground_truth_of(*((image, 0, SQUARE, False) for image in range(4)))
    found = detections_of((0, 0, 0.9, SQUARE), (1, 0, 0.8, SQUARE))
    walk = walk_class(ground_truth, found, 0, 0.5, 0.0)
    cut = unseen_part(walk, 0.8)
    assert (cut.last_recall, cut.most_area, cut.most_voc07, cut.cut) == (0.5, 1, 1, True)
    assert not unseen_part(walk, 0.005).cut  # the list goes down to Darknet's threshold
    whole = walk_class(ground_truth, detections_of(*((image, 0, 0.9, SQUARE) for image in range(4))), 0, 0.5, 0.0)
    assert not unseen_part(whole, 0.9).cut  # nothing is left to find


@given(scenes.scenes())
@settings(deadline=None, max_examples=30)
def test_every_number_is_the_scorers(scene):
    evaluation = scenes.evaluation_of(*scene)
    scored = scored_evaluation(evaluation, evaluation.image_ids)
    voc, darknet = voc_scores(evaluation), darknet_map(evaluation.ground_truth, evaluation.detections, 3)
    for label in range(len(scenes.NAMES)):
        score = walked_score(scored, label, 0.5)
        walk = score.walk
        match = match_class(scored.voc_ground_truth, scored.voc_detections, label, 0.5, VOC_PIXEL_EXTENT)
        assert (walk.outcome[walk.counted] == TRUE_POSITIVE).tolist() == match.true_positive.tolist()
        assert walk.recall[walk.counted].tolist() == voc[label].recall.tolist()
        assert walk.precision[walk.counted].tolist() == voc[label].precision.tolist()
        assert (score.readings[0].own, score.readings[1].own) == (voc[label].voc07_ap, voc[label].area_ap)
        assert [each.own for each in score.readings[2:5]] == [darknet.classes[label].ap[points] for points in POINTS]
        if voc[label].area_ap is not None:
            assert sum(each.area for each in score.plateaus) == pytest.approx(voc[label].area_ap, abs=1e-12)
            assert np.mean([each.precision for each in score.points]) == pytest.approx(voc[label].voc07_ap, abs=1e-12)
            assert score.hundred.mean() == pytest.approx(score.readings[5].own, abs=1e-12)
        taken = walk.outcome == TAKEN
        assert (walk.ground_truth[walk.taken_by[taken]] == walk.ground_truth[taken]).all()
        assert (walk.taken_by[taken] < np.flatnonzero(taken)).all()


@given(scenes.scenes(difficult=False))
@settings(deadline=None, max_examples=15)
def test_cocos_numbers_are_pycocotools(scene):
    evaluation = scenes.evaluation_of(*scene)
    expected = coco_score(evaluation)
    scored = scored_evaluation(evaluation, evaluation.image_ids)
    readings = [walked_score(scored, label, 0.5).readings for label in range(len(scenes.NAMES))]
    aps = [each[6].own for each in readings]
    assert aps == [None if ap is None else pytest.approx(ap, abs=1e-12) for ap in expected.class_ap]
    known = [each[5].own for each in readings if each[5].own is not None]
    assert (np.mean(known) if known else None) == (None if not known else pytest.approx(expected.ap50, abs=1e-12))


def test_coco_counts_the_best_hundred_of_an_image():
    many = detections_of(*((image, 0, score / 200, FAR) for image in (1, 0) for score in range(150)))
    kept = best_of_images(many, 100)
    assert np.bincount(kept.image_index).tolist() == [100, 100]
    assert kept.scores.min() == 50 / 200
    late = detections_of(*((0, 0, 0.9, FAR) for _ in range(100)), (0, 0, 0.8, SQUARE))
    ap, ap50, _ = coco_readings(ground_truth_of((0, 0, SQUARE, False)), late)
    assert (ap, ap50) == (0, 0)  # the hit is number 101


def test_a_class_that_is_not_there_is_named_with_those_that_are():
    assert class_number("bee", scenes.NAMES) == 1
    with pytest.raises(ValueError, match=r"--explain: found the class 'been', expected one of bee, \.\.\."):
        class_number("been", scenes.NAMES)
    with pytest.raises(ValueError, match="expected one of ant, bee, cow$"):
        class_number("xyz", scenes.NAMES)
