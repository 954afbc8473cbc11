"""yolo.evaluate.analysis.build_report: by hand on drawn images, and AP equal to pycocotools'."""

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings

from tests.helpers.report_pages import ABOUT, ROWS, scene_of
from tests.helpers.scoring_scenes import evaluation_of, scenes
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.evaluate.analysis.build_report import about_run, build_report
from yolo.evaluate.analysis.tide import KINDS
from yolo.evaluate.metrics.coco import coco_score

PATHS = [f"p{index}.png" for index in range(4)]


def report_of(evaluation):
    return build_report(evaluation, PATHS[: len(evaluation.image_ids)], ABOUT, ROWS)


def test_counts_by_hand():
    report = report_of(scene_of(FOUR_IMAGES))
    totals = report.totals
    assert (totals.images, totals.ground_truths, totals.detections) == (4, 6, 8)
    assert (totals.true_positives, totals.false_positives) == (2, 5)  # from .25 on
    assert totals.precision == 2 / 7 and totals.recall == 2 / 6
    assert totals.f1 == pytest.approx(2 * 2 / (2 + 5 + 6))
    kinds = {each.kind: (each.shown, each.count) for each in report.errors}
    # two ground truths of image 3: one is detected below .25, one has only a detection of kind both
    assert [kinds[kind] for kind in KINDS] == [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (2, 1)]
    assert kinds["false positives"] == (5, 5) and kinds["false negatives"] == (4, 3)
    red, green = report.classes
    assert (red.name, red.ground_truths, red.detections) == ("red", 3, 3)
    assert (green.true_positives, green.false_positives, green.errors["missed"]) == (1, 3, 1)
    assert report.confusion == ((1, 1, 1), (0, 1, 2), (2, 2, 0))


def test_the_report_holds_the_metrics_and_the_origin_of_the_evaluation():
    report = report_of(scene_of(FOUR_IMAGES))
    assert report.metrics == ROWS and report.about == ABOUT


@given(scenes())
@settings(max_examples=30, deadline=None)
def test_average_precisions_are_those_of_pycocotools(scene):
    evaluation = evaluation_of(*scene)
    report, coco = report_of(evaluation), coco_score(evaluation)
    assert report.ap.ap == pytest.approx(coco.ap, abs=1e-9)
    assert report.ap.ap50 == pytest.approx(coco.ap50, abs=1e-9)
    assert report.ap.ap75 == pytest.approx(coco.ap75, abs=1e-9)
    assert [each.ap for each in report.classes] == pytest.approx(list(coco.class_ap), abs=1e-9)
    expected = [coco.ap_small, coco.ap_medium, coco.ap_large]
    assert [each.ap for each in report.sizes] == pytest.approx(expected, abs=1e-9)
    for each in report.classes:
        if each.curve is not None:
            assert sum(each.curve) / 101 == pytest.approx(each.ap50)


def test_the_sizes_hold_every_object():
    report = report_of(scene_of(FOUR_IMAGES))
    assert sum(each.ground_truths for each in report.sides) >= 6  # one on an edge is in both
    assert [each.ground_truths for each in report.sizes] == [6, 0, 0]


def test_the_origin_of_a_run(tmp_path):
    weights = tmp_path / "w.weights"
    weights.write_bytes(b"abc")
    made = datetime(2026, 11, 21, 9, 30, tzinfo=timezone.utc)
    about = about_run("python x", "a.cfg", weights, "v.data", made)
    # SHA-256 of "abc": FIPS 180-2, appendix B.1
    assert about.weights_sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert about.date == "2026-11-21 09:30:00+00:00" and dict(about.versions)["torch"]
