"""`[detection]`, the head of YOLOv1: settings, module and builder."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built
from yolo.model.heads.region import COORDS, ErrorScales, check_coords, read_scales
from yolo.model.heads.yolo import flatten_predictions, grid_cells, read_augmentation, read_max_boxes
from yolo.records import Predictions


@dataclass(frozen=True)
class YoloV1Settings:
    """Keys of a [detection] section for loss, augmentation and detection. Meaning as in parse_detection."""

    max_boxes: int
    jitter: float
    resize: float
    random: float
    scales: ErrorScales
    forced: bool
    nms_kind: str = "default"
    beta_nms: float = 0.6


class YoloV1Head(nn.Module):
    """`[detection]` (detection_layer.c): a square grid, boxes without anchors, one set of classes per cell.

    Objectness and class probabilities are the raw values (but for `softmax`), so they may be outside 0..1.

    Args:
        side: number of cells in a row and in a column.
        boxes: number of boxes per cell.
        classes: number of classes.
        squared: the map holds the square roots of w and h (the cfg's `sqrt`).
        softmax: apply softmax to a cell's classes, as Darknet's CPU code does; its GPU code does not in detection.
    """

    def __init__(self, *, side: int, boxes: int, classes: int, squared: bool, softmax: bool) -> None:
        super().__init__()
        self.side = side
        self.boxes = boxes
        self.classes = classes
        self.squared = squared
        self.softmax = softmax

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split the raw map into its parts, in float32.

        The map holds the classes of all cells first, then the objectness of all boxes, then the boxes, cell by cell.

        Args:
            raw: `[B, side²*(classes + 5*boxes), 1, 1]`, or another shape with as many values per image.

        Returns:
            Classes `[B, S, S, classes]`, objectness `[B, S, S, boxes]` and x, y, w, h `[B, S, S, boxes, 4]`, S = side.
        """
        cells = self.side**2
        sizes = (cells * self.classes, cells * self.boxes, cells * self.boxes * COORDS)
        classes, objectness, boxes = raw.float().flatten(1).split(sizes, dim=1)
        by_cell = (raw.shape[0], self.side, self.side)
        return (
            classes.reshape(*by_cell, self.classes),
            objectness.reshape(*by_cell, self.boxes),
            boxes.reshape(*by_cell, self.boxes, COORDS),
        )

    def decode(self, raw: Tensor) -> Predictions:
        """Input of `split` → Predictions with P = boxes*side². Source: detection_layer.c get_detection_detections."""
        classes, objectness, boxes = self.split(raw)
        cells = grid_cells(self.side, self.side, raw.device)[:, :, None]  # [S, S, 1, 2]
        centers = (cells + boxes[..., :2]) / self.side
        sizes = boxes[..., 2:].square() if self.squared else boxes[..., 2:]
        class_probs = torch.softmax(classes, dim=-1) if self.softmax else classes
        class_probs = class_probs[:, :, :, None].expand(-1, -1, -1, self.boxes, -1)
        parts = (torch.cat((centers, sizes), dim=-1), objectness, class_probs)
        return flatten_predictions(*(part.movedim(3, 1) for part in parts))  # box number first


def build_detection(section: Section, context: BuildContext) -> Built:
    """[detection] (parser.c parse_detection): side² x (classes + num x 5) values before it, in any shape."""
    shape = channels, height, width = context.previous_shape
    classes = section.integer("classes", 1, minimum=1)
    coords = section.integer("coords", 1)
    boxes, side = section.integer("num", 1, minimum=1), section.integer("side", 7, minimum=1)
    softmax, squared = section.flag("softmax"), section.flag("sqrt")
    settings = read_yolov1(section, context.dialect)
    check_coords(section, coords)
    values, found = side**2 * (classes + boxes * (1 + COORDS)), channels * height * width
    if values != found:
        cell = f"({classes} classes + {boxes} boxes x {1 + COORDS})"
        expected = f"{side}x{side} cells x {cell} = {values} values before the head"
        raise section.error("side", expected, f"{found} values in layer {context.previous}")
    layer = YoloV1Head(side=side, boxes=boxes, classes=classes, squared=squared, softmax=softmax)
    return Built(layer, (context.previous,), shape, settings)


def read_yolov1(section: Section, dialect: str) -> YoloV1Settings:
    """Read the settings of a `[detection]`."""
    section.flag("reorg")  # Darknet reads it and does not use it
    return YoloV1Settings(
        max_boxes=read_max_boxes(section, dialect),
        **read_augmentation(section),
        scales=read_scales(section),
        forced=section.flag("forced"),
    )
