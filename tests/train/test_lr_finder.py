"""yolo.train.lr_finder: rates, smoothing and suggestions by hand, a real sweep over four images, and its figure."""

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import cfg_text
from tests.helpers.training_options import changed, tiny_options
from yolo.errors import CfgError, DivergedError
from yolo.files.chart_file import write_figure
from yolo.train import lr_finder
from yolo.train.lr_finder import (
    Suggestion,
    Sweep,
    centered_mean,
    draw_sweep,
    rising_rates,
    smooth,
    suggest,
    sweep,
    sweep_table,
)
from yolo.train.setup.run import start


def swept(losses, first=1e-5, last=1e-1, exploded=False):
    """A sweep whose smoothed losses are the losses."""
    losses = np.array(losses, float)
    return Sweep(np.array(rising_rates(first, last, len(losses))), losses, losses, exploded)


@pytest.fixture
def options(four, tmp_path):
    """A run of 30 steps on four images; what Darknet would write to is four/backup."""
    return tiny_options(four, tmp_path, cfg_text().replace("max_batches=6", "max_batches=30"), out=None, seed=5)


# ------------------------------------------------------------------------------------------ pure numbers


def test_rates_rise_by_one_factor():
    assert rising_rates(1e-6, 1.0, 4) == pytest.approx([1e-6, 1e-4, 1e-2, 1])


def test_the_mean_is_geometric_and_unbiased_from_the_first_step():
    # by hand: of the logarithms 1, 2, 4 the weights .9 and 1, over their sum; then .81, .9, 1
    expected = [1, (0.9 * 1 + 2) / 1.9, (0.81 * 1 + 0.9 * 2 + 4) / 2.71]
    assert np.log10(smooth([1e1, 1e2, 1e4])) == pytest.approx(expected)
    assert smooth([3.0] * 5) == pytest.approx([3.0] * 5)
    assert np.isfinite(smooth([1.0, 0.0])).all()


def test_the_suggestion_is_a_tenth_of_the_last_rate_near_the_lowest_loss():
    """By hand: the rates are 1e-5, 1e-4 ... 1e-1; up to 1.1 times 2.5 is near it."""
    found = suggest(swept([10, 3, 2.5, 2.74, 20], exploded=True))
    assert found.rate == 0.001 and found.lowest == pytest.approx(0.001) and found.limit == pytest.approx(0.01)
    assert "a tenth of 0.01, the last rate" in found.reason and "low values (2.5)" in found.reason
    assert "higher --to" not in found.reason
    found = suggest(swept([10, 3, 2.5, 2.76, 20], exploded=True))
    assert found.rate == 0.0001


def test_the_mean_over_neighbors_is_geometric_and_does_not_lag():
    """By hand: of 15 steps one neighbor on each side counts, and at the ends only one."""
    mean = centered_mean(np.array([1.0, 100.0] + 13 * [1.0]))
    assert mean[:4] == pytest.approx([10.0, 100 ** (1 / 3), 100 ** (1 / 3), 1.0])


def test_the_suggestion_for_a_trained_network_depends_on_where_the_loss_rises_and_not_on_noise():
    """A loss that is flat but for noise up to 0.02, then rises: its lowest point is anywhere, its end is not."""
    rates = np.array(rising_rates(1e-6, 1.0, 100))
    true = 16 * np.maximum(1, np.sqrt(rates / 0.02))
    found = []
    for seed in range(20):
        losses = true * np.exp(np.random.default_rng(seed).normal(0, 0.15, 100))
        found.append(suggest(Sweep(rates, losses, smooth(losses), False)))
    assert 0.001 < np.median([each.rate for each in found]) < 0.003  # a tenth of 0.02 is 0.002
    assert all(0.0001 < each.rate < 0.005 for each in found)
    lowest = [each.lowest for each in found]
    assert max(lowest) / min(lowest) > 1000


def test_a_suggestion_has_two_digits():
    rates = np.array([1e-4, 1.23456e-2, 1e-1])
    losses = np.array([3.0, 1.0, 2.0])
    assert suggest(Sweep(rates, losses, losses, False)).rate == 0.0012


def test_the_reason_proposes_higher_rates_if_the_loss_still_falls_at_the_end():
    found = suggest(swept([10, 9, 4, 3, 2]))
    assert found.rate == 0.01 and "a higher --to may" in found.reason


def test_a_loss_that_comes_back_after_it_was_high_does_not_count():
    # by hand: 9.95 is the lowest, 40 is above 1.5 times it, so that the second 10 is behind the end
    found = suggest(swept([10, 9.95, 12, 40, 10]))
    assert found.rate == 1e-5 and found.limit == pytest.approx(1e-4)


@pytest.mark.parametrize("losses", [[10, 13, 40], [10]])
def test_there_is_no_suggestion_if_the_loss_rises_from_the_start(losses):
    found = suggest(swept(losses))
    assert found.rate is None and "try a lower --from" in found.reason


def test_the_table_has_some_twenty_rows_and_marks_the_lowest():
    losses = np.abs(np.arange(100) - 70.0) + 1
    lines = sweep_table(swept(losses)).splitlines()
    assert 21 <= len(lines) <= 22 and lines[0].split() == ["rate", "loss", "smoothed"]
    (marked,) = [line for line in lines if line.endswith("lowest")]
    # by hand: 1e-5 times 10 to the power of 4 * 70 / 99
    assert marked.split() == ["0.00673", "1", "1", "lowest"]
    assert lines[1].split()[0] == "1e-05" and lines[-1].split()[0] == "0.1"


