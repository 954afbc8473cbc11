"""The [Gaussian_yolo] loss in torch: a raw map + targets → a scalar whose gradient is Darknet's delta.

AlexeyAB's gaussian_yolo_layer.c trains each of x, y, w, h with an uncertainty σ beside it: the ground truth is to be likely
under a normal distribution. Objectness and classes are those of [yolo], with fewer keys. pjreddie's Darknet has no such
section, so the dialect changes nothing here.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads.yolo import GaussianYoloHead, YoloSettings
from yolo.records import Targets
from yolo.train.losses.anchored import (
    Pairs,
    class_loss,
    class_multipliers,
    objectness_loss,
    pairs_of,
)
from yolo.train.losses.assign import DIALECTS, Assignment, assign, assign_by_shape
from yolo.train.losses.box_gradient import DeltaLoss, bounded, darknet_slopes, true_slopes
from yolo.train.losses.head_loss import HeadLoss, Rules

SIGMA_CONST = 0.3  # delta_gaussian_yolo_box: keeps the density of a certain cell finite

DENSITY_EPSILON = 1e-9  # the same: keeps its logarithm finite

BOX = 8  # channels of a box: x, σx, y, σy, w, σw, h, σh


def gaussian_yolo_loss(
    head: GaussianYoloHead, settings: YoloSettings, rules: Rules, raw: Tensor, targets: Targets
) -> HeadLoss:
    """Sums over the batch of one head's loss. raw: `[B, A*(9+classes), H, W]`; labels are 0..classes-1.

    Source: AlexeyAB gaussian_yolo_layer.c forward_gaussian_yolo_layer.
    """
    settings = _as_read(settings)
    grid = (raw.shape[-2], raw.shape[-1])
    cells = head.split(raw)
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 9+classes]
    assignment = _assign(head, settings, raw.detach(), targets, grid)
    multiplier = class_multipliers(settings, targets)[assignment.ground_truths]  # [K]
    classification, class_errors = class_loss(
        head, settings, flat[:, BOX + 1 :], targets, assignment
    )
    objectness = objectness_loss(head, settings, flat[:, BOX], assignment, multiplier)
    share = 1 / class_errors.clamp(min=1)  # averages_gaussian_yolo_deltas, whatever iou_thresh is
    pairs = pairs_of(head, flat[:, 0:BOX:2], targets, assignment, grid)
    sigmas = flat[assignment.cells, 1:BOX:2]
    weight = settings.iou_normalizer * multiplier
    box, ious = _box_loss(head, settings, rules, pairs, sigmas, weight, share)
    return HeadLoss(
        box=box,
        objectness=objectness,
        classification=classification,
        ious=ious,
        cells=len(flat),
        ignored=assignment.ignored.sum(),
    )


def _as_read(settings: YoloSettings) -> YoloSettings:
    """The keys as gaussian_yolo_layer.c has them: objectness is weighed by cls_normalizer, some keys are not looked at.

    delta_normalizer, the third one, has no place in the sums at all.
    """
    return replace(
        settings,
        obj_normalizer=settings.cls_normalizer,
        cls_normalizer=1.0,
        focal_loss=False,
        objectness_smooth=False,
    )


def _assign(
    head: GaussianYoloHead,
    settings: YoloSettings,
    raw: Tensor,
    targets: Targets,
    grid: tuple[int, int],
) -> Assignment:
    """As [yolo]; with yolo_point the cell is that of the ground truth's corner, or the nearest one. Belief leaves σ out."""
    boxes = head.decode(raw).boxes
    class_probs = torch.sigmoid(head.split(raw)[..., BOX + 1 :]).flatten(1, 3)
    dialect = DIALECTS["alexeyab"]
    assignment = assign(head, settings, dialect, boxes, class_probs, targets, grid)
    points = (targets.boxes[:, :2] - head.center_shift * targets.boxes[:, 2:]).clamp(0, 1)
    moved = targets._replace(boxes=torch.cat((points, targets.boxes[:, 2:]), dim=1))
    by_shape, _, _ = assign_by_shape(head, settings, moved, grid)
    cells = torch.cat((assignment.cells[: assignment.by_prediction], by_shape))
    return replace(assignment, cells=cells)


