"""Darknet's [yolo] loss in torch: a raw map + targets → a scalar whose gradient is Darknet's delta.

Darknet computes no loss, it writes delta = -dL/d(raw map) by hand (yolo_layer.c). The functions here are the ones
whose derivatives those deltas are: for x, y, objectness and classes the binary cross entropy of logits, for w and h
half the squared error. The box gradient of `iou_loss` iou, giou, diou and ciou is Darknet's hand-written formula, or
the true one with box_gradient="autograd".
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads.yolo import UNLIMITED, YoloHead, YoloSettings
from yolo.records import Targets
from yolo.train.losses.anchored import (
    Pairs,
    class_loss,
    class_multipliers,
    last_of_each,
    objectness_loss,
    pairs_of,
)
from yolo.train.losses.assign import assign
from yolo.train.losses.box_gradient import DeltaLoss, bounded, darknet_slopes, true_slopes
from yolo.train.losses.head_loss import HeadLoss, Rules


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
    multiplier = class_multipliers(settings, targets)[assignment.ground_truths]  # [K]
    classification, class_errors = class_loss(head, settings, flat[:, 5:], targets, assignment)
    objectness = objectness_loss(head, settings, flat[:, 4], assignment, multiplier)
    share = torch.ones_like(multiplier)
    if settings.iou_thresh < 1:
        share = share / class_errors.clamp(min=1)  # averages_yolo_deltas
    if not rules.dialect.boxes_accumulate:
        share = share * last_of_each(assignment.cells)
    pairs = pairs_of(head, flat[:, :4], targets, assignment, grid)
    weight = settings.iou_normalizer * multiplier
    box, ious = _box_loss(head, settings, rules, pairs, weight, share)
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
    rules: Rules,
    pairs: Pairs,
    weight: Tensor,
    share: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum over the pairs and their IoUs `[K]` (delta_yolo_box).

    weight `[K]` is part of a pair's delta when that is clipped, share `[K]` is what then counts of it.
    """
    with torch.no_grad():
        boxes = head.decode_boxes(pairs.t, pairs.place, pairs.anchors, pairs.grid)
        corners, ground_truth_corners = cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(pairs.ground_truth)
        ious = paired_iou(corners, ground_truth_corners)
    overlap = settings.box_overlap
    if overlap is None:
        small = 2 - pairs.ground_truth[:, 2] * pairs.ground_truth[:, 3]  # small boxes weigh more
        return (weight * share * (small * _squared_error(head, pairs))).sum(), ious
    if rules.box_gradient == "darknet":
        slopes = darknet_slopes(overlap, boxes, pairs.ground_truth)
        if not head.new_coords:  # of the box's exponential, Darknet chains this much
            slopes = torch.cat((slopes[:, :2], slopes[:, 2:] * pairs.t[:, 2:].exp()), dim=1)
    else:
        slopes = true_slopes(head, overlap, pairs)
    delta = share[:, None] * bounded(weight[:, None] * slopes, settings.max_delta).detach()
    value = (weight * share * (1 - overlap(corners, ground_truth_corners))).sum()
    return DeltaLoss.apply(pairs.t, delta, value), ious


def _squared_error(head: YoloHead, pairs: Pairs) -> Tensor:
    """`[K]`: the function whose derivative is Darknet's x, y, w, h delta, before its weights (iou_loss mse).

    With scale_x_y s the delta of x is target - (s·σ - (s-1)/2): σ' is not chained, so the function is
    s·softplus(x) - (target + (s-1)/2)·x, which for s = 1 is the cross entropy.
    """
    height, width = pairs.grid
    network = head.network_size(pairs.grid)
    s, t, ground_truth = head.scale_x_y, pairs.t, pairs.ground_truth
    x = t[:, :2]
    shifted = ground_truth[:, :2] * t.new_tensor([width, height]) - pairs.place + 0.5 * (s - 1)
    if head.new_coords:
        shape = (ground_truth[:, 2:] * network / (4 * pairs.anchors)).sqrt()
        center_errors = 0.5 * s * x.square() - shifted * x
    else:
        shape = (ground_truth[:, 2:] * network / pairs.anchors).log()
        center_errors = s * F.softplus(x) - shifted * x
    # A box of no width has no logarithm; Darknet would write -inf into the network. Here such a side is as wished.
    shape = torch.where(shape.isfinite(), shape, t[:, 2:].detach())
    shape_errors = 0.5 * (t[:, 2:] - shape).square()
    return (center_errors + shape_errors).sum(dim=-1)
