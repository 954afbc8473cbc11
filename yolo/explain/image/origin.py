"""The origin of a prediction: head, anchor, row and column, from its index among all predictions of a network."""

from dataclasses import dataclass

from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolo import YoloHead
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.network import Network

Anchor = tuple[float, float]  # (width, height)


@dataclass(frozen=True)
class HeadGrid:
    """The predictions of a head: one for each anchor and cell.

    layer: Darknet's number of the head. kind: the name of its section. anchors: their (width, height) in network-input
    pixels; None for each box of a [detection], which has no anchors. height, width: cells in a column, in a row.
    cell: (width, height) of a cell in network-input pixels. first: the place of the first prediction. numbers: of the
    anchors in the cfg's list, from 0.
    """

    layer: int
    kind: str
    anchors: tuple[Anchor | None, ...]
    height: int
    width: int
    cell: tuple[float, float]
    first: int
    numbers: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of predictions."""
        return len(self.anchors) * self.height * self.width


@dataclass(frozen=True)
class Origin:
    """The origin of a prediction. head: its index among the heads; anchor: its index among the anchors of the head."""

    head: int
    anchor: int
    row: int
    column: int


def head_grids(network: Network) -> tuple[HeadGrid, ...]:
    """Return the grid of each head, for the size that the network was built for."""
    grids: list[HeadGrid] = []
    for layer in network.heads:
        head = network.layers[layer]
        is_v1 = isinstance(head, YoloV1Head)
        height, width = (head.side,) * 2 if is_v1 else network.shapes[layer][1:]
        cell = network.input.width / width, network.input.height / height
        first = grids[-1].first + grids[-1].count if grids else 0
        if is_v1:
            anchors: tuple[Anchor | None, ...] = (None,) * head.boxes
        else:
            scale = cell if isinstance(head, RegionHead) else (1.0, 1.0)  # [region] counts them in cells
            anchors = tuple((w * scale[0], h * scale[1]) for w, h in head.anchors.tolist())
        numbers = tuple(head.anchor_ids) if isinstance(head, YoloHead) else tuple(range(len(anchors)))
        grids.append(HeadGrid(layer, network.kinds[layer], anchors, height, width, cell, first, numbers))
    return tuple(grids)


def origin_of(grids: tuple[HeadGrid, ...], prediction: int) -> Origin:
    """Return the origin of a prediction; predictions run head by head, then anchor, row, column."""
    head = max(number for number, grid in enumerate(grids) if grid.first <= prediction)
    grid = grids[head]
    anchor, cell = divmod(prediction - grid.first, grid.height * grid.width)
    return Origin(head, anchor, *divmod(cell, grid.width))
