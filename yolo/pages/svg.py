"""Drawings as records: shapes, scales and axes, from which a template makes inline SVG. Colors are in the style sheet.

Coordinates are pixels of the drawing's own view box, with y downwards; the page scales the drawing to its place.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import floor, isnan, log10
from typing import NamedTuple

TICK_GAP = 6  # pixels from an axis to its numbers
TICK_SIZE, STRONG_SIZE, NAME_SIZE = 11, 12, 13.5  # pixels of letters in page.css; `name` has 12.5, but bold
LETTER_PART = 0.6  # mean width of a letter over its size in a wide font, such as DejaVu Sans
WIDE_PART = 1.0  # of a Chinese, Japanese or Korean letter: Unicode's East Asian width W or F
FARTHEST = 1e6  # pixels: points farther out, or infinite ones, are drawn here


class SvgElement(NamedTuple):
    """An SVG element with its attributes, and its text or the shapes in it."""

    tag: str
    attributes: Mapping[str, str | float]
    text: str = ""
    parts: tuple["SvgElement", ...] = ()


class Drawing(NamedTuple):
    """An SVG of a size in pixels. label: for screen readers; look: its class in the style sheet."""

    width: float
    height: float
    shapes: Sequence[SvgElement]
    label: str
    look: str = "chart"


@dataclass(frozen=True)
class ChartFrame:
    """The area of a chart: x_domain and y_domain are the ranges of the data, the rest are pixels of the view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_domain: tuple[float, float] = (0.0, 1.0)
    y_domain: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """Return the pixel of a value on the x axis."""
        low, high = self.x_domain
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Return the pixel of a value on the y axis, which points upwards."""
        low, high = self.y_domain
        rise = (value - low) / (high - low) * (self.height - self.top - self.bottom)
        return self.height - self.bottom - rise


def bounded(value: float, low: float = -FARTHEST, high: float = FARTHEST) -> float:
    """Return a pixel within low..high; 0 if it is not a number: weights that diverged predict such boxes."""
    return 0.0 if isnan(value) else min(max(value, low), high)


def text(x: float, y: float, content: str, look: str = "tick", anchor: str = "start") -> SvgElement:
    """Return a line of text.

    Args:
        x, y: of its start (see `anchor`) and its baseline.
        content: the text.
        look: its class in the style sheet.
        anchor: which part of the text is at x: start, middle or end.
    """
    return SvgElement("text", {"x": x, "y": y, "class": look, "text-anchor": anchor}, content)


def line(x1: float, y1: float, x2: float, y2: float, look: str) -> SvgElement:
    """Return a straight line.

    Args:
        x1, y1, x2, y2: its ends.
        look: its class in the style sheet.
    """
    return SvgElement("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": look})


def path(points: Sequence[tuple[float, float]], look: str) -> list[SvgElement]:
    """Return a line through pixels (x, y); nothing without a point."""
    return [SvgElement("path", {"d": _path_data(points), "class": look})] if points else []


def area(points: Sequence[tuple[float, float]], base: float, look: str) -> list[SvgElement]:
    """Return the surface between a line through pixels (x, y) and the height `base`; nothing without a point."""
    if not points:
        return []
    closed = [*points, (points[-1][0], base), (points[0][0], base)]
    return [SvgElement("path", {"d": _path_data(closed) + "Z", "class": look})]


def bar(x: float, y: float, width: float, height: float, look: str, tip: str = "") -> SvgElement:
    """Return a rectangle.

    Args:
        x, y: of its upper left corner.
        width, height: its sides; a negative one becomes 0.
        look: its class in the style sheet.
        tip: its tooltip.
    """
    attributes = {"x": x, "y": y, "width": max(width, 0), "height": max(height, 0), "rx": 1.5}
    return SvgElement("rect", {**attributes, "class": look, **({"data-tip": tip} if tip else {})})


def dot(x: float, y: float, look: str, tip: str, radius: float = 4) -> SvgElement:
    """Return a point.

    Args:
        x, y: of its center.
        look: its class in the style sheet.
        tip: its tooltip.
        radius: of the point.
    """
    return SvgElement("circle", {"cx": x, "cy": y, "r": radius, "class": look, "data-tip": tip})


def y_axis(
    frame: ChartFrame,
    ticks: Iterable[float],
    title: str,
    label: Callable[[float], str] = "{:g}".format,
    scale: Callable[[float], float] = float,
) -> list[SvgElement]:
    """Return thin lines across the frame with their values, and a title.

    Args:
        frame: the area of the chart.
        ticks: the values.
        title: what they measure.
        label: value → its text.
        scale: value → y domain.
    """
    shapes = [text(0, 11, title, "axis")]
    for tick in ticks:
        y = frame.y(scale(tick))
        shapes.append(line(frame.left, y, frame.width - frame.right, y, "grid"))
        shapes.append(text(frame.left - TICK_GAP, y + 4, label(tick), "tick", "end"))
    return shapes


def x_axis(
    frame: ChartFrame,
    ticks: Iterable[float],
    title: str,
    label: Callable[[float], str] = "{:g}".format,
) -> list[SvgElement]:
    """Return a line below the frame with its values and a title.

    Args:
        frame: the area of the chart.
        ticks: the values.
        title: what they measure.
        label: value → its text.
    """
    base = frame.height - frame.bottom
    middle = (frame.left + frame.width - frame.right) / 2
    return [
        line(frame.left, base, frame.width - frame.right, base, "base"),
        *(text(frame.x(tick), base + 15, label(tick), "tick", "middle") for tick in ticks),
        text(middle, frame.height - 3, title, "axis", "middle"),
    ]


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most `most` + 1 round values in low..high, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    power = 10.0 ** floor(log10((high - low) / most))
    step = next(size * power for size in (1, 2, 5, 10) if (high - low) / (size * power) <= most)
    first, last = -floor(-low / step + 1e-9), floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def shortened(content: str, pixels: float, size: float = TICK_SIZE) -> str:
    """Return `content`, cut with an ellipsis if it would be wider than `pixels`; size: of its letters in pixels."""
    if text_width(content, size) <= pixels:
        return content
    widths = accumulate((text_width(letter, size) for letter in content), initial=text_width("…", size))
    return content[: max(sum(width <= pixels for width in widths) - 1, 0)] + "…"


def text_width(content: str, size: float) -> float:
    """Return the approximate width of a text in pixels; size: of its letters in pixels."""
    return size * sum(_letter_part(letter) for letter in content)


def _letter_part(letter: str) -> float:
    """Return the width of a letter over its size; a mark is above or below the letter before it."""
    if unicodedata.category(letter) in ("Mn", "Me"):
        return 0.0
    return WIDE_PART if unicodedata.east_asian_width(letter) in "WF" else LETTER_PART


def _path_data(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
