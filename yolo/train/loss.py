"""Darknet's [yolo] loss in torch: raw maps + targets → a scalar whose gradient is Darknet's delta.

Darknet computes no loss, it writes delta = -dL/d(raw map) by hand (yolo_layer.c). The functions here are the ones
whose derivatives those deltas are: for x, y, objectness and classes the binary cross entropy of logits, for w and h
half the squared error. `iou_loss` giou, diou and ciou are true gradients here (autograd), which Darknet's are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads import YoloHead
from yolo.model.network import Network
from yolo.settings import UNLIMITED, HeadSettings
from yolo.targets import Targets
from yolo.train.assign import DIALECTS, Assignment, Dialect, assign

FOCAL_ALPHA = 0.5  # AlexeyAB delta_yolo_class
FOCAL_EPSILON = 1e-15  # keeps its logarithm finite


@dataclass(frozen=True)
class Losses:
    """The loss of a batch, a picture: total = box + objectness + classification, divided by B.

    total carries the gradient; the parts and `iou` are detached. iou: mean IoU of the `assigned` pairs with their
    truths (0 when there are none).
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classification: Tensor
    iou: Tensor
    assigned: int


class DetectionLoss:
    """`loss(raw, targets)` for all heads of a network.

    dialect: "alexeyab" or "pjreddie", whose arithmetic to follow. d(total)/d(raw map) = -delta / B.
    Raises ValueError for another dialect, for a network without a head and for a head that is no [yolo].
    """

    def __init__(self, network: Network, dialect: str = "alexeyab") -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"found dialect {dialect!r}, expected one of {', '.join(DIALECTS)}")
        if not network.heads:
            raise ValueError(
                "found a network without a detection head, expected at least one [yolo]"
            )
        for index in network.heads:
            if not isinstance(network.layers[index], YoloHead):
                raise ValueError(
                    f"found layer {index} [{network.kinds[index]}], expected [yolo]: no other head trains"
                )
        self.dialect = DIALECTS[dialect]
        self.heads: list[YoloHead] = [network.layers[index] for index in network.heads]
        self.settings = [
            settings if self.dialect.extended else _plain(settings)
            for settings in network.head_settings
        ]

    def __call__(self, raw: Sequence[Tensor], targets: Targets) -> Losses:
        """Raw maps `[B, A*(5+classes), H, W]`, one a head, and the targets of the batch → Losses."""
        parts = [
            _head_loss(head, settings, self.dialect, map_, targets)
            for head, settings, map_ in zip(self.heads, self.settings, raw, strict=True)
        ]
        box, objectness, classification = (
            torch.stack([part[index] for part in parts]).sum() / len(raw[0]) for index in range(3)
        )
        ious = torch.cat([part[3] for part in parts])
        return Losses(
            total=box + objectness + classification,
            box=box.detach(),
            objectness=objectness.detach(),
            classification=classification.detach(),
            iou=ious.sum() / max(1, len(ious)),
            assigned=len(ious),
        )


def _plain(settings: HeadSettings) -> HeadSettings:
    """`settings` without the keys that pjreddie's Darknet does not know; iou_loss stays, for whoever asks for it."""
    return replace(
        settings,
        iou_thresh=1.0,
        iou_normalizer=1.0,
        obj_normalizer=1.0,
        cls_normalizer=1.0,
        delta_normalizer=1.0,
        max_delta=UNLIMITED,
        label_smooth_eps=0.0,
        focal_loss=False,
        objectness_smooth=False,
        class_multipliers=(),
    )


