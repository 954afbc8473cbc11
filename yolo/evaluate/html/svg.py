"""Scales, axes, lines and bars as inline SVG; colors are the style sheet's.

Coordinates are pixels of the drawing's own view box, y downwards; the page scales it to its place.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

from yolo.evaluate.html.markup import element, words

TICK_GAP, LETTER = (
    6,
    6.2,
)  # pixels: from an axis to its numbers; the width of a letter of 11 pixels, nearly


@dataclass(frozen=True)
class Frame:
    """Where a chart's data are drawn: x and y are the domains, the rest pixels of the view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_domain: tuple[float, float] = (0.0, 1.0)
    y_domain: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """Pixel of a value on the x axis."""
        low, high = self.x_domain
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Pixel of a value on the y axis, which grows upwards."""
        low, high = self.y_domain
        rise = (value - low) / (high - low) * (self.height - self.top - self.bottom)
        return self.height - self.bottom - rise


def drawing(width: float, height: float, parts: Iterable[str], label: str, **more: object) -> str:
    """A whole drawing, as wide as its place; label: what a screen reader says."""
    box = f"0 0 {width:g} {height:g}"
    return element("svg", "".join(parts), viewBox=box, role="img", aria_label=label, **more)


def text(x: float, y: float, content: str, class_: str = "tick", anchor: str = "start") -> str:
    """A line of text at its baseline; anchor: start, middle or end."""
    return words("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, tip: str | None = None) -> str:
    """A line through pixels (x, y)."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}", class_=class_, data_tip=tip) if points else ""


def area(points: Sequence[tuple[float, float]], base: float, class_: str) -> str:
    """The surface between a line through pixels (x, y) and the height `base`."""
    if not points:
        return ""
    ends = [(points[-1][0], base), (points[0][0], base)]
    return element("path", d=_closed([*points, *ends]), class_=class_)


def bar(
    x: float, y: float, width: float, height: float, class_: str, tip: str | None = None
) -> str:
    """A rectangle; `tip` is what it says when pointed at."""
    return element(
        "rect", x=x, y=y, width=max(width, 0), height=max(height, 0), rx=1.5, class_=class_,
        data_tip=tip,
    )  # fmt: skip


def dot(x: float, y: float, class_: str, tip: str, radius: float = 4) -> str:
    """A point that says something when pointed at."""
    return element("circle", cx=x, cy=y, r=radius, class_=class_, data_tip=tip)


def y_axis(
    frame: Frame,
    ticks: Iterable[float],
    title: str,
    label: Callable[[float], str] = "{:g}".format,
    scale: Callable[[float], float] = float,
) -> str:
    """Thin lines across the frame with their values, and what they are. scale: value → y domain."""
    parts = [text(0, 11, title, "axis")]
    for tick in ticks:
        y = frame.y(scale(tick))
        parts.append(line(frame.left, y, frame.width - frame.right, y, "grid"))
        parts.append(text(frame.left - TICK_GAP, y + 4, label(tick), "tick", "end"))
    return "".join(parts)


def x_axis(
    frame: Frame, ticks: Iterable[float], title: str, label: Callable[[float], str] = "{:g}".format
) -> str:
    """Values below the frame, and what they are."""
    base = frame.height - frame.bottom
    parts = [line(frame.left, base, frame.width - frame.right, base, "base")]
    parts += [text(frame.x(tick), base + 15, label(tick), "tick", "middle") for tick in ticks]
    middle = (frame.left + frame.width - frame.right) / 2
    return "".join([*parts, text(middle, frame.height - 3, title, "axis", "middle")])


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` + 1 round values that lie in low..high, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    power = 10.0 ** floor(log10((high - low) / most))
    step = next(size * power for size in (1, 2, 5, 10) if (high - low) / (size * power) <= most)
    first, last = -floor(-low / step + 1e-9), floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def shortened(content: str, pixels: float) -> str:
    """`content`, cut with an ellipsis where it would be wider than `pixels`."""
    most = max(int(pixels / LETTER), 1)
    return content if len(content) <= most else content[: most - 1] + "…"


def _closed(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
