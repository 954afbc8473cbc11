"""`[yolo]` and `[Gaussian_yolo]`, the heads of YOLOv3 and later: settings, module and builders.

A head decodes; it has no losses and no thresholds. `forward` returns the raw map unchanged, `decode` computes
predictions from it. The functions at the end of the file read the keys that the sections of all heads have;
`region.py` and `yolov1.py` use them too.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from yolo.boxes import PairedOverlap, paired_ciou, paired_diou, paired_giou, paired_iou
from yolo.cfg import Section
from yolo.model.building import BuildContext, Built
from yolo.records import Predictions
from yolo.settings import HeadSettings

log = logging.getLogger(__name__)
UNLIMITED = float("inf")  # Darknet's FLT_MAX: no max_delta

# iou_loss of a [yolo]: None is the squared error of the t-values (parser.c parse_yolo: any other word means iou)
IOU_LOSSES: dict[str, PairedOverlap | None] = {
    "mse": None,
    "iou": paired_iou,
    "giou": paired_giou,
    "diou": paired_diou,
    "ciou": paired_ciou,
}

NMS_KINDS = ("default", "greedynms", "diounms")
CORNERS_NMS = "cornersnms"  # [Gaussian_yolo] only; box.c diounms_sort treats it as "default"

# yolo_point of a [Gaussian_yolo]: distance from the point that x, y give to the box's center, in box sizes
CENTER_SHIFTS = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}
GAUSSIAN_BOX = 8  # values of a box in a [Gaussian_yolo]: x, σx, y, σy, w, σw, h, σh
DEFAULT_ANCHOR = 0.5  # make_yolo_layer: biases without an `anchors` key
MAX_ANCHORS = 5_000  # not Darknet's: half of the longest list of numbers that a cfg may have
MIN_ZOOM = 0.01  # not Darknet's; the augmentation divides by `resize`
DEFAULT_MAX_BOXES = 200  # of `max` in AlexeyAB's parser.c, for every head
PJREDDIE_MAX_BOXES = {"yolo": 90, "region": 30, "detection": 90}


@dataclass(frozen=True)
class YoloSettings:
    """Keys of a [yolo] or [Gaussian_yolo] section for loss, augmentation and detection. Meaning as in parse_yolo.

    box_overlap: the overlap whose complement is the box loss, None for squared error;
    class_multipliers: weight of each class in the loss, () for equal weights;
    uc_normalizer: weight of the loss of a [Gaussian_yolo]'s uncertainties.
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


def with_iou_loss(heads: Sequence[HeadSettings], iou_loss: str | None) -> tuple[HeadSettings, ...]:
    """Return the settings of all heads, each [yolo] with another box loss, whose weight stays the cfg's.

    iou_loss: one of IOU_LOSSES; None changes nothing.
    """
    if iou_loss is None:
        return tuple(heads)
    overlap = IOU_LOSSES[iou_loss]
    return tuple(replace(head, box_overlap=overlap) if isinstance(head, YoloSettings) else head for head in heads)


