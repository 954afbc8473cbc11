"""The drawings of a data set: classes, objects of an image, box sizes with the anchors over them, shapes, places."""

from collections.abc import Sequence
from math import ceil, floor, log2

import numpy as np

from yolo.explain.data_set.anchor_study import HeadCoverage
from yolo.explain.data_set.counting import MOST_OF_AN_IMAGE, ListCounts
from yolo.explain.data_set.shapes_of_boxes import PLACES, RATIO_EDGES, SIDE_STEPS, SIZE_BINS, BoxShapes
from yolo.pages import svg
from yolo.pages.page import count_text
from yolo.pages.svg import ChartFrame, Drawing, SvgElement

WIDTH, HEIGHT = 420.0, 290.0  # so that letters of 11 pixels stay readable on a phone, 340 pixels wide
SERIES = {"train": "run-a", "valid": "run-b"}  # looks of the lists
HEAD_LOOKS = ("head-a", "head-b", "head-c", "head-d")
LEVELS = 6  # of a density: the square root of the part of the fullest cell
MOST_CLASSES = 24  # bars; the table has all classes
ROW = 38.0


def class_chart(names: Sequence[str], lists: Sequence[ListCounts]) -> Drawing:
    """Draw the fraction of each class of the objects of each list, the most frequent class of the first list first."""
    parts = [[count / max(each.objects, 1) for count in each.class_objects] for each in lists]
    order = sorted(range(len(names)), key=lambda label: [-part[label] for part in parts])[:MOST_CLASSES]
    most = max((part[label] for part in parts for label in order), default=0) or 1.0
    left, right = 118.0, 52.0
    height, shapes = ROW * len(order) + 8, []
    bar = (ROW - 12) / len(lists)
    for row, label in enumerate(order):
        top = row * ROW + 6
        name = svg.shortened(names[label], 108, svg.STRONG_SIZE)
        shapes.append(svg.text(left - 8, top + (ROW - 12) / 2 + 4, name, "strong", "end"))
        for number, (part, each) in enumerate(zip(parts, lists, strict=True)):
            length = part[label] / most * (WIDTH - left - right)
            y, count = top + number * bar, each.class_objects[label]
            tip = f"{names[label]}: {count_text(count, 'object')} of {each.name}, {part[label]:.1%}"
            shapes.append(svg.bar(left, y, max(length, 1.0), bar - 1, f"solid {SERIES[each.name]}", tip))
            shapes.append(svg.text(left + length + 5, y + bar / 2 + 3.5, f"{part[label]:.1%}", "tick"))
    return Drawing(WIDTH, height, shapes, "parts of the objects by class")


def crowd_chart(lists: Sequence[ListCounts]) -> Drawing:
    """Draw how many images have 0, 1, 2 ... objects, as a part of each list."""
    last = min(max(each.most for each in lists), MOST_OF_AN_IMAGE)
    parts = [np.array(each.per_image[: last + 1]) / max(each.images, 1) for each in lists]
    labels = [str(number) if number < MOST_OF_AN_IMAGE else f"{number}+" for number in range(last + 1)]
    return _bars(parts, lists, labels, "part of the images", "objects of an image", 2 if last > 10 else 1)


def side_chart(shapes: Sequence[BoxShapes], lists: Sequence[ListCounts]) -> Drawing:
    """Draw the boxes by the square root of their area, as a part of each list."""
    edges = np.unique(np.concatenate([each.side_edges for each in shapes]))
    parts = []
    for each in shapes:
        whole = np.zeros(len(edges) - 1)
        start = int(np.argmin(np.abs(edges - each.side_edges[0])))
        whole[start : start + len(each.sides)] = each.sides / max(each.sides.sum(), 1)
        parts.append(whole)
    labels = [f"{edge:.0f}" if edge >= 2 else f"{edge:.1f}" for edge in edges[:-1]]
    return _bars(parts, lists, labels, "part of the boxes", "side in pixels of the network input, from", SIDE_STEPS)


def ratio_chart(shapes: Sequence[BoxShapes], lists: Sequence[ListCounts]) -> Drawing:
    """Draw the boxes by width / height, as a part of each list."""
    parts = [each.ratios / max(each.ratios.sum(), 1) for each in shapes]
    labels = [_ratio_text(edge) for edge in RATIO_EDGES[:-1]]
    return _bars(parts, lists, labels, "part of the boxes", "width : height, from", 4)


def size_range(shapes: Sequence[BoxShapes], heads: Sequence[HeadCoverage]) -> tuple[int, int]:
    """Return the powers of 2 that hold all sides of boxes and anchors, for charts that can be compared."""
    sides = [side for head in heads for anchor in head.anchors for side in anchor]
    lows, highs = [each.low for each in shapes], [each.high for each in shapes]
    return floor(log2(min(*lows, *sides, highs[0]))), ceil(log2(max(*highs, *sides, lows[0])))


