"""Scores as a table of the classes, as a dictionary for JSON, and as a plot.

The average precision of a class without ground truth is None here, n/a in the table and null in JSON.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from terminaltables import AsciiTable

from yolo.console.numbers import NOT_AVAILABLE
from yolo.evaluate.metrics.voc import ClassScore, mean_ap
from yolo.files.chart_file import chart_fonts, write_figure
from yolo.files.text import printable_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The look of the plot, chosen by eye on 3, 20 and 80 classes
PLOT_INCHES = (8.5, 6.0)  # without the legend
LEGEND_ROWS = 24  # more classes start another column
LEGEND_COLUMN_INCHES = 2.1
PLOT_DPI = 150
COLORS = "tab10"  # ten colors of matplotlib that are easy to distinguish

# For classes with the same color
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


def average_precisions(scores: Sequence[ClassScore], metric: str) -> list[float | None]:
    """Return the average precision of each class by one metric, "voc07" or "area"."""
    return [{"voc07": score.voc07_ap, "area": score.area_ap}[metric] for score in scores]


def class_table(
    names: Sequence[str],
    ground_truths: Sequence[int],
    detections: Sequence[int],
    metrics: Mapping[str, Sequence[float | None]],
) -> str:
    """Format one row per class with its AP by each metric, then sums and means.

    Args:
        names: the classes.
        ground_truths: the number of ground truths of each class, difficult ones not among them.
        detections: the number of detections of each class.
        metrics: the AP of each class by the name of the metric.
    """
    columns = [[format_ap(value) for value in values] for values in metrics.values()]
    body = zip(names, map(str, ground_truths), map(str, detections), *columns, strict=True)
    means = [format_ap(mean_ap(values)) for values in metrics.values()]
    table = AsciiTable(
        [
            ["class", "ground truth", "detections", *(f"AP {metric}" for metric in metrics)],
            *map(list, body),
            ["mean (mAP)", str(sum(ground_truths)), str(sum(detections)), *means],
        ]
    )
    table.inner_footing_row_border = True
    table.justify_columns = {column: "right" for column in range(1, 3 + len(metrics))}
    return table.table


def mean_line(metrics: Mapping[str, Sequence[float | None]]) -> str:
    """Format the mAP of each metric in one line: `mAP voc07 0.721381  area 0.745179`."""
    return "mAP " + "  ".join(f"{metric} {format_ap(mean_ap(values), digits=6)}" for metric, values in metrics.items())


def summary(names: Sequence[str], iou_thresh: float, metrics: Mapping[str, Sequence[float | None]]) -> dict:
    """Return all digits, for json.dumps: {"iou", "metrics": {metric: {"mAP", "classes"}}}."""
    return {
        "iou": iou_thresh,
        "metrics": {
            metric: {"mAP": mean_ap(values), "classes": dict(zip(names, values, strict=True))}
            for metric, values in metrics.items()
        },
    }


def format_ap(value: float | None, digits: int = 4) -> str:
    """Round an average precision; None becomes n/a."""
    return NOT_AVAILABLE if value is None else f"{value:.{digits}f}"


def plot_curves(
    path: str | Path,
    names: Sequence[str],
    scores: Sequence[ClassScore],
    metric: str,
    iou_thresh: float,
) -> None:
    """Plot precision over recall, one line for each class with ground truth.

    The legend lists the classes from best to worst with their average precision. Class k always has the same color and
    dashes, so that two plots can be compared.

    Args:
        path: the file, ending in one of CHART_ENDINGS.
        names: the classes.
        scores: one per class.
        metric: "voc07" or "area", the average precision in the legend.
        iou_thresh: the IoU threshold of the scores, for the title.
    """
    # Imported here: it takes as long as scoring all of VOC2007 test, and plots are rare
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = average_precisions(scores, metric)
    drawn = [label for label, value in enumerate(values) if value is not None]
    drawn.sort(key=lambda label: -values[label])
    legend_columns = max(1, -(-len(drawn) // LEGEND_ROWS))
    figure = Figure(
        figsize=(PLOT_INCHES[0] + legend_columns * LEGEND_COLUMN_INCHES, PLOT_INCHES[1]),
        dpi=PLOT_DPI,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label in drawn:
        _plot_class(axes, label, scores[label], f"{printable_text(names[label])}  {format_ap(values[label])}")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title(f"mAP {format_ap(mean_ap(values))} ({metric}), IoU > {iou_thresh:g}")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if drawn:
        figure.legend(
            loc="outside right upper", ncols=legend_columns, frameon=False, handlelength=3.0,
            prop={"size": 9, "family": chart_fonts()},
        )  # fmt: skip
    write_figure(Path(path), figure)


def _plot_class(axes: "Axes", label: int, score: ClassScore, title: str) -> None:
    """Plot the curve of a class in its color and dashes."""
    import matplotlib

    colors = matplotlib.colormaps[COLORS].colors
    axes.plot(
        score.recall,
        score.precision,
        color=colors[label % len(colors)],
        linestyle=DASHES[label // len(colors) % len(DASHES)],
        linewidth=1.6,
        label=title.replace("$", r"\$"),  # else a formula begins
    )
