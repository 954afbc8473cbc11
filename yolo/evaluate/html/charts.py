"""The charts of a report, each for one run or for two on top of each other.

A run is drawn in a style of its own: SERIES[0] the first, SERIES[1] the second. Average precisions are 0..1 or None.
"""

from collections.abc import Sequence
from math import log10

from yolo.evaluate.html.svg import (
    Frame,
    area,
    bar,
    dot,
    drawing,
    line,
    nice_ticks,
    path,
    shortened,
    text,
    x_axis,
    y_axis,
)
from yolo.evaluate.metrics.coco_matching import RECALLS

SERIES = ("run-a", "run-b")


WIDTH, HEIGHT = (
    420.0,
    260.0,
)  # with letters of 11 pixels: readable on a telephone, where it is shrunk to 340

TENTHS = tuple(step / 10 for step in range(0, 11, 2))

MANY = 20  # thin lines; more of them are drawn paler

ROW = 30.0  # of horizontal bars

Values = Sequence[float | None]


def curve_chart(title: str, note: str, curves: Sequence[Values | None]) -> str:
    """One class: the best precision from each of 101 recalls on, of each run; note: under the title."""
    frame = Frame(200, 176, 26, 8, 36, 20)
    parts = [
        text(0, 12, shortened(title, 190), "name"),
        text(0, 27, note, "tick"),
        *(line(26, frame.y(tick), 192, frame.y(tick), "grid") for tick in (0.0, 0.5, 1.0)),
        *(text(21, frame.y(tick) + 4, f"{tick:g}", "tick", "end") for tick in (0.0, 0.5, 1.0)),
        *(text(frame.x(tick), 172, f"{tick:g}", "tick", "middle") for tick in (0.0, 0.5, 1.0)),
    ]
    for style, curve in zip(SERIES, curves, strict=False):
        if curve is not None:
            points = _reached(frame, curve)
            parts.append(area(points, frame.y(0), f"fill {style}") if len(curves) == 1 else "")
            parts.append(path(points, f"stroke {style}"))
    if not any(curve is not None for curve in curves):
        parts.append(text(109, 100, "no ground truth", "tick", "middle"))
    return drawing(200, 176, parts, f"precision over recall of {title}: {note}")


def iou_chart(ious: Sequence[float], means: Sequence[Values], classes: Sequence[Values]) -> str:
    """Mean AP over the IoU asked for, of each run; classes: thin lines behind, one each."""
    frame = Frame(WIDTH, HEIGHT, 34, 10, 24, 36, (ious[0], ious[-1]))
    parts = [
        y_axis(frame, TENTHS, "average precision"),
        x_axis(frame, ious[::2], "IoU that counts as found", "{:.2g}".format),
    ]
    for values in classes:
        look = "thin many" if len(classes) > MANY else "thin"
        parts.append(path(_points(frame, ious, values), look))
    for style, values in zip(SERIES, means, strict=False):
        parts.append(path(_points(frame, ious, values), f"stroke {style}"))
        parts += [
            dot(frame.x(iou), frame.y(value), f"solid {style}", f"IoU {iou:.2f}: AP {value:.4f}")
            for iou, value in zip(ious, values, strict=True)
            if value is not None
        ]
    return drawing(WIDTH, HEIGHT, parts, "average precision over the IoU that counts as found")


def size_chart(
    names: Sequence[str], ground_truths: Sequence[int], runs: Sequence[Values], title: str
) -> str:
    """A bar a size and run, with how many ground truths there are of the size; title: of the x axis."""
    frame = Frame(WIDTH, HEIGHT, 34, 10, 24, 50)
    step = (WIDTH - 44) / max(len(names), 1)
    width = min(step * 0.7, 70) / len(runs)
    parts = [y_axis(frame, TENTHS, "AP, mean over IoU .50 to .95"), x_axis(frame, (), title)]
    for place, (name, count) in enumerate(zip(names, ground_truths, strict=True)):
        middle = frame.left + (place + 0.5) * step
        parts.append(text(middle, HEIGHT - 34, name, "tick", "middle"))
        parts.append(text(middle, HEIGHT - 20, f"{count}", "faint", "middle"))
        for number, values in enumerate(runs):
            value = values[place]
            if value is None:
                continue
            left, top = middle + (number - len(runs) / 2) * width, frame.y(value)
            tip = f"{name}: AP {value:.4f} on {count} objects"
            style = f"solid {SERIES[number]}"
            parts.append(bar(left + 1, top, width - 2, frame.y(0) - top, style, tip))
            if step > 34 * len(runs):
                parts.append(text(left + width / 2, top - 4, f"{value:.2f}", "tick", "middle"))
    return drawing(WIDTH, HEIGHT, parts, f"average precision by {title}")


