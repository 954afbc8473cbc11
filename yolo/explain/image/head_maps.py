"""The predictions of a head in each of its cells: objectness, the most probable class, the probability of a class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.explain.image.origin import HeadGrid
from yolo.records import Predictions


@dataclass(frozen=True)
class HeadMaps:
    """Maps of one head and image, a number for each cell.

    objectness: `[H, W]`, the largest of the cell's anchors. class_probs: `[H, W, classes]`, those of the anchor whose
    box has the highest score; best_class: int64 `[H, W]`, the class of that score. scores: `[classes]`, the highest
    objectness x class probability of each class in this head.
    """

    objectness: Tensor
    class_probs: Tensor
    best_class: Tensor
    scores: Tensor


def head_maps(grid: HeadGrid, predictions: Predictions) -> HeadMaps:
    """Return the maps of a head. predictions: of all heads, for one image: `[P, 4]`, `[P]`, `[P, classes]`."""
    part = slice(grid.first, grid.first + grid.count)
    shape = len(grid.anchors), grid.height, grid.width
    objectness = predictions.objectness[part].reshape(shape)
    class_probs = predictions.class_probs[part].reshape(*shape, -1)
    every = objectness[..., None] * class_probs  # [A, H, W, classes]
    anchor = every.amax(dim=-1).argmax(dim=0)
    rows = torch.arange(grid.height)[:, None]
    columns = torch.arange(grid.width)[None]
    chosen = class_probs[anchor, rows, columns]
    return HeadMaps(objectness.amax(dim=0), chosen, chosen.argmax(dim=-1), scores=every.flatten(0, 2).amax(dim=0))
