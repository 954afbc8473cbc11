"""The [region] loss, of YOLOv2 and YOLO9000: a raw map and the targets → losses whose gradient is Darknet's delta.

Darknet does not compute a loss, it writes delta = -dL/d(raw map) by hand: region_layer.c forward_region_layer, with the
derivative of the logistic function for x, y and objectness in backward_region_layer_gpu (AlexeyAB's multiplies it where
the delta is written). The functions here are those with these derivatives: half the squared errors of σ(x), σ(y), w, h
and σ(objectness), and the cross entropy of the classes.

Assignment: a ground truth box belongs to the cell that contains its center, and there to the anchor of the most similar
shape. A cell whose predicted box has an IoU above `thresh` with a ground truth box is ignored in the objectness loss,
unless it is responsible for a box. All other cells have the objectness target 0.

Differences between the two Darknets:
- the weight of a box is coord_scale x (2 - w·h) in pjreddie's, so that small boxes weigh more, and coord_scale in
  AlexeyAB's;
- only AlexeyAB's reads classfix and focal_loss;
- of several ground truth boxes in one cell the last one sets the targets of all classes. In pjreddie's without softmax
  the first one does, and the others add their own class;
- AlexeyAB's has no background, and without softmax its classes have no activation. Here the loss follows what the head
  decodes, for both dialects: a background if the cfg has one, and the logistic function.
Images with a class but no box (x and y above 100,000, for YOLO9000) are not supported.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.class_tree import NONE, Tree, class_paths, group_log_softmax
from yolo.model.heads.region import COORDS, RegionHead, RegionSettings
from yolo.records import Targets
from yolo.train.losses.assign import Dialect, best_targets, last_occurrence
from yolo.train.losses.head_loss import HeadTerms, LossOptions, half_square, log_size_target, no_terms
from yolo.train.losses.yolo import BOX_VALUES, focal_weight

ANCHOR_IMAGES = 12_800  # forward_region_layer: for so many images, boxes without ground truth learn their anchor
ANCHOR_SCALE = 0.01  # the weight of that loss

# values of classfix
TO_BEST_IOU = -1  # negative cells' objectness target: the largest IoU with a ground truth box
CLASSES_OF_IGNORED = 1  # ignored cells learn the class of their best ground truth box too
BY_OBJECTNESS = 2  # the same, weighted by their objectness


@dataclass(frozen=True)
class ClassPairs:
    """K pairs of a cell and a class, in the order in which Darknet writes their deltas.

    cells: int64 `[K]`, index into the flattened `[B, A, H, W]`; labels: int64 `[K]`; weights: float `[K]`.
    """

    cells: Tensor
    labels: Tensor
    weights: Tensor

    def where(self, chosen: Tensor) -> "ClassPairs":
        """Return the pairs where bool `[K]` is true."""
        return ClassPairs(self.cells[chosen], self.labels[chosen], self.weights[chosen])


def region_terms(
    head: RegionHead,
    settings: RegionSettings,
    options: LossOptions,
    raw: Tensor,
    targets: Targets,
) -> HeadTerms:
    """Compute the terms of the loss of one head.

    Source: region_layer.c forward_region_layer.

    Args:
        head, settings: of the [region].
        options: dialect and images seen.
        raw: raw map `[B, A*(5+classes), H, W]`.
        targets: of the batch, on the CPU; labels are 0..classes-1.
    """
    if not options.dialect.extended:
        settings = replace(settings, classfix=0, focal_loss=False)
    cells = head.split(raw)
    boxes = head.decode_boxes(cells.detach())  # [B, A, H, W, 4]
    flat = cells.reshape(-1, cells.shape[-1])  # [B*A*H*W, 5+classes]
    best_iou, best_target = best_targets(boxes.flatten(1, 3), targets)
    targets = targets.to(raw.device)
    ignored = (best_iou > settings.thresh) & (settings.classfix != TO_BEST_IOU)
    positive = _positive_cells(head, settings, boxes, targets)  # [M]
    predicted = cxcywh_to_xyxy(boxes.reshape(-1, COORDS)[positive])
    ious = paired_iou(predicted, cxcywh_to_xyxy(targets.boxes))
    last = last_occurrence(positive)
    negative_target = best_iou if settings.classfix == TO_BEST_IOU else torch.zeros_like(best_iou)
    pairs = _class_pairs(settings, flat, targets.labels, positive, ignored, best_target)
    values = torch.cat((torch.sigmoid(flat[:, :2]), flat[:, 2:COORDS]), dim=-1)
    box = _box_loss(head, settings, options.dialect, cells.shape[:4], values, positive, targets.boxes) * last[:, None]
    classification, class_cells = _class_loss(head, settings, options.dialect, flat, pairs)
    return HeadTerms(
        shape=tuple(cells.shape[:4]),
        cell_index=positive,
        target_index=torch.arange(len(positive), device=raw.device),
        by_prediction=0,
        ious=ious,
        box=box.sum(dim=-1),
        box_parts=box.detach(),
        box_names=BOX_VALUES,
        priors=_prior_loss(options.seen + len(raw), values, positive),
        objectness=_objectness_loss(head, settings, flat, negative_target, ignored, positive[last], ious[last]),
        positive=positive[last],
        classification=classification,
        class_cells=class_cells,
        ignored=ignored,
        best_iou=best_iou,
        best_target=best_target,
    )


def _positive_cells(head: RegionHead, settings: RegionSettings, boxes: Tensor, targets: Targets) -> Tensor:
    """Return the cell of each target, int64 `[M]` into the flattened `[B, A, H, W]`.

    Of the anchors at the center of the target, the one with the largest `region_overlaps` is responsible, of equally
    good ones the first. boxes: predicted, `[B, A, H, W, 4]` cxcywh.
    """
    _, anchors, height, width, _ = boxes.shape
    overlaps, column, row = region_overlaps(head, settings, boxes, targets)
    best = overlaps.sort(dim=1, descending=True, stable=True).indices[:, 0]
    image_and_anchor = targets.image_index * anchors + best
    return (image_and_anchor * height + row) * width + column


def region_overlaps(
    head: RegionHead, settings: RegionSettings, boxes: Tensor, targets: Targets
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the IoU of each target's shape with the shape of each anchor at the place of the target.

    It is the shape that is predicted there, or with bias_match the anchor's own. A center on the right or bottom border
    belongs to the last cell.

    Args:
        head: the head.
        settings: of its section.
        boxes: predicted, `[B, A, H, W, 4]` cxcywh in 0..1.
        targets: of the batch, M in all.

    Returns:
        IoU `[M, A]`, column int64 `[M]`, row int64 `[M]`.
    """
    _, _, height, width, _ = boxes.shape
    size = torch.tensor([width, height], device=boxes.device)
    column, row = torch.minimum((targets.boxes[:, :2] * size).long(), size - 1).unbind(dim=-1)
    if settings.bias_match:
        shapes = (head.anchors / size).expand(len(row), -1, -1)
    else:
        shapes = boxes[targets.image_index, :, row, column, 2:]  # [M, A, 2]
    target_shapes = targets.boxes[:, None, 2:]
    centered = (torch.cat((-shape, shape), dim=-1) / 2 for shape in (shapes, target_shapes))
    return paired_iou(*centered), column, row


