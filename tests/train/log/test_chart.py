"""yolo.train.log.chart: where losses and scores stand on the image."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.helpers.full_disk import full_beyond
from yolo.train.log import chart
from yolo.train.log.chart import BLUE, BOTTOM, LEFT, RED, RIGHT, STEP_BLUE, TOP, Curves, draw_chart

NAN = np.nan


def curves(losses, averages=None, scores=(), last_step=100, steps=None):
    """Blue averages where asked for."""
    losses = np.array(losses, float)
    steps = np.arange(1, len(losses) + 1.0) if steps is None else np.array(steps, float)
    averages = np.full(len(losses), NAN) if averages is None else np.array(averages, float)
    return Curves("a run", steps, losses, averages, scores, "map/voc07", last_step, 20.0, 60.0)


def places(image, color):
    """(x, y) of the pixels of a color inside the frame or on it."""
    y, x = np.nonzero((image[TOP - 1 : BOTTOM + 2, LEFT - 1 : RIGHT + 2] == color).all(axis=2))
    return x + LEFT - 1, y + TOP - 1


def center(image, color):
    x, y = places(image, color)
    return pytest.approx((x.mean(), y.mean()), abs=1)


def spot(step, share, last_step=100):
    """By hand: where a step and a share of the height lie."""
    return LEFT + (RIGHT - LEFT) * step / last_step, BOTTOM - (BOTTOM - TOP) * share


@pytest.mark.parametrize(
    ("loss", "share"), [(5.0, 0.25), (0.0, 0), (20.0, 1), (1e9, 1), (np.inf, 1), (-3.0, 0)]
)
def test_one_step_is_a_dot_at_its_loss_and_what_is_too_large_lies_at_the_top(loss, share):
    image = draw_chart(curves([loss], [loss], steps=[50]))
    assert image.shape == (chart.HEIGHT, chart.WIDTH, 3) and image.dtype == np.uint8
    x, y = places(image, BLUE)
    assert abs(x.mean() - spot(50, share)[0]) <= 1
    assert abs(y - spot(50, share)[1]).min() <= 2


def test_the_dots_of_losses_and_of_averages_have_their_own_blue():
    image = draw_chart(curves([5.0, NAN], [NAN, 10.0], steps=[20, 80]))
    assert spot(20, 0.25) == center(image, STEP_BLUE)
    assert spot(80, 0.5) == center(image, BLUE)


def test_scores_are_shares_of_the_height_and_joined():
    image = draw_chart(curves([NAN], scores=[(40, 0.5), (80, 0.75)]))
    x, y = places(image, RED)
    inside = x < RIGHT - 10  # the axis of percents is red as well
    x, y = x[inside], y[inside]
    middle = abs(x - spot(60, 0)[0]) < 1
    assert abs(y[middle].mean() - spot(60, 0.625)[1]) < 2
    assert x.min() <= spot(40, 0)[0] - 2 and x.max() >= spot(80, 0)[0] + 2


def test_no_step_or_nothing_but_nan_is_an_empty_frame():
    empty = draw_chart(curves([]))
    for losses in ([], [NAN, NAN, NAN]):
        image = draw_chart(curves(losses, losses))
        assert len(places(image, BLUE)[0]) == len(places(image, STEP_BLUE)[0]) == 0
        assert np.array_equal(image[TOP:BOTTOM, LEFT:RIGHT], empty[TOP:BOTTOM, LEFT:RIGHT])


def test_many_steps_are_a_band_from_the_smallest_to_the_largest_loss():
    losses = np.tile([4.0, 8.0], 250_000)
    image = draw_chart(curves(losses, np.full(500_000, 16.0), last_step=1_000_000))
    _, y = places(image, STEP_BLUE)
    assert (y.min(), y.max()) == pytest.approx((spot(0, 0.4)[1], spot(0, 0.2)[1]), abs=1)
    x, y = places(image, BLUE)
    assert abs(y.mean() - spot(0, 0.8)[1]) < 1
    assert (x.min(), x.max()) == pytest.approx((LEFT, spot(50, 0)[0]), abs=3)


def test_columns_hold_smallest_largest_and_mean():
    x, y = np.array([1.2, 1.4, 2.0, 2.4, 7.0]), np.array([3.0, 5.0, NAN, 4.0, NAN])
    found = chart.columns_of(x, y)
    assert [each.tolist() for each in found] == [[1, 2], [3, 4], [5, 4], [4, 4]]  # by hand


@pytest.mark.parametrize(
    ("end", "most", "least", "expected"),
    [(20, 7, 0, [0, 5, 10, 15, 20]), (0.3, 3, 0, [0, 0.1, 0.2, 0.3]), (1, 12, 1, [0, 1]),
     (500200, 6, 1, [0, 100000, 200000, 300000, 400000, 500000]), (3, 12, 1, [0, 1, 2, 3]),
     (70, 7, 0, [0, 10, 20, 30, 40, 50, 60, 70])],
)  # fmt: skip
def test_ticks_are_round_numbers(end, most, least, expected):
    assert chart.ticks(end, most, least) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (2000, "2000"), (12500, "12.5k"), (500000, "500k"), (1.5e6, "1.5M")],
)
def test_short_number(value, text):
    assert chart.short_number(value) == text


def test_the_best_and_the_last_score_have_a_number_before_others():
    x = np.array([0.0, 100, 120, 140, 300])
    assert chart.labeled(x, np.array([0.1, 0.5, 0.9, 0.6, 0.7])) == [2, 4, 0]
    assert chart.labeled(x[:1], np.array([0.1])) == [0]


@pytest.mark.parametrize("last_step", [1, 50, 0])
def test_runs_without_room_between_steps_are_drawn_too(last_step):
    draw_chart(curves([3.0], [3.0], [(1, 1.0)], last_step=last_step))
    draw_chart(replace(curves([3.0]), max_loss=0.001, left=NAN, title=""))


def test_a_chart_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "chart.png"
    chart.write_chart(path, curves([3.0, 4.0], [3.0, 3.5]))
    written = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(written, draw_chart(curves([3.0, 4.0], [3.0, 3.5])))
    before = path.read_bytes()
    with full_beyond(1000), pytest.raises(OSError):
        chart.write_chart(path, curves([1.0]))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
