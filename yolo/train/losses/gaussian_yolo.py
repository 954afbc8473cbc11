"""The [Gaussian_yolo] loss: a raw map and the targets → losses whose gradient is Darknet's delta.

AlexeyAB's gaussian_yolo_layer.c predicts an uncertainty σ beside each of x, y, w, h, and maximizes the likelihood of
the ground truth under a normal distribution. Objectness and classes are those of [yolo], with fewer keys. pjreddie's
Darknet has no such section, so the dialect changes nothing here.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads.yolo import GAUSSIAN_BOX, YoloHead, YoloSettings
from yolo.records import Targets
from yolo.train.losses.assign import (
    DIALECTS,
    Assignment,
    PositiveBoxes,
    assign,
    assign_by_shape,
    positive_boxes,
    to_device,
)
from yolo.train.losses.box_gradient import DeltaLoss, clip_delta, overlap_gradient
from yolo.train.losses.head_loss import HeadTerms, LossOptions
from yolo.train.losses.yolo import (
    BOX_VALUES,
    BoxTerms,
    box_target,
    class_loss,
    class_weights,
    joined_terms,
    objectness_loss,
    overlap_name,
    small_box_weight,
)

SIGMA_CONST = 0.3  # delta_gaussian_yolo_box: keeps the density finite for a small σ
DENSITY_EPSILON = 1e-9  # the same: keeps the logarithm finite


def gaussian_yolo_terms(
    head: YoloHead,
    settings: YoloSettings,
    options: LossOptions,
    raw: Tensor,
    targets: Targets,
) -> HeadTerms:
    """Compute the terms of the loss of one head.

    Source: AlexeyAB gaussian_yolo_layer.c forward_gaussian_yolo_layer.

    Args:
        head, settings: of the [Gaussian_yolo].
        options: the box gradient.
        raw: raw map `[B, A*(9+classes), H, W]`.
        targets: of the batch, on the CPU; labels are 0..classes-1.
    """
    settings = _as_gaussian_layer(settings)
    grid = (raw.shape[-2], raw.shape[-1])
    cells = head.split(raw)
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 9+classes]
    assignment = _assign(head, settings, raw.detach(), targets, grid)
    class_weight = to_device(class_weights(settings, targets)[assignment.target_index], raw.device)  # [K]
    raw_classes = flat[:, GAUSSIAN_BOX + 1 :]
    classes = class_loss(head, settings, raw_classes, targets, assignment)
    objectness = objectness_loss(head, settings, flat[:, GAUSSIAN_BOX], assignment, class_weight)
    factor = 1 / classes.errors.clamp(min=1)  # averages_gaussian_yolo_deltas, for every iou_thresh
    positive = positive_boxes(head, flat[:, 0:GAUSSIAN_BOX:2], targets, assignment, grid)
    sigmas = flat[to_device(assignment.cell_index, raw.device), 1:GAUSSIAN_BOX:2]
    weight = settings.iou_normalizer * class_weight
    box = _box_loss(head, settings, options.box_gradient, positive, sigmas, weight, factor)
    return joined_terms((cells.shape[0], cells.shape[1], *grid), assignment, box, objectness, classes)


def _as_gaussian_layer(settings: YoloSettings) -> YoloSettings:
    """Change the keys as gaussian_yolo_layer.c uses them: cls_normalizer is the weight of objectness, some do nothing.

    delta_normalizer does nothing either: this loss does not use it.
    """
    return replace(
        settings,
        obj_normalizer=settings.cls_normalizer,
        cls_normalizer=1.0,
        focal_loss=False,
        objectness_smooth=False,
    )


def _assign(
    head: YoloHead,
    settings: YoloSettings,
    raw: Tensor,
    targets: Targets,
    grid: tuple[int, int],
) -> Assignment:
    """Assign as [yolo], but with yolo_point to the cell of the box's corner. Class probabilities are without σ.

    A corner outside the image belongs to the nearest cell.
    """
    boxes = head.decode(raw).boxes
    class_probs = torch.sigmoid(head.split(raw)[..., GAUSSIAN_BOX + 1 :]).flatten(1, 3)
    dialect = DIALECTS["alexeyab"]
    assignment = assign(head, settings, dialect, boxes, class_probs, targets, grid)
    points = (targets.boxes[:, :2] - head.center_shift * targets.boxes[:, 2:]).clamp(0, 1)
    moved = targets._replace(boxes=torch.cat((points, targets.boxes[:, 2:]), dim=1))
    by_shape, _, _ = assign_by_shape(head, settings, moved, grid)
    by_prediction = assignment.cell_index[: assignment.by_prediction]
    return replace(assignment, cell_index=torch.cat((by_prediction, by_shape)))


def _box_loss(
    head: YoloHead,
    settings: YoloSettings,
    box_gradient: str,
    positive: PositiveBoxes,
    sigmas: Tensor,
    weight: Tensor,
    factor: Tensor,
) -> BoxTerms:
    """Return the box loss of the pairs (delta_gaussian_yolo_box).

    It is the loss of x, y, w, h (the likelihood, or iou_loss), plus uc_normalizer x the likelihood for the σ.
    sigmas: raw σ of x, y, w, h, `[K, 4]`; weight, factor: `[K]`, multiply the delta of a pair before and after it is
    clipped to max_delta.
    """
    with torch.no_grad():
        boxes = head.decode_boxes(positive.raw, positive.cells, positive.anchors, positive.grid)
        predicted, expected = cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(positive.ground_truth)
    likelihoods, gradient, sigma_gradient = _likelihood_gradient(head, positive, sigmas)
    values, names, overlap = likelihoods, BOX_VALUES, settings.box_overlap
    if overlap is not None:
        values, names = (1 - overlap(predicted, expected))[:, None], (overlap_name(overlap),)
        gradient = -overlap_gradient(head, overlap, box_gradient, positive, boxes)
    delta = clip_delta(-weight[:, None] * gradient, settings.max_delta)
    sigma_delta = clip_delta(-settings.uc_normalizer * sigma_gradient, settings.max_delta)
    deltas = factor[:, None] * torch.stack((delta, sigma_delta), dim=-1).flatten(1)
    raw = torch.stack((positive.raw, sigmas), dim=-1).flatten(1)
    uncertainty = settings.uc_normalizer * likelihoods.sum(dim=1, keepdim=True)
    parts = factor[:, None] * torch.cat((weight[:, None] * values, uncertainty), dim=1)
    loss = DeltaLoss.apply(raw, deltas, parts.sum(dim=1))
    return BoxTerms(loss, parts, (*names, "uncertainty"), paired_iou(predicted, expected))


def _likelihood_gradient(head: YoloHead, positive: PositiveBoxes, sigmas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the negative log likelihoods of each ground truth's x, y, w, h, and the gradients for these and their σ.

    All are `[K, 4]`. The gradients are those for the values after the logistic function; Darknet uses them for the raw
    values.
    """
    offset, ratio = box_target(head, positive)
    target = torch.cat((offset, ratio.log()), dim=1)  # -inf for a side of length 0
    raw = positive.raw.detach()
    center = torch.sigmoid(raw[:, :2]) * head.scale_x_y - 0.5 * (head.scale_x_y - 1)
    with torch.enable_grad():
        mean = torch.cat((center, raw[:, 2:]), dim=1).requires_grad_()
        sigma = torch.sigmoid(sigmas.detach()).requires_grad_()
        likelihoods = small_box_weight(positive)[:, None] * negative_log_likelihood(mean, sigma, target)
        gradients = torch.autograd.grad(likelihoods.sum(), (mean, sigma))
    return likelihoods.detach(), *gradients


def negative_log_likelihood(mean: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
    """Return -½ log of the density of `target`, element by element.

    The density has the width of σ and the height of σ + 0.3. Source: delta_gaussian_yolo_box, whose delta is the
    negative derivative of this function.
    """
    density = torch.exp(-0.5 * ((target - mean) / sigma).square()) / (math.sqrt(2 * math.pi) * (sigma + SIGMA_CONST))
    return -0.5 * torch.log(density + DENSITY_EPSILON)
