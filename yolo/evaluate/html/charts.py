"""The charts of a report, each for one run or for two runs on top of each other.

The first run is drawn in the style SERIES[0], the second in SERIES[1]. Average precisions are 0..1 or None.
"""

from collections.abc import Sequence
from math import log10

from yolo.evaluate.analysis.report import ErrorReport, SizeReport
from yolo.evaluate.metrics.calibration import Calibration
from yolo.evaluate.metrics.coco_matching import RECALLS
from yolo.pages import svg
from yolo.pages.page import count_text
from yolo.pages.svg import ChartFrame, Drawing

SERIES = ("run-a", "run-b")
WIDTH, HEIGHT = 420.0, 260.0  # so that letters of 11 pixels stay readable on a phone, 340 pixels wide
TENTHS = tuple(step / 10 for step in range(0, 11, 2))
MANY = 20  # more thin lines than this are drawn paler
ROW = 30.0  # the height of a row of horizontal bars
Values = Sequence[float | None]


def curve_chart(title: str, note: str, curves: Sequence[Values | None]) -> Drawing:
    """Draw precision over recall of one class.

    note: a line under the title. curves: of each run the best precision from each of RECALLS on.
    """
    frame = ChartFrame(200, 176, 26, 8, 36, 20)
    shapes = [
        svg.text(0, 12, svg.shortened(title, 190, svg.NAME_SIZE), "name"),
        svg.text(0, 27, note, "tick"),
        *(svg.line(26, frame.y(tick), 192, frame.y(tick), "grid") for tick in (0.0, 0.5, 1.0)),
        *(svg.text(21, frame.y(tick) + 4, f"{tick:g}", "tick", "end") for tick in (0.0, 0.5, 1.0)),
        *(svg.text(frame.x(tick), 172, f"{tick:g}", "tick", "middle") for tick in (0.0, 0.5, 1.0)),
    ]
    for style, curve in zip(SERIES, curves, strict=False):
        if curve is not None:
            points = _curve_points(frame, curve)
            if len(curves) == 1:
                shapes += svg.area(points, frame.y(0), f"fill {style}")
            shapes += svg.path(points, f"stroke {style}")
    if not any(curve is not None for curve in curves):
        shapes.append(svg.text(109, 100, "no ground truth", "tick", "middle"))
    return Drawing(200, 176, shapes, f"precision over recall of {title}: {note}")


def iou_chart(ious: Sequence[float], means: Sequence[Values], classes: Sequence[Values]) -> Drawing:
    """Draw AP over the IoU threshold: the mean of each run, and a thin line for each of `classes`."""
    frame = ChartFrame(WIDTH, HEIGHT, 34, 10, 24, 36, (ious[0], ious[-1]))
    shapes = [
        *svg.y_axis(frame, TENTHS, "average precision"),
        *svg.x_axis(frame, ious[::2], "IoU threshold", "{:.2g}".format),
    ]
    for values in classes:
        look = "thin many" if len(classes) > MANY else "thin"
        shapes += svg.path(_points(frame, ious, values), look)
    for style, values in zip(SERIES, means, strict=False):
        shapes += svg.path(_points(frame, ious, values), f"stroke {style}")
        shapes += [
            svg.dot(frame.x(iou), frame.y(value), f"solid {style}", f"IoU {iou:.2f}: AP {value:.4f}")
            for iou, value in zip(ious, values, strict=True)
            if value is not None
        ]
    return Drawing(WIDTH, HEIGHT, shapes, "average precision over the IoU threshold")


def size_chart(names: Sequence[str], runs: Sequence[Sequence[SizeReport]], title: str) -> Drawing:
    """Draw AP by object size, one bar per size and run; names: of the sizes; title: of the x axis."""
    frame = ChartFrame(WIDTH, HEIGHT, 34, 10, 24, 50)
    step = (WIDTH - 44) / max(len(names), 1)
    width = min(step * 0.7, 70) / len(runs)
    shapes = [
        *svg.y_axis(frame, TENTHS, "AP, mean over IoU .50 to .95"),
        *svg.x_axis(frame, (), title),
    ]
    for place, (name, sizes) in enumerate(zip(names, zip(*runs, strict=True), strict=True)):
        middle = frame.left + (place + 0.5) * step
        shapes.append(svg.text(middle, HEIGHT - 34, name, "tick", "middle"))
        count = sizes[0].ground_truths
        shapes.append(svg.text(middle, HEIGHT - 20, f"{count}", "faint", "middle"))
        for number, value in enumerate(each.ap for each in sizes):
            if value is None:
                continue
            left, top = middle + (number - len(runs) / 2) * width, frame.y(value)
            tip = f"{name}: AP {value:.4f} on {count_text(count, 'object')}"
            style = f"solid {SERIES[number]}"
            shapes.append(svg.bar(left + 1, top, width - 2, frame.y(0) - top, style, tip))
            if step > 34 * len(runs):
                shapes.append(svg.text(left + width / 2, top - 4, f"{value:.2f}", "tick", "middle"))
    return Drawing(WIDTH, HEIGHT, shapes, f"average precision by {title}")


