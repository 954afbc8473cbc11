"""yolo.pages.svg by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.report_pages import svg_of
from yolo.pages.svg import ChartFrame, Drawing, area, bar, nice_ticks, path, shortened, text, x_axis

FRAME = ChartFrame(100, 50, 10, 20, 5, 15, (0, 2), (-1, 1))


def test_a_frame_maps_its_domain_to_its_corners():
    assert (FRAME.x(0), FRAME.x(2), FRAME.x(1)) == (10, 80, 45)
    assert (FRAME.y(-1), FRAME.y(1), FRAME.y(0)) == (35, 5, 20)


def test_lines_and_bars():
    (line,) = path([(1, 2), (3.04, 4)], "c")
    assert svg_of(Drawing(9, 8, [line], "l")).endswith('><path d="M1.0 2.0L3.0 4.0" class="c"></path></svg>')
    assert path([], "c") == area([], 0, "c") == []
    assert area([(1, 2), (3, 4)], 9, "c")[0].attributes["d"] == "M1.0 2.0L3.0 4.0L3.0 9.0L1.0 9.0Z"
    assert bar(0, 0, -1, 5, "c").attributes["width"] == 0
    assert [shape.tag for shape in x_axis(FRAME, (0, 1, 2), "t")].count("text") == 4


def test_texts_and_labels_are_escaped():
    drawing = Drawing(9.0, 8, [text(0, 0.126, "<x>"), bar(0, 0, 1, 1, "c", '"t')], "<l>")
    assert svg_of(drawing) == (
        '<svg viewBox="0 0 9 8" role="img" aria-label="&lt;l&gt;" class="chart">'
        '<text x="0" y="0.13" class="tick" text-anchor="start">&lt;x&gt;</text>'
        '<rect x="0" y="0" width="1" height="1" rx="1.5" class="c" data-tip="&#34;t"></rect></svg>'
    )


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.138, [0, 0.05, 0.1]),
        (0, 7, [0, 2, 4, 6]),
        (0, 0, [0]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert nice_ticks(low, high) == expected


@given(st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(high):
    ticks = nice_ticks(0, high)
    assert 2 <= len(ticks) <= 6 and ticks[0] == 0 and ticks[-1] <= high * (1 + 1e-9)


def test_long_names_are_cut():
    assert shortened("abc", 100) == "abc"
    assert shortened("a" * 50, 67) == "a" * 9 + "…"  # ten letters of .6 x 11 pixels
    assert shortened("a" * 50, 67, 22) == "a" * 4 + "…"
    assert shortened("车" * 6, 66) == "车" * 6 and shortened("车" * 7, 66) == "车" * 5 + "…"  # 11 pixels each
    assert shortened("e\u0301" * 9, 40) == "e\u0301" * 5 + "…"  # an accent has no width and stays with its letter
