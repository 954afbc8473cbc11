"""yolo.evaluate.analysis.compare, compare_page and tools/compare.py: changes by hand, and pages of two runs."""

import copy
import json
from dataclasses import replace

import pytest

from tests.helpers.report_pages import ABOUT, ROWS, Taken, nothing_found, scene_of
from tests.helpers.scoring_scenes import found_of
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.errors import DatasetError
from yolo.evaluate.analysis.compare import Change, compare, comparison_text
from yolo.evaluate.analysis.report import findings
from yolo.evaluate.report_folder import write_report

PATHS = [f"p{index}.png" for index in range(4)]


def after():
    """Run B: image 0 lost its duplicate, 1 has another false alarm for the old one, 3 found a red one more."""
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
    return findings(evaluation, PATHS, ABOUT, rows)


@pytest.fixture
def runs():
    return report_of(scene_of(FOUR_IMAGES)), report_of(after())


def test_a_change_is_better_worse_or_unknown():
    assert (
        Change("AP", 0.5, 0.6).verdict == Change("cost", 0.6, 0.5, more=False).verdict == "better"
    )
    assert Change("AP", 0.6, 0.5).verdict == Change("cost", 0.5, 0.6, more=False).verdict == "worse"
    assert Change("AP", 0.5, 0.5).verdict == Change("AP", None, None).verdict == "same"
    assert Change("AP", None, 0.5).verdict == "n/a" and Change("AP", None, 0.5).step is None


def test_changes_by_hand(runs):
    comparison = compare(*runs)
    changed = {
        each.name: (each.found, each.lost, each.gone, each.new) for each in comparison.images
    }
    # in image 3 the box that was both wrong in class and place is gone
    assert changed == {"p0": (0, 0, 1, 0), "p1": (0, 0, 1, 1), "p3": (1, 0, 1, 0)}
    back = compare(*reversed(runs))
    changed = {each.name: (each.found, each.lost, each.gone, each.new) for each in back.images}
    assert changed == {"p0": (0, 0, 0, 1), "p1": (0, 0, 1, 1), "p3": (0, 1, 0, 1)}
    costs = {each.name: each.verdict for each in comparison.errors}
    assert costs["both"] == "better"
    assert (
        costs["duplicate"] == "same"
    )  # it stood behind the only red box that is right: it cost nothing
    by_name = {each.name: each for each in comparison.metrics}
    assert by_name["AP50"].verdict == by_name["recall at 0.25"].verdict == "better"
    assert by_name["recall at 0.25"].step == pytest.approx(1 / 6)
    assert by_name["VOC area mAP"].verdict == by_name["COCO AP"].verdict == "same"


def test_counts_are_whole_and_fewer_false_alarms_are_better():
    rows = [[replace(ROWS[0], metric=name, value=value) for name, value in each] for each in (
        (("Darknet: TP", 1200), ("Darknet: FP", 7), ("log-average miss rate", 0.5)),
        (("Darknet: TP", 1300), ("Darknet: FP", 5), ("log-average miss rate", 0.6)),
    )]  # fmt: skip
    scene = scene_of(FOUR_IMAGES)
    comparison = compare(report_of(scene, rows[0]), report_of(scene, rows[1]))
    assert [change.verdict for change in comparison.metrics[-3:]] == ["better", "better", "worse"]
    assert "| Darknet: TP           |  1,200 |  1,300 |    +100 | better |" in comparison_text(
        comparison, 4
    )


def test_a_run_with_itself_changes_nothing(runs):
    comparison = compare(runs[0], copy.deepcopy(runs[0]))
    changes = (*comparison.metrics, *comparison.classes, *comparison.errors)
    assert {change.verdict for change in changes} == {"same"} and not comparison.images
    assert "0 of 4 images changed" in comparison_text(comparison, 4)


