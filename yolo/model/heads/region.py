"""The detection heads of YOLOv1, YOLOv2 and YOLO9000: what enters them → boxes, objectness, class probabilities."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, read_class_tree
from yolo.model.class_tree import Tree, group_softmax, path_probabilities
from yolo.model.heads.head_section import (
    COORDS,
    ErrorScales,
    check_coords,
    check_filters,
    read_anchors,
    read_augmentation,
    read_most_boxes,
    read_num,
    read_scales,
)
from yolo.model.heads.yolo import flat_predictions, grid_cells
from yolo.records import Predictions


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

    def split(self, raw: Tensor) -> Tensor:
        """`[B, A*(5+classes), H, W]` → float32 `[B, A, H, W, 5+classes]`."""
        cells = raw.float().unflatten(1, (len(self.anchors), -1))
        return cells.permute(0, 1, 3, 4, 2)

    def decode_boxes(self, cells: Tensor) -> Tensor:
        """What `split` gives → boxes `[B, A, H, W, 4]` cxcywh 0..1. Source: region_layer.c get_region_box."""
        height, width = cells.shape[2:4]
        grid = cells.new_tensor([width, height])
        centers = (grid_cells(height, width, cells.device) + torch.sigmoid(cells[..., :2])) / grid
        sizes = torch.exp(cells[..., 2:COORDS]) * self.anchors[:, None, None] / grid
        return torch.cat((centers, sizes), dim=-1)

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


@dataclass(frozen=True)
class RegionSettings:
    """A [region] section beyond its shape, meaning as in parse_region; class_map: a file, or nothing."""

    max_boxes: int
    jitter: float
    resize: float
    random: float
    scales: ErrorScales
    thresh: float
    bias_match: bool
    classfix: int
    focal_loss: bool
    class_map: str
    nms_kind: str = "default"
    beta_nms: float = 0.6


def read_region(section: Section, dialect: str) -> RegionSettings:
    """What a `[region]` says beyond its shape."""
    for key in ("log", "sqrt", "absolute"):
        section.flag(key)  # Darknet reads them and uses them nowhere
    section.number("mask_scale", 1.0)  # for more than 4 coords
    return RegionSettings(
        max_boxes=read_most_boxes(section, dialect),
        **read_augmentation(section),
        scales=read_scales(section),
        thresh=section.number("thresh", 0.5),
        bias_match=section.flag("bias_match"),
        classfix=section.integer("classfix", 0),
        focal_loss=section.flag("focal_loss"),
        class_map=section.text("map", ""),
    )


def build_region(section: Section, before: BuildContext) -> Built:
    """[region] (parser.c parse_region): num x (5 + classes) filters before it.

    The section's `map`, a file, says which class of the tree a label of the training set is; nothing else reads it.
    """
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    coords, total = section.integer("coords", COORDS), read_num(section)
    softmax, background = section.flag("softmax"), section.flag("background")
    anchors = read_anchors(section, total)[:total]
    settings = read_region(section, before.dialect)
    tree = read_class_tree(section, "tree", classes)
    check_coords(section, coords)
    check_filters(section, before, total, 5 + classes)
    if background and tree is not None:
        raise section.error("background", "0 with a tree")  # forward and detection disagree there
    layer = RegionHead(
        anchors=anchors, classes=classes, softmax=softmax, background=background, tree=tree
    )
    return Built(layer, (before.previous,), shape, settings)
