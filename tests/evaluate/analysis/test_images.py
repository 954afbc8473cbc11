"""yolo.evaluate.analysis.images: what became of each box by hand, and the cost of a picture by scoring it again."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers import slow_tide
from tests.helpers.scoring_scenes import PICTURES, evaluation_of, found_of, scenes, truth_of
from yolo.evaluate.analysis.images import picture_findings
from yolo.evaluate.analysis.tide import find_errors, shown_errors

PATHS = ["a/p0.jpg", "a/p1.jpg", "a/p2.jpg"]


def pictures_of(truth, found, least=0.25):
    shown = shown_errors(truth, found, find_errors(truth, found), least)
    return picture_findings(evaluation_of(truth, found), PATHS, shown, least)


def test_each_box_says_what_became_of_it():
    truths = [
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
    first, second, third = pictures_of(truth_of(truths), found_of(found))
    assert [t["outcome"] for t in first["truths"]] == ["found", "excused"]
    assert [t["outcome"] for t in second["truths"]] == ["missed", "difficult"]
    assert [(d["kind"], d["truth"]) for d in first["detections"]] == [
        ("classification", 1),
        ("right", 0),
    ]
    assert [d["kind"] for d in second["detections"]] == ["uncounted"]
    assert (first["wrong"], second["wrong"], third["wrong"]) == (1, 1, 0)
    assert (first["id"], first["path"], first["height"]) == ("p0", "a/p0.jpg", 12)
    assert third["truths"] == third["detections"] == [] and third["cost"] == 0


def cured_map(truth, found, picture, least=0.25):
    """Mean AP with one picture's errors cured, from the slow version's list of right and wrong."""
    truths, detections = slow_tide.sort_errors(truth, found)
    plain = [t for t in truths if not t["difficult"]]
    totals = {
        label: sum(t["class"] == label for t in plain) for label in {t["class"] for t in plain}
    }
    seen = {id(d["truth"]) for d in detections if d["kind"] == "right" and d["score"] >= least}
    rows, top = [], []
    for d in detections:
        if d["kind"] == "uncounted":
            continue
        right = d["kind"] == "right"
        if d["picture"] == picture and right != (d["score"] >= least):
            continue
        rows.append((d["class"], right))
    for t in plain:
        if t["picture"] == picture and id(t) not in seen:
            top.append((t["class"], True))
    return slow_tide.mean_ap(top + rows, totals) if totals else 0.0


@given(scenes())
@settings(max_examples=120, deadline=None)
def test_the_cost_of_a_picture_is_what_curing_it_gains(scene):
    truth, found = scene
    pictures = pictures_of(truth, found)
    before = slow_tide.costs(truth, found).get(None, 0.0)
    for index in range(PICTURES):
        picture = pictures[index]
        has_error = picture["wrong"] or any(
            t["outcome"] in ("missed", "excused") for t in picture["truths"]
        )
        expected = cured_map(truth, found, index) - before if has_error else 0.0
        assert picture["cost"] == pytest.approx(expected, abs=1e-9)


def test_no_picture_at_all():
    truth, found = truth_of([]), found_of([])
    shown = find_errors(truth, found)
    empty = evaluation_of(truth, found, pictures=0)
    assert picture_findings(empty, [], shown, 0.25) == []
    assert np.shape(empty.sizes) == (0, 2)
