"""Darknet's [yolo] loss in torch: a raw map + targets → a scalar whose gradient is Darknet's delta.

Darknet computes no loss, it writes delta = -dL/d(raw map) by hand (yolo_layer.c). The functions here are the ones
whose derivatives those deltas are: for x, y, objectness and classes the binary cross entropy of logits, for w and h
half the squared error. `iou_loss` giou, diou and ciou are true gradients here (autograd) unless Darknet's own are
asked for.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads import YoloHead
from yolo.settings import UNLIMITED, YoloSettings
from yolo.targets import Targets
from yolo.train.assign import Assignment, assign
from yolo.train.head_loss import HeadLoss, Rules

FOCAL_ALPHA = 0.5  # AlexeyAB delta_yolo_class
FOCAL_EPSILON = 1e-15  # keeps its logarithm finite


def yolo_loss(
    head: YoloHead, settings: YoloSettings, rules: Rules, raw: Tensor, targets: Targets
) -> HeadLoss:
    """Sums over the batch of one head's loss. raw: `[B, A*(5+classes), H, W]`; labels are 0..classes-1.

    Source: AlexeyAB yolo_layer.c process_batch, pjreddie forward_yolo_layer.
    """
    if not rules.dialect.extended:
        settings = _plain(settings)
    grid = (raw.shape[-2], raw.shape[-1])
    cells = head.split(raw)
    predictions = head.decode(raw.detach())
    assignment = assign(
        head, settings, rules.dialect, predictions.boxes, predictions.class_probs, targets, grid
    )
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 5+classes]
    multiplier = _multipliers(settings, head, targets)[assignment.truths]  # [K]
    classification, class_errors = _class_loss(head, settings, flat, targets, assignment)
    objectness = _objectness_loss(head, settings, flat[:, 4], assignment, multiplier)
    weight = settings.iou_normalizer * multiplier
    if settings.iou_thresh < 1:
        weight = weight / class_errors.clamp(min=1)
    if not rules.dialect.boxes_accumulate:
        weight = weight * _last_of_each(assignment.cells)
    box, ious = _box_loss(head, settings, flat, targets, assignment, weight, grid)
    scale = settings.delta_normalizer
    return HeadLoss(
        box=scale * box,
        objectness=scale * objectness,
        classification=scale * classification,
        ious=ious,
        cells=len(flat),
        ignored=assignment.ignored.sum(),
    )


def _plain(settings: YoloSettings) -> YoloSettings:
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


def _box_loss(
    head: YoloHead,
    settings: YoloSettings,
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
    head: YoloHead, settings: YoloSettings, raw: Tensor, assignment: Assignment, multiplier: Tensor
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
    settings: YoloSettings,
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


def _multipliers(settings: YoloSettings, head: YoloHead, targets: Targets) -> Tensor:
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
