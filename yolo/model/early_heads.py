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
    label_classes: int64 `[L]`, which class of the head each label of the training set is (the cfg's `map`); None: the
    same number.
    """

    def __init__(
        self,
        *,
        anchors: Tensor,
        classes: int,
        softmax: bool,
        background: bool = False,
        tree: Tree | None = None,
        label_classes: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("anchors", anchors.float(), persistent=False)
        self.register_buffer("label_classes", label_classes, persistent=False)
        self.classes = classes
        self.softmax = softmax
        self.background = background
        self.tree = tree

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def split(self, raw: Tensor) -> Tensor:
        """`[B, A*(5+classes), H, W]` → float32 `[B, A, H, W, 5+classes]`."""
        cells = raw.float().unflatten(1, (len(self.anchors), -1))
        return cells.permute(0, 1, 3, 4, 2)

    def decode_boxes(self, cells: Tensor) -> Tensor:
        """What `split` gives → boxes `[B, A, H, W, 4]` cxcywh 0..1. Source: region_layer.c get_region_box."""
        height, width = cells.shape[2:4]
        grid = cells.new_tensor([width, height])
        centres = (grid_cells(height, width, cells.device) + torch.sigmoid(cells[..., :2])) / grid
        sizes = torch.exp(cells[..., 2:COORDS]) * self.anchors[:, None, None] / grid
        return torch.cat((centres, sizes), dim=-1)

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, A*(5+classes), H, W]` → Predictions with P = A*H*W. Source: region_layer.c get_region_detections."""
        cells = self.split(raw)
        objectness = torch.sigmoid(cells[..., COORDS])
        if self.background:
            objectness = torch.ones_like(objectness)
        class_probs = self._class_probabilities(cells[..., COORDS:])
        return flat_predictions(self.decode_boxes(cells), objectness, class_probs)

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
        centres = (places + boxes[..., :2]) / self.side
        shapes = boxes[..., 2:].square() if self.squared else boxes[..., 2:]
        class_probs = torch.softmax(classes, dim=-1) if self.softmax else classes
        class_probs = class_probs[:, :, :, None].expand(-1, -1, -1, self.boxes, -1)
        parts = (torch.cat((centres, shapes), dim=-1), objectness, class_probs)
        return flat_predictions(*(part.movedim(3, 1) for part in parts))  # box number first
