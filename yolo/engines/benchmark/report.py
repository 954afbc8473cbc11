"""Format measured engines as a table, as JSON and as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from terminaltables import AsciiTable

from yolo.engines.benchmark.measure import EngineTime, LeftOut
from yolo.errors import counted
from yolo.files.chart_file import chart_fonts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("engine", "precision", "ms a batch", "images/s", "of the best", "start s", "memory MB", "difference")
WIDTH, ROW_HEIGHT, HEAD_HEIGHT, DPI = 9.0, 0.32, 0.9, 100  # inches
COLORS = {"float32": "#003cc8", "bf16": "#cd5c00", "fp16": "#2e8b57", "int8": "#8b008b"}


def ratios(times: Sequence[EngineTime]) -> list[float]:
    """Return the time of each engine divided by that of the fastest; all are of the same images."""
    best = min((each.median for each in times), default=1.0)
    return [each.median / best for each in times]


def times_table(times: Sequence[EngineTime]) -> str:
    """Return a table of the engines on the same images, under a line that names the images."""
    rows = [
        (
            each.engine,
            each.precision,
            f"{each.median:.2f}",
            f"{1000 * each.batch / each.median:.1f}",
            f"{ratio:.2f}",
            f"{each.start:.1f}",
            "-" if each.memory is None else f"{each.memory / 2**20:.0f}",
            f"{each.difference:.1e}",
        )
        for each, ratio in zip(times, ratios(times), strict=True)
    ]
    table = AsciiTable([HEADER, *rows])
    table.justify_columns = dict.fromkeys(range(2, len(HEADER)), "right")
    return f"{title_of(times[0])}:\n{table.table}"


def title_of(measured: EngineTime) -> str:
    """Return which images were measured, such as "8 images of 416 x 416"."""
    height, width = measured.size
    return f"{counted(measured.batch, 'image')} of {width} x {height}"


def times_record(
    about: dict[str, Any], groups: Sequence[Sequence[EngineTime]], left_out: Sequence[LeftOut]
) -> dict[str, Any]:
    """Return everything for JSON. groups: times of the same images; about: what was measured, and where."""
    rows = [
        {**asdict(each), "images_per_second": 1000 * each.batch / each.median, "ratio_to_best": ratio}
        for times in groups
        for each, ratio in zip(times, ratios(times), strict=True)
    ]
    return {**about, "times": rows, "left_out": [asdict(each) for each in left_out]}


def times_chart(name: str, groups: Sequence[Sequence[EngineTime]]) -> Figure:
    """Return bars of milliseconds per image, one panel for each kind of batch, the fastest on top."""
    import matplotlib.figure

    heights = [HEAD_HEIGHT + ROW_HEIGHT * len(times) for times in groups]
    figure = matplotlib.figure.Figure((WIDTH, sum(heights)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(groups), squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, times in zip(panels, groups, strict=True):
        labels = [f"{each.engine} {each.precision}" for each in times]
        values = [each.median / each.batch for each in times]
        bars = axes.barh(labels, values, color=[COLORS[each.precision] for each in times])
        texts = [f"{value:.3g} ms, x {ratio:.2f}" for value, ratio in zip(values, ratios(times), strict=True)]
        axes.bar_label(bars, texts, padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        title = f"{name}, {title_of(times[0])}: ms per image, and the ratio to the fastest"
        axes.set_title(title, fontsize=10, fontfamily=chart_fonts(), parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