def _head_loss(
    head: YoloHead, settings: HeadSettings, dialect: Dialect, raw: Tensor, targets: Targets
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums over the batch of one head's box, objectness and class loss, and the IoUs `[K]` of its pairs."""
    known = (targets.labels >= 0) & (targets.labels < head.classes)  # AlexeyAB skips the others
    targets = Targets(*(tensor[known] for tensor in targets))
    grid = (raw.shape[-2], raw.shape[-1])
    cells = head.split(raw)
    predictions = head.decode(raw.detach())
    assignment = assign(
        head, settings, dialect, predictions.boxes, predictions.class_probs, targets, grid
    )
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 5+classes]
    multiplier = _multipliers(settings, head, targets)[assignment.truths]  # [K]
    classification, class_errors = _class_loss(head, settings, flat, targets, assignment)
    objectness = _objectness_loss(head, settings, flat[:, 4], assignment, multiplier)
    weight = settings.iou_normalizer * multiplier
    if settings.iou_thresh < 1:
        weight = weight / class_errors.clamp(min=1)
    if not dialect.boxes_accumulate:
        weight = weight * _last_of_each(assignment.cells)
    box, ious = _box_loss(head, settings, flat, targets, assignment, weight, grid)
    scale = settings.delta_normalizer
    return scale * box, scale * objectness, scale * classification, ious