def _box_loss(
    head: GaussianYoloHead,
    settings: YoloSettings,
    rules: Rules,
    pairs: Pairs,
    sigmas: Tensor,
    weight: Tensor,
    share: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum over the pairs and their IoUs `[K]` (delta_gaussian_yolo_box). sigmas: raw `[K, 4]`.

    weight `[K]` is part of a pair's delta when that is clipped, share `[K]` is what then counts of it. The value is
    that of x, y, w, h, as iou_loss says, and uc_normalizer x the likelihood's for their uncertainties.
    """
    with torch.no_grad():
        boxes = head.decode_boxes(pairs.t, pairs.place, pairs.anchors, pairs.grid)
        corners, ground_truth_corners = cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(pairs.ground_truth)
    likelihood, slopes, sigma_slopes = _likelihood_slopes(head, pairs, sigmas)
    value, overlap = likelihood, settings.box_overlap
    if overlap is not None:
        value = 1 - overlap(corners, ground_truth_corners)
        slopes = -_overlap_slopes(head, settings, rules, pairs, boxes)
    delta = bounded(-weight[:, None] * slopes, settings.max_delta)
    sigma_delta = bounded(-settings.uc_normalizer * sigma_slopes, settings.max_delta)
    both = share[:, None] * torch.stack((delta, sigma_delta), dim=-1).flatten(1)
    raw = torch.stack((pairs.t, sigmas), dim=-1).flatten(1)
    total = (share * (weight * value + settings.uc_normalizer * likelihood)).sum()
    return DeltaLoss.apply(raw, both, total), paired_iou(corners, ground_truth_corners)


def _overlap_slopes(
    head: GaussianYoloHead, settings: YoloSettings, rules: Rules, pairs: Pairs, boxes: Tensor
) -> Tensor:
    """d overlap / d (raw x, y, w, h), `[K, 4]`: the true ones or Darknet's."""
    if rules.box_gradient != "darknet":
        return true_slopes(head, settings.box_overlap, pairs)
    slopes = darknet_slopes(settings.box_overlap, boxes, pairs.ground_truth)
    center, size = slopes.split(2, dim=1)
    center = center - head.center_shift * size  # what Darknet does for a yolo_point
    return torch.cat((center, size * pairs.t[:, 2:].exp()), dim=1).detach()


def _likelihood_slopes(
    head: GaussianYoloHead, pairs: Pairs, sigmas: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The negative log likelihood of each pair's ground truth `[K]` and its slopes for x, y, w, h and for their σ `[K, 4]`.

    The slopes are those for the values after the logistic function, which Darknet takes for the raw ones'.
    """
    wanted = _wanted(head, pairs)
    t = pairs.t.detach()
    center = torch.sigmoid(t[:, :2]) * head.scale_x_y - 0.5 * (head.scale_x_y - 1)
    small = 2 - pairs.ground_truth[:, 2] * pairs.ground_truth[:, 3]  # small boxes weigh more
    with torch.enable_grad():
        mean = torch.cat((center, t[:, 2:]), dim=1).requires_grad_()
        sigma = torch.sigmoid(sigmas.detach()).requires_grad_()
        likelihood = small * negative_log_likelihood(mean, sigma, wanted).sum(dim=1)
    slopes = torch.autograd.grad(likelihood.sum(), (mean, sigma))
    return likelihood.detach(), *slopes


def _wanted(head: GaussianYoloHead, pairs: Pairs) -> Tensor:
    """What x, y (after the logistic function), w, h of each cell should be, `[K, 4]`; -inf for a side of no length."""
    height, width = pairs.grid
    size = pairs.ground_truth[:, 2:]
    point = pairs.ground_truth[:, :2] - head.center_shift * size
    place = point * pairs.t.new_tensor([width, height]) - pairs.place
    shape = (size * head.network_size(pairs.grid) / pairs.anchors).log()
    return torch.cat((place, shape), dim=1)


def negative_log_likelihood(mean: Tensor, sigma: Tensor, wanted: Tensor) -> Tensor:
    """-½ log of the density of `wanted`, all of one shape; the density's height is that of σ + 0.3, its width σ's.

    Source: delta_gaussian_yolo_box, whose delta is this function's negative derivative.
    """
    density = torch.exp(-0.5 * ((wanted - mean) / sigma).square()) / (
        math.sqrt(2 * math.pi) * (sigma + SIGMA_CONST)
    )
    return -0.5 * torch.log(density + DENSITY_EPSILON)
