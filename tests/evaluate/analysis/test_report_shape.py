"""yolo.evaluate.analysis.report_shape: a written report passes, and whatever is spoilt in it is named by its key."""

import copy
import json
import math

import numpy as np
import pytest

from tests.helpers.report_pages import ABOUT, ROWS, nothing_found, nothing_labeled, scene_of
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.errors import DatasetError
from yolo.evaluate.analysis.compare import compare, comparison_text
from yolo.evaluate.analysis.report import findings
from yolo.evaluate.analysis.report_shape import check_report
from yolo.evaluate.html.compare_page import compare_page

PATHS = [f"p{index}.png" for index in range(4)]
GONE = object()


def report_of(evaluation):
    return json.loads(json.dumps(findings(evaluation, PATHS, ABOUT, ROWS)))


@pytest.fixture(scope="module")
def written():
    return report_of(scene_of(FOUR_IMAGES))


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


@pytest.mark.parametrize("change", [lambda each: each, nothing_found, nothing_labeled])
def test_what_is_written_has_the_shape(change):
    check_report(report_of(change(scene_of(FOUR_IMAGES))), "r.json")


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
        (["ap", "mean"], [0.5], "ap.mean: found 1 numbers, expected 10"),
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
def test_what_is_spoilt_is_named_by_its_key(written, keys, value, message):
    with pytest.raises(DatasetError) as error:
        check_report(spoilt(written, keys, value), "r.json")
    assert str(error.value).startswith(f"r.json: {message}") and "\n" not in str(error.value)


def test_a_step_that_holds_detections_needs_its_numbers(written):
    calibration = ["scores", "calibration"]
    at = next(i for i, count in enumerate(written["scores"]["calibration"]["count"]) if count)
    with pytest.raises(DatasetError, match=rf"calibration.score\[{at}\]: found None, expected a f"):
        check_report(spoilt(written, [*calibration, "score", at], None), "r.json")


def places(value, keys=()):
    """The keys of everything in a report."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*keys, key)
            yield from places(value[key], (*keys, key))


def test_whatever_is_spoilt_is_named_or_compared(written):
    rng = np.random.default_rng(3)
    found, every = 0, [*places(written)]
    values = [GONE, None, "x", -1, 0, 0.5, math.nan, 10**400, [], {}, True]
    for at in rng.integers(len(every), size=400).tolist():
        other = spoilt(written, every[at], values[rng.integers(len(values))])
        try:
            check_report(other, "r.json")
            comparison = compare(written, other)
        except DatasetError as error:
            assert "\n" not in str(error)
            found += 1
        else:
            comparison_text(comparison, 4)
            compare_page(written, other, comparison)
    assert 200 < found < 400
