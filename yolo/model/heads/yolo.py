"""The detection heads of YOLOv3 and after: a raw map → boxes, objectness and class probabilities.

A head holds what decoding needs, nothing of losses or thresholds. `forward` hands the raw map on, `decode` reads it.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from yolo.boxes import PairedOverlap, paired_ciou, paired_diou, paired_giou, paired_iou
from yolo.cfg import Section
from yolo.model.building import BuildContext, Built
from yolo.model.heads.head_section import (
    check_filters,
    read_anchors,
    read_augmentation,
    read_most_boxes,
    read_num,
)
from yolo.records import Predictions

UNLIMITED = float("inf")  # Darknet's FLT_MAX: no max_delta

# iou_loss of a [yolo]: None is the squared error of the t-values (parser.c parse_yolo: any other word means iou)
IOU_LOSSES: dict[str, PairedOverlap | None] = {
    "mse": None,
    "iou": paired_iou,
    "giou": paired_giou,
    "diou": paired_diou,
    "ciou": paired_ciou,
}


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
        centers = (cells + offsets) / t.new_tensor([grid[1], grid[0]])
        return torch.cat((centers, shapes * anchors / self.network_size(grid)), dim=-1)


class GaussianYoloHead(nn.Module):
    """`[Gaussian_yolo]` (gaussian_yolo_layer.c): as `[yolo]`, with an uncertainty beside each of x, y, w, h.

    A box's score is objectness x class x (1 - mean uncertainty); the last factor is put into the class probabilities.
    anchors: of all heads; anchor_ids: which of them this head predicts, without it all of them.
    center_shift: how much of its size lies between the point that x, y say and the box's center: 0 if that point is
    the center, 0.5 for the left top corner, -0.5 for the right bottom one.
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
        center_shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.anchor_ids = tuple(range(len(anchors))) if anchor_ids is None else anchor_ids
        self.register_buffer("all_anchors", anchors.float(), persistent=False)
        self.register_buffer("anchors", anchors[list(self.anchor_ids)].float(), persistent=False)
        self.classes = classes
        self.stride = stride
        self.scale_x_y = scale_x_y
        self.center_shift = center_shift

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
        centers = (cells + offsets) / t.new_tensor([grid[1], grid[0]])
        return torch.cat((centers + self.center_shift * sizes, sizes), dim=-1)


def grid_cells(height: int, width: int, device: torch.device) -> Tensor:
    """`[H, W, 2]`: (column, row) of each cell."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack((columns, rows), dim=-1)


def flat_predictions(boxes: Tensor, objectness: Tensor, class_probs: Tensor) -> Predictions:
    """`[B, A, H, W, ...]` → Predictions, P = A*H*W."""
    return Predictions(boxes.flatten(1, 3), objectness.flatten(1, 3), class_probs.flatten(1, 3))


@dataclass(frozen=True)
class YoloSettings:
    """A [yolo] or [Gaussian_yolo] section as loss, augmentation and detection need it. Meaning as in parse_yolo.

    box_overlap: None for squared error, else the overlap whose complement is the box loss;
    uc_normalizer: weight of a [Gaussian_yolo]'s box loss.
    """

    max_boxes: int
    ignore_thresh: float
    truth_thresh: float
    iou_thresh: float
    iou_thresh_overlap: PairedOverlap
    box_overlap: PairedOverlap | None
    iou_normalizer: float
    obj_normalizer: float
    cls_normalizer: float
    delta_normalizer: float
    max_delta: float
    label_smooth_eps: float
    focal_loss: bool
    objectness_smooth: bool
    class_multipliers: tuple[float, ...]
    jitter: float
    resize: float
    random: float
    nms_kind: str
    beta_nms: float
    uc_normalizer: float = 1.0


def with_iou_loss(settings: YoloSettings, iou_loss: str) -> YoloSettings:
    """The same head trained with another box loss, one of IOU_LOSSES; its normalizer stays the cfg's."""
    return replace(settings, box_overlap=IOU_LOSSES[iou_loss])


NMS_KINDS = ("default", "greedynms", "diounms")

CORNERS_NMS = "cornersnms"  # of [Gaussian_yolo]: in box.c diounms_sort it does what default does


