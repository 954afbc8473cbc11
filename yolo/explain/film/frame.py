"""Draw what a network predicts for an image at one step of its training, as one small image."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from yolo.detect.detector import Detector
from yolo.detect.draw import class_color
from yolo.explain.image.head_maps import head_maps
from yolo.explain.image.origin import head_grids
from yolo.letterbox import Placement
from yolo.pages.svg import bounded
from yolo.records import Predictions

FRAME_SIDE = 320  # pixels, the longer side of a frame
MOST_DRAWN = 15  # detections, the best: an untrained network finds hundreds
LINE = 2  # pixels of an outline, with one more on each side in black
MAP_OPACITY = 0.65  # where objectness is 1
PHOTO_BRIGHTNESS = 0.75  # so that the maps show


@dataclass(frozen=True)
class FilmFrame:
    """An image at one step. image: uint8 `[H, W, 3]`; detections: (class name, score) of each, the best first.

    highest: the largest objectness of any cell.
    """

    image: np.ndarray
    detections: tuple[tuple[str, float], ...]
    highest: float


@torch.no_grad()
def film_frame(detector: Detector, pixels: np.ndarray) -> FilmFrame:
    """Return the photo with each cell's objectness, in the color of its most probable class, and the detections' boxes.

    Where several heads have a cell, the one with the largest objectness is shown. pixels: uint8 `[H, W, C]`.
    """
    network = detector.network
    inputs, placement = detector.prepare(pixels)
    device = next(network.parameters()).device
    raw = network(inputs[None].to(device))
    predictions = Predictions(*(part[0].float().cpu() for part in network.decode(raw)))
    (detections,) = detector.detections(raw, [placement])
    height, width = pixels.shape[:2]
    scale = FRAME_SIDE / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    opacity, labels = torch.zeros(placement.network), torch.zeros(placement.network, dtype=torch.int64)
    for grid in head_grids(network):
        maps = head_maps(grid, predictions)
        objectness = _enlarged(maps.objectness, placement.network).nan_to_num(0, 1, 0).clamp(0, 1)
        larger = objectness > opacity
        opacity = torch.where(larger, objectness, opacity)
        labels = torch.where(larger, _enlarged(maps.best_class, placement.network), labels)
    rows, columns = _places_in_input(placement, size)
    opacity, labels = opacity[rows][:, columns].numpy(), labels[rows][:, columns].numpy()
    colors = np.array([class_color(label) for label in range(network.classes)], np.float32)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    photo = cv2.resize(pixels, size[::-1], interpolation=method).reshape(*size, -1)
    photo = np.broadcast_to(photo, (*size, 3)).astype(np.float32) * PHOTO_BRIGHTNESS
    alpha = MAP_OPACITY * opacity[..., None]
    frame = np.ascontiguousarray((photo * (1 - alpha) + colors[labels] * alpha).round().astype(np.uint8))
    best = detections[:MOST_DRAWN]
    for box, label in zip((best.boxes * scale).tolist()[::-1], best.labels.tolist()[::-1], strict=True):
        _draw_box(frame, box, class_color(label))
    names = tuple((detector.names[label], score) for label, score in zip(
        detections.labels.tolist(), detections.scores.tolist(), strict=True))  # fmt: skip
    return FilmFrame(frame, names, float(predictions.objectness.max()))


def _draw_box(frame: np.ndarray, box: list[float], color: tuple[int, int, int]) -> None:
    """Draw an outline, xyxy in pixels, as far as it is inside the frame."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = (bounded(value, -9.0, side + 9.0) for value, side in zip(box, (width, height) * 2, strict=True))
    corners = (round(x1), round(y1)), (round(x2), round(y2))
    cv2.rectangle(frame, *corners, (0, 0, 0), LINE + 2)
    cv2.rectangle(frame, *corners, color, LINE)


def _enlarged(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a map `[H, W]` at each pixel of the network input."""
    height, width = cells.shape
    rows = torch.arange(size[0]) * height // size[0]
    columns = torch.arange(size[1]) * width // size[1]
    return cells[rows][:, columns]


def _places_in_input(placement: Placement, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the row and the column of the network input below each row and column of a frame.

    size: (height, width) of the frame.
    """
    (rows, columns), (height, width), (top, left) = placement.network, placement.content, placement.offset
    down = top + ((torch.arange(size[0]) + 0.5) * height / size[0]).long()
    across = left + ((torch.arange(size[1]) + 0.5) * width / size[1]).long()
    return down.clamp(max=rows - 1), across.clamp(max=columns - 1)