def histogram_chart(right: Sequence[int], wrong: Sequence[int]) -> str:
    """Right and wrong detections beside each other in equal steps of score, heights logarithmic."""
    most = max(*right, *wrong, 1)
    powers = range(len(str(most)) + (most > 1))
    ticks = [10**power for power in powers if 10**power <= most * 1.5] or [1]
    frame = Frame(WIDTH, HEIGHT, 44, 10, 24, 36, (0, 1), (0, _height(most) * 1.04))
    step = (WIDTH - 54) / len(right)
    parts = [
        y_axis(frame, ticks, "detections (each line is ten times more)", "{:,}".format, _height),
        x_axis(frame, TENTHS, "score"),
    ]
    for place, counts in enumerate(zip(right, wrong, strict=True)):
        span = f"score {place / len(right):.2f} to {(place + 1) / len(right):.2f}"
        for number, (count, kind) in enumerate(zip(counts, ("right", "wrong"), strict=True)):
            left, top = frame.left + (place + number / 2) * step, frame.y(_height(count))
            tip = f"{span}: {count:,} {kind}"
            parts.append(bar(left + 0.7, top, step / 2 - 1, frame.y(0) - top, kind, tip))
    return drawing(WIDTH, HEIGHT, parts, "how many detections of each score are right and wrong")


def calibration_chart(runs: Sequence[dict]) -> str:
    """Precision over score in steps, of each run; a run: `count`, `score` and `precision` of each step."""
    frame = Frame(WIDTH, HEIGHT, 34, 10, 24, 36)
    parts = [
        y_axis(frame, TENTHS, "share that is right"),
        x_axis(frame, TENTHS, "score"),
        line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "dashed"),
    ]
    for style, run in zip(SERIES, runs, strict=False):
        held = [
            step
            for step in zip(run["count"], run["score"], run["precision"], strict=True)
            if step[0]
        ]
        points = [(frame.x(score), frame.y(precision)) for _, score, precision in held]
        parts.append(path(points, f"stroke {style}"))
        most = max(run["count"], default=0)
        for (count, score, precision), (x, y) in zip(held, points, strict=True):
            tip = f"mean score {score:.3f}: {precision:.1%} of {count:,} right"
            parts.append(dot(x, y, f"solid {style}", tip, 3 + 5 * (count / most) ** 0.5))
    return drawing(WIDTH, HEIGHT, parts, "share of right detections over their score")


def error_chart(kinds: Sequence[str], runs: Sequence[Values]) -> str:
    """A row a kind of error with a bar a run: the mAP that it costs."""
    largest = max([value for values in runs for value in values if value is not None], default=0)
    row = ROW if len(runs) == 1 else ROW + 8
    bottom = row * len(kinds)
    frame = Frame(WIDTH, bottom + 38, 102, 52, 0, 38, (0, max(largest, 0.01)))
    parts = [x_axis(frame, nice_ticks(*frame.x_domain, 4), "AP50 lost")]
    thick = (row - 12) / len(runs)
    for place, kind in enumerate(kinds):
        top = place * row + 6
        style = "total" if " " in kind else f"kind {kind}"
        parts.append(text(95, top + (row - 12) / 2 + 4, kind, "tick strong", "end"))
        for number, values in enumerate(runs):
            value, y = values[place], top + number * thick
            if value is None:
                parts.append(text(frame.left + 4, y + thick / 2 + 4, "n/a", "tick"))
                continue
            width = max(frame.x(max(value, 0)) - frame.left, 1)
            look = f"{style} {SERIES[number] if len(runs) > 1 else ''}".strip()
            parts.append(bar(frame.left, y, width, thick - 1, look, f"{kind}: {value:+.4f} AP50"))
            parts.append(text(frame.left + width + 5, y + thick / 2 + 4, f"{value:.4f}", "tick"))
    return drawing(WIDTH, bottom + 38, parts, "AP50 lost to each kind of error")


def heat_chart(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """A confusion matrix of many classes as squares, each as dark as its share of its row."""
    count = len(matrix)
    side = 640.0 / count
    parts = [bar(0, 0, 640, 640, "board")]
    for row, numbers in enumerate(matrix):
        total = max(sum(numbers), 1)
        for column, number in enumerate(numbers):
            if number:
                tip = f"{names[row]} taken for {names[column]}: {number:,} of {total:,}"
                kind = "right" if row == column else "wrong"
                look = f"{kind} heat{1 + int(4 * number / total - 1e-9)}"
                parts.append(bar(column * side, row * side, side, side, look, tip))
    return drawing(640, 640, parts, "confusion matrix", class_="heat")


def _reached(frame: Frame, curve: Values) -> list[tuple[float, float]]:
    """The pixels of a curve up to the last recall that is reached, and down from there."""
    last = max((place for place, value in enumerate(curve) if value), default=0)
    points = [
        (frame.x(float(RECALLS[place])), frame.y(value))
        for place, value in enumerate(curve[: last + 1])
    ]
    return [*points, (frame.x(float(RECALLS[last])), frame.y(0))]


def _points(frame: Frame, xs: Sequence[float], ys: Values) -> list[tuple[float, float]]:
    return [(frame.x(x), frame.y(y)) for x, y in zip(xs, ys, strict=True) if y is not None]


def _height(count: float) -> float:
    """1 for one, 2 for ten, 3 for a hundred; 0 for none."""
    return 1 + log10(count) if count >= 1 else 0.0
