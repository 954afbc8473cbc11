"""chart.png: loss and score of a training run over its steps, in the colors of AlexeyAB's chart, and the loss's parts.

Source: AlexeyAB image_opencv.cpp draw_train_loss: loss in blue up to max_chart_loss, mAP in red with its percentages.
Ours: the axis of the loss is longer if the average loss has not come down to half of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from yolo.files.chart_file import chart_fonts
from yolo.files.text import printable_text
from yolo.train.log.console import format_duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES, DPI = (10.0, 7.2), 100  # 1000 x 720 pixels
MOST_POINTS = 1000  # of a curve: more would fall into the same columns of pixels
MOST_DOTS = 50  # a curve of at most so many points shows each as a dot
MOST_LABELS = 12  # percentages beside the scores, on the whole axis
HIGH, NEAR_LEFT = 0.95, 0.05  # a score whose label is below it; the part of the steps whose labels are at the right
MOST_OF_TITLE = 52  # letters, which end before the legend
ALONE, WITH_PARTS = (0.08, 0.09, 0.85, 0.79), (0.08, 0.37, 0.85, 0.51)  # places of the loss and the score …
PARTS_PANEL = (0.08, 0.07, 0.85, 0.17)  # … and of the parts: left, bottom, width, height
MOST_PARTS = 200  # points of a part: fractions over fewer steps jump up and down
PART_COLORS = ("#4c7ddb", "#1f9d6b", "#d7863c", "#a45cc9")
PALE_BLUE, BLUE, RED, GRID = "#a5c3f5", "#003cc8", "#cd0000", "#e1e1e1"


@dataclass(frozen=True)
class Curves:
    """The content of a chart.

    title: name of the run.
    steps, losses, averages: float `[N]`, ascending steps, the loss of each step and its moving average.
    scores: (step, score in 0..1) of each evaluation; score_name: what the score is.
    last_step: right end of the chart; max_loss: least top of the loss axis. Losses above the top are drawn at it.
    seconds_left: to the end of the run; nan if unknown.
    parts: the parts of the loss of each step, float `[N]` by name; they are drawn in a separate panel.
    """

    title: str
    steps: ndarray
    losses: ndarray
    averages: ndarray
    scores: Sequence[tuple[float, float]]
    score_name: str
    last_step: int
    max_loss: float
    seconds_left: float
    parts: Mapping[str, ndarray] = field(default_factory=dict)


def draw_chart(curves: Curves) -> Figure:
    """Return the chart as a matplotlib figure: loss on the left axis, score (if there is one) on the right axis."""
    from matplotlib.figure import Figure  # imported here: training starts a second earlier
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=INCHES, dpi=DPI)
    axes = figure.add_axes(WITH_PARTS if curves.parts else ALONE)
    top = _top_of_axis(curves)
    steps, low, high, average = _grouped(curves, top)
    dots = "o" if len(steps) <= MOST_DOTS else ""
    axes.plot(
        np.repeat(steps, 2), np.stack((low, high), axis=1).ravel(),
        color=PALE_BLUE, linewidth=1, marker=dots, markersize=4, label="loss", clip_on=False,
    )  # fmt: skip
    axes.plot(steps, average, color=BLUE, linewidth=2, marker=dots, markersize=4, label="average loss", clip_on=False)
    axes.set(xlim=(0, max(1, curves.last_step)), ylim=(0, top), xlabel="step")
    axes.set_ylabel("loss", color=BLUE)
    axes.tick_params(axis="y", colors=BLUE)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.ticklabel_format(style="plain", axis="x")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    if curves.scores:
        _draw_scores(figure, curves)
    title = printable_text(curves.title)
    title = title if len(title) <= MOST_OF_TITLE else title[: MOST_OF_TITLE - 1] + "…"
    figure.text(0.08, 0.955, title, fontsize=14, fontfamily=chart_fonts(), parse_math=False)
    figure.text(0.08, 0.92, _status(curves), parse_math=False)
    figure.legend(loc="upper right", bbox_to_anchor=(0.94, 0.99), frameon=False)
    if curves.parts and len(curves.steps):  # after the legend, which does not list them
        _draw_parts(figure, curves)
    return figure


def _top_of_axis(curves: Curves) -> float:
    """Return max_loss, or twice the lowest average loss: below half of the axis its fall can be seen."""
    finite = curves.averages[np.isfinite(curves.averages)]
    return max(curves.max_loss, 2 * float(finite.min())) if len(finite) else curves.max_loss


def _grouped(curves: Curves, top: float) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Join consecutive steps to at most MOST_POINTS groups `[G]`: last step, lowest and highest loss, mean average."""
    count = len(curves.steps)
    starts = np.arange(0, count, max(1, -(-count // MOST_POINTS)))
    sizes = np.diff(np.append(starts, count))
    losses = np.clip(curves.losses, 0, top)
    averages = np.clip(curves.averages, 0, top)
    return (
        curves.steps[starts + sizes - 1],
        np.fmin.reduceat(losses, starts),
        np.fmax.reduceat(losses, starts),
        np.add.reduceat(averages, starts) / sizes,
    )


def _draw_scores(figure: Figure, curves: Curves) -> None:
    from matplotlib.ticker import PercentFormatter

    axes = figure.axes[0].twinx()
    best = max(score for _, score in curves.scores)
    axes.plot(
        *zip(*curves.scores, strict=True), color=RED, linewidth=2, marker="o", markersize=4,
        label=f"{curves.score_name.replace('map/', 'mAP ')}, best {best:.1%}", clip_on=False,
    )  # fmt: skip
    axes.set(ylim=(0, 1), yticks=np.linspace(0, 1, 11))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(axis="y", colors=RED)
    for step, score in _labeled(curves.scores, curves.last_step / MOST_LABELS):
        axes.annotate(
            f"{score:.0%}", (step, score), xytext=(-2, 4 if score <= HIGH else -13), textcoords="offset points",
            color=RED, ha="right" if step > curves.last_step * NEAR_LEFT else "left",
        )  # fmt: skip


def _labeled(scores: Sequence[tuple[float, float]], apart: float) -> list[tuple[float, float]]:
    """Return the scores that get a label: the last one, and earlier ones at least `apart` steps from each other."""
    kept: list[tuple[float, float]] = []
    for step, score in reversed(scores):
        if not kept or kept[-1][0] - step >= apart:
            kept.append((step, score))
    return kept


def _draw_parts(figure: Figure, curves: Curves) -> None:
    """Draw the fraction of the loss of each part, one above the other, below the chart."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    count = len(curves.steps)
    starts = np.arange(0, count, max(1, -(-count // MOST_PARTS)))
    sums = np.array([np.add.reduceat(np.nan_to_num(values), starts) for values in curves.parts.values()])
    ends = curves.steps[np.append(starts[1:], count) - 1]
    axes = figure.add_axes(PARTS_PANEL)
    total = sums.sum(axis=0)
    fractions = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    axes.stackplot(ends, fractions, labels=list(curves.parts), colors=PART_COLORS[: len(fractions)])
    axes.set(xlim=(0, max(1, curves.last_step)), ylim=(0, 1), yticks=(0, 0.5, 1), xlabel="step", ylabel="of the loss")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.ticklabel_format(style="plain", axis="x")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=len(fractions), frameon=False, fontsize=9)


def _status(curves: Curves) -> str:
    step = int(curves.steps[-1]) if len(curves.steps) else 0
    average = curves.averages[-1] if len(curves.averages) else np.nan
    loss = f"{average:.4f}" if np.isfinite(average) else "--"
    time = format_duration(curves.seconds_left)
    return f"step {step} of {curves.last_step}    average loss {loss}    {time} left"
