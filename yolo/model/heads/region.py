"""`[region]`, the head of YOLOv2 and YOLO9000: settings, module and builder. `yolov1.py` has the same loss weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, read_class_tree
from yolo.model.class_tree import Tree, group_softmax, path_probabilities
from yolo.model.heads.yolo import (
    check_filters,
    flatten_predictions,
    grid_cells,
    read_anchor_count,
    read_anchors,
    read_augmentation,
    read_max_boxes,
    split_anchors,
)
from yolo.records import Predictions

COORDS = 4  # x, y, w, h


@dataclass(frozen=True)
class ErrorScales:
    """Weights of the squared errors of a [region] or [detection].

    rescore: the target of objectness is the IoU and not 1.
    """

    coord_scale: float
    object_scale: float
    noobject_scale: float
    class_scale: float
    rescore: bool


@dataclass(frozen=True)
class RegionSettings:
    """Keys of a [region] section for loss, augmentation and detection. Meaning as in parse_region.

    class_map: the section's `map`, a file, or "".
    """

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


class RegionHead(nn.Module):
    """`[region]` (region_layer.c): anchors in cells, and one of four ways to compute class probabilities.

    Args:
        anchors: `[A, 2]` (width, height) in cells.
        classes: number of classes.
        softmax: class probabilities add up to 1. Without it each is a logistic function, as in pjreddie's Darknet.
            AlexeyAB's uses the values of the map as they are; those are not probabilities, so both dialects use the
            logistic function here.
        background: the value at the place of objectness is one more class of that softmax, "nothing", and objectness
            is 1. pjreddie's only; AlexeyAB's has no such key.
        tree: a hierarchy of the classes (YOLO9000), with a softmax in each of its groups. The probability of a class
            is its own times its ancestors'. `best_class_one_hot` chooses the class of a box.
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
        return split_anchors(raw, len(self.anchors))

    def decode_boxes(self, values: Tensor) -> Tensor:
        """Output of `split` → boxes `[B, A, H, W, 4]` cxcywh 0..1. Source: region_layer.c get_region_box."""
        height, width = (int(length) for length in values.shape[2:4])
        grid = values.new_tensor([width, height])
        offsets = torch.sigmoid(values[..., :2])
        centers = (grid_cells(height, width, values.device) + offsets) / grid
        sizes = torch.exp(values[..., 2:COORDS]) * self.anchors[:, None, None] / grid
        return torch.cat((centers, sizes), dim=-1)

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, A*(5+classes), H, W]` → Predictions with P = A*H*W. Source: region_layer.c get_region_detections."""
        values = self.split(raw)
        objectness = torch.sigmoid(values[..., COORDS : COORDS + 1])
        if self.background:
            objectness = torch.ones_like(objectness)
        class_probs = self._class_probabilities(values[..., COORDS:])
        return flatten_predictions(self.decode_boxes(values), objectness, class_probs)

    def _class_probabilities(self, values: Tensor) -> Tensor:
        """Raw values of objectness and the classes, `[..., 1+classes]` → `[..., classes]`."""
        logits = values[..., 1:]
        if self.tree is not None:
            return path_probabilities(group_softmax(logits, self.tree), self.tree)
        if not self.softmax:
            return torch.sigmoid(logits)
        if self.background:
            return torch.softmax(values, dim=-1)[..., 1:]
        return torch.softmax(logits, dim=-1)


def build_region(section: Section, context: BuildContext) -> Built:
    """[region] (parser.c parse_region): the previous layer must have num x (5 + classes) filters.

    The section's `map`, a file, gives the tree's class of each training label; only training opens it.
    """
    classes = section.integer("classes", 20, minimum=1)
    coords, total = section.integer("coords", COORDS), read_anchor_count(section)
    softmax, background = section.flag("softmax"), section.flag("background")
    anchors = read_anchors(section, total, range(total))[:total]
    settings = read_region(section, context.dialect)
    tree = read_class_tree(section, classes)
    check_coords(section, coords, "; AlexeyAB's Darknet takes the fifth number as objectness all the same")
    check_filters(section, context, total, 5 + classes)
    if background and tree is not None:
        # Darknet's forward pass and its detection differ for this combination.
        raise section.error("background", "0 with a tree")
    layer = RegionHead(anchors=anchors, classes=classes, softmax=softmax, background=background, tree=tree)
    return Built(layer, (context.previous,), context.previous_shape, settings)


def read_region(section: Section, dialect: str) -> RegionSettings:
    """Read the settings of a `[region]`."""
    for key in ("log", "sqrt", "absolute"):
        section.flag(key)  # Darknet reads them and does not use them
    section.number("mask_scale", 1.0)  # for more than 4 coords
    return RegionSettings(
        max_boxes=read_max_boxes(section, dialect),
        **read_augmentation(section),
        scales=read_scales(section),
        thresh=section.number("thresh", 0.5),
        bias_match=section.flag("bias_match"),
        classfix=section.integer("classfix", 0),
        focal_loss=section.flag("focal_loss"),
        class_map=section.text("map", ""),
    )


def read_scales(section: Section) -> ErrorScales:
    """Read the loss weights of a `[region]` or `[detection]`."""
    return ErrorScales(
        coord_scale=section.number("coord_scale", 1.0),
        object_scale=section.number("object_scale", 1.0),
        noobject_scale=section.number("noobject_scale", 1.0),
        class_scale=section.number("class_scale", 1.0),
        rescore=section.flag("rescore"),
    )


def check_coords(section: Section, coords: int, darknet: str = "") -> None:
    """Raise CfgError unless a box has 4 numbers. darknet: what Darknet does then, for the message."""
    if coords != COORDS:
        raise section.error("coords", f"{COORDS}: x, y, w, h{darknet}")
