"""The chart of a run: loss and score over the steps, as AlexeyAB's Darknet draws chart.png.

Source: AlexeyAB image_opencv.cpp draw_train_loss: loss in blue against max_chart_loss, mAP in red with its percents.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy import ndarray

from yolo.files import replacing
from yolo.train.log.console import clock

Point = tuple[float, float]

Color = tuple[int, int, int]


# Sizes in pixels, chosen by looking at charts of 1 to 500,000 steps.
WIDTH, HEIGHT = 1000, 720


LEFT, RIGHT, TOP, BOTTOM = 80, 925, 95, 650  # the frame of the curves

TICK_ROOM = 70  # between two numbers of an axis, at least

LABEL_ROOM = 48  # the same between two percents


DOT, SMALL_DOT = (
    3,
    1,
)  # radius of a step, where steps do not share columns of pixels; without much room


SMALL, LARGE = 0.5, 0.7  # text, in the unit of OpenCV's fonts

FONT = cv2.FONT_HERSHEY_DUPLEX

SUBPIXELS = 4  # cv2 takes coordinates in 1/2^4 pixels


WHITE, BLACK, GRAY, GRID = (255, 255, 255), (30, 30, 30), (110, 110, 110), (225, 225, 225)


STEP_BLUE, BLUE, RED = (165, 195, 245), (0, 60, 200), (205, 0, 0)

NICE = (1, 2, 5, 10)  # steps of an axis, times a power of ten

ROUNDING = 1e-9  # 3 * 0.1 is a little more than 0.3


@dataclass(frozen=True)
class Curves:
    """What a chart shows.

    title: of the run; steps, losses, averages: `[N]`, ascending steps, the loss of each and its moving average, nan
    where there is none; scores: (step, 0..1) of each evaluation, by the number called `score_name`; last_step: right
    end; max_loss: top, above which losses are drawn at the top; left: seconds to the end, nan when not known.
    """

    title: str
    steps: ndarray
    losses: ndarray
    averages: ndarray
    scores: Sequence[Point]
    score_name: str
    last_step: int
    max_loss: float
    left: float


def write_chart(path: Path, curves: Curves) -> None:
    """Draw `curves` and write them as PNG, whole or not at all. Raises OSError."""
    done, content = cv2.imencode(".png", cv2.cvtColor(draw_chart(curves), cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"{path}: the chart could not be encoded as PNG")
    with replacing(path) as file:
        file.write(content.tobytes())


def draw_chart(curves: Curves) -> ndarray:
    """uint8 RGB `[HEIGHT, WIDTH, 3]`."""
    canvas = np.full((HEIGHT, WIDTH, 3), WHITE, np.uint8)
    _draw_axes(canvas, curves)
    _draw_losses(canvas, curves)
    _draw_scores(canvas, curves)
    cv2.rectangle(canvas, (LEFT, TOP), (RIGHT, BOTTOM), GRAY, 1)
    _draw_titles(canvas, curves)
    return canvas


def ticks(end: float, most: int, least: float = 0.0) -> list[float]:
    """Numbers from 0 to `end`, at most `most` beside the 0; 1, 2 or 5 times a power of ten or `least` apart."""
    power = 10.0 ** math.floor(math.log10(end / most))
    near = next(factor * power for factor in NICE if end / (factor * power) <= most)
    distance = max(near, least)
    return [number * distance for number in range(math.floor(end / distance + ROUNDING) + 1)]


def short_number(value: float) -> str:
    """A number of an axis: 0.05, 20, 5000, 50k, 1.5M."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"