class YoloHead(nn.Module):
    """`[yolo]`, `[Gaussian_yolo]`: independent class probabilities, boxes relative to a cell and an anchor.

    Sources: yolo_layer.c, gaussian_yolo_layer.c. A Gaussian head predicts an uncertainty σ beside each of x, y, w, h.
    The score of its boxes is objectness x class x (1 - mean σ); decode multiplies the last factor into the class
    probabilities. V = 5 values for an anchor (x, y, w, h, objectness) and the classes; Gaussian: V = 9 (x, σx, y, σy,
    w, σw, h, σh, objectness).

    Args:
        all_anchors: `[T, 2]` (width, height) in network-input pixels, the anchors of all heads.
        anchor_ids: the cfg's mask, the indices of this head's anchors.
        classes: number of classes.
        stride: (vertical, horizontal) network-input pixels per cell.
        scale_x_y: factor of the range in which a box's center may move around its cell.
        new_coords: the previous layer has already applied the logistic function; `[yolo]` only.
        gaussian: whether it is a `[Gaussian_yolo]`.
        center_shift: distance from the point that x, y give to the box's center, in box sizes: 0 if the point is the
            center, 0.5 if it is the left top corner, -0.5 if it is the right bottom corner; `[Gaussian_yolo]` only.
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
        gaussian: bool = False,
        center_shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("all_anchors", all_anchors.float(), persistent=False)
        self.anchors_on_cpu = all_anchors.float()  # not a buffer: assignment needs them where the targets are
        self.register_buffer("anchors", all_anchors[list(anchor_ids)].float(), persistent=False)
        self.anchor_ids = anchor_ids
        self.classes = classes
        self.stride = stride
        self.scale_x_y = scale_x_y
        self.new_coords = new_coords
        self.gaussian = gaussian
        self.center_shift = center_shift

    def forward(self, raw: Tensor) -> Tensor:
        return raw

    def split(self, raw: Tensor) -> Tensor:
        """`[B, A*(V+classes), H, W]` → float32 `[B, A, H, W, V+classes]`."""
        return split_anchors(raw, len(self.anchor_ids))

    def network_size(self, grid: tuple[int, int]) -> Tensor:
        """Return (width, height) in pixels of the network input that gives a raw map of `grid` (H, W)."""
        return width_and_height(self.anchors, grid[1] * self.stride[1], grid[0] * self.stride[0])

    def decode(self, raw: Tensor) -> Predictions:
        """`[B, A*(V+classes), H, W]` → Predictions with P = A*H*W."""
        values = self.split(raw)
        grid = grid_size(raw)
        t, scores = values[..., :4], values[..., 4:]
        if self.gaussian:
            t, scores = values[..., 0:GAUSSIAN_BOX:2], values[..., GAUSSIAN_BOX:]
        cells = grid_cells(*grid, raw.device)
        boxes = self.decode_boxes(t, cells, self.anchors[:, None, None], grid)
        scores = scores if self.new_coords else torch.sigmoid(scores)
        class_probs = scores[..., 1:]
        if self.gaussian:
            sigma = torch.sigmoid(values[..., 1:GAUSSIAN_BOX:2])
            class_probs = class_probs * (1 - sigma.mean(dim=-1, keepdim=True))
        return flatten_predictions(boxes, scores[..., :1], class_probs)

    def decode_likely(self, raw: Tensor, thresh: float) -> Predictions:
        """Decode only the boxes of one image whose objectness exceeds `thresh`, in the order of `decode`.

        Scores are at most the objectness, because class probabilities are at most 1. This does not hold with
        `new_coords`, after any activation. `[A*(V+classes), H, W]` → Predictions `[K, 4]`, `[K]`, `[K, classes]`.
        """
        first = GAUSSIAN_BOX if self.gaussian else 4
        values = self.split(raw[None])[0]
        objectness = torch.sigmoid(values[..., first])
        anchors, rows, columns = torch.nonzero(objectness > thresh, as_tuple=True)
        values = values[anchors, rows, columns]
        t = values[:, 0:GAUSSIAN_BOX:2] if self.gaussian else values[:, :4]
        cells = torch.stack((columns, rows), dim=-1)
        boxes = self.decode_boxes(t, cells, self.anchors[anchors], (raw.shape[-2], raw.shape[-1]))
        class_probs = torch.sigmoid(values[:, first + 1 :])
        if self.gaussian:
            sigma = torch.sigmoid(values[:, 1:GAUSSIAN_BOX:2])
            class_probs = class_probs * (1 - sigma.mean(dim=-1, keepdim=True))
        return Predictions(boxes, objectness[anchors, rows, columns], class_probs)

    def decode_boxes(self, t: Tensor, cells: Tensor, anchors: Tensor, grid: tuple[int, int]) -> Tensor:
        """Compute boxes from the network's raw values (AlexeyAB yolo_layer.c get_yolo_box, get_gaussian_yolo_box).

        Args:
            t: tx, ty, tw, th, `[..., 4]`.
            cells: (column, row) of each box's cell, `[..., 2]`.
            anchors: (width, height) in network-input pixels, `[..., 2]`.
            grid: (height, width) of the raw map.

        Returns:
            `[..., 4]` cxcywh, 0..1 of the network input.
        """
        offsets = t[..., :2] if self.new_coords else torch.sigmoid(t[..., :2])
        offsets = offsets * self.scale_x_y - 0.5 * (self.scale_x_y - 1)
        factors = (2 * t[..., 2:]).square() if self.new_coords else torch.exp(t[..., 2:])
        centers = (cells + offsets) / width_and_height(t, grid[1], grid[0])
        sizes = factors * anchors / self.network_size(grid)
        if self.center_shift:
            centers = centers + self.center_shift * sizes
        return torch.cat((centers, sizes), dim=-1)


def split_anchors(raw: Tensor, anchors: int) -> Tensor:
    """`[B, A*V, H, W]` → float32 `[B, A, H, W, V]`, A = `anchors`."""
    # not `unflatten`, which ONNX's opset 12 cannot express
    values = int(raw.shape[1]) // anchors
    return raw.float().reshape(raw.shape[0], anchors, values, *grid_size(raw)).permute(0, 1, 3, 4, 2)


def grid_size(raw: Tensor) -> tuple[int, int]:
    """Return (H, W) of a raw map as numbers, which are constants in an exported file: its input size is fixed."""
    return int(raw.shape[-2]), int(raw.shape[-1])


def width_and_height(like: Tensor, width: float, height: float) -> Tensor:
    """Return `[2]`, with the type and on the device of `like`. A GPU fills it: a copy of a list would wait for it."""
    if like.device.type == "cpu":
        return like.new_tensor([width, height])
    return torch.stack((like.new_full((), width), like.new_full((), height)))


def grid_cells(height: int, width: int, device: torch.device) -> Tensor:
    """Return (column, row) of each cell, `[H, W, 2]`."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack((columns, rows), dim=-1)


