"""Draw the parts of a loss as one bar, in the colors of page.css."""

from collections.abc import Sequence
from typing import NamedTuple

from yolo.pages import svg

WIDTH = 600.0  # pixels of the drawing


class BarPart(NamedTuple):
    """A part of the bar. look: its class in the style sheet; fraction: of the bar's width, 0..1; tip: its tooltip."""

    look: str
    fraction: float
    tip: str


def stacked_bar(parts: Sequence[BarPart], height: float, label: str) -> svg.Drawing:
    """Draw parts next to each other on a ground of the whole width; label: for screen readers."""
    shapes, x = [svg.bar(0, 0, WIDTH, height, "board")], 0.0
    for part in parts:
        shapes.append(svg.bar(x, 0, WIDTH * part.fraction, height, f"part {part.look}", part.tip))
        x += WIDTH * part.fraction
    return svg.Drawing(WIDTH, height, shapes, label, "bar")
