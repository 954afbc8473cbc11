"""The loss of [region], the head of YOLOv2 and YOLO9000: a raw map + targets → scalars whose gradient is Darknet's.

Darknet computes no loss, it writes delta = -dL/d(raw map) by hand: region_layer.c forward_region_layer, and for x, y
and objectness the sigmoid's derivative, in backward_region_layer_gpu (AlexeyAB has it where the delta is written). The
functions here are those whose derivatives the deltas are: half the squared errors of σ(x), σ(y), w, h and
σ(objectness), and the cross entropy of the classes.

Where the two Darknets differ (`extended` is AlexeyAB's):
- a box weighs coord_scale x (2 - w·h) in pjreddie's, so that small ones count more, and coord_scale in AlexeyAB's;
- classfix and focal_loss count in AlexeyAB's only;
- of several ground truths in one cell the last one sets all classes, but in pjreddie's without softmax the first one does,
  and the others add theirs;
- AlexeyAB's has no background, and classes without softmax are as linear as the map. Here the loss goes with what the
  head decodes for both dialects: a background where the cfg has one, and the logistic function.
An image that has a class but no box (x and y above 100,000, for YOLO9000) is in none of our data sets, nor here.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.class_tree import NONE, Tree, class_paths, group_log_softmax
from yolo.model.heads.region import COORDS, RegionHead, RegionSettings
from yolo.records import Targets
from yolo.train.losses.anchored import focal_weight, last_of_each
from yolo.train.losses.assign import Dialect, best_ground_truths
from yolo.train.losses.head_loss import HeadLoss, Rules

PULLED_IMAGES = 12_800  # forward_region_layer: so long are boxes pulled to the anchors,

PULL_SCALE = 0.01  # so strongly

TO_BEST_IOU = (
    -1
)  # classfix: the objectness of every cell is to be its IoU with the best ground truth

IGNORED_TOO = 1  # classfix: the ignored cells get a class as well,

BY_OBJECTNESS = 2  # classfix: the same, as far as they see an object


@dataclass(frozen=True)
class ClassPairs:
    """Cells of the flattened `[B, A, H, W]`, their classes and weights, `[K]` each, as Darknet writes them."""

    cells: Tensor
    labels: Tensor
    weights: Tensor

    def where(self, chosen: Tensor) -> "ClassPairs":
        """Those of the pairs that bool `[K]` names."""
        return ClassPairs(self.cells[chosen], self.labels[chosen], self.weights[chosen])


def region_loss(
    head: RegionHead, settings: RegionSettings, rules: Rules, raw: Tensor, targets: Targets
) -> HeadLoss:
    """Sums over the batch of one head's loss. raw: `[B, A*(5+classes), H, W]`; labels are 0..classes-1.

    Source: region_layer.c forward_region_layer.
    """
    if not rules.dialect.extended:
        settings = replace(settings, classfix=0, focal_loss=False)
    cells = head.split(raw)
    boxes = head.decode_boxes(cells.detach())  # [B, A, H, W, 4]
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 5+classes]
    best_iou, best_ground_truth = best_ground_truths(boxes.flatten(1, 3), targets)
    ignored = (best_iou > settings.thresh) & (settings.classfix != TO_BEST_IOU)
    own = _cells_of(head, settings, boxes, targets)  # [M]
    predicted = cxcywh_to_xyxy(boxes.reshape(-1, COORDS)[own])
    ious = paired_iou(predicted, cxcywh_to_xyxy(targets.boxes))
    last = last_of_each(own)
    idle = best_iou if settings.classfix == TO_BEST_IOU else torch.zeros_like(best_iou)
    pairs = _class_pairs(settings, flat, targets.labels, own, ignored, best_ground_truth)
    return HeadLoss(
        box=_box_loss(head, settings, rules, cells, own[last], targets.boxes[last]),
        objectness=_objectness_loss(head, settings, flat, idle, ignored, own[last], ious[last]),
        classification=_class_loss(head, settings, rules.dialect, flat, pairs),
        ious=ious,
        cells=len(flat),
        ignored=ignored.sum(),
    )


def _cells_of(
    head: RegionHead, settings: RegionSettings, boxes: Tensor, targets: Targets
) -> Tensor:
    """int64 `[M]` into the flattened `[B, A, H, W]`: where each ground truth's center lies, at the anchor of the best shape.

    Shapes compared are the cell's predicted ones, or with bias_match the anchors themselves; the first of equally good
    ones wins. A center on the far border belongs to the last cell.
    """
    _, anchors, height, width, _ = boxes.shape
    size = torch.tensor([width, height], device=boxes.device)
    column, row = torch.minimum((targets.boxes[:, :2] * size).long(), size - 1).unbind(dim=-1)
    if settings.bias_match:
        shapes = (head.anchors / size).expand(len(row), -1, -1)
    else:
        shapes = boxes[targets.image_index, :, row, column, 2:]  # [M, A, 2]
    wanted = targets.boxes[:, None, 2:]
    fit = paired_iou(*(torch.cat((-shape, shape), dim=-1) / 2 for shape in (shapes, wanted)))
    best = fit.sort(dim=1, descending=True, stable=True).indices[:, 0]
    first = (targets.image_index * anchors + best) * height
    return (first + row) * width + column


def _box_loss(
    head: RegionHead,
    settings: RegionSettings,
    rules: Rules,
    cells: Tensor,
    own: Tensor,
    ground_truth: Tensor,
) -> Tensor:
    """Assigned cells should give their ground truth, cxcywh `[K, 4]`; all others, at first, the anchor (delta_region_box)."""
    batch, anchors, height, width, _ = cells.shape
    raw = cells.reshape(-1, cells.shape[-1])[:, :COORDS]
    values = torch.cat((torch.sigmoid(raw[:, :2]), raw[:, 2:]), dim=-1)
    size = values.new_tensor([width, height])
    place = torch.stack((own % width, own // width % height), dim=-1)
    prior = head.anchors[own // (width * height) % anchors]
    shape = (ground_truth[:, 2:] * size / prior).log()
    # A box of no width has no logarithm; Darknet would write -inf into the network. Here such a side is as wished.
    shape = torch.where(shape.isfinite(), shape, values[own, 2:].detach())
    wanted = torch.cat((ground_truth[:, :2] * size - place, shape), dim=-1)
    weight = torch.full_like(ground_truth[:, 2], settings.scales.coord_scale)
    if not rules.dialect.extended:
        weight = weight * (2 - ground_truth[:, 2] * ground_truth[:, 3])
    loss = (weight * _half_square(values[own], wanted).sum(dim=-1)).sum()
    if rules.seen + batch < PULLED_IMAGES:  # Darknet has counted this batch already
        center = values.new_tensor([0.5, 0.5, 0.0, 0.0])  # σ(x), σ(y), w, h of the anchor itself
        free = torch.ones_like(values[:, 0]).index_fill(0, own, 0.0)
        loss = loss + PULL_SCALE * (free * _half_square(values, center).sum(dim=-1)).sum()
    return loss


def _objectness_loss(
    head: RegionHead,
    settings: RegionSettings,
    flat: Tensor,
    idle: Tensor,
    ignored: Tensor,
    own: Tensor,
    ious: Tensor,
) -> Tensor:
    """Assigned cells should say 1, or with rescore their IoU, the ignored nothing, all others `idle`, `[B*A*H*W]`.

    With a background the value says "nothing": 1 in all others, 0 in the assigned, whatever rescore says.
    """
    scales = settings.scales
    weight = torch.full_like(idle, scales.noobject_scale).masked_fill(ignored, 0.0)
    weight[own] = scales.object_scale
    if head.background:
        nothing = torch.ones_like(idle).index_fill(0, own, 0.0)
        return (weight * _background_error(head, flat, nothing)).sum()
    target = idle.index_put((own,), ious if scales.rescore else torch.ones_like(ious))
    return (weight * _half_square(torch.sigmoid(flat[:, COORDS]), target)).sum()


def _background_error(head: RegionHead, flat: Tensor, target: Tensor) -> Tensor:
    """What Darknet's `target - value` of the background is the negative derivative of.

    With softmax its share of a cross entropy: Darknet changes the background alone, so the classes are held.
    """
    background, classes = flat[:, COORDS], flat[:, COORDS + 1 :]
    if not head.softmax:
        return _half_square(background, target)
    all_of_them = torch.cat((background[:, None], classes.detach()), dim=-1)
    return torch.logsumexp(all_of_them, dim=-1) - target * background


def _class_pairs(
    settings: RegionSettings,
    flat: Tensor,
    labels: Tensor,
    own: Tensor,
    ignored: Tensor,
    best_ground_truth: Tensor,
) -> ClassPairs:
    """Which cells get a class.

    classfix 1 and 2 give the ignored cells that of their best ground truth; by the cfg's `map`, as all others, where
    Darknet leaves the map out and so takes another class of the tree.
    """
    scale = settings.scales.class_scale
    weights = torch.full(own.shape, scale, device=flat.device)
    if settings.classfix not in (IGNORED_TOO, BY_OBJECTNESS):
        return ClassPairs(own, labels, weights)
    sure = torch.nonzero(ignored)[:, 0]
    believed = torch.full(sure.shape, scale, device=flat.device)
    if settings.classfix == BY_OBJECTNESS:
        believed = believed * torch.sigmoid(flat[sure, COORDS].detach())
    return ClassPairs(
        torch.cat((sure, own)),
        torch.cat((labels[best_ground_truth[sure]], labels)),
        torch.cat((believed, weights)),
    )


def _class_loss(
    head: RegionHead, settings: RegionSettings, dialect: Dialect, flat: Tensor, pairs: ClassPairs
) -> Tensor:
    """Sum over the pairs (delta_region_class)."""
    if head.tree is not None:
        return _tree_loss(head.tree, flat, pairs)
    if head.softmax or dialect.extended:
        pairs = pairs.where(last_of_each(pairs.cells))
    if head.softmax:
        return _softmax_loss(head, settings, flat, pairs)
    weights = pairs.weights
    if settings.focal_loss:
        true = flat[pairs.cells, COORDS + 1 + pairs.labels].detach()
        weights = weights * focal_weight(torch.sigmoid(true))
    cells, row = torch.unique(pairs.cells, return_inverse=True)
    raw = flat[cells, COORDS + 1 :]
    target, weight = torch.zeros_like(raw), torch.zeros_like(raw)
    target[row, pairs.labels] = 1.0
    weight[row] = weights[:, None]  # the same for all ground truths of a cell
    return F.binary_cross_entropy_with_logits(raw, target, weight, reduction="sum")


def _softmax_loss(
    head: RegionHead, settings: RegionSettings, flat: Tensor, pairs: ClassPairs
) -> Tensor:
    """Cross entropy; a background is one more class, but held, as `_background_error` says."""
    logits, labels, weights = flat[pairs.cells, COORDS + 1 :], pairs.labels, pairs.weights
    if head.background:
        logits = torch.cat((flat[pairs.cells, COORDS, None].detach(), logits), dim=-1)
        labels = labels + 1
    errors = F.cross_entropy(logits, labels, reduction="none")
    if settings.focal_loss:
        weights = weights * focal_weight(torch.exp(-errors.detach()))
    return (weights * errors).sum()


def _tree_loss(tree: Tree, flat: Tensor, pairs: ClassPairs) -> Tensor:
    """Cross entropy in each group on the way from a class to its root; of ground truths in one group of a cell the last."""
    path = class_paths(pairs.labels, tree)  # [K, levels]
    pair, level = torch.nonzero(path != NONE, as_tuple=True)
    classes, cells = path[pair, level], pairs.cells[pair]
    group = tree.group.to(classes.device)[classes]
    last = last_of_each(cells * len(tree.group_size) + group)
    cells, row = torch.unique(cells, return_inverse=True)
    logs = group_log_softmax(flat[cells, COORDS + 1 :], tree, dim=-1)
    return -(pairs.weights[pair] * logs[row, classes])[last].sum()


def _half_square(values: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (values - targets).square()
