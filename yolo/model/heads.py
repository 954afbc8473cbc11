"""The detection heads of YOLOv3 and after: a raw map → boxes, objectness and class probabilities.

A head holds what decoding needs, nothing of losses or thresholds. `forward` hands the raw map on, `decode` reads it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Predictions(NamedTuple):
    """What a network sees, before any threshold.

    boxes: float32 `[B, P, 4]` cxcywh relative to the network input, 0..1 (a box may reach outside);
    objectness: float32 `[B, P]`; class_probs: float32 `[B, P, classes]`.
    P runs head by head, then anchor, row, column.
    """

    boxes: Tensor
    objectness: Tensor
    class_probs: Tensor


class YoloHead(nn.Module):
    """`[yolo]` (yolo_layer.c): independent class probabilities, boxes relative to a cell and an anchor.

    all_anchors: `[T, 2]` (width, height) in network-input pixels, of all heads; anchor_ids: the cfg's mask, which of
    them this head predicts; stride: (vertical, horizontal) network-input pixels a cell.
    """

    def __init__(
        self,
        *,
        all_anchors: Tensor,
        anchor_ids: tuple[int, ...],
        classes: int,
        stride: tuple[float, float],
        scale_x_y: float = 1.0,
        new_coords: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("all_anchors", all_anchors.float(), persistent=False)
        self.register_buffer("anchors", all_anchors[list(anchor_ids)].float(), persistent=False)
        self.anchor_ids = anchor_ids
        self.classes = classes
        self.stride = stride
        self.scale_x_y = scale_x_y
        self.new_coords = new_coords

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def split(self, raw: Tensor) -> Tensor:
        """`[B, A*(5+classes), H, W]` → float32 `[B, A, H, W, 5+classes]`: tx, ty, tw, th, to, classes."""
        batch, _, height, width = raw.shape
        cells = raw.float().view(batch, len(self.anchor_ids), 5 + self.classes, height, width)
        return cells.permute(0, 1, 3, 4, 2)

    def network_size(self, grid: tuple[int, int]) -> Tensor:
        """(width, height) in pixels of the network input that gives a raw map of `grid` (H, W)."""
        return self.anchors.new_tensor([grid[1] * self.stride[1], grid[0] * self.stride[0]])

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, A*(5+classes), H, W]` → Predictions with P = A*H*W."""
        cells = self.split(raw)
        grid = (raw.shape[-2], raw.shape[-1])
        boxes = self.decode_boxes(
            cells[..., :4], grid_cells(*grid, raw.device), self.anchors[:, None, None], grid
        )
        scores = cells[..., 4:] if self.new_coords else torch.sigmoid(cells[..., 4:])
        return flat_predictions(boxes, scores[..., 0], scores[..., 1:])

    def decode_boxes(
        self, t: Tensor, cells: Tensor, anchors: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """tx, ty, tw, th `[..., 4]` of (column, row) `cells` and (w, h) `anchors` `[..., 2]` → cxcywh 0..1 `[..., 4]`.

        grid: (height, width) of the raw map. Source: AlexeyAB yolo_layer.c get_yolo_box; with new_coords the
        convolution before the head has already applied the logistic function.
        """
        offsets = t[..., :2] if self.new_coords else torch.sigmoid(t[..., :2])
        offsets = offsets * self.scale_x_y - 0.5 * (self.scale_x_y - 1)
        shapes = (2 * t[..., 2:]).square() if self.new_coords else torch.exp(t[..., 2:])
        centres = (cells + offsets) / t.new_tensor([grid[1], grid[0]])
        return torch.cat((centres, shapes * anchors / self.network_size(grid)), dim=-1)


class GaussianYoloHead(nn.Module):
    """`[Gaussian_yolo]` (gaussian_yolo_layer.c): as `[yolo]`, with an uncertainty beside each of x, y, w, h.

    A box's score is objectness x class x (1 - mean uncertainty); the last factor is put into the class probabilities.
    anchors: of all heads; anchor_ids: which of them this head predicts, without it all of them.
    centre_shift: how much of its size lies between the point that x, y say and the box's centre: 0 if that point is
    the centre, 0.5 for the left top corner, -0.5 for the right bottom one.
    """

    new_coords = False  # a key of [yolo] alone

    def __init__(
        self,
        *,
        anchors: Tensor,
        classes: int,
        stride: tuple[float, float],
        anchor_ids: tuple[int, ...] | None = None,
        scale_x_y: float = 1.0,
        centre_shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.anchor_ids = tuple(range(len(anchors))) if anchor_ids is None else anchor_ids
        self.register_buffer("all_anchors", anchors.float(), persistent=False)
        self.register_buffer("anchors", anchors[list(self.anchor_ids)].float(), persistent=False)
        self.classes = classes
        self.stride = stride
        self.scale_x_y = scale_x_y
        self.centre_shift = centre_shift

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def split(self, raw: Tensor) -> Tensor:
        """`[B, A*(9+classes), H, W]` → float32 `[B, A, H, W, 9+classes]`: x, σx, y, σy, w, σw, h, σh, to, classes."""
        batch, _, height, width = raw.shape
        cells = raw.float().view(batch, len(self.anchor_ids), 9 + self.classes, height, width)
        return cells.permute(0, 1, 3, 4, 2)

    def network_size(self, grid: tuple[int, int]) -> Tensor:
        """(width, height) in pixels of the network input that gives a raw map of `grid` (H, W)."""
        return self.anchors.new_tensor([grid[1] * self.stride[1], grid[0] * self.stride[0]])

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, A*(9+classes), H, W]` → Predictions with P = A*H*W."""
        cells = self.split(raw)
        grid = (raw.shape[-2], raw.shape[-1])
        boxes = self.decode_boxes(
            cells[..., 0:8:2], grid_cells(*grid, raw.device), self.anchors[:, None, None], grid
        )
        certainty = 1 - torch.sigmoid(cells[..., 1:8:2]).mean(dim=-1, keepdim=True)
        scores = torch.sigmoid(cells[..., 8:])
        return flat_predictions(boxes, scores[..., 0], scores[..., 1:] * certainty)

    def decode_boxes(
        self, t: Tensor, cells: Tensor, anchors: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """tx, ty, tw, th `[..., 4]` of (column, row) `cells` and (w, h) `anchors` `[..., 2]` → cxcywh 0..1 `[..., 4]`.

        grid: (height, width) of the raw map. Source: get_gaussian_yolo_box.
        """
        offsets = torch.sigmoid(t[..., :2]) * self.scale_x_y - 0.5 * (self.scale_x_y - 1)
        sizes = torch.exp(t[..., 2:]) * anchors / self.network_size(grid)
        centres = (cells + offsets) / t.new_tensor([grid[1], grid[0]])
        return torch.cat((centres + self.centre_shift * sizes, sizes), dim=-1)


def grid_cells(height: int, width: int, device: torch.device) -> Tensor:
    """`[H, W, 2]`: (column, row) of each cell."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack((columns, rows), dim=-1)


def flat_predictions(boxes: Tensor, objectness: Tensor, class_probs: Tensor) -> Predictions:
    """`[B, A, H, W, ...]` → Predictions, P = A*H*W."""
    return Predictions(boxes.flatten(1, 3), objectness.flatten(1, 3), class_probs.flatten(1, 3))
