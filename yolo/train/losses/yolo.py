"""The [yolo] loss: a raw map and the targets → losses whose gradient is Darknet's delta.

Darknet does not compute a loss, it writes delta = -dL/d(raw map) by hand (yolo_layer.c). The functions here are those
with these derivatives: binary cross entropy with logits for x, y, objectness and classes, half the squared error for
w and h. The box gradient of iou_loss iou, giou, diou and ciou is Darknet's hand-written formula, or the true one with
box_gradient="autograd".

assign.py decides which cells are positive, ignored or negative.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import PairedOverlap, cxcywh_to_xyxy, paired_iou
from yolo.model.heads.yolo import IOU_LOSSES, UNLIMITED, YoloHead, YoloSettings, width_and_height
from yolo.records import Targets
from yolo.train.losses.assign import Assignment, PositiveBoxes, assign, last_occurrence, positive_boxes, to_device
from yolo.train.losses.box_gradient import DeltaLoss, clip_delta, overlap_gradient
from yolo.train.losses.head_loss import HeadTerms, LossOptions, half_square, log_size_target, no_terms

FOCAL_ALPHA = 0.5  # AlexeyAB delta_yolo_class
FOCAL_EPSILON = 1e-15  # keeps the logarithm finite
BOX_VALUES = ("x", "y", "w", "h")  # the parts of the box loss without an iou_loss


def yolo_terms(
    head: YoloHead, settings: YoloSettings, options: LossOptions, raw: Tensor, targets: Targets
) -> HeadTerms:
    """Compute the terms of the loss of one head.

    Source: AlexeyAB yolo_layer.c process_batch, pjreddie forward_yolo_layer.

    Args:
        head, settings: of the [yolo].
        options: dialect and box gradient.
        raw: raw map `[B, A*(5+classes), H, W]`.
        targets: of the batch, on the CPU; labels are 0..classes-1.
    """
    if not options.dialect.extended:
        settings = _without_alexeyab_keys(settings)
    grid = (raw.shape[-2], raw.shape[-1])
    cells = head.split(raw)
    predictions = head.decode(raw.detach())
    assignment = assign(head, settings, options.dialect, predictions.boxes, predictions.class_probs, targets, grid)
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 5+classes]
    class_weight = to_device(class_weights(settings, targets)[assignment.target_index], raw.device)  # [K]
    classes = class_loss(head, settings, flat[:, 5:], targets, assignment)
    objectness = objectness_loss(head, settings, flat[:, 4], assignment, class_weight)
    factor = torch.ones_like(class_weight)
    if settings.iou_thresh < 1:
        factor = factor / classes.errors.clamp(min=1)  # averages_yolo_deltas
    if not options.dialect.boxes_accumulate:
        factor = factor * to_device(last_occurrence(assignment.cell_index), raw.device)
    positive = positive_boxes(head, flat[:, :4], targets, assignment, grid)
    weight = settings.iou_normalizer * class_weight
    box = _box_loss(head, settings, options.box_gradient, positive, weight, factor)
    terms = joined_terms((cells.shape[0], cells.shape[1], *grid), assignment, box, objectness, classes)
    return terms.scaled(settings.delta_normalizer)


def _without_alexeyab_keys(settings: YoloSettings) -> YoloSettings:
    """Reset the keys that pjreddie's Darknet does not read; iou_loss stays, so that it can still be used."""
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


@dataclass(frozen=True)
class BoxTerms:
    """The box loss of K pairs: `[K]` with a gradient; parts: `[K, C]`, detached, their names, and the pairs' IoUs."""

    loss: Tensor
    parts: Tensor
    names: tuple[str, ...]
    ious: Tensor


@dataclass(frozen=True)
class ClassTerms:
    """The class loss of the U positive cells: `[U]` with a gradient; cells: int64 `[U]`.

    errors: for each of K pairs the number of classes of its cell whose target is above the probability, `[K]`.
    """

    loss: Tensor
    cells: Tensor
    errors: Tensor


def joined_terms(
    shape: tuple[int, int, int, int], assignment: Assignment, box: BoxTerms, objectness: Tensor, classes: ClassTerms
) -> HeadTerms:
    """Join what the parts of the loss return.

    Args:
        shape: (B, A, H, W) of the head.
        assignment: of the targets.
        box: loss of the K pairs.
        objectness: loss of every cell `[B*A*H*W]`.
        classes: loss of the U positive cells.
    """
    return HeadTerms(
        shape=shape,
        cell_index=to_device(assignment.cell_index, objectness.device),
        target_index=to_device(assignment.target_index, objectness.device),
        by_prediction=assignment.by_prediction,
        ious=box.ious,
        box=box.loss,
        box_parts=box.parts,
        box_names=box.names,
        priors=no_terms(objectness),
        objectness=objectness,
        positive=classes.cells,
        classification=classes.loss,
        class_cells=classes.cells,
        ignored=assignment.ignored,
        best_iou=assignment.best_iou,
        best_target=assignment.best_target,
    )