def read_yolo(
    section: Section, classes: int, dialect: str, nms_kinds: tuple[str, ...] = NMS_KINDS
) -> YoloSettings:
    """What a `[yolo]` says beyond its shape."""
    return YoloSettings(
        max_boxes=read_most_boxes(section, dialect),
        ignore_thresh=section.number("ignore_thresh", 0.5),
        truth_thresh=section.number("truth_thresh", 1.0),
        iou_thresh=section.number("iou_thresh", 1.0),
        iou_thresh_overlap=_read_iou_thresh_kind(section),
        box_overlap=IOU_LOSSES[section.choice("iou_loss", "mse", tuple(IOU_LOSSES))],
        iou_normalizer=section.number("iou_normalizer", 0.75),
        obj_normalizer=section.number("obj_normalizer", 1.0),
        cls_normalizer=section.number("cls_normalizer", 1.0),
        delta_normalizer=section.number("delta_normalizer", 1.0),
        max_delta=section.number("max_delta", UNLIMITED),
        label_smooth_eps=section.number("label_smooth_eps", 0.0),
        focal_loss=section.flag("focal_loss"),
        objectness_smooth=section.flag("objectness_smooth"),
        class_multipliers=_read_class_multipliers(section, classes),
        **read_augmentation(section),
        nms_kind=section.choice("nms_kind", "default", nms_kinds),
        beta_nms=section.number("beta_nms", 0.6),
    )


def read_gaussian_yolo(section: Section, classes: int, dialect: str) -> YoloSettings:
    """What a `[Gaussian_yolo]` says beyond its shape."""
    settings = read_yolo(section, classes, dialect, (*NMS_KINDS, CORNERS_NMS))
    nms_kind = "default" if settings.nms_kind == CORNERS_NMS else settings.nms_kind
    uc_normalizer = section.number("uc_normalizer", 1.0)
    return replace(settings, nms_kind=nms_kind, uc_normalizer=uc_normalizer)


def _read_iou_thresh_kind(section: Section) -> PairedOverlap:
    kinds = {kind: overlap for kind, overlap in IOU_LOSSES.items() if overlap is not None}
    return kinds[section.choice("iou_thresh_kind", "iou", tuple(kinds))]


def _read_class_multipliers(section: Section, classes: int) -> tuple[float, ...]:
    """One factor a class from counters_per_class: the rarest class weighs most; () without that key.

    Source: parser.c get_classes_multipliers: largest counter / counter, at most max_delta.
    """
    counters = section.integers("counters_per_class", ())
    if not counters:
        return ()
    if len(counters) != classes or min(counters) < 1:
        raise section.error("counters_per_class", f"{classes} counters of at least 1")
    most = section.number("max_delta", UNLIMITED)
    return tuple(min(max(counters) / counter, most) for counter in counters)


# yolo_point of a [Gaussian_yolo]: the way from the point that x, y say to the center, in sizes of the box
CENTER_SHIFTS = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}


def build_yolo(section: Section, before: BuildContext) -> Built:
    """[yolo] (parser.c parse_yolo): the filters before it must be masks x (5 + classes)."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    scale_x_y, new_coords = section.number("scale_x_y", 1.0), section.flag("new_coords")
    settings = read_yolo(section, classes, before.dialect)
    anchors, mask = _anchors(section)
    check_filters(section, before, len(mask), 5 + classes)
    layer = YoloHead(
        all_anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=before.stride(shape),
        scale_x_y=scale_x_y,
        new_coords=new_coords,
    )
    return Built(layer, (before.previous,), shape, settings)


def build_gaussian_yolo(section: Section, before: BuildContext) -> Built:
    """[Gaussian_yolo] (parser.c parse_gaussian_yolo): masks x (9 + classes) filters before it."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    scale_x_y = section.number("scale_x_y", 1.0)
    point = section.choice("yolo_point", "center", tuple(CENTER_SHIFTS))
    settings = read_gaussian_yolo(section, classes, before.dialect)
    anchors, mask = _anchors(section)
    check_filters(section, before, len(mask), 9 + classes)
    layer = GaussianYoloHead(
        anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=before.stride(shape),
        scale_x_y=scale_x_y,
        center_shift=CENTER_SHIFTS[point],
    )
    return Built(layer, (before.previous,), shape, settings)


def _anchors(section: Section) -> tuple[torch.Tensor, tuple[int, ...]]:
    """All anchors `[T, 2]` and the mask of a [yolo]."""
    total = read_num(section)
    mask = section.integers("mask", tuple(range(total)))
    anchors = read_anchors(section, total)
    if min(mask) < 0 or max(mask) >= len(anchors):
        raise section.error("mask", f"anchors 0 to {len(anchors) - 1}")
    return anchors, mask