def _box_loss(
    head: YoloHead,
    settings: HeadSettings,
    flat: Tensor,
    targets: Targets,
    assignment: Assignment,
    weight: Tensor,
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Weighted sum over the pairs, and their IoUs (delta_yolo_box)."""
    height, width = grid
    t = flat[assignment.cells, :4]
    place = torch.stack((assignment.cells % width, assignment.cells // width % height), dim=-1)
    anchors = head.all_anchors[assignment.anchors]
    truth = targets.boxes[assignment.truths]
    truth_corners = cxcywh_to_xyxy(truth)
    if settings.box_overlap is None:
        errors = _squared_error(head, t, truth, place, anchors, grid)
        small = 2 - truth[:, 2] * truth[:, 3]  # small boxes weigh more
        loss = (weight * (small * errors)).sum()
    else:
        with torch.enable_grad():
            leaf = t.detach().requires_grad_()
            predicted = cxcywh_to_xyxy(head.decode_boxes(leaf, place, anchors, grid))
            loss = (weight * (1 - settings.box_overlap(predicted, truth_corners))).sum()
        (slope,) = torch.autograd.grad(loss, leaf)
        # AlexeyAB drops what is not finite and clips each box's delta (delta_yolo_box, max_delta).
        slope = slope.nan_to_num(0, 0, 0).clamp(-settings.max_delta, settings.max_delta)
        loss = loss.detach() + (slope * (t - t.detach())).sum()
    with torch.no_grad():
        boxes = cxcywh_to_xyxy(head.decode_boxes(t, place, anchors, grid))
        return loss, paired_iou(boxes, truth_corners)


def _squared_error(
    head: YoloHead, t: Tensor, truth: Tensor, place: Tensor, anchors: Tensor, grid: tuple[int, int]
) -> Tensor:
    """`[K]`: the function whose derivative is Darknet's x, y, w, h delta, before its weights (iou_loss mse).

    With scale_x_y s the delta of x is target - (s·σ - (s-1)/2): σ' is not chained, so the function is
    s·softplus(x) - (target + (s-1)/2)·x, which for s = 1 is the cross entropy.
    """
    height, width = grid
    network = head.network_size(grid)
    s, x = head.scale_x_y, t[:, :2]
    shifted = truth[:, :2] * t.new_tensor([width, height]) - place + 0.5 * (s - 1)
    if head.new_coords:
        shape = (truth[:, 2:] * network / (4 * anchors)).sqrt()
        centre_errors = 0.5 * s * x.square() - shifted * x
    else:
        shape = (truth[:, 2:] * network / anchors).log()
        centre_errors = s * F.softplus(x) - shifted * x
    # A box of no width has no logarithm; Darknet would write -inf into the network. Here such a side is as wished.
    shape = torch.where(shape.isfinite(), shape, t[:, 2:].detach())
    shape_errors = 0.5 * (t[:, 2:] - shape).square()
    return (centre_errors + shape_errors).sum(dim=-1)


def _objectness_loss(
    head: YoloHead, settings: HeadSettings, raw: Tensor, assignment: Assignment, multiplier: Tensor
) -> Tensor:
    """Every cell should say 0, the ignored nothing, the assigned 1 (process_batch)."""
    certain = assignment.cells[: assignment.by_prediction]
    positive = assignment.cells[assignment.by_prediction :]
    multiplier = multiplier[assignment.by_prediction :]
    target = torch.zeros_like(raw)
    weight = torch.full_like(raw, settings.obj_normalizer)
    if settings.objectness_smooth:
        target = torch.where(assignment.ignored, assignment.match_iou, target)
        target[certain] = assignment.best_iou[certain].square()
        # AlexeyAB writes a positive only where the delta is still 0, which is almost nowhere.
        untouched = _probability(head, raw.detach())[positive] == target[positive]
        positive, multiplier = positive[untouched], multiplier[untouched]
    else:
        weight[assignment.ignored] = 0.0
        weight[certain] = settings.obj_normalizer
        target[certain] = 1.0
    last = _last_of_each(positive)
    target[positive] = 1.0
    weight[positive[last]] = settings.obj_normalizer * multiplier[last]
    return (weight * _error(head, raw, target)).sum()


def _class_loss(
    head: YoloHead,
    settings: HeadSettings,
    flat: Tensor,
    targets: Targets,
    assignment: Assignment,
) -> tuple[Tensor, Tensor]:
    """Sum over the assigned cells, and for each pair the number of classes its cell should believe in more, `[K]`.

    A cell's first truth sets all classes; every further one only adds its own class (delta_yolo_class).
    """
    cells, row = torch.unique(assignment.cells, return_inverse=True)
    labels = targets.labels[assignment.truths]
    factors = _multipliers(settings, head, targets)[assignment.truths]
    raw = flat[cells, 5:]  # [U, classes]
    probability = _probability(head, raw.detach())
    first = _first_of_each(row)
    first_row, first_label = row[first], labels[first]
    smooth = settings.label_smooth_eps
    target = torch.full_like(raw, 0 if settings.focal_loss else 0.5 * smooth)
    weight = torch.ones_like(raw)
    target[first_row, first_label] = 1.0 if settings.focal_loss else 1 - 0.5 * smooth
    if settings.focal_loss:
        weight[first_row] *= _focal_weight(probability[first_row, first_label])[:, None]
    elif settings.class_multipliers:
        weight[first_row, first_label] = factors[first] * settings.cls_normalizer
    if settings.objectness_smooth:
        certain = slice(0, assignment.by_prediction)
        iou = assignment.best_iou[assignment.cells[certain]]
        target[row[certain], labels[certain]] = iou.square()
        weight[row[certain], labels[certain]] = factors[certain]
    target[row[~first], labels[~first]] = 1 - 0.5 * smooth
    weight[row[~first], labels[~first]] = factors[~first]
    errors = (target > probability).sum(dim=-1)
    return (weight * _error(head, raw, target)).sum(), errors[row]


def _focal_weight(probability: Tensor) -> Tensor:
    """alpha x AlexeyAB's gradient factor of the true class (delta_yolo_class, gamma 2)."""
    p = probability + FOCAL_EPSILON
    return FOCAL_ALPHA * -(1 - p) * (2 * p * p.log() + p - 1)


def _multipliers(settings: HeadSettings, head: YoloHead, targets: Targets) -> Tensor:
    """`[M]`: the class weight of each truth, from counters_per_class."""
    if not settings.class_multipliers:
        return targets.boxes.new_ones(len(targets.labels))
    return targets.boxes.new_tensor(settings.class_multipliers)[targets.labels]


def _error(head: YoloHead, raw: Tensor, target: Tensor) -> Tensor:
    """What Darknet's `target - probability` is the negative derivative of."""
    if head.new_coords:
        return 0.5 * (raw - target).square()
    return F.binary_cross_entropy_with_logits(raw, target, reduction="none")


def _probability(head: YoloHead, raw: Tensor) -> Tensor:
    return raw if head.new_coords else torch.sigmoid(raw)


def _last_of_each(keys: Tensor) -> Tensor:
    """bool `[K]`: whether no later entry has the same key."""
    _, group = torch.unique(keys, return_inverse=True)
    position = torch.arange(len(keys), device=keys.device)
    last = torch.zeros_like(position).scatter_reduce(0, group, position, "amax")
    return position == last[group]


def _first_of_each(keys: Tensor) -> Tensor:
    """bool `[K]`: whether no earlier entry has the same key."""
    return _last_of_each(keys.flip(0)).flip(0)
