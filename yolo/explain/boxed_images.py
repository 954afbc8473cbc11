"""Draw small images with boxes: a JPEG inside the page, and SVG lines that stay sharp and have a tooltip."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from yolo.data.images import ignore_remark, read_image
from yolo.defaults import IMAGE_ENDINGS
from yolo.errors import DatasetError
from yolo.pages.page import data_uri
from yolo.pages.svg import Drawing, SvgElement, bounded

MARGIN = 0.35  # around boxes, as a fraction of the longer side of the area that they cover
MOST_BOXES = 300  # of an image: more cover it, and tens of thousands make a page that no browser opens


class DrawnBox(NamedTuple):
    """A box xyxy in pixels of its image, its class in the style sheet, and its tooltip."""

    box: Sequence[float]
    look: str
    tip: str


def read_pixels(path: str | Path | None) -> np.ndarray | None:
    """Return the RGB pixels uint8 `[H, W, 3]` of an image; None if it is not there or cannot be read."""
    if path is None:
        return None
    try:
        return read_image(path, 3, ignore_remark)
    except (DatasetError, OSError, ValueError):  # missing, broken, or not a path at all
        return None


def find_shown_image(file: str, folders: Iterable[Path]) -> Path | None:
    """Return the path of an image: its own path, or a file in one of some folders with any image ending; or None."""
    path = Path(file.replace("\\", "/"))
    names = [path, Path(path.name)]
    names += [each.with_suffix(ending) for each in names for ending in IMAGE_ENDINGS if each.name]
    places = [path, *(folder / name for folder in folders for name in names)]
    return next((place for place in places if place.is_file()), None)


def drawn_boxes(
    pixels: np.ndarray | None,
    size: tuple[int, int],
    boxes: Sequence[DrawnBox],
    side: int,
    label: str,
) -> Drawing:
    """Draw boxes over an image, at most MOST_BOXES.

    Args:
        pixels: RGB uint8 `[H, W, 3]`, or None for an empty ground.
        size: (height, width) of the image in pixels, the frame of the boxes.
        boxes: the first is drawn on top; those after the first MOST_BOXES are left out.
        side: longest side of the drawing in pixels.
        label: for screen readers.
    """
    height, width = size
    scale = side / max(height, width, 1)
    shown = {"width": max(width * scale, 1.0), "height": max(height * scale, 1.0)}
    shapes = [SvgElement("rect", {**shown, "class": "ground"})]
    if pixels is not None:
        shapes.append(
            SvgElement("image", {"href": data_uri(scaled_to(pixels, side)), **shown, "preserveAspectRatio": "none"})
        )
    shapes += [_outline(each, scale) for each in reversed(boxes[:MOST_BOXES])]
    if len(boxes) > MOST_BOXES:
        label += f"; {MOST_BOXES} of {len(boxes):,} boxes are drawn"
    return Drawing(shown["width"], shown["height"], shapes, label, "shot")


def drawn_around(
    pixels: np.ndarray | None, boxes: Sequence[DrawnBox], side: int, label: str, least: float = 48
) -> Drawing:
    """Draw boxes over the part of an image around them.

    Args:
        pixels: RGB uint8 `[H, W, 3]`, or None for an empty ground.
        boxes: in image pixels; the first is drawn on top.
        side: longest side of the drawing in pixels.
        label: for screen readers.
        least: the smallest side of the part in image pixels, as far as the image reaches.
    """
    part, size, corner = cropped_around(pixels, [each.box for each in boxes], least=least)
    moved = [each._replace(box=np.asarray(each.box) - np.tile(corner, 2)) for each in boxes]
    return drawn_boxes(part, size, moved, side, label)


def cropped_around(
    pixels: np.ndarray | None, boxes: Sequence[Sequence[float]], least: float
) -> tuple[np.ndarray | None, tuple[int, int], tuple[float, float]]:
    """Return the part of an image around some boxes, with a margin of MARGIN on each side.

    Args:
        pixels: RGB uint8 `[H, W, 3]`, or None.
        boxes: xyxy in pixels, at least one.
        least: the least side in pixels, as far as the image reaches.

    Returns:
        The pixels or None, the (height, width) of the part, and its corner (x, y).
    """
    area = np.asarray(boxes, np.float64)
    low, high = area[:, :2].min(axis=0), area[:, 2:].max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2 + MARGIN * (high - low).max(), least / 2)
    low, high = np.floor(middle - half), np.ceil(middle + half)
    if pixels is not None:
        edge = np.array(pixels.shape[1::-1])
        low, high = np.clip(low, 0, edge - 1), np.clip(high, 1, edge)
        high = np.maximum(high, low + 1)
    x1, y1, x2, y2 = (int(each) for each in (*low, *high))
    part = None if pixels is None else np.ascontiguousarray(pixels[y1:y2, x1:x2])
    return part, (y2 - y1, x2 - x1), (float(x1), float(y1))


def scaled_to(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return an image `[H, W, C]` whose longest side is at most `side`."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = [max(1, round(each * scale)) for each in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    return small.reshape(*size[::-1], -1)  # cv2 drops the channel of a gray image


def _outline(drawn: DrawnBox, scale: float) -> SvgElement:
    x1, y1, x2, y2 = (bounded(float(each) * scale) for each in drawn.box)
    size = {"width": max(x2 - x1, 1.0), "height": max(y2 - y1, 1.0)}
    return SvgElement("rect", {"x": x1, "y": y1, **size, "class": f"outline {drawn.look}", "data-tip": drawn.tip})