def flatten_predictions(boxes: Tensor, objectness: Tensor, class_probs: Tensor) -> Predictions:
    """`[B, A, H, W, ...]` → Predictions, P = A*H*W."""
    batch, count = boxes.shape[0], math.prod(int(length) for length in boxes.shape[1:4])
    classes = int(class_probs.shape[-1])
    return Predictions(
        boxes.reshape(batch, count, 4), objectness.reshape(batch, count), class_probs.reshape(batch, count, classes)
    )


def build_yolo(section: Section, context: BuildContext) -> Built:
    """[yolo] (parser.c parse_yolo): the previous layer must have masks x (5 + classes) filters."""
    classes = section.integer("classes", 20, minimum=1)
    scale_x_y, new_coords = section.number("scale_x_y", 1.0), section.flag("new_coords")
    settings = read_yolo(section, classes, context.dialect)
    anchors, mask = _read_masked_anchors(section)
    check_filters(section, context, len(mask), 5 + classes)
    layer = YoloHead(
        all_anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=context.stride(context.previous_shape),
        scale_x_y=scale_x_y,
        new_coords=new_coords,
    )
    return Built(layer, (context.previous,), context.previous_shape, settings)


def build_gaussian_yolo(section: Section, context: BuildContext) -> Built:
    """[Gaussian_yolo] (parser.c parse_gaussian_yolo): masks x (9 + classes) filters."""
    classes = section.integer("classes", 20, minimum=1)
    scale_x_y = section.number("scale_x_y", 1.0)
    point = section.choice("yolo_point", "center", tuple(CENTER_SHIFTS))
    settings = read_gaussian_yolo(section, classes, context.dialect)
    anchors, mask = _read_masked_anchors(section)
    check_filters(section, context, len(mask), GAUSSIAN_BOX + 1 + classes)
    layer = YoloHead(
        all_anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=context.stride(context.previous_shape),
        scale_x_y=scale_x_y,
        gaussian=True,
        center_shift=CENTER_SHIFTS[point],
    )
    return Built(layer, (context.previous,), context.previous_shape, settings)


def read_yolo(section: Section, classes: int, dialect: str, nms_kinds: tuple[str, ...] = NMS_KINDS) -> YoloSettings:
    """Read the settings of a `[yolo]`.

    Args:
        section: the section.
        classes: its number of classes.
        dialect: "alexeyab" or "pjreddie", which differ in the default of `max`.
        nms_kinds: the words that `nms_kind` may be.
    """
    return YoloSettings(
        max_boxes=read_max_boxes(section, dialect),
        ignore_thresh=section.number("ignore_thresh", 0.5),
        truth_thresh=section.number("truth_thresh", 1.0),
        iou_thresh=section.number("iou_thresh", 1.0),
        iou_thresh_overlap=_read_iou_thresh_kind(section),
        box_overlap=IOU_LOSSES[section.choice("iou_loss", "mse", tuple(IOU_LOSSES), "iou")],
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
        nms_kind=section.choice_or_default("nms_kind", "default", nms_kinds),
        beta_nms=section.number("beta_nms", 0.6),
    )


def read_gaussian_yolo(section: Section, classes: int, dialect: str) -> YoloSettings:
    """Read the settings of a `[Gaussian_yolo]`."""
    settings = read_yolo(section, classes, dialect, (*NMS_KINDS, CORNERS_NMS))
    nms_kind = "default" if settings.nms_kind == CORNERS_NMS else settings.nms_kind
    uc_normalizer = section.number("uc_normalizer", 1.0)
    return replace(settings, nms_kind=nms_kind, uc_normalizer=uc_normalizer)


