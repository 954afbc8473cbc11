"""yolo.evaluate.analysis.compare, compare_page and tools/compare.py: changes by hand, and pages of two runs."""

import copy
import json
import re
from dataclasses import replace

import pytest

from tests.helpers.report_pages import ABOUT, ROWS, ParsedPage, scene_of, without_detections
from tests.helpers.scoring_scenes import found_of
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.errors import DatasetError
from yolo.evaluate.analysis.build_report import build_report
from yolo.evaluate.analysis.compare import MetricChange, compare, comparison_text
from yolo.evaluate.html.report_page import write_report

PATHS = [f"p{index}.png" for index in range(4)]


def after():
    """Run B: image 0 lost its duplicate, 1 has another false positive for the old one, 3 detects one more red
    object."""
    return replace(
        scene_of(FOUR_IMAGES),
        detections=found_of([
            (0, 0, 0.9, (8, 8, 24, 24)),
            (1, 1, 0.95, (30, 10, 54, 20)),
            (1, 1, 0.7, (5, 30, 18, 44)),  # the same classification error, moved a little
            (1, 0, 0.6, (1, 1, 9, 9)),  # background, elsewhere
            (2, 1, 0.9, (40, 24, 50, 40)),
            (3, 0, 0.5, (36, 22, 60, 42)),
            (3, 1, 0.1, (6, 4, 20, 20)),
        ]),
    )  # fmt: skip


def report_of(evaluation, rows=ROWS):
    return build_report(evaluation, PATHS, ABOUT, rows)


@pytest.fixture
def runs():
    return report_of(scene_of(FOUR_IMAGES)), report_of(after())


def test_a_change_is_better_worse_or_unknown():
    assert MetricChange("AP", 0.5, 0.6).trend == MetricChange("cost", 0.6, 0.5, more_is_better=False).trend == "better"
    assert MetricChange("AP", 0.6, 0.5).trend == MetricChange("cost", 0.5, 0.6, more_is_better=False).trend == "worse"
    assert MetricChange("AP", 0.5, 0.5).trend == MetricChange("AP", None, None).trend == "same"
    assert MetricChange("AP", None, 0.5).trend == "n/a" and MetricChange("AP", None, 0.5).step is None


def test_changes_by_hand(runs):
    comparison = compare(*runs)
    changed = {each.name: (each.gained, each.lost, each.fp_gone, each.fp_new) for each in comparison.images}
    # in image 3 the box that was both wrong in class and place is gone
    assert changed == {"p0": (0, 0, 1, 0), "p1": (0, 0, 1, 1), "p3": (1, 0, 1, 0)}
    back = compare(*reversed(runs))
    changed = {each.name: (each.gained, each.lost, each.fp_gone, each.fp_new) for each in back.images}
    assert changed == {"p0": (0, 0, 0, 1), "p1": (0, 0, 1, 1), "p3": (0, 1, 0, 1)}
    costs = {each.name: each.trend for each in comparison.errors}
    assert costs["both"] == "better"
    assert costs["duplicate"] == "same"  # it ranked below the only TP of red: it cost nothing
    by_name = {each.name: each for each in comparison.metrics}
    assert by_name["AP50"].trend == by_name["recall at 0.25"].trend == "better"
    assert by_name["recall at 0.25"].step == pytest.approx(1 / 6)
    assert by_name["VOC area mAP"].trend == by_name["COCO AP"].trend == "same"


def test_counts_are_whole_and_fewer_false_positives_are_better():
    rows = [[replace(ROWS[0], metric=name, value=value) for name, value in each] for each in (
        (("Darknet: TP", 1200), ("Darknet: FP", 7), ("log-average miss rate", 0.5)),
        (("Darknet: TP", 1300), ("Darknet: FP", 5), ("log-average miss rate", 0.6)),
    )]  # fmt: skip
    scene = scene_of(FOUR_IMAGES)
    comparison = compare(report_of(scene, rows[0]), report_of(scene, rows[1]))
    assert [change.trend for change in comparison.metrics[-3:]] == ["better", "better", "worse"]
    assert "| Darknet: TP           |  1,200 |  1,300 |    +100 | better |" in comparison_text(comparison, 4)


def test_a_run_with_itself_changes_nothing(runs):
    comparison = compare(runs[0], copy.deepcopy(runs[0]))
    changes = (*comparison.metrics, *comparison.classes, *comparison.errors)
    assert {change.trend for change in changes} == {"same"} and not comparison.images
    text = comparison_text(comparison, 4)
    assert "0 of 4 images changed" in text and "|" not in text
    assert text.splitlines()[0] == f"score: {len(comparison.metrics)} of {len(comparison.metrics)} unchanged"


