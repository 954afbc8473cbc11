"""The drawings of an average precision: the curve, its 11 points, its area, its 101 points, the families' curves."""

from collections.abc import Sequence

import numpy as np

from yolo.evaluate.metrics.coco_matching import RECALLS
from yolo.explain.score.readings import Curve, Plateau, Point
from yolo.explain.score.walk import IGNORED, OUTCOME_NAMES, TRUE_POSITIVE, ClassWalk
from yolo.pages import svg
from yolo.pages.svg import ChartFrame, Drawing, SvgElement

WIDTH, HEIGHT = 420.0, 280.0  # so that letters of 11 pixels stay readable on a phone, 340 pixels wide
TENTHS = tuple(step / 10 for step in range(0, 11, 2))
MOST_POINTS = 1200  # of a line; of longer ones the highest and lowest of each part are drawn
DOTTED = 24  # detections whose points are marked
LOOKS = ("run-a", "run-b", "run-c")


def outcome_look(outcome: int) -> str:
    """Return the class of an outcome in the style sheet."""
    return {TRUE_POSITIVE: "hit", IGNORED: "aside"}.get(outcome, "fault")


def walked_chart(walk: ClassWalk) -> Drawing:
    """Draw precision over recall after each detection, with the first ones marked."""
    frame, shapes = _frame()
    points = [(0.0, float(walk.precision[0]))] if len(walk.precision) else []
    points += curve_line(walk.recall, walk.precision)
    shapes += svg.path([(frame.x(x), frame.y(y)) for x, y in points], "stroke run-a")
    for place in range(min(DOTTED, len(walk.rows))):
        x, y = frame.x(float(walk.recall[place])), frame.y(float(walk.precision[place]))
        outcome = int(walk.outcome[place])
        tip = (
            f"{place + 1}. score {walk.scores[place]:.3f}, {OUTCOME_NAMES[outcome]}: "
            f"precision {walk.precision[place]:.3f}, recall {walk.recall[place]:.3f}"
        )
        shapes.append(svg.dot(x, y, outcome_look(outcome), tip, 3))
    return Drawing(WIDTH, HEIGHT, shapes, "precision over recall after each detection")


def eleven_chart(walk: ClassWalk, points: Sequence[Point]) -> Drawing:
    """Draw the 11 points, and a line from each to the detection whose precision it has."""
    frame, shapes = _frame()
    shapes += _thin_curve(frame, walk)
    for point in points:
        x, y = frame.x(point.recall), frame.y(point.precision)
        shapes.append(svg.line(x, frame.y(0), x, y, "stem"))
        if point.place is not None:
            shapes.append(svg.line(x, y, frame.x(float(walk.recall[point.place])), y, "reach"))
        tip = f"recall {point.recall:.1f}: the best precision from here on is {point.precision:.4f}"
        shapes.append(svg.dot(x, y, "solid run-a", tip, 4.5))
    return Drawing(WIDTH, HEIGHT, shapes, "the eleven points of VOC2007")


def area_chart(walk: ClassWalk, plateaus: Sequence[Plateau]) -> Drawing:
    """Draw the steps of the best precision from each recall on, and the area under them."""
    frame, shapes = _frame()
    line = [corner for each in plateaus for corner in ((each.start, each.precision), (each.end, each.precision))]
    if line:
        line.append((line[-1][0], 0.0))
    pixels = [(frame.x(x), frame.y(y)) for x, y in line]
    shapes += svg.area(pixels, frame.y(0), "fill run-a")
    shapes += _thin_curve(frame, walk)
    shapes += svg.path(pixels, "stroke run-a")
    return Drawing(WIDTH, HEIGHT, shapes, "the area under the steps")


def hundred_chart(curve: Curve, best: np.ndarray) -> Drawing:
    """Draw COCO's 101 points; best: precision at each of RECALLS, `[101]`."""
    frame, shapes = _frame()
    pixels = [(frame.x(x), frame.y(y)) for x, y in curve_line(curve.recall, curve.precision)]
    shapes += svg.path(pixels, "thin")
    for recall, precision in zip(RECALLS.tolist(), best.tolist(), strict=True):
        tip = f"recall {recall:.2f}: {precision:.4f}"
        shapes.append(svg.dot(frame.x(recall), frame.y(precision), "solid run-a", tip, 2))
    return Drawing(WIDTH, HEIGHT, shapes, "the 101 points of COCO")


def family_chart(curves: Sequence[Curve]) -> Drawing:
    """Draw the curve of each family of scorers on top of the others."""
    frame, shapes = _frame()
    for look, curve in reversed(list(zip(LOOKS, curves, strict=False))):
        pixels = [(frame.x(x), frame.y(y)) for x, y in curve_line(curve.recall, curve.precision)]
        shapes += svg.path(pixels, f"stroke {look}")
    return Drawing(WIDTH, HEIGHT, shapes, "the curves of VOC, Darknet and COCO")


def curve_line(recall: np.ndarray, precision: np.ndarray) -> list[tuple[float, float]]:
    """Return at most about MOST_POINTS points of a curve: of each part of a long one the lowest and the highest."""
    count = len(recall)
    if count <= MOST_POINTS:
        places = np.arange(count)
    else:
        edges = np.linspace(0, count, MOST_POINTS // 2 + 1).astype(int)
        ends = [(first + precision[first:last].argmin(), first + precision[first:last].argmax())
                for first, last in zip(edges[:-1], edges[1:], strict=True)]  # fmt: skip
        places = np.unique([*np.ravel(ends), 0, count - 1])
    return list(zip(recall[places].tolist(), precision[places].tolist(), strict=True))


def _frame() -> tuple[ChartFrame, list[SvgElement]]:
    frame = ChartFrame(WIDTH, HEIGHT, 34, 12, 24, 38)
    return frame, [*svg.y_axis(frame, TENTHS, "precision"), *svg.x_axis(frame, TENTHS, "recall")]


def _thin_curve(frame: ChartFrame, walk: ClassWalk) -> list[SvgElement]:
    return svg.path([(frame.x(x), frame.y(y)) for x, y in curve_line(walk.recall, walk.precision)], "thin")