def _box_loss(
    head: RegionHead,
    settings: RegionSettings,
    dialect: Dialect,
    shape: tuple[int, int, int, int],
    values: Tensor,
    positive: Tensor,
    ground_truth: Tensor,
) -> Tensor:
    """Return the box loss of each pair, of x, y, w, h, `[K, 4]` (delta_region_box).

    shape: (B, A, H, W); values: σ(x), σ(y), w, h of all cells `[B*A*H*W, 4]`; positive: int64 `[K]`, the cells;
    ground_truth: cxcywh `[K, 4]`.
    """
    _, anchors, height, width = shape
    size = values.new_tensor([width, height])
    place = torch.stack((positive % width, positive // width % height), dim=-1)
    anchor = head.anchors[positive // (width * height) % anchors]
    log_size = log_size_target(ground_truth[:, 2:] * size / anchor, values[positive, 2:])
    target = torch.cat((ground_truth[:, :2] * size - place, log_size), dim=-1)
    weight = torch.full_like(ground_truth[:, 2], settings.scales.coord_scale)
    if not dialect.extended:
        weight = weight * (2 - ground_truth[:, 2] * ground_truth[:, 3])
    return weight[:, None] * half_square(values[positive], target)


def _prior_loss(seen: int, values: Tensor, positive: Tensor) -> Tensor:
    """Return the box loss of the cells without ground truth: at first they learn their anchor; later it is `[0]`.

    seen: images trained on, with those of this batch, which Darknet has already counted;
    values: σ(x), σ(y), w, h of all cells `[N, 4]`; positive: int64 `[K]`, cells with ground truth. The result is `[N]`.
    """
    if seen >= ANCHOR_IMAGES:
        return no_terms(values)
    anchor_box = values.new_tensor([0.5, 0.5, 0.0, 0.0])  # σ(x), σ(y), w, h of the anchor
    others = torch.ones_like(values[:, 0]).index_fill(0, positive, 0.0)
    return ANCHOR_SCALE * (others * half_square(values, anchor_box).sum(dim=-1))


def _objectness_loss(
    head: RegionHead,
    settings: RegionSettings,
    flat: Tensor,
    negative_target: Tensor,
    ignored: Tensor,
    positive: Tensor,
    ious: Tensor,
) -> Tensor:
    """Return the objectness loss of each cell, `[B*A*H*W]`.

    The target of positive cells is 1, or with rescore their IoU; ignored cells have no loss, others the target 0.
    With a background the value means "no object": target 0 for positive cells, even with rescore, 1 for negative ones.
    flat: raw values `[B*A*H*W, 5+classes]`; negative_target, ignored: `[B*A*H*W]`; positive: int64 `[K]`, each cell
    once; ious: `[K]`, of the positive cells.
    """
    scales = settings.scales
    weight = torch.full_like(negative_target, scales.noobject_scale).masked_fill(ignored, 0.0)
    weight[positive] = scales.object_scale
    if head.background:
        no_object = torch.ones_like(negative_target).index_fill(0, positive, 0.0)
        return weight * _background_error(head, flat, no_object)
    positive_target = ious if scales.rescore else torch.ones_like(ious)
    target = negative_target.index_put((positive,), positive_target)
    return weight * half_square(torch.sigmoid(flat[:, COORDS]), target)


def _background_error(head: RegionHead, flat: Tensor, target: Tensor) -> Tensor:
    """Return the function whose negative derivative is Darknet's `target - value` of the background, `[B*A*H*W]`.

    With softmax it is the background's part of a cross entropy. Darknet changes only the background, so the classes
    are detached.
    """
    background, classes = flat[:, COORDS], flat[:, COORDS + 1 :]
    if not head.softmax:
        return half_square(background, target)
    logits = torch.cat((background[:, None], classes.detach()), dim=-1)
    return torch.logsumexp(logits, dim=-1) - target * background


def _class_pairs(
    settings: RegionSettings,
    flat: Tensor,
    labels: Tensor,
    positive: Tensor,
    ignored: Tensor,
    best_target: Tensor,
) -> ClassPairs:
    """Return the cells that learn a class: the positive ones, with classfix 1 and 2 after the ignored ones.

    An ignored cell learns the class of its best target, after the data's `map`, as all other cells do. Darknet does
    not apply the map here, so it uses another class of the tree.
    flat: raw values `[B*A*H*W, 5+classes]`; labels, positive: of the targets `[M]`; ignored, best_target: `[B*A*H*W]`.
    """
    scale = settings.scales.class_scale
    weights = torch.full(positive.shape, scale, device=flat.device)
    if settings.classfix not in (CLASSES_OF_IGNORED, BY_OBJECTNESS):
        return ClassPairs(positive, labels, weights)
    ignored_cells = torch.nonzero(ignored)[:, 0]
    ignored_weights = torch.full(ignored_cells.shape, scale, device=flat.device)
    if settings.classfix == BY_OBJECTNESS:
        ignored_weights = ignored_weights * torch.sigmoid(flat[ignored_cells, COORDS].detach())
    return ClassPairs(
        torch.cat((ignored_cells, positive)),
        torch.cat((labels[best_target[ignored_cells]], labels)),
        torch.cat((ignored_weights, weights)),
    )


def _class_loss(
    head: RegionHead, settings: RegionSettings, dialect: Dialect, flat: Tensor, pairs: ClassPairs
) -> tuple[Tensor, Tensor]:
    """Return the class loss `[V]` of the pairs and its cells (delta_region_class). flat: raw values of all cells."""
    if head.tree is not None:
        return _tree_loss(head.tree, flat, pairs)
    if head.softmax or dialect.extended:
        pairs = pairs.where(last_occurrence(pairs.cells))
    if head.softmax:
        return _softmax_loss(head, settings, flat, pairs), pairs.cells
    weights = pairs.weights
    if settings.focal_loss:
        logits = flat[pairs.cells, COORDS + 1 + pairs.labels].detach()
        weights = weights * focal_weight(torch.sigmoid(logits))
    cells, row = torch.unique(pairs.cells, return_inverse=True)
    raw = flat[cells, COORDS + 1 :]
    target, weight = torch.zeros_like(raw), torch.zeros_like(raw)
    target[row, pairs.labels] = 1.0
    weight[row] = weights[:, None]  # the same for all ground truth boxes of a cell
    return F.binary_cross_entropy_with_logits(raw, target, weight, reduction="none").sum(dim=-1), cells


def _softmax_loss(head: RegionHead, settings: RegionSettings, flat: Tensor, pairs: ClassPairs) -> Tensor:
    """Return the cross entropy of each pair; a background is one more class, detached as in `_background_error`."""
    logits, labels, weights = flat[pairs.cells, COORDS + 1 :], pairs.labels, pairs.weights
    if head.background:
        logits = torch.cat((flat[pairs.cells, COORDS, None].detach(), logits), dim=-1)
        labels = labels + 1
    errors = F.cross_entropy(logits, labels, reduction="none")
    if settings.focal_loss:
        weights = weights * focal_weight(torch.exp(-errors.detach()))
    return weights * errors


def _tree_loss(tree: Tree, flat: Tensor, pairs: ClassPairs) -> tuple[Tensor, Tensor]:
    """Return the cross entropy of each group on the path from a class to its root, and the cells.

    If several pairs of a cell set the same group, the last one counts.
    """
    path = class_paths(pairs.labels, tree)  # [K, levels]
    pair, level = torch.nonzero(path != NONE, as_tuple=True)
    classes, cells = path[pair, level], pairs.cells[pair]
    group = tree.group.to(classes.device)[classes]
    last = last_occurrence(cells * tree.groups + group)
    unique, row = torch.unique(cells, return_inverse=True)
    log_probs = group_log_softmax(flat[unique, COORDS + 1 :], tree)
    return -(pairs.weights[pair] * log_probs[row, classes])[last], cells[last]
