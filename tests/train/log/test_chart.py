"""yolo.train.log.chart: the lines, limits and labels of the chart, and its file."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.helpers.full_disk import full_beyond
from yolo.files.chart_file import write_figure
from yolo.train.log.chart import MOST_OF_TITLE, MOST_POINTS, Curves, draw_chart

NAN = np.nan


def curves(losses, averages=None, scores=(), last_step=100, steps=None):
    losses = np.array(losses, float)
    steps = np.arange(1, len(losses) + 1.0) if steps is None else np.array(steps, float)
    averages = np.full(len(losses), NAN) if averages is None else np.array(averages, float)
    return Curves("$a run$", steps, losses, averages, scores, "map/voc07", last_step, 20.0, 60.0)


def lines(figure):
    """label → (x, y) of each line."""
    return {line.get_label(): line.get_data() for axes in figure.axes for line in axes.lines}


def test_losses_and_averages_are_at_their_steps():
    drawn = lines(draw_chart(curves([5.0, 3.0], [5.0, 4.8], steps=[20, 80])))
    assert np.array_equal(drawn["loss"], ([20, 20, 80, 80], [5, 5, 3, 3]))  # lowest and highest
    assert np.array_equal(drawn["average loss"], ([20, 80], [5, 4.8]))


@pytest.mark.parametrize(("loss", "height"), [(5.0, 5), (0.0, 0), (20.0, 20), (1e9, 20), (np.inf, 20), (-3.0, 0)])
def test_losses_beyond_the_axis_are_drawn_at_its_end(loss, height):
    drawn = lines(draw_chart(curves([loss, 2.0], [loss, 2.0], steps=[50, 60])))
    assert np.array_equal(drawn["loss"], ([50, 50, 60, 60], [height, height, 2, 2]))
    assert np.array_equal(drawn["average loss"], ([50, 60], [height, 2]))


@pytest.mark.parametrize(
    ("averages", "top"), [([90.0, 40.0, 60.0], 80), ([90.0, 10.5], 21), ([90.0, 9.0], 20), ([np.inf, NAN], 20)]
)
def test_a_loss_that_stays_high_has_a_longer_axis(averages, top):
    figure = draw_chart(curves([95.0] * len(averages), averages))
    assert figure.axes[0].get_ylim() == (0, top)
    assert lines(figure)["loss"][1].max() == min(95, top)


def test_many_steps_are_a_band_from_the_lowest_to_the_highest_loss():
    count = 500_000
    drawn = lines(draw_chart(curves(np.tile([4.0, 8.0], count // 2), np.full(count, 8.0))))
    steps, losses = drawn["loss"]
    assert len(steps) == 2 * MOST_POINTS and steps[-1] == count
    assert np.array_equal(losses, np.tile([4.0, 8.0], MOST_POINTS))
    assert np.array_equal(drawn["average loss"][1], np.full(MOST_POINTS, 8.0))


def test_a_group_of_steps_that_is_not_full_is_drawn_too():
    """1001 steps: 500 groups of two and the last step alone; a loss that is missing does not count."""
    losses = np.arange(1001) / 100
    losses[2] = NAN
    steps, heights = lines(draw_chart(curves(losses, losses)))["loss"]
    assert steps[:4].tolist() == [2, 2, 4, 4] and steps[-1] == 1001
    assert heights[[0, 1, 2, 3, -2, -1]].tolist() == [0, 0.01, 0.03, 0.03, 10, 10]


def test_scores_have_an_axis_of_percentages_and_labels():
    figure = draw_chart(curves([NAN], scores=[(40, 0.5), (80, 0.75)]))
    left, right = figure.axes
    assert np.array_equal(lines(figure)["mAP voc07, best 75.0%"], ([40, 80], [0.5, 0.75]))
    assert left.get_ylim() == (0, 20) and left.get_xlim() == (0, 100) == right.get_xlim()
    assert right.get_ylim() == (0, 1)
    assert {(text.get_text(), text.xy) for text in right.texts} == {
        ("50%", (40, 0.5)), ("75%", (80, 0.75)),
    }  # fmt: skip


def test_the_last_of_many_scores_has_a_label():
    figure = draw_chart(curves([1.0], scores=[(step, step / 100) for step in range(1, 31)]))
    # by hand: of 100 steps, labels are at least 100 / 12 apart
    assert [text.get_text() for text in figure.axes[1].texts] == ["30%", "21%", "12%", "3%"]
    assert [text.get_ha() for text in figure.axes[1].texts] == ["right", "right", "right", "left"]


def test_a_label_of_a_high_score_is_below_it_where_the_legend_is_not():
    high, low = draw_chart(curves([1.0], scores=[(50, 0.5), (100, 1.0)])).axes[1].texts
    assert high.get_text() == "100%" and high.xyann[1] < 0 < low.xyann[1]


def test_a_long_title_ends_before_the_legend():
    figure = draw_chart(replace(curves([1.0]), title="W" * 99))
    figure.draw_without_rendering()
    assert figure.texts[0].get_text() == "W" * (MOST_OF_TITLE - 1) + "…"
    named = draw_chart(replace(curves([1.0]), title="a run of a detector " * 5))
    assert named.texts[0].get_window_extent().x1 < named.legends[0].get_window_extent().x0


def test_title_and_numbers_of_the_last_step_are_above_the_axes():
    figure = draw_chart(curves([5.0, 3.0], [5.0, 4.8]))
    assert [text.get_text() for text in figure.texts] == [
        "$a run$", "step 2 of 100    average loss 4.8000    0:01:00 left",
    ]  # fmt: skip
    figure = draw_chart(curves([]))
    assert figure.texts[1].get_text() == "step 0 of 100    average loss --    0:01:00 left"
    assert len(figure.axes) == 1  # no axis of percentages without scores


@pytest.mark.parametrize("last_step", [1, 50, 0])
@pytest.mark.parametrize("losses", [[], [3.0], [NAN, NAN, NAN]])
def test_short_runs_are_drawn_too(last_step, losses, tmp_path):
    figure = draw_chart(curves(losses, losses, [(1, 1.0)], last_step=last_step))
    write_figure(tmp_path / "chart.png", figure)
    assert cv2.imread(str(tmp_path / "chart.png")).shape == (720, 1000, 3)


def test_a_title_of_any_bytes_is_drawn(tmp_path):
    # a folder whose name is not UTF-8, which matplotlib refuses
    figure = draw_chart(replace(curves([1.0]), title="best of \udcff"))
    assert figure.texts[0].get_text() == "best of \ufffd"
    write_figure(tmp_path / "chart.png", figure)


def test_a_chart_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "chart.png"
    write_figure(path, draw_chart(curves([3.0, 4.0], [3.0, 3.5])))
    before = path.read_bytes()
    with full_beyond(1000), pytest.raises(OSError):
        write_figure(path, draw_chart(curves([1.0])))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_parts_are_fractions_one_above_the_other_in_a_panel_of_their_own():
    parts = {"box": np.array([1.0, 0.0]), "classes": np.array([3.0, 0.0])}  # a loss of 0 has no fractions
    figure = draw_chart(replace(curves([4.0, 0.0], steps=[10, 20]), parts=parts))
    panel = figure.axes[-1]
    assert len(figure.axes) == 2 and panel.get_position().y1 < figure.axes[0].get_position().y0
    areas = [collection.get_paths()[0].vertices for collection in panel.collections]
    assert [area[area[:, 0] == 10][:, 1].max() for area in areas] == [0.25, 1.0]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["box", "classes"]
