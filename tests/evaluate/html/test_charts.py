"""yolo.evaluate.html.charts: what they show by hand, and that every chart stands when there is little or nothing to
show."""

import pytest

from tests.helpers.report_pages import ParsedPage, svg_of
from yolo.evaluate.analysis.report import ErrorReport, SizeReport
from yolo.evaluate.html.charts import (
    calibration_chart,
    curve_chart,
    error_chart,
    heat_chart,
    histogram_chart,
    iou_chart,
    size_chart,
)
from yolo.evaluate.metrics.calibration import Calibration

IOUS = [0.5, 0.75, 0.95]
NO_BINS = Calibration((0, 0), (None, None), (None, None), None)


def parsed(drawing):
    return ParsedPage(svg_of(drawing))


def tips(drawing):
    return parsed(drawing).values("data-tip")


def errors(**costs):
    return [ErrorReport(kind, 1, 1, None, cost) for kind, cost in costs.items()]


def sizes(*aps):
    """Sizes with 3, 0 objects."""
    rows = zip((3, 0), aps, strict=True)
    return [SizeReport("size", 0, None, objects, ap) for objects, ap in rows]


def test_a_bar_is_as_long_as_its_cost():
    drawing = parsed(error_chart([errors(missed=0.1, **{"false positives": 0.2})]))
    short, long = (float(a["width"]) for tag, a in drawing.starts if tag == "rect")
    assert long == pytest.approx(2 * short, abs=0.02)
    assert drawing.values("data-tip") == ["missed: +0.1000 AP50", "false positives: +0.2000 AP50"]
    assert {"0.1000", "0.2000"} <= set(drawing.texts)


def test_points_lie_where_their_values_are():
    drawing = parsed(iou_chart(IOUS, [[1.0, 0.5, 0.0]], [[None, 0.1, None]]))
    heights = [float(a["cy"]) for tag, a in drawing.starts if tag == "circle"]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2)
    assert tips(iou_chart(IOUS, [[1.0, None, 0.25]], [])) == [
        "IoU 0.50: AP 1.0000",
        "IoU 0.95: AP 0.2500",
    ]


def test_the_curve_ends_at_the_highest_recall():
    half = [1.0] * 51 + [0.0] * 50
    (line,) = (a["d"] for tag, a in parsed(curve_chart("a", "n", [half, None])).starts if tag == "path")
    x_of_half = 26 + 0.5 * (200 - 26 - 8)
    assert line.endswith(f"L{x_of_half:.1f} 156.0") and line.count("L") == 51
    assert "no ground truth" in parsed(curve_chart("a", "n", [None])).texts


def test_bins_show_their_counts():
    assert tips(histogram_chart([1, 20], [0, 3])) == [
        "score 0.00 to 0.50: 1 true positives", "score 0.00 to 0.50: 0 false positives",
        "score 0.50 to 1.00: 20 true positives", "score 0.50 to 1.00: 3 false positives",
    ]  # fmt: skip
    run = Calibration((0, 4), (None, 0.9), (None, 0.5), 0.4)
    assert tips(calibration_chart([run])) == ["mean score 0.900: precision 50.0% of 4"]


def test_sizes_show_their_number_of_objects():
    drawing = size_chart(["small", "large"], [sizes(0.5, None), sizes(0.25, None)], "size")
    assert tips(drawing) == ["small: AP 0.5000 on 3 objects", "small: AP 0.2500 on 3 objects"]
    assert {"3", "0", "0.50", "0.25"} <= set(parsed(drawing).texts)


def test_the_heat_of_a_square_is_its_fraction_of_the_row():
    drawing = parsed(heat_chart(["a", "background"], [[3, 1], [0, 0]]))
    assert [a["class"] for tag, a in drawing.starts if tag == "rect"][1:] == [
        "good heat3",
        "bad heat1",
    ]
    assert drawing.values("data-tip")[1] == "a detected as background: 1 of 4"


@pytest.mark.parametrize(
    "drawing",
    [
        error_chart([errors(missed=None)]),
        error_chart([errors(missed=0.0, both=0.0), errors(missed=0.0, both=None)]),
        iou_chart(IOUS, [[None, None, None]], []),
        size_chart([], [[]], "size"),
        histogram_chart([0, 0], [0, 0]),
        calibration_chart([NO_BINS, NO_BINS]),
        heat_chart(["background"], [[0]]),
        curve_chart("a" * 90, "", [[0.0] * 101]),
    ],
)
def test_charts_without_data_are_drawn(drawing):
    svg = svg_of(drawing)
    text = ParsedPage(svg).text + " ".join(map(str, ParsedPage(svg).values("d")))
    assert "nan" not in svg.lower() and "inf" not in text and svg.startswith("<svg")