def _read_iou_thresh_kind(section: Section) -> PairedOverlap:
    kinds = {kind: overlap for kind, overlap in IOU_LOSSES.items() if overlap is not None}
    return kinds[section.choice("iou_thresh_kind", "iou", tuple(kinds), "iou")]


def _read_class_multipliers(section: Section, classes: int) -> tuple[float, ...]:
    """Return one weight per class from counters_per_class; the rarest class has the largest. () without that key.

    Source: parser.c get_classes_multipliers: largest counter / counter, at most max_delta.
    """
    counters = section.integers("counters_per_class", ())
    if not counters:
        return ()
    if len(counters) != classes or min(counters) < 1:
        raise section.error("counters_per_class", f"{classes} counters of at least 1")
    largest = section.number("max_delta", UNLIMITED)
    return tuple(min(max(counters) / counter, largest) for counter in counters)


def _read_masked_anchors(section: Section) -> tuple[Tensor, tuple[int, ...]]:
    """Return all anchors `[T, 2]` and the mask of a [yolo]."""
    total = read_anchor_count(section)
    mask = section.integers("mask", tuple(range(total)))
    anchors = read_anchors(section, total, mask)
    if min(mask) < 0 or max(mask) >= len(anchors):
        raise section.error("mask", f"anchors 0 to {len(anchors) - 1}")
    return anchors, mask


# Keys of the sections of several heads


def read_anchor_count(section: Section) -> int:
    """Return `num`."""
    total = section.integer("num", 1, minimum=1)
    if total > MAX_ANCHORS:
        raise section.error("num", f"at most {MAX_ANCHORS} anchors")
    return total


def read_anchors(section: Section, total: int, used: Sequence[int]) -> Tensor:
    """Return all anchors of the section, `[T, 2]`; T is at least `total`, the section's num.

    More than num are logged and kept, because AlexeyAB's masks may name them (cspx-p7-mish.cfg: num=16, 20 anchors).
    Anchors that are not among `used`, the indices that the head predicts, may be missing, which makes them
    DEFAULT_ANCHOR, or 0, as in Darknet (parser.c parse_yolo); this is logged.
    """
    numbers = section.numbers("anchors", (DEFAULT_ANCHOR,) * 2 * total, empty=0.0)
    count = max(total, -(-len(numbers) // 2))
    missing = (DEFAULT_ANCHOR,) * (2 * count - len(numbers))
    anchors = torch.tensor((*numbers, *missing)).view(-1, 2)
    complete = torch.arange(count) < len(numbers) // 2
    usable = complete & (anchors > 0).all(dim=1)
    found = f"{len(numbers)}, the smallest {min(numbers):g}"
    if min(numbers) < 0 or not usable[[each for each in used if each < count]].all():
        raise section.error("anchors", f"positive numbers, two for each of num={total} anchors", found)
    if not usable.all():
        section.warn("anchors", f"expected two above 0 for each of num={total} anchors; the mask uses no other", found)
    if len(anchors) > total:
        where = f"{section.path}:{section.line}: [{section.kind}]"
        log.warning("%s has %d anchors, num=%d", where, len(anchors), total)
    return anchors


def read_augmentation(section: Section) -> dict[str, float]:
    """Return jitter, resize and random, by name."""
    return {
        "jitter": section.number("jitter", 0.2, minimum=0),
        "resize": section.number("resize", 1.0, minimum=MIN_ZOOM),
        "random": section.number("random", 0.0),
    }


def read_max_boxes(section: Section, dialect: str) -> int:
    """Return `max`, the number of ground truths per image that training uses."""
    defaults = PJREDDIE_MAX_BOXES if dialect == "pjreddie" else {}
    return section.integer("max", defaults.get(section.kind, DEFAULT_MAX_BOXES), minimum=1)


def check_filters(section: Section, context: BuildContext, anchors: int, values: int) -> None:
    """Check that the raw map of a head has the channels that its anchors and classes need.

    Args:
        section: of the head.
        context: of the layers before it.
        anchors: number of anchors of the head.
        values: channels of an anchor: box, objectness, classes.

    Raises:
        CfgError: the raw map has another number of channels.
    """
    channels = context.previous_shape[0]
    if channels != anchors * values:
        expected = f"{anchors} anchors x {values} values = {anchors * values} filters before the head"
        raise section.error("classes", expected, f"{channels} filters in layer {context.previous}")