def size_chart_with_anchors(
    shapes: BoxShapes, heads: Sequence[HeadCoverage], name: str, powers: tuple[int, int]
) -> Drawing:
    """Draw how many boxes have which width and height, and the anchors of each head over them.

    Args:
        shapes: of a list.
        heads: with the anchors, perhaps none.
        name: of the list.
        powers: of 2, the ends of both axes, from `size_range`.
    """
    low, high = powers
    frame = ChartFrame(WIDTH, 400, 40, 14, 24, 36, (low, high), (low, high))
    ticks = [2.0**power for power in range(low, high + 1)]
    middle, base = (frame.left + frame.width - frame.right) / 2, frame.height - frame.bottom
    marks = [
        *svg.y_axis(frame, ticks, "height in pixels of the network input", _pixels, log2),
        svg.line(frame.left, base, frame.width - frame.right, base, "base"),
        *(svg.text(frame.x(log2(tick)), base + 15, _pixels(tick), "tick", "middle") for tick in ticks),
        svg.text(middle, frame.height - 3, "width in pixels", "axis", "middle"),
    ]
    corner = frame.x(log2(shapes.low)), frame.y(log2(shapes.high))
    span = frame.x(log2(shapes.high)) - corner[0], frame.y(log2(shapes.low)) - corner[1]
    cells = density_cells(shapes.density[::-1], corner, (span[0] / SIZE_BINS, span[1] / SIZE_BINS))
    drawn = [
        svg.dot(frame.x(log2(width)), frame.y(log2(height)), f"anchor {HEAD_LOOKS[number % len(HEAD_LOOKS)]}",
                f"anchor {width:g} × {height:g} of layer {head.layer}, stride {head.stride:g}", 5.5)
        for number, head in enumerate(heads)
        for width, height in head.anchors
    ]  # fmt: skip
    return Drawing(WIDTH, 400, [*marks, *cells, *drawn], f"width and height of the boxes of {name}, with the anchors")


def place_chart(shapes: BoxShapes, name: str) -> Drawing:
    """Draw where in the image the centers of the boxes are."""
    side = WIDTH - 20
    cells = density_cells(shapes.places, (10, 10), (side / PLACES, side * 0.75 / PLACES))
    border = SvgElement("rect", {"x": 10, "y": 10, "width": side, "height": side * 0.75, "class": "ground"})
    return Drawing(WIDTH, side * 0.75 + 20, [border, *cells], f"centers of the boxes of {name} in the image")


def density_cells(counts: np.ndarray, corner: tuple[float, float], span: tuple[float, float]) -> list[SvgElement]:
    """Return a rectangle for each run of equally full cells of a row.

    Args:
        counts: int64 `[rows, columns]`.
        corner: (x, y) of the first cell in pixels.
        span: (width, height) of a cell.
    """
    most = max(int(counts.max(initial=0)), 1)
    levels = np.ceil(np.sqrt(counts / most) * LEVELS).astype(int)
    shapes = []
    for row, line in enumerate(levels):
        edges = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            if line[first]:
                shapes.append(SvgElement("rect", {
                    "x": corner[0] + first * span[0], "y": corner[1] + row * span[1],
                    "width": (last - first) * span[0] + 0.3, "height": span[1] + 0.3, "class": f"heat l{line[first]}",
                }))  # fmt: skip
    return shapes


def _bars(
    parts: Sequence[np.ndarray],
    lists: Sequence[ListCounts],
    labels: Sequence[str],
    y_title: str,
    x_title: str,
    each_label: int,
) -> Drawing:
    most = max((float(part.max(initial=0)) for part in parts), default=0) or 1.0
    frame = ChartFrame(WIDTH, HEIGHT, 44, 10, 24, 38, (0, len(labels)), (0, most * 1.05))
    ticks = svg.nice_ticks(0, most, 4)
    middle = (frame.left + frame.width - frame.right) / 2
    base = frame.height - frame.bottom
    shapes = [
        *svg.y_axis(frame, ticks, y_title, lambda value: f"{value:.3g}" if most < 0.05 else f"{value:.0%}"),
        svg.line(frame.left, base, frame.width - frame.right, base, "base"),
        svg.text(middle, frame.height - 3, x_title, "axis", "middle"),
    ]
    step = (frame.width - frame.left - frame.right) / len(labels)
    for place, label in enumerate(labels):
        if place % each_label == 0:
            shapes.append(svg.text(frame.x(place) + step / 2, base + 15, label, "tick", "middle"))
        for number, (part, each) in enumerate(zip(parts, lists, strict=True)):
            width = (step - 1.5) / len(parts)
            top = frame.y(float(part[place]))
            tip = f"{each.name}, {x_title} {label}: {part[place]:.1%}"
            shapes.append(
                svg.bar(
                    frame.x(place) + number * width + 0.7, top, width, base - top, f"solid {SERIES[each.name]}", tip
                )
            )
    return Drawing(WIDTH, HEIGHT, shapes, f"{y_title} over {x_title}")


def _pixels(value: float) -> str:
    return f"{value:g}"


def _ratio_text(power: float) -> str:
    return f"{2**power:.2g}:1" if power > 0 else "1:1" if power == 0 else f"1:{2**-power:.2g}"
