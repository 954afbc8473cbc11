"""Learning rate finder: train while the rate rises from step to step, and suggest a rate from the losses.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, and fast.ai's lr_find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from yolo.cfg import override, read_cfg
from yolo.console.progress import progress
from yolo.data.workers import prepared
from yolo.errors import CfgError, DivergedError
from yolo.settings import read_input
from yolo.train.log.chart import BLUE, GRID, PALE_BLUE, RED
from yolo.train.multiscale import Stage
from yolo.train.optimizer import set_rate, train_mode
from yolo.train.setup.options import Options
from yolo.train.setup.run import start
from yolo.train.trainer import Run, begin_step, train_mini_batch, update

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 0.9  # detector.c: avg_loss = avg_loss*.9 + loss*.1
EXPLODED = 4.0  # times the lowest smoothed loss: the sweep stops there, as fast.ai's
SAFETY = 10.0  # the suggestion is the last harmless rate divided by this, as fast.ai's lowest one
NEIGHBORS = 0.07  # fraction of the steps, on each side of one: a mean of 15 steps of 100
LOW_FRACTION = 0.2  # of the steps have a lower loss than the usual low one
NEAR = 1.1  # times that loss: up to here a rise is noise
HARMED = 1.5  # times that loss: the network is spoiled, and what it does later counts no more
LEAST_LOSS = 1e-12  # keeps the logarithm of a loss finite
DIGITS = 2  # of a suggested rate; the curve is no more precise
TABLE_ROWS = 20
GREEN = "#00823c"


@dataclass(frozen=True)
class Sweep:
    """The result of training with a rising learning rate.

    rates, losses, smoothed: float `[N]`, the learning rate, the loss and the smoothed loss of each step;
    exploded: whether the loss exploded, which ended the sweep early.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    exploded: bool


@dataclass(frozen=True)
class Suggestion:
    """A suggested learning rate.

    rate: None if the losses allow no suggestion; reason: in words; lowest: the rate at which the mean loss is lowest;
    limit: the last rate at which it is low.
    """

    rate: float | None
    reason: str
    lowest: float
    limit: float


def sweep_rates(options: Options, rates: Sequence[float]) -> Sweep:
    """Train one step at each of `rates`, from step 1, with the cfg's own augmentation; keep only the losses.

    All images have the cfg's size, even with `random=1`: the loss grows with the number of cells.

    Raises:
        CfgError: max_batches of the cfg is less than the number of rates; and everything that `start` raises.
    """
    net, *_ = override(read_cfg(options.cfg), dict(options.overrides))
    shape = read_input(net, None)
    one_size = (Stage(0, (shape.height, shape.width)),)
    run = start(replace(options, learning=replace(options.learning, sizes=one_size), output=None))
    if run.last_step < len(rates):
        raise CfgError(
            f"{options.cfg}: found max_batches={run.last_step}, expected at least the {len(rates)} steps asked for"
        )
    return sweep(run, rates)


def sweep(run: Run, rates: Sequence[float]) -> Sweep:
    """Train `run` for one step at each rate, until the smoothed loss is EXPLODED times its lowest value."""
    batches = prepared(run.batches)
    train_mode(run.network, run.freeze)
    losses: list[float] = []
    try:
        for step, rate in enumerate(progress(rates, "raising the rate"), 1):
            begin_step(run, step)
            set_rate(run.optimizer, rate)
            step_losses = [train_mini_batch(run, next(batches), step, part) for part in range(run.subdivisions)]
            update(run, step)
            losses.append(float(np.mean([float(each.total.detach()) for each in step_losses])))
            averages = smooth(losses)
            if averages[-1] > EXPLODED * averages.min():
                return Sweep(np.array(rates[:step]), np.array(losses), averages, exploded=True)
    except DivergedError:
        if not losses:
            raise  # at the lowest rate: the rate is not the cause
        return Sweep(np.array(rates[: len(losses)]), np.array(losses), smooth(losses), True)
    finally:
        batches.close()  # ends the loader's processes
    return Sweep(np.array(rates), np.array(losses), smooth(losses), exploded=False)


def rising_rates(first: float, last: float, steps: int) -> list[float]:
    """Return `steps` rates from `first` to `last`, spaced evenly in logarithms."""
    return np.geomspace(first, last, steps).tolist()