# ------------------------------------------------------------------------------- objectness, also of [Gaussian_yolo]


def objectness_loss(
    head: YoloHead,
    settings: YoloSettings,
    raw: Tensor,
    assignment: Assignment,
    class_weight: Tensor,
) -> Tensor:
    """Return the objectness loss of each cell: target 1 for positive ones, 0 for negative ones, none for ignored ones.

    Source: AlexeyAB yolo_layer.c process_batch.

    Args:
        head, settings: of the section.
        raw: raw objectness of all cells, `[B*A*H*W]`.
        assignment: of the targets to the head.
        class_weight: weight of the ground truth's class of each pair, `[K]`.
    """
    by_prediction = to_device(assignment.cell_index[: assignment.by_prediction], raw.device)
    by_shape = assignment.cell_index[assignment.by_prediction :]
    last = torch.nonzero(last_occurrence(by_shape))[:, 0]  # of several pairs of a cell the last one counts
    by_shape, last = to_device(by_shape[last], raw.device), to_device(last + assignment.by_prediction, raw.device)
    shape_weight = settings.obj_normalizer * class_weight[last]
    shape_target = torch.ones_like(shape_weight)
    target = torch.zeros_like(raw)
    weight = torch.full_like(raw, settings.obj_normalizer)
    if settings.objectness_smooth:
        target = torch.where(assignment.ignored, assignment.ignore_iou, target)
        target[by_prediction] = assignment.best_iou[by_prediction].square()
        # AlexeyAB sets the target 1 only where the delta is still 0, which is almost nowhere.
        untouched = _activated(head, raw.detach())[by_shape] == target[by_shape]
        shape_target = torch.where(untouched, shape_target, target[by_shape])
        shape_weight = torch.where(untouched, shape_weight, weight[by_shape])
    else:
        weight = weight.masked_fill(assignment.ignored, 0.0)
        weight = weight.index_fill(0, by_prediction, settings.obj_normalizer)
        target = target.index_fill(0, by_prediction, 1.0)
    target[by_shape] = shape_target
    weight[by_shape] = shape_weight
    return weight * _cell_error(head, raw, target)


# ---------------------------------------------------------------------------------- classes, also of [Gaussian_yolo]


def class_loss(
    head: YoloHead,
    settings: YoloSettings,
    raw: Tensor,
    targets: Targets,
    assignment: Assignment,
) -> ClassTerms:
    """Return the class loss of the positive cells.

    The first ground truth of a cell sets the targets of all classes; every further one only that of its own class
    (AlexeyAB yolo_layer.c delta_yolo_class).

    Args:
        head, settings: of the section.
        raw: raw classes of all cells, `[B*A*H*W, classes]`.
        targets: of the batch, on the CPU.
        assignment: of the targets to the head.
    """
    send = partial(to_device, device=raw.device)
    cells, row = torch.unique(assignment.cell_index, return_inverse=True)
    labels = targets.labels[assignment.target_index]
    class_weight = class_weights(settings, targets)[assignment.target_index]
    first = last_occurrence(row.flip(0)).flip(0)  # bool [K]: the first pair of its cell
    first_row, first_label, first_weight = (send(each[first]) for each in (row, labels, class_weight))
    other_row, other_label, other_weight = (send(each[~first]) for each in (row, labels, class_weight))
    cells = send(cells)
    raw = raw[cells]  # [U, classes]
    probability = _activated(head, raw.detach())
    smooth = settings.label_smooth_eps
    target = torch.full_like(raw, 0 if settings.focal_loss else 0.5 * smooth)
    weight = torch.ones_like(raw)
    # `new_full`, as a GPU is waited for where a number is assigned to places that a tensor gives
    target[first_row, first_label] = target.new_full((), 1.0 if settings.focal_loss else 1 - 0.5 * smooth)
    if settings.focal_loss:
        weight[first_row] *= focal_weight(probability[first_row, first_label])[:, None]
    elif settings.class_multipliers:
        weight[first_row, first_label] = first_weight * settings.cls_normalizer
    if settings.objectness_smooth:
        by_prediction = slice(0, assignment.by_prediction)
        iou = assignment.best_iou[send(assignment.cell_index[by_prediction])]
        places = send(row[by_prediction]), send(labels[by_prediction])
        target[places] = iou.square()
        weight[places] = send(class_weight[by_prediction])
    target[other_row, other_label] = target.new_full((), 1 - 0.5 * smooth)
    weight[other_row, other_label] = other_weight
    errors = (target > probability).sum(dim=-1)
    return ClassTerms((weight * _cell_error(head, raw, target)).sum(dim=-1), cells, errors[send(row)])


