"""Tables, summaries and plots: texts by hand, plots by what is drawn on them."""

import json

import numpy as np
import pytest
from matplotlib.axes import Axes

from yolo.evaluate.metrics.table import average_precisions, class_table, format_ap, mean_line, plot_curves, summary
from yolo.evaluate.metrics.voc import ClassMatch, ClassScore

METRICS = {"voc07": [0.5, None, 0.25], "area": [0.123456789, None, 0.2]}


def a_score(voc07: float | None, area: float | None, points: int = 3) -> ClassScore:
    match = ClassMatch(np.linspace(0.9, 0.1, points), np.ones(points, dtype=bool), points, points)
    recall = np.arange(1, points + 1) / max(points, 1)
    return ClassScore(match, recall, np.linspace(1, 0.5, points), voc07, area)


def test_the_table_has_a_row_for_each_class_and_the_means_last():
    table = class_table(("cat", "dog", "eel"), (10, 0, 2), (100, 5, 3), METRICS)
    assert table.splitlines() == [
        "+------------+--------------+------------+----------+---------+",
        "| class      | ground truth | detections | AP voc07 | AP area |",
        "+------------+--------------+------------+----------+---------+",
        "| cat        |           10 |        100 |   0.5000 |  0.1235 |",
        "| dog        |            0 |          5 |      n/a |     n/a |",
        "| eel        |            2 |          3 |   0.2500 |  0.2000 |",
        "+------------+--------------+------------+----------+---------+",
        "| mean (mAP) |           12 |        108 |   0.3750 |  0.1617 |",
        "+------------+--------------+------------+----------+---------+",
    ]


def test_a_table_of_no_classes_has_no_mean():
    assert "n/a" in class_table((), (), (), {"area": []}).splitlines()[-2]


def test_the_mean_line_names_each_metric():
    assert mean_line(METRICS) == "mAP voc07 0.375000  area 0.161728"
    assert mean_line({"area": [None]}) == "mAP area n/a"


def test_the_summary_keeps_every_digit_and_has_no_nan():
    record = json.loads(json.dumps(summary(("cat", "dog", "eel"), 0.5, METRICS), allow_nan=False))
    assert record["iou"] == 0.5
    assert record["metrics"]["voc07"]["mAP"] == 0.375
    assert record["metrics"]["area"]["classes"] == {"cat": 0.123456789, "dog": None, "eel": 0.2}


def test_average_precisions_are_those_of_the_metric():
    scores = [a_score(0.5, 0.25), a_score(None, None)]
    assert average_precisions(scores, "voc07") == [0.5, None]
    assert average_precisions(scores, "area") == [0.25, None]


def test_an_ap_is_rounded():
    assert (format_ap(0.12345678), format_ap(None), format_ap(1.0, 2)) == ("0.1235", "n/a", "1.00")


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The (label, color, dashes) of every line that is drawn."""
    lines, plot = [], Axes.plot

    def recording_plot(self, *arguments, **options):
        lines.append((options["label"], options["color"], options["linestyle"]))
        return plot(self, *arguments, **options)

    monkeypatch.setattr(Axes, "plot", recording_plot)
    return lines


def test_the_plot_has_a_line_for_each_class_with_ground_truth_best_first(tmp_path, drawn):
    scores = [a_score(0.9, 0.25), a_score(None, None), a_score(0.1, 0.75)]
    plot_curves(tmp_path / "curves.png", ("cat", "dog", "$eel"), scores, "area", 0.5)
    assert [label for label, _, _ in drawn] == [r"\$eel  0.7500", "cat  0.2500"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_forty_classes_all_look_different(tmp_path, drawn):
    names = [f"class {number}" for number in range(40)]
    scores = [a_score(0.5, 0.5) for _ in names]
    plot_curves(tmp_path / "curves.svg", names, scores, "area", 0.5)
    assert len({(color, dashes) for _, color, dashes in drawn}) == 40
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()


def test_a_plot_without_a_curve_is_still_a_plot(tmp_path):
    scores = [a_score(None, None), a_score(0.0, 0.0, points=0)]
    plot_curves(tmp_path / "curves.png", ("cat", "dog"), scores, "area", 0.5)
    plot_curves(tmp_path / "none.png", (), [], "area", 0.5)
    assert (tmp_path / "none.png").read_bytes().startswith(b"\x89PNG")
