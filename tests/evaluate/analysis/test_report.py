"""yolo.evaluate.analysis.report: by hand on drawn images, and AP as pycocotools has it."""

import json

import pytest
from hypothesis import given, settings

from tests.helpers.report_pages import (
    ABOUT,
    ROWS,
    nothing_found,
    nothing_labeled,
    numbers_in,
    scene_of,
)
from tests.helpers.scoring_scenes import evaluation_of, scenes
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.evaluate.analysis.report import findings
from yolo.evaluate.analysis.tide import KINDS
from yolo.evaluate.metrics.coco import coco_score

PATHS = [f"p{index}.png" for index in range(4)]


def report_of(evaluation):
    return findings(evaluation, PATHS[: len(evaluation.image_ids)], ABOUT, ROWS)


def test_counts_by_hand():
    report = report_of(scene_of(FOUR_IMAGES))
    totals = report["totals"]
    assert (totals["pictures"], totals["truths"], totals["detections"]) == (4, 6, 8)
    assert (totals["right"], totals["wrong"]) == (2, 5)  # seen, from .25 on
    assert totals["precision"] == 2 / 7 and totals["recall"] == 2 / 6
    assert totals["f1"] == pytest.approx(2 * 2 / (2 + 5 + 6))
    kinds = {each["kind"]: (each["shown"], each["count"]) for each in report["errors"]}
    # two ground truths of image 3: one is found below .25, one has only a detection that is wrong twice
    assert [kinds[kind] for kind in KINDS] == [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (2, 1)]
    assert kinds["false positives"] == (5, 5) and kinds["false negatives"] == (4, 3)
    red, green = report["classes"]
    assert (red["name"], red["truths"], red["detections"]) == ("red", 3, 3)
    assert (green["right"], green["wrong"], green["errors"]["missed"]) == (1, 3, 1)
    assert report["confusion"] == [[1, 1, 1], [0, 1, 2], [2, 2, 0]]


def test_the_table_of_metrics_and_the_record_are_handed_on():
    report = report_of(scene_of(FOUR_IMAGES))
    assert report["metrics"][0] == {
        "metric": "VOC area mAP",
        "value": 0.123456789,
        "conventions": "area under the curve, IoU > .5",
    }
    assert report["about"]["weights_sha256"] == "0f" * 32


@given(scenes())
@settings(max_examples=30, deadline=None)
def test_average_precisions_are_those_of_pycocotools(scene):
    evaluation = evaluation_of(*scene)
    report, coco = report_of(evaluation), coco_score(evaluation)
    assert report["ap"]["ap"] == pytest.approx(coco.ap, abs=1e-9)
    assert report["ap"]["ap50"] == pytest.approx(coco.ap50, abs=1e-9)
    assert report["ap"]["ap75"] == pytest.approx(coco.ap75, abs=1e-9)
    assert [each["ap"] for each in report["classes"]] == pytest.approx(
        list(coco.class_ap), abs=1e-9
    )
    expected = [coco.ap_small, coco.ap_medium, coco.ap_large]
    assert [each["ap"] for each in report["sizes"]] == pytest.approx(expected, abs=1e-9)
    for each in report["classes"]:
        if each["curve"] is not None:
            assert sum(each["curve"]) / 101 == pytest.approx(each["ap50"])


def test_the_sizes_hold_every_object():
    report = report_of(scene_of(FOUR_IMAGES))
    assert sum(each["truths"] for each in report["sides"]) >= 6  # one on an edge is in both
    assert [each["truths"] for each in report["sizes"]] == [6, 0, 0]


def test_json_holds_all_of_it_whatever_is_missing():
    whole = scene_of(FOUR_IMAGES, labels=5)
    nobody = evaluation_of(nothing_labeled(nothing_found(whole)).ground_truth, nothing_found(whole).detections,
                           (), 0)  # fmt: skip
    for evaluation in (whole, nothing_found(whole), nothing_labeled(whole), nobody):
        report = report_of(evaluation)
        list(numbers_in(report))
        assert json.loads(json.dumps(report, allow_nan=False)) == report
