"""yolo.evaluate.analysis.report: what is written is read back, and an error in a file is named by its key."""

import copy
import json
import math

import numpy as np
import pytest

from tests.helpers.report_pages import ABOUT, ROWS, scene_of, without_detections, without_ground_truth
from tests.helpers.scoring_scenes import evaluation_of
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.errors import DatasetError
from yolo.evaluate.analysis.build_report import build_report
from yolo.evaluate.analysis.compare import compare, comparison_text
from yolo.evaluate.analysis.json_records import json_text
from yolo.evaluate.analysis.report import read_report, report_of_json
from yolo.evaluate.html.compare_page import compare_page

PATHS = [f"p{index}.png" for index in range(4)]
GONE = object()


def report_of(evaluation):
    return build_report(evaluation, PATHS[: len(evaluation.image_ids)], ABOUT, ROWS)


@pytest.fixture(scope="module")
def written():
    """The content of a report.json."""
    return json.loads(json_text(report_of(scene_of(FOUR_IMAGES))))


def spoilt(report, keys, value):
    """The report with another value at these keys."""
    changed = copy.deepcopy(report)
    inner = changed
    for key in keys[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return changed


def nothing(evaluation):
    """No image, no class, no box."""
    empty = without_ground_truth(without_detections(evaluation))
    return evaluation_of(empty.ground_truth, empty.detections, (), 0)


@pytest.mark.parametrize("change", [lambda each: each, without_detections, without_ground_truth, nothing])
def test_what_is_written_is_read_back(change):
    report = report_of(change(scene_of(FOUR_IMAGES, labels=5)))
    assert report_of_json(json.loads(json_text(report))) == report


def test_the_keys_of_the_file_are_those_of_format_1(written):
    assert [*written] == [
        "format", "about", "names", "score_thresh", "totals", "metrics", "ap", "classes", "sizes",
        "sides", "scores", "confusion", "errors", "pictures", "loss",
    ]  # fmt: skip
    assert [*written["totals"]] == [
        "pictures", "truths", "difficult", "detections", "right", "wrong", "precision", "recall", "f1",
    ]  # fmt: skip
    assert [*written["classes"][0]] == [
        "name", "truths", "detections", "ap", "ap50", "curve", "errors", "right", "wrong",
        "precision", "recall", "f1",
    ]  # fmt: skip
    assert [*written["sizes"][0]] == ["name", "from", "to", "truths", "ap"]
    assert [*written["scores"]] == ["right", "wrong", "calibration"]
    assert [*written["errors"][0]] == ["kind", "count", "shown", "cured", "cost"]
    assert [*written["pictures"][1]] == [
        "id", "path", "height", "width", "wrong", "cost", "truths", "detections",
    ]  # fmt: skip
    assert [*written["pictures"][1]["truths"][0]] == ["class", "box", "outcome"]
    assert [*written["pictures"][1]["detections"][0]] == ["class", "box", "score", "kind", "truth"]


def test_a_report_is_read_from_its_folder_or_its_file(written, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(written))
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == report_of_json(written)


@pytest.mark.parametrize(
    "content, found",
    [
        (None, "not found"),
        ("{", "found no json"),
        ("[" * 100_000, "nested too deeply"),
        ('{"format": 1' + "0" * 5000 + "}", "found json that cannot be read"),
        ("[]", "found format None"),
        ('{"format": 9}', "format 9"),
        ('{"format": 1}', "about: found nothing"),
    ],
)
def test_a_file_that_is_not_a_report_is_named(content, found, tmp_path):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"report.json: .*{found}|{found}") as error:
        read_report(tmp_path / "report.json")
    assert "\n" not in str(error.value) and "expected" in str(error.value)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["pictures"], GONE, "pictures: found nothing, expected this key of a report"),
        (["classes"], GONE, "classes: found nothing, expected this key of a report"),
        (["errors"], GONE, "errors: found nothing, expected this key of a report"),
        (["metrics"], None, "metrics: found None, expected a list"),
        (["about"], None, "about: found None, expected an object"),
        (["about", "date"], 7, "about.date: found 7, expected text"),
        (["about", "versions", 0], ["x"], "about.versions[0]: found ['x'], expected name and version"),
        (["names", 1], 5, "names[1]: found 5, expected text"),
        (["score_thresh"], True, "score_thresh: found True, expected a finite number"),
        (["ap", "ap50"], GONE, "ap.ap50: found nothing, expected this key of a report"),
        (["ap", "ap50"], "0.5", "ap.ap50: found '0.5', expected a finite number or null"),
        (["ap", "ap"], math.nan, "ap.ap: found nan, expected a finite number or null"),
        (["ap", "iou"], [0.5] * 10, "ap.iou: found [0.5, 0.5"),
        (["ap", "mean"], [0.5], "ap.mean: found 1 number, expected 10"),
        (["metrics", 0, "value"], "x", "metrics[0].value: found 'x', expected a finite number or"),
        (["classes", 1, "ap50"], math.inf, "classes[1].ap50: found inf, expected a finite number or"),
        (["classes", 0, "curve"], [1.0] * 100, "classes[0].curve: found [1.0, 1.0"),
        (["classes"], [], "classes: found [], expected ['red', 'green']"),
        (["errors", 2, "kind"], "odd", "errors[2].kind: found 'odd', expected one of classification"),
        (["errors", 2, "kind"], [], "errors[2].kind: found [], expected one of classification"),
        (["errors"], [], "errors: found [], expected ['classification', "),
        (["sizes"], [], "sizes: found [], expected ['small', 'medium', 'large']"),
        (["scores", "calibration", "count", 0], -1, "scores.calibration.count[0]: found -1, expected"),
        (["scores", "calibration", "score"], [], "scores.calibration.score: found 0 numbers, exp"),
        (["totals", "wrong"], 0.5, "totals.wrong: found 0.5, expected a whole number from 0 on"),
        (["classes", 0, "errors"], {}, "classes[0].errors: found {}, expected a count for each of"),
        (["sides", 0, "to"], "8", "sides[0].to: found '8', expected a whole number from 0 on or null"),
        (["pictures", 0, "cost"], GONE, "pictures[0].cost: found nothing, expected this key of a"),
        (["pictures", 1], 3, "pictures[1]: found 3, expected an object"),
        (["pictures", 0, "width"], 0, "pictures[0].width: found 0, expected a whole number from 1"),
        (["pictures", 0, "truths", 0, "class"], 2,
         "pictures[0].truths[0].class: found 2, expected a class number below 2"),
        (["pictures", 0, "truths", 0, "box"], [1, 2, 3, math.nan],
         "pictures[0].truths[0].box: found [1, 2, 3, nan], expected four finite numbers"),
        (["pictures", 0, "truths", 0, "outcome"], "odd",
         "pictures[0].truths[0].outcome: found 'odd', expected one of found, missed, excused, dif"),
        (["pictures", 1, "detections", 0, "class"], -1,
         "pictures[1].detections[0].class: found -1, expected a class number below 2"),
        (["pictures", 1, "detections", 0, "kind"], "odd",
         "pictures[1].detections[0].kind: found 'odd', expected one of classification, locali"),
        (["pictures", 1, "detections", 0, "score"], None,
         "pictures[1].detections[0].score: found None, expected a finite number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_by_its_key(written, keys, value, message):
    with pytest.raises(DatasetError) as error:
        report_of_json(spoilt(written, keys, value))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_bin_with_detections_needs_its_numbers(written):
    calibration = ["scores", "calibration"]
    at = next(i for i, count in enumerate(written["scores"]["calibration"]["count"]) if count)
    with pytest.raises(DatasetError, match=rf"calibration.score\[{at}\]: found None, expected a f"):
        report_of_json(spoilt(written, [*calibration, "score", at], None))


def places(value, keys=()):
    """The keys of everything in a report."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*keys, key)
            yield from places(value[key], (*keys, key))


def test_a_changed_report_is_refused_in_one_line_or_compared(written):
    before = report_of_json(written)
    rng = np.random.default_rng(3)
    found, every = 0, [*places(written)]
    values = [GONE, None, "x", -1, 0, 0.5, math.nan, 10**400, [], {}, True]
    for at in rng.integers(len(every), size=400).tolist():
        other = spoilt(written, every[at], values[rng.integers(len(values))])
        try:
            changed = report_of_json(other)
            comparison = compare(before, changed)
        except DatasetError as error:
            assert "\n" not in str(error)
            found += 1
        else:
            comparison_text(comparison, 4)
            compare_page(before, changed, comparison)
    assert 200 < found < 400