def columns_of(x: ndarray, y: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Points with ascending x `[N]` → by column of pixels, smallest, largest and mean y; not numbers are left out."""
    known = np.isfinite(y)
    x, y = np.round(x[known]).astype(int), y[known]
    if len(x) == 0:
        return x, y, y, y
    columns, start, count = np.unique(x, return_index=True, return_counts=True)
    low, high = np.minimum.reduceat(y, start), np.maximum.reduceat(y, start)
    return columns, low, high, np.add.reduceat(y, start) / count


def _draw_axes(canvas: ndarray, curves: Curves) -> None:
    top = curves.max_loss
    for value in ticks(top, (BOTTOM - TOP) // TICK_ROOM):
        y = round(float(_y(value / top)))
        cv2.line(canvas, (LEFT, y), (RIGHT, y), GRID, 1)
        _write(canvas, short_number(value), (LEFT - 8, y), SMALL, BLUE, align=1.0)
    for value in ticks(max(1, curves.last_step), (RIGHT - LEFT) // TICK_ROOM, least=1.0):
        x = round(float(_x(value, curves.last_step)))
        cv2.line(canvas, (x, TOP), (x, BOTTOM), GRID, 1)
        _write(canvas, short_number(value), (x, BOTTOM + 18), SMALL, BLACK, align=0.5)
    if curves.scores:
        for percent in range(0, 101, 10):
            y = round(float(_y(percent / 100)))
            cv2.line(canvas, (RIGHT - 5, y), (RIGHT, y), RED, 1)
            _write(canvas, f"{percent}%", (RIGHT + 8, y), SMALL, RED)
    _write(canvas, "step", ((LEFT + RIGHT) // 2, BOTTOM + 48), SMALL, BLACK, align=0.5)
    _write(canvas, "loss", (LEFT - 8, TOP - 22), SMALL, BLUE, align=1.0)


def _draw_losses(canvas: ndarray, curves: Curves) -> None:
    x = _x(curves.steps, curves.last_step)
    columns, low, high, _ = columns_of(x, _y(curves.losses / curves.max_loss))
    dotted = len(columns) == np.count_nonzero(~np.isnan(curves.losses))
    radius = DOT if _sparse(columns) else SMALL_DOT
    for column, first, last in zip(columns, np.round(low), np.round(high), strict=True):
        if dotted:
            cv2.circle(
                canvas, (int(column), int(first)), radius, STEP_BLUE, cv2.FILLED, cv2.LINE_AA
            )
        else:
            canvas[int(first) : int(last) + 1, column] = STEP_BLUE
    columns, _, _, mean = columns_of(x, _y(curves.averages / curves.max_loss))
    _draw_line(canvas, columns, mean, BLUE)
    if _sparse(columns):
        for column, y in zip(columns, mean, strict=True):
            cv2.circle(canvas, (int(column), round(y)), DOT, BLUE, cv2.FILLED, cv2.LINE_AA)


def _draw_scores(canvas: ndarray, curves: Curves) -> None:
    if not curves.scores:
        return
    steps, values = np.array(curves.scores, float).T
    x, y = _x(steps, curves.last_step), _y(values)
    labels = [
        (
            f"{values[index]:.0%}",
            (min(max(round(x[index]), LEFT + 20), RIGHT - 22), round(y[index]) - 15),
        )
        for index in labeled(x, values)
    ]
    for text, (middle, height) in labels:  # a white ground, for the losses to keep off
        half = _text_size(text, SMALL)[0] // 2 + 1
        canvas[height - 7 : height + 8, middle - half : middle + half] = WHITE
    _draw_line(canvas, x, y, RED)
    for place in zip(x, y, strict=True):
        cv2.circle(canvas, tuple(map(round, place)), DOT, RED, cv2.FILLED, cv2.LINE_AA)
    for text, place in labels:
        _write(canvas, text, place, SMALL, RED, align=0.5)


def labeled(x: ndarray, values: ndarray) -> list[int]:
    """Which points get a number: the best, the last, and whatever then has room. x: `[N]` in pixels."""
    chosen: list[int] = []
    for index in (int(values.argmax()), len(values) - 1, *range(len(values))):
        if all(abs(x[index] - x[other]) >= LABEL_ROOM for other in chosen):
            chosen.append(index)
    return chosen


def _draw_titles(canvas: ndarray, curves: Curves) -> None:
    known = np.flatnonzero(np.isfinite(curves.averages))
    average = f"{curves.averages[known[-1]]:.4f}" if len(known) else "--"
    step = int(curves.steps[-1]) if len(curves.steps) else 0
    line = (
        f"step {step} of {curves.last_step}    average loss {average}    {clock(curves.left)} left"
    )
    _write(canvas, curves.title, (LEFT, 20), LARGE, BLACK)
    _write(canvas, line, (LEFT, 46), SMALL, BLACK)
    entries = [("loss", STEP_BLUE), ("average loss", BLUE)]
    if curves.scores:
        best = max(value for _, value in curves.scores)
        entries.append((f"{curves.score_name}, best {best:.1%}", RED))
    x = RIGHT
    for text, color in reversed(entries):
        x -= _text_size(text, SMALL)[0]
        _write(canvas, text, (x, TOP - 22), SMALL, BLACK)
        cv2.line(canvas, (x - 30, TOP - 22), (x - 8, TOP - 22), color, 3)
        x -= 50


def _x(steps: ndarray | float, last_step: int) -> ndarray | float:
    return LEFT + (RIGHT - LEFT) * np.minimum(np.divide(steps, max(1, last_step)), 1)


def _y(share: ndarray | float) -> ndarray | float:
    """A share of the height, 0 at the bottom; what lies outside is drawn at the edge. Infinity is above all."""
    return BOTTOM - (BOTTOM - TOP) * np.clip(share, 0, 1)


def _sparse(columns: ndarray) -> bool:
    """Whether there is room for dots."""
    return len(columns) <= 1 or np.ptp(columns) / (len(columns) - 1) >= 2 * DOT + 1


def _draw_line(canvas: ndarray, x: ndarray, y: ndarray, color: Color) -> None:
    points = np.round(np.stack((x, y), axis=1) * 2**SUBPIXELS).astype(np.int32)
    if len(points) > 1:
        cv2.polylines(canvas, [points], False, color, 2, cv2.LINE_AA, SUBPIXELS)


def _text_size(text: str, scale: float) -> tuple[int, int]:
    """(width, height of a capital) in pixels."""
    (width, _), _ = cv2.getTextSize(text, FONT, scale, 1)
    return width, round(22 * scale)


def _write(
    canvas: ndarray,
    text: str,
    middle: tuple[int, int],
    scale: float,
    color: Color,
    align: float = 0.0,
) -> None:
    """Write `text` with its left end (align 0), middle (0.5) or right end (1) at `middle`, halfway up its capitals."""
    width, height = _text_size(text, scale)
    x, y = round(middle[0] - align * width), middle[1] + height // 2
    cv2.putText(canvas, text, (x, y), FONT, scale, color, 1, cv2.LINE_AA)
