"""The drawings of the page: boxes, cells and anchors over the photo, in the frame of the network input.

A stretched image is drawn in its own aspect ratio, so its cells are not squares. A letterboxed image is drawn with its
gray border. Photos are stored once in the page and used by their ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from yolo.explain.image.explanation import DetectionOrigin
from yolo.explain.image.fates import KEPT, BoxFate
from yolo.explain.image.origin import HeadGrid
from yolo.explain.receptive_field import Span
from yolo.letterbox import Placement
from yolo.pages.svg import Drawing, SvgElement, bounded

LONG_SIDE = 600.0  # of a drawing, in its own units
GRAY = "rgb(128 128 128)"  # yolo.letterbox.LETTERBOX_GRAY
MARK_HEIGHT = 20.0  # of the number of a box
MOST_LINES = 40  # a grid of more cells in a row is drawn without lines
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class InputFrame:
    """A drawing of the network input: `width` x `height` units for 0..1 x 0..1 of the input. photo: an element's id."""

    width: float
    height: float
    photo: str

    def rectangle(self, box: Box, look: str, **attributes: str) -> SvgElement:
        """Return the outline of a box, xyxy in 0..1 of the input."""
        x1, y1, x2, y2 = self.pixels(box)
        size = {"x": x1, "y": y1, "width": max(x2 - x1, 0.0), "height": max(y2 - y1, 0.0)}
        return SvgElement("rect", {**size, "class": look, **{_attribute(k): v for k, v in attributes.items()}})

    def pixels(self, box: Box) -> Box:
        """Return a box in units of the drawing, clipped slightly outside of it: some boxes are huge or not a number."""
        sides = (self.width, self.height) * 2
        return tuple(bounded(part * side, -0.1 * side, 1.1 * side) for part, side in zip(box, sides, strict=True))

    def background(self, look: str = "photo") -> SvgElement:
        """Return the photo."""
        return SvgElement("use", {"href": f"#{self.photo}", "class": look})

    def overlay(self, uri: str, look: str) -> SvgElement:
        """Return an image over the whole input."""
        size = {"width": self.width, "height": self.height}
        return SvgElement("image", {"href": uri, **size, "preserveAspectRatio": "none", "class": look})


def input_frame(placement: Placement, photo: str) -> InputFrame:
    """Return the frame for an image with a placement."""
    stretched = placement.content == placement.network
    height, width = placement.image if stretched else placement.network
    scale = LONG_SIDE / max(height, width)
    return InputFrame(max(width * scale, 1.0), max(height * scale, 1.0), photo)


def photo_shapes(frame: InputFrame, placement: Placement, uri: str) -> list[SvgElement]:
    """Return the photo at its place in the network input: the whole frame, or the middle of a gray one."""
    rows, columns = placement.network
    height, width = placement.content
    inner = {
        "x": placement.offset[1] / columns * frame.width,
        "y": placement.offset[0] / rows * frame.height,
        "width": width / columns * frame.width,
        "height": height / rows * frame.height,
        "preserveAspectRatio": "none",
    }
    border = SvgElement("rect", {"width": frame.width, "height": frame.height, "fill": GRAY})
    return [border, SvgElement("image", {"href": uri, **inner})]


def grid_lines(frame: InputFrame, grid: HeadGrid) -> list[SvgElement]:
    """Return the lines between the cells of a head; none where they would hide the photo."""
    if max(grid.width, grid.height) > MOST_LINES:
        return []
    down = (f"M{frame.width * each / grid.width:.1f} 0V{frame.height:.1f}" for each in range(1, grid.width))
    across = (f"M0 {frame.height * each / grid.height:.1f}H{frame.width:.1f}" for each in range(1, grid.height))
    return [SvgElement("path", {"d": "".join((*down, *across)), "class": "cell-lines"})]