def test_the_text_has_the_steps(runs):
    text = comparison_text(compare(*runs), 4)
    red = [each.classes[0].ap50 for each in runs]
    (line,) = (line for line in text.splitlines() if line.startswith("| red"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["red", f"{red[0]:.4f}", f"{red[1]:.4f}", f"{red[1] - red[0]:+.4f}", "better"]
    assert "3 of 4 images changed: 1 more object detected, 0 lost; 3 false positives gone, 1 new" in text
    assert "  p3: 1 more detected, 1 false positive gone" in text
    assert "same |" not in text and re.search(r"^\d+ of \d+ unchanged$", text, re.M)


def test_reports_that_cannot_be_compared_are_refused(runs):
    a, b = runs
    others = {
        "classes": replace(b, names=("red", "blue")),
        "score threshold": replace(b, score_thresh=0.5),
        "images": replace(b, images=b.images[:3]),
    }
    image = b.images[2]
    box = replace(image.ground_truths[0], box=(41.0, 24.0, 60.0, 44.0))
    image = replace(image, ground_truths=(box, *image.ground_truths[1:]))
    moved = replace(b, images=(*b.images[:2], image, *b.images[3:]))
    for what, other in {**others, "image p2": moved}.items():
        with pytest.raises(DatasetError, match=f"^{what}: found .* expected") as error:
            compare(a, other)
        assert "\n" not in str(error.value)


@pytest.fixture
def folders(four, tmp_path):
    a = build_report(scene_of(FOUR_IMAGES), four.images, ABOUT, ROWS)
    b = build_report(after(), four.images, replace(ABOUT, cfg="<b>.cfg"), ROWS)
    write_report(tmp_path / "a", a)
    write_report(tmp_path / "b", b)
    return tmp_path


def test_the_tool_prints_what_changed_and_writes_the_page(folders, load_tool, call_tool):
    tool = load_tool("compare")
    code, out, _ = call_tool(tool, folders / "a", folders / "b/report.json", "--report", folders / "c")
    assert code == 0 and "AP50 lost to" in out and f"page: {folders / 'c/index.html'}" in out
    page = ParsedPage((folders / "c/index.html").read_text())
    assert page.count("figure") == 6 and page.count("image") == 6  # three images, before and after
    assert {"A", "B", "A: p3", "B: 1 more detected, 1 false positive gone"} <= set(page.texts)
    assert page.texts.count(ABOUT.command) == 2 and "<b>.cfg" in page.texts
    numbers = json.loads((folders / "c/comparison.json").read_text())
    assert [each["name"] for each in numbers["pictures"]] == ["p1", "p3", "p0"]
    assert [*numbers["metrics"][0]] == ["name", "a", "b", "more"]
    assert [*numbers["pictures"][0]] == ["index", "name", "found", "lost", "gone", "new"]
    for change in (*numbers["metrics"], *numbers["classes"], *numbers["errors"]):
        assert change["a"] is None or f"{change['a']:.4f}" in page.texts


def test_the_tool_refuses_in_one_line(folders, load_tool, call_tool):
    tool = load_tool("compare")
    other = without_detections(scene_of(FOUR_IMAGES, labels=3))
    write_report(folders / "other", build_report(other, PATHS, ABOUT, ROWS))
    for arguments, found in (
        (
            (folders / "a", folders / "other"),
            f"error: {folders}/other (B) beside {folders}/a (A): classes: found red, green, class 2 in B",
        ),
        (
            (folders / "a", folders / "none"),
            "none: not found, expected the folder that `yolo-darknet evaluate --report FOLDER` wrote, with",
        ),
        ((folders / "a", folders / "b", "--report", folders / "b"), "found the folder of a report"),
    ):
        code, _, stderr = call_tool(tool, *arguments)
        assert code == 2 and found in stderr and stderr.count("\n") == 1
    assert (folders / "b/report.json").exists()


def test_runs_without_a_detection_compare(four, tmp_path, load_tool, call_tool):
    whole = scene_of(FOUR_IMAGES)
    for name, evaluation in (("a", whole), ("b", without_detections(whole))):
        write_report(tmp_path / name, build_report(evaluation, four.images, ABOUT, ()))
    code, out, _ = call_tool(load_tool("compare"), tmp_path / "a", tmp_path / "b", "--report", tmp_path / "c")
    assert code == 0 and "2 lost" in out
    assert "nan" not in out


def test_a_name_that_is_no_utf8_is_printed(folders, load_tool, call_tool):
    for name in "ab":
        text = (folders / name / "report.json").read_text()
        (folders / name / "report.json").write_text(text.replace('"p3"', r'"p\udcff"'))
    code, out, _ = call_tool(load_tool("compare"), folders / "a", folders / "b")
    assert code == 0 and r"  p\udcff: 1 more detected, 1 false positive gone" in out


def test_a_report_of_another_shape_is_one_line(folders, load_tool, call_tool):
    report = json.loads((folders / "b/report.json").read_text())
    (folders / "b/report.json").write_text(json.dumps({**report, "about": None}))
    code, out, stderr = call_tool(load_tool("compare"), folders / "a", folders / "b")
    assert (code, out) == (2, "")
    assert stderr == f"error: {folders}/b/report.json: about: found None, expected an object\n"