def class_weights(settings: YoloSettings, targets: Targets) -> Tensor:
    """Return the weight of each target's class, `[M]`, from counters_per_class; 1 without that key."""
    if not settings.class_multipliers:
        return targets.boxes.new_ones(len(targets.labels))
    return targets.boxes.new_tensor(settings.class_multipliers)[targets.labels]


def focal_weight(probability: Tensor) -> Tensor:
    """Return alpha x AlexeyAB's gradient factor for the probability of the true class (delta_yolo_class, gamma 2)."""
    p = probability + FOCAL_EPSILON
    return FOCAL_ALPHA * -(1 - p) * (2 * p * p.log() + p - 1)


def _cell_error(head: YoloHead, raw: Tensor, target: Tensor) -> Tensor:
    """Return the function of `raw` whose negative derivative is `target - activated`, element by element."""
    if head.new_coords:
        return half_square(raw, target)
    return F.binary_cross_entropy_with_logits(raw, target, reduction="none")


def _activated(head: YoloHead, raw: Tensor) -> Tensor:
    """Return the probability; with new_coords the convolution before the head has applied the logistic function."""
    return raw if head.new_coords else torch.sigmoid(raw)


# ---------------------------------------------------------------------------------------------------------- boxes


def _box_loss(
    head: YoloHead,
    settings: YoloSettings,
    box_gradient: str,
    positive: PositiveBoxes,
    weight: Tensor,
    factor: Tensor,
) -> BoxTerms:
    """Return the box loss of the pairs (delta_yolo_box).

    weight, factor: `[K]`, multiply the delta of a pair before and after it is clipped to max_delta.
    """
    with torch.no_grad():
        boxes = head.decode_boxes(positive.raw, positive.cells, positive.anchors, positive.grid)
        predicted, expected = cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(positive.ground_truth)
        ious = paired_iou(predicted, expected)
    overlap = settings.box_overlap
    if overlap is None:
        errors = _squared_errors(head, positive)
        total_weight, small = weight * factor, small_box_weight(positive)
        parts = (total_weight * small)[:, None] * errors.detach()
        return BoxTerms(total_weight * (small * errors.sum(dim=-1)), parts, BOX_VALUES, ious)
    gradient = overlap_gradient(head, overlap, box_gradient, positive, boxes)
    delta = factor[:, None] * clip_delta(weight[:, None] * gradient, settings.max_delta)
    value = weight * factor * (1 - overlap(predicted, expected))
    return BoxTerms(DeltaLoss.apply(positive.raw, delta, value), value[:, None], (overlap_name(overlap),), ious)


def overlap_name(overlap: PairedOverlap) -> str:
    """Return the word of `iou_loss` for an overlap, such as ciou."""
    return next(name for name, each in IOU_LOSSES.items() if each is overlap)


def small_box_weight(positive: PositiveBoxes) -> Tensor:
    """Return 2 - w·h of the ground truth, `[K]`: small boxes weigh more."""
    return 2 - positive.ground_truth[:, 2] * positive.ground_truth[:, 3]


def box_target(head: YoloHead, positive: PositiveBoxes) -> tuple[Tensor, Tensor]:
    """Return the offset of each ground truth's point in its cell, and its size divided by the anchor's, `[K, 2]`."""
    height, width = positive.grid
    size = positive.ground_truth[:, 2:]
    point = positive.ground_truth[:, :2] - head.center_shift * size
    offset = point * width_and_height(size, width, height) - positive.cells
    return offset, size * head.network_size(positive.grid) / positive.anchors


def _squared_errors(head: YoloHead, positive: PositiveBoxes) -> Tensor:
    """Return the functions `[K, 4]` whose derivative is Darknet's x, y, w, h delta without its weights (iou_loss mse).

    With scale_x_y s the delta of x is target - (s·σ - (s-1)/2): Darknet leaves out σ', so the function is
    s·softplus(x) - (target + (s-1)/2)·x, which for s = 1 is the cross entropy.
    """
    s, raw, x = head.scale_x_y, positive.raw, positive.raw[:, :2]
    offset, ratio = box_target(head, positive)
    target = offset + 0.5 * (s - 1)
    if head.new_coords:
        size = (ratio / 4).sqrt()
        center_errors = 0.5 * s * x.square() - target * x
    else:
        size = log_size_target(ratio, raw[:, 2:])
        center_errors = s * F.softplus(x) - target * x
    size_errors = half_square(raw[:, 2:], size)
    return torch.cat((center_errors, size_errors), dim=-1)