def boxes_drawing(frame: InputFrame, fates: Sequence[BoxFate], texts: Sequence[str], colors: Sequence[str]) -> Drawing:
    """Draw boxes, the highest score on top.

    Args:
        frame: of the photo.
        fates: the boxes, each group with the highest score first.
        texts: the tooltip of each box.
        colors: of each box, for CSS.
    """
    shapes = [frame.background()]
    rows = list(zip(fates, texts, colors, strict=True))
    for place, (fate, text, color) in reversed(list(enumerate(rows))):
        look = f"box {fate.fate.split()[0]}"
        shapes.append(frame.rectangle(fate.box, look, data_tip=text, data_row=str(place), style=f"--class: {color}"))
        if fate.fate == KEPT:
            shapes += _number_mark(frame, fate.box, place + 1, color)
    return Drawing(frame.width, frame.height, shapes, "boxes over the image", "scene")


def origin_drawing(frame: InputFrame, grid: HeadGrid, detection: DetectionOrigin, color: str) -> Drawing:
    """Draw a detection with its cell, its anchor around the center of the cell, and the grid of its head.

    Args:
        frame: the network input.
        grid: of the head that predicts the detection.
        detection: with its cell and anchor.
        color: CSS color of its class.
    """
    origin, fate = detection.origin, detection.fate
    cell = (
        origin.column / grid.width,
        origin.row / grid.height,
        (origin.column + 1) / grid.width,
        (origin.row + 1) / grid.height,
    )
    center = (fate.box[0] + fate.box[2]) / 2, (fate.box[1] + fate.box[3]) / 2
    x, y, _, _ = frame.pixels((*center, *center))
    shapes = [frame.background(), *grid_lines(frame, grid), frame.rectangle(cell, "own-cell")]
    anchor = grid.anchors[origin.anchor]
    if anchor is not None:
        wide = anchor[0] / grid.cell[0] / grid.width
        high = anchor[1] / grid.cell[1] / grid.height
        middle_x, middle_y = (cell[0] + cell[2]) / 2, (cell[1] + cell[3]) / 2
        around = middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2
        shapes.append(frame.rectangle(around, "anchor"))
    shapes.append(frame.rectangle(fate.box, "box chosen", style=f"--class: {color}"))
    shapes.append(SvgElement("circle", {"cx": x, "cy": y, "r": 5.0, "class": "center", "style": f"--class: {color}"}))
    return Drawing(frame.width, frame.height, shapes, "the detection, its cell and its anchor", "scene")


def heat_drawing(frame: InputFrame, uri: str | None, outlines: Sequence[SvgElement], label: str) -> Drawing:
    """Draw a heat map over the photo, and outlines over it.

    Args:
        frame: the network input.
        uri: data URI of the heat map; None without one.
        outlines: drawn on top.
        label: for screen readers.
    """
    shapes = [frame.background("photo dim")]
    if uri is not None:
        shapes.append(frame.overlay(uri, "heat-map"))
    return Drawing(frame.width, frame.height, [*shapes, *outlines], label, "scene")


def relative(span: Span, network: tuple[int, int]) -> Box:
    """Return the pixels of a span as xyxy in 0..1 of a network input (height, width)."""
    height, width = network
    return span.left / width, span.top / height, (span.right + 1) / width, (span.bottom + 1) / height


def _number_mark(frame: InputFrame, box: Box, number: int, color: str) -> list[SvgElement]:
    """Return the number of a box on a small ground above its left top corner, inside the frame."""
    wide = 9.0 * len(str(number)) + 9
    x1, y1, _, _ = frame.pixels(box)
    x, y = min(max(x1, 0.0), frame.width - wide), min(max(y1 - MARK_HEIGHT, 0.0), frame.height - MARK_HEIGHT)
    back = {"x": x, "y": y, "width": wide, "height": MARK_HEIGHT, "class": "mark-back", "style": f"--class: {color}"}
    place = {"x": x + wide / 2, "y": y + 15.0, "class": "mark", "text-anchor": "middle"}
    return [SvgElement("rect", back), SvgElement("text", place, str(number))]


def _attribute(name: str) -> str:
    return name.replace("_", "-")