def smooth(losses: Sequence[float]) -> np.ndarray:
    """Return the moving geometric mean `[N]`, with Darknet's weights and the bias correction of Adam's means.

    The mean is geometric because the loss of a new detector falls by powers of ten: in an arithmetic mean its first
    losses would dominate for too long.
    """
    average, averages = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * math.log(max(loss, LEAST_LOSS))
        averages.append(math.exp(average / (1 - SMOOTHING**number)))
    return np.array(averages)


def suggest(sweep: Sweep) -> Suggestion:
    """Suggest a tenth of the last rate up to which the loss stays near its low values.

    The rate of the lowest loss itself, fast.ai's choice, depends on chance: once a network has learned what is easy,
    and in fine-tuning from the start, the loss is flat over several powers of ten, and its lowest point is random.
    The end of the flat part differs little from run to run (docs/log.md).
    """
    level = centered_mean(sweep.losses)
    usual = float(np.quantile(level, LOW_FRACTION, method="lower"))  # the lowest of all may be chance
    lowest = int(level.argmin())
    harmed = np.flatnonzero(level[lowest:] > HARMED * usual)
    end = lowest + int(harmed[0]) if len(harmed) else len(level)
    last = int(np.flatnonzero(level[:end] <= NEAR * usual)[-1])
    low, limit = float(sweep.rates[lowest]), float(sweep.rates[last])
    if last == 0:
        return Suggestion(None, "the loss rose from the start: try a lower --from", low, limit)
    reason = f"a tenth of {limit:.2g}, the last rate at which the loss is near its low values ({usual:.4g})"
    if last == len(level) - 1:
        reason += ". It had not risen at the end: a higher --to may find a higher rate"
    return Suggestion(_rounded(limit / SAFETY), reason, low, limit)


def centered_mean(losses: np.ndarray) -> np.ndarray:
    """Return the geometric mean `[N]` of each loss and its neighbors on both sides, so that no step lags behind."""
    logs = np.log(np.maximum(losses, LEAST_LOSS))
    reach = round(NEIGHBORS * len(logs))
    return np.exp([logs[max(0, at - reach) : at + reach + 1].mean() for at in range(len(logs))])


def _rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS - 1}e}")


def sweep_table(sweep: Sweep) -> str:
    """Return about TABLE_ROWS lines of rate, loss and smoothed loss, the lowest marked."""
    last, lowest = len(sweep.rates) - 1, int(sweep.smoothed.argmin())
    rows = {*np.linspace(0, last, TABLE_ROWS).round().astype(int).tolist(), lowest}
    lines = [f"{'rate':>10}  {'loss':>10}  {'smoothed':>10}"]
    for row in sorted(rows):
        mark = "  lowest" if row == lowest else ""
        values = sweep.rates[row], sweep.losses[row], sweep.smoothed[row]
        lines.append("{:>10.3g}  {:>10.4g}  {:>10.4g}".format(*values) + mark)
    return "\n".join(lines)


def draw_sweep(sweep: Sweep, suggestion: Suggestion) -> Figure:
    """Return a figure of the losses over the rates, on logarithmic axes, with lines at the lowest and suggested
    rate."""
    from matplotlib.figure import Figure  # imported here: it takes a second

    figure = Figure(figsize=(9.6, 6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    losses, smoothed = (np.maximum(values, LEAST_LOSS) for values in (sweep.losses, sweep.smoothed))
    axes.loglog(sweep.rates, losses, color=PALE_BLUE, linewidth=1, label="loss")
    axes.loglog(sweep.rates, smoothed, color=BLUE, linewidth=2, label="smoothed loss")
    # up to the smoothed loss: the last losses before an explosion may be far larger
    axes.set_ylim(min(losses.min(), smoothed.min()) / 1.1, smoothed.max() * 1.1)
    axes.axvline(suggestion.lowest, color=RED, linewidth=1, label=f"lowest at {suggestion.lowest:.2g}")
    if suggestion.rate is not None:
        axes.axvline(suggestion.rate, color=GREEN, linewidth=1, label=f"suggested {suggestion.rate:g}")
    axes.set(
        title=f"loss while the learning rate rises, {len(sweep.rates)} steps",
        xlabel="learning rate", ylabel="loss",
    )  # fmt: skip
    axes.grid(color=GRID)
    axes.legend()
    return figure
