"""The detection heads of YOLOv1, YOLOv2 and YOLO9000: what enters them → boxes, objectness, class probabilities."""

import torch
from torch import Tensor, nn

from yolo.model.heads import Predictions, flat_predictions, grid_cells
from yolo.model.tree import Tree, group_softmax, path_probabilities

COORDS = 4  # x, y, w, h


class RegionHead(nn.Module):
    """`[region]` (region_layer.c): anchors in cells, and one of four ways to class probabilities.

    softmax: they add up to 1. Without it each is a logistic function, as in pjreddie's Darknet; AlexeyAB's takes
    the map's values as they are, which are no probabilities, so that we take the logistic function for both.
    background: the value at the place of objectness is one more class of that softmax, "nothing", and objectness is 1
    (pjreddie's; AlexeyAB's has no such key).
    tree: a hierarchy of `classes` (YOLO9000), a softmax in each of its groups: the probability of a class is that
    along its path, its own times its ancestors'. Which of them a box is named after: `tree.named_class`.
    """

    def __init__(
        self,
        *,
        anchors: Tensor,
        classes: int,
        softmax: bool,
        background: bool = False,
        tree: Tree | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("anchors", anchors.float(), persistent=False)
        self.classes = classes
        self.softmax = softmax
        self.background = background
        self.tree = tree

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, A*(5+classes), H, W]` → Predictions with P = A*H*W. Source: region_layer.c get_region_detections."""
        height, width = raw.shape[-2:]
        cells = raw.float().unflatten(1, (len(self.anchors), -1))
        cells = cells.permute(0, 1, 3, 4, 2)  # [B, A, H, W, 5+classes]
        grid = cells.new_tensor([width, height])
        centres = (grid_cells(height, width, raw.device) + torch.sigmoid(cells[..., :2])) / grid
        sizes = torch.exp(cells[..., 2:COORDS]) * self.anchors[:, None, None] / grid
        objectness = torch.sigmoid(cells[..., COORDS])
        if self.background:
            objectness = torch.ones_like(objectness)
        class_probs = self._class_probabilities(cells[..., COORDS:])
        return flat_predictions(torch.cat((centres, sizes), dim=-1), objectness, class_probs)

    def _class_probabilities(self, values: Tensor) -> Tensor:
        """What stands for objectness and the classes, `[..., 1+classes]` → `[..., classes]`."""
        logits = values[..., 1:]
        if self.tree is not None:
            return path_probabilities(group_softmax(logits, self.tree, -1), self.tree, -1)
        if not self.softmax:
            return torch.sigmoid(logits)
        if self.background:
            return torch.softmax(values, dim=-1)[..., 1:]
        return torch.softmax(logits, dim=-1)


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

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, side²*(classes + 5*boxes), 1, 1]`, or a map of as many values → Predictions with P = boxes*side².

        The classes of all cells come first, then the objectness of all boxes, then the boxes, cell by cell.
        Source: detection_layer.c get_detection_detections.
        """
        cells = self.side**2
        sizes = (cells * self.classes, cells * self.boxes, cells * self.boxes * COORDS)
        classes, objectness, boxes = raw.float().flatten(1).split(sizes, dim=1)
        by_cell = (raw.shape[0], self.side, self.side)
        classes = classes.reshape(*by_cell, 1, self.classes).expand(-1, -1, -1, self.boxes, -1)
        objectness = objectness.reshape(*by_cell, self.boxes)
        boxes = boxes.reshape(*by_cell, self.boxes, COORDS)  # [B, S, S, boxes, 4]
        places = grid_cells(self.side, self.side, raw.device)[:, :, None]  # [S, S, 1, 2]
        centres = (places + boxes[..., :2]) / self.side
        shapes = boxes[..., 2:].square() if self.squared else boxes[..., 2:]
        class_probs = torch.softmax(classes, dim=-1) if self.softmax else classes
        parts = (torch.cat((centres, shapes), dim=-1), objectness, class_probs)
        return flat_predictions(*(part.movedim(3, 1) for part in parts))  # box number first
