"""`[detection]`, the head of YOLOv1: its module, its settings and its builder."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built
from yolo.model.heads.head_section import (
    COORDS,
    ErrorScales,
    check_coords,
    read_augmentation,
    read_most_boxes,
    read_scales,
)
from yolo.model.heads.yolo import flat_predictions, grid_cells
from yolo.records import Predictions


class DetectionHead(nn.Module):
    """`[detection]` of YOLOv1 (detection_layer.c): a square grid, boxes without anchors, classes of a cell.

    side: cells in a row and in a column; boxes: that a cell predicts; squared: w and h come as their square roots
    (the cfg's `sqrt`); softmax: of a cell's classes, as Darknet's CPU code does (its GPU code leaves it out when
    it detects). Nothing else is done to the values: objectness and class probabilities may lie outside 0..1.
    """

    def __init__(
        self, *, side: int, boxes: int, classes: int, squared: bool, softmax: bool
    ) -> None:
        super().__init__()
        self.side = side
        self.boxes = boxes
        self.classes = classes
        self.squared = squared
        self.softmax = softmax

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, side²*(classes + 5*boxes), 1, 1]`, or a map of as many values → what a cell says, in float32.

        Classes `[B, S, S, classes]`, objectness `[B, S, S, boxes]` and x, y, w, h `[B, S, S, boxes, 4]`, S = side. The
        classes of all cells come first, then the objectness of all boxes, then the boxes, cell by cell.
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
        """What `split` takes → Predictions with P = boxes*side². Source: detection_layer.c get_detection_detections."""
        classes, objectness, boxes = self.split(raw)
        places = grid_cells(self.side, self.side, raw.device)[:, :, None]  # [S, S, 1, 2]
        centers = (places + boxes[..., :2]) / self.side
        shapes = boxes[..., 2:].square() if self.squared else boxes[..., 2:]
        class_probs = torch.softmax(classes, dim=-1) if self.softmax else classes
        class_probs = class_probs[:, :, :, None].expand(-1, -1, -1, self.boxes, -1)
        parts = (torch.cat((centers, shapes), dim=-1), objectness, class_probs)
        return flat_predictions(*(part.movedim(3, 1) for part in parts))  # box number first


@dataclass(frozen=True)
class DetectionSettings:
    """A [detection] section beyond its shape, meaning as in parse_detection."""

    max_boxes: int
    jitter: float
    resize: float
    random: float
    scales: ErrorScales
    forced: bool
    nms_kind: str = "default"
    beta_nms: float = 0.6


def read_detection(section: Section, dialect: str) -> DetectionSettings:
    """What a `[detection]` says beyond its shape."""
    section.flag("reorg")  # Darknet reads it and uses it nowhere
    return DetectionSettings(
        max_boxes=read_most_boxes(section, dialect),
        **read_augmentation(section),
        scales=read_scales(section),
        forced=section.flag("forced"),
    )


def build_detection(section: Section, before: BuildContext) -> Built:
    """[detection] (parser.c parse_detection): side² x (classes + num x 5) values before it, of whatever shape."""
    shape = channels, height, width = before.shape(before.previous)
    classes = section.integer("classes", 1, minimum=1)
    coords = section.integer("coords", 1)
    boxes, side = section.integer("num", 1, minimum=1), section.integer("side", 7, minimum=1)
    softmax, squared = section.flag("softmax"), section.flag("sqrt")
    settings = read_detection(section, before.dialect)
    check_coords(section, coords)
    values, found = side**2 * (classes + boxes * (1 + COORDS)), channels * height * width
    if values != found:
        cell = f"({classes} classes + {boxes} boxes x {1 + COORDS})"
        expected = f"{side}x{side} cells x {cell} = {values} values before the head"
        raise section.error("side", expected, f"{found} values in layer {before.previous}")
    layer = DetectionHead(side=side, boxes=boxes, classes=classes, squared=squared, softmax=softmax)
    return Built(layer, (before.previous,), shape, settings)