def histogram_chart(true_positives: Sequence[int], false_positives: Sequence[int]) -> Drawing:
    """Draw the detections in equal bins of score, on a logarithmic y axis."""
    most = max(*true_positives, *false_positives, 1)
    powers = range(len(str(most)) + (most > 1))
    ticks = [10**power for power in powers if 10**power <= most * 1.5] or [1]
    frame = ChartFrame(WIDTH, HEIGHT, 44, 10, 24, 36, (0, 1), (0, _log_height(most) * 1.04))
    step = (WIDTH - 54) / len(true_positives)
    shapes = [
        *svg.y_axis(frame, ticks, "detections (logarithmic)", "{:,}".format, _log_height),
        *svg.x_axis(frame, TENTHS, "score"),
    ]
    bins = len(true_positives)
    for place, counts in enumerate(zip(true_positives, false_positives, strict=True)):
        span = f"score {place / bins:.2f} to {(place + 1) / bins:.2f}"
        for number, (count, kind, look) in enumerate(
            zip(counts, ("true positives", "false positives"), ("good", "bad"), strict=True)
        ):
            left, top = frame.left + (place + number / 2) * step, frame.y(_log_height(count))
            tip = f"{span}: {count:,} {kind}"
            shapes.append(svg.bar(left + 0.7, top, step / 2 - 1, frame.y(0) - top, look, tip))
    return Drawing(WIDTH, HEIGHT, shapes, "true and false positives over their score")


def calibration_chart(runs: Sequence[Calibration]) -> Drawing:
    """Draw precision over score in bins, of each run."""
    frame = ChartFrame(WIDTH, HEIGHT, 34, 10, 24, 36)
    shapes = [
        *svg.y_axis(frame, TENTHS, "precision"),
        *svg.x_axis(frame, TENTHS, "score"),
        svg.line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "dashed"),
    ]
    for style, run in zip(SERIES, runs, strict=False):
        filled = [each for each in zip(run.count, run.score, run.precision, strict=True) if each[0]]
        points = [(frame.x(score), frame.y(precision)) for _, score, precision in filled]
        shapes += svg.path(points, f"stroke {style}")
        most = max(run.count, default=0)
        for (count, score, precision), (x, y) in zip(filled, points, strict=True):
            tip = f"mean score {score:.3f}: precision {precision:.1%} of {count:,}"
            shapes.append(svg.dot(x, y, f"solid {style}", tip, 3 + 5 * (count / most) ** 0.5))
    return Drawing(WIDTH, HEIGHT, shapes, "precision over score")


def error_chart(runs: Sequence[Sequence[ErrorReport]]) -> Drawing:
    """Draw the mAP that each kind of error costs, one row per kind with a bar per run."""
    largest = max((each.cost or 0 for run in runs for each in run), default=0)
    row = ROW if len(runs) == 1 else ROW + 8
    bottom = row * len(runs[0])
    frame = ChartFrame(WIDTH, bottom + 38, 102, 52, 0, 38, (0, max(largest, 0.01)))
    shapes = svg.x_axis(frame, svg.nice_ticks(*frame.x_domain, 4), "AP50 lost")
    thick = (row - 12) / len(runs)
    for place, errors in enumerate(zip(*runs, strict=True)):
        kind, top = errors[0].kind, place * row + 6
        style = "total" if " " in kind else f"kind {kind}"
        shapes.append(svg.text(95, top + (row - 12) / 2 + 4, kind, "tick strong", "end"))
        for number, value in enumerate(each.cost for each in errors):
            y = top + number * thick
            if value is None:
                shapes.append(svg.text(frame.left + 4, y + thick / 2 + 4, "n/a", "tick"))
                continue
            width = max(frame.x(max(value, 0)) - frame.left, 1)
            look = f"{style} {SERIES[number] if len(runs) > 1 else ''}".strip()
            shapes.append(svg.bar(frame.left, y, width, thick - 1, look, f"{kind}: {value:+.4f} AP50"))
            shapes.append(svg.text(frame.left + width + 5, y + thick / 2 + 4, f"{value:.4f}", "tick"))
    return Drawing(WIDTH, bottom + 38, shapes, "AP50 lost to each kind of error")


def heat_chart(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> Drawing:
    """Draw a confusion matrix of many classes as squares; a square is darker the larger its fraction of its row is."""
    side = 640.0 / len(matrix)
    shapes = [svg.bar(0, 0, 640, 640, "board")]
    for row, numbers in enumerate(matrix):
        total = max(sum(numbers), 1)
        for column, number in enumerate(numbers):
            if number:
                tip = f"{names[row]} detected as {names[column]}: {number:,} of {total:,}"
                color = "good" if row == column else "bad"
                look = f"{color} heat{1 + int(4 * number / total - 1e-9)}"
                shapes.append(svg.bar(column * side, row * side, side, side, look, tip))
    return Drawing(640, 640, shapes, "confusion matrix", "heat")


def _curve_points(frame: ChartFrame, curve: Values) -> list[tuple[float, float]]:
    """Return the pixels of a curve up to the highest recall, and down to the axis from there."""
    last = max((place for place, value in enumerate(curve) if value), default=0)
    points = [(frame.x(float(RECALLS[place])), frame.y(value)) for place, value in enumerate(curve[: last + 1])]
    return [*points, (frame.x(float(RECALLS[last])), frame.y(0))]


def _points(frame: ChartFrame, xs: Sequence[float], ys: Values) -> list[tuple[float, float]]:
    return [(frame.x(x), frame.y(y)) for x, y in zip(xs, ys, strict=True) if y is not None]


def _log_height(count: float) -> float:
    """Return 1 for one, 2 for ten, 3 for a hundred; 0 for none."""
    return 1 + log10(count) if count >= 1 else 0.0