# ------------------------------------------------------------------------------------------ real steps


def test_the_sweep_trains_at_each_rate_and_leaves_no_file(options, four, monkeypatch):
    seen = []
    train_mini_batch = lr_finder.train_mini_batch

    def watched(run, batch, step, part):
        seen.append((step, run.optimizer.param_groups[0]["lr"], tuple(batch.images.shape)))
        return train_mini_batch(run, batch, step, part)

    monkeypatch.setattr(lr_finder, "train_mini_batch", watched)
    rates = rising_rates(1e-5, 1e-3, 6)
    before = sorted(four.folder.rglob("*"))
    found = lr_finder.sweep_rates(changed(options, overrides=(("subdivisions", "2"),)), rates)
    assert [rate for _, rate, _ in seen] == [rate for rate in rates for _ in range(2)]
    assert [step for step, _, _ in seen] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert found.rates.tolist() == rates and len(found.losses) == len(found.smoothed) == 6
    assert not found.exploded and np.isfinite(found.losses).all()
    assert sorted(four.folder.rglob("*")) == before


def test_the_images_have_the_cfgs_size_even_with_random_1(options, monkeypatch):
    options.cfg.write_text(options.cfg.read_text().replace("random=0", "random=1"))
    shapes = set()
    monkeypatch.setattr(
        lr_finder,
        "train_mini_batch",
        lambda run, batch, step, part: shapes.add(tuple(batch.images.shape)) or fake_losses(1.0),
    )
    monkeypatch.setattr(lr_finder, "update", lambda run, step: None)
    lr_finder.sweep_rates(options, rising_rates(1e-5, 1e-3, 25))
    assert shapes == {(4, 3, 48, 64)}


def fake_losses(total):
    return type("Losses", (), {"total": torch.tensor(total)})


def test_the_losses_are_those_of_training(options, tmp_path):
    """The first loss of a sweep is the first loss of training; at a rate of nearly 0 so are the others."""
    run = start(changed(options, out=tmp_path / "run"))
    run.logger.close()
    found = sweep(run, [1e-12] * 3)
    again = lr_finder.sweep_rates(options, [1e-12, 1e-12])
    assert again.losses.tolist() == found.losses[:2].tolist()
    assert found.smoothed == pytest.approx(smooth(found.losses))


def test_it_stops_when_the_loss_explodes(options):
    found = lr_finder.sweep_rates(options, rising_rates(1e-4, 1e6, 30))
    assert found.exploded and 2 <= len(found.rates) < 30
    assert len(found.rates) == len(found.losses) == len(found.smoothed)
    kept = found.smoothed[:-1]
    assert (kept <= 4 * np.minimum.accumulate(kept)).all()


def test_a_loss_that_is_not_finite_ends_the_sweep_and_is_an_error_at_the_first_step(options, monkeypatch):
    def diverge(run, batch, step, part):
        if step > good:
            raise DivergedError(f"step {step}: found a loss that is not finite")
        return fake_losses(2.0)

    monkeypatch.setattr(lr_finder, "train_mini_batch", diverge)
    monkeypatch.setattr(lr_finder, "update", lambda run, step: None)
    good = 3
    found = lr_finder.sweep_rates(options, rising_rates(1e-4, 1, 5))
    assert found.exploded and found.losses.tolist() == [2.0, 2.0, 2.0]
    good = 0
    with pytest.raises(DivergedError, match="^step 1"):
        lr_finder.sweep_rates(options, [1e-4, 1e-3])


def test_more_steps_than_the_cfg_has_are_an_error(options):
    with pytest.raises(CfgError, match="found max_batches=30, expected at least the 31 steps"):
        lr_finder.sweep_rates(options, [1e-4] * 31)


# ------------------------------------------------------------------------------------------ the image


def test_the_figure_has_both_losses_and_lines_at_the_lowest_and_the_suggested_rate():
    losses = swept([100, 90, 40, 30, 200])
    one = Sweep(losses.rates, losses.losses * 2, losses.losses, exploded=True)
    (axes,) = draw_sweep(one, Suggestion(0.001, "", lowest=0.01, limit=1e-2)).axes
    drawn = {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in axes.lines}
    assert list(drawn) == ["loss", "smoothed loss", "lowest at 0.01", "suggested 0.001"]
    assert np.array_equal(drawn["loss"], (one.rates, one.losses))
    assert np.array_equal(drawn["smoothed loss"], (one.rates, one.smoothed))
    assert set(drawn["lowest at 0.01"][0]) == {0.01} and set(drawn["suggested 0.001"][0]) == {0.001}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    # by hand: from the lowest of both to the highest smoothed loss, a tenth beyond
    assert axes.get_ylim() == pytest.approx((30 / 1.1, 200 * 1.1))
    (axes,) = draw_sweep(one, Suggestion(None, "", lowest=0.01, limit=1e-2)).axes
    assert [line.get_label() for line in axes.lines] == list(drawn)[:3]


@pytest.mark.parametrize("losses", [[5], [5, 5, 5], [0, 0], [1e9, 1, 1e12], [3, 2, 1e-6]])
def test_any_sweep_can_be_drawn(losses, tmp_path):
    one = swept(losses)
    write_figure(tmp_path / "new/lr.png", draw_sweep(one, suggest(one)))
    assert cv2.imread(str(tmp_path / "new/lr.png")).shape == (600, 960, 3)