def test_the_text_tells_the_steps(runs):
    text = comparison_text(compare(*runs), 4)
    red = [each["classes"][0]["ap50"] for each in runs]
    (line,) = (line for line in text.splitlines() if line.startswith("| red"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["red", f"{red[0]:.4f}", f"{red[1]:.4f}", f"{red[1] - red[0]:+.4f}", "better"]
    assert "3 of 4 images changed: 1 objects more found, 0 lost; 3 false alarms gone, 1 new" in text
    assert "  p3: 1 found, 1 false alarm gone" in text


def test_runs_that_say_nothing_about_each_other_are_refused(runs):
    a, b = runs
    others = {
        "classes": {**b, "names": ["red", "blue"]},
        "score shown": {**b, "score_thresh": 0.5},
        "images": {**b, "pictures": b["pictures"][:3]},
    }
    moved = copy.deepcopy(b)
    moved["pictures"][2]["truths"][0]["box"][0] += 1
    for what, other in {**others, "image p2": moved}.items():
        with pytest.raises(DatasetError, match=f"^{what}: found .* expected") as error:
            compare(a, other)
        assert "\n" not in str(error.value)


@pytest.fixture
def folders(four, tmp_path):
    write_report(tmp_path / "a", scene_of(FOUR_IMAGES), four.images, ABOUT, ROWS)
    write_report(tmp_path / "b", after(), four.images, replace(ABOUT, cfg="<b>.cfg"), ROWS)
    return tmp_path


def test_the_tool_prints_what_changed_and_writes_the_page(folders, load_tool, call_tool):
    tool = load_tool("compare")
    code, out, _ = call_tool(
        tool, folders / "a", folders / "b/report.json", "--report", folders / "c"
    )
    assert code == 0 and "AP50 lost to" in out and f"page: {folders / 'c/index.html'}" in out
    page = Taken((folders / "c/index.html").read_text())
    assert page.count("figure") == 6 and page.count("image") == 6  # three images, before and after
    assert {"A", "B", "A: p3", "B: 1 found, 1 false alarm gone"} <= set(page.texts)
    assert page.texts.count(ABOUT.command) == 2 and "<b>.cfg" in page.texts
    numbers = json.loads((folders / "c/comparison.json").read_text())
    assert [each["name"] for each in numbers["pictures"]] == ["p1", "p3", "p0"]
    for change in (*numbers["metrics"], *numbers["classes"], *numbers["errors"]):
        assert change["a"] is None or f"{change['a']:.4f}" in page.texts


def test_the_tool_refuses_in_one_line(folders, load_tool, call_tool):
    tool = load_tool("compare")
    other = nothing_found(scene_of(FOUR_IMAGES, labels=3))
    write_report(folders / "other", other, PATHS, ABOUT, ROWS)
    for arguments, found in (
        (
            (folders / "a", folders / "other"),
            f"error: {folders}/other (B) beside {folders}/a (A): classes: found red, green, class 2 in B",
        ),
        ((folders / "a", folders / "none"), "none: not found"),
        ((folders / "a", folders / "b", "--report", folders / "b"), "found the folder of a report"),
    ):
        code, _, stderr = call_tool(tool, *arguments)
        assert code == 2 and found in stderr and stderr.count("\n") == 1
    assert (folders / "b/report.json").exists()


def test_runs_without_a_detection_compare(four, tmp_path, load_tool, call_tool):
    whole = scene_of(FOUR_IMAGES)
    for name, evaluation in (("a", whole), ("b", nothing_found(whole))):
        write_report(tmp_path / name, evaluation, four.images, ABOUT, ())
    code, out, _ = call_tool(
        load_tool("compare"), tmp_path / "a", tmp_path / "b", "--report", tmp_path / "c"
    )
    assert code == 0 and "2 lost" in out
    assert "nan" not in out


def test_a_name_that_is_no_utf8_is_printed(folders, load_tool, call_tool):
    for name in "ab":
        text = (folders / name / "report.json").read_text()
        (folders / name / "report.json").write_text(text.replace('"p3"', r'"p\udcff"'))
    code, out, _ = call_tool(load_tool("compare"), folders / "a", folders / "b")
    assert code == 0 and r"  p\udcff: 1 found, 1 false alarm gone" in out


def test_a_report_of_another_shape_is_one_line(folders, load_tool, call_tool):
    report = json.loads((folders / "b/report.json").read_text())
    (folders / "b/report.json").write_text(json.dumps({**report, "about": None}))
    code, out, stderr = call_tool(load_tool("compare"), folders / "a", folders / "b")
    assert (code, out) == (2, "")
    assert stderr == f"error: {folders}/b/report.json: about: found None, expected an object\n"
