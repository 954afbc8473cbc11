"""yolo.evaluate.analysis.images: the outcome of each box by hand, and the cost of an image by scoring it again."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers import slow_tide
from tests.helpers.scoring_scenes import IMAGES, evaluation_of, found_of, ground_truth_of, scenes
from yolo.evaluate.analysis.images import image_reports
from yolo.evaluate.analysis.tide import errors_from_score, find_errors

PATHS = ["a/p0.jpg", "a/p1.jpg", "a/p2.jpg"]


def images_of(ground_truth, found, least=0.25):
    shown = errors_from_score(ground_truth, found, find_errors(ground_truth, found), least)
    return image_reports(evaluation_of(ground_truth, found), PATHS, shown, least)


def test_each_box_has_its_outcome():
    ground_truths = [
        (0, 0, (0, 0, 4, 4), False),
        (0, 1, (6, 6, 10, 10), False),
        (1, 2, (0, 0, 4, 4), False),
        (1, 0, (6, 6, 10, 10), True),
    ]
    found = [
        (0, 0, 0.5, (0, 0, 4, 4)),
        (0, 2, 0.7, (6, 6, 10, 9)),
        (1, 2, 0.1, (0, 0, 4, 4)),
        (1, 0, 0.9, (6, 6, 10, 10)),
    ]
    first, second, third = images_of(ground_truth_of(ground_truths), found_of(found))
    assert [each.outcome for each in first.ground_truths] == ["found", "excused"]
    assert [each.outcome for each in second.ground_truths] == ["missed", "difficult"]
    assert [(each.kind, each.ground_truth) for each in first.detections] == [
        ("classification", 1),
        ("right", 0),
    ]
    assert [each.kind for each in second.detections] == ["uncounted"]
    assert (first.errors, second.errors, third.errors) == (1, 1, 0)
    assert (first.id, first.path, first.height) == ("p0", "a/p0.jpg", 12)
    assert third.ground_truths == third.detections == () and third.cost == 0


def cured_map(ground_truth, found, image, least=0.25):
    """Mean AP with one image's errors cured, from the slow version's list of true and false positives."""
    ground_truths, detections = slow_tide.sort_errors(ground_truth, found)
    plain = [t for t in ground_truths if not t["difficult"]]
    totals = {label: sum(t["class"] == label for t in plain) for label in {t["class"] for t in plain}}
    seen = {id(d["truth"]) for d in detections if d["kind"] == "right" and d["score"] >= least}
    rows, top = [], []
    for d in detections:
        if d["kind"] == "uncounted":
            continue
        right = d["kind"] == "right"
        if d["image"] == image and right != (d["score"] >= least):
            continue
        rows.append((d["class"], right))
    for t in plain:
        if t["image"] == image and id(t) not in seen:
            top.append((t["class"], True))
    return slow_tide.mean_ap(top + rows, totals) if totals else 0.0


@given(scenes())
@settings(max_examples=120, deadline=None)
def test_the_cost_of_an_image_is_the_gain_of_fixing_its_errors(scene):
    ground_truth, found = scene
    images = images_of(ground_truth, found)
    before = slow_tide.costs(ground_truth, found).get(None, 0.0)
    for index in range(IMAGES):
        image = images[index]
        has_error = image.errors or any(each.outcome in ("missed", "excused") for each in image.ground_truths)
        expected = cured_map(ground_truth, found, index) - before if has_error else 0.0
        assert image.cost == pytest.approx(expected, abs=1e-9)


def test_no_image_at_all():
    ground_truth, found = ground_truth_of([]), found_of([])
    shown = find_errors(ground_truth, found)
    empty = evaluation_of(ground_truth, found, images=0)
    assert image_reports(empty, [], shown, 0.25) == ()
    assert np.shape(empty.sizes) == (0, 2)
