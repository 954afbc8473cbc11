"""What the losses of [yolo] and [Gaussian_yolo] share: objectness, classes, and the pairs that the box loss is about.

Sources: AlexeyAB yolo_layer.c process_batch and delta_yolo_class; gaussian_yolo_layer.c says the same in fewer words.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.model.heads.yolo import GaussianYoloHead, YoloHead, YoloSettings
from yolo.records import Targets
from yolo.train.losses.assign import Assignment

FOCAL_ALPHA = 0.5  # AlexeyAB delta_yolo_class

FOCAL_EPSILON = 1e-15  # keeps its logarithm finite

CellHead = YoloHead | GaussianYoloHead


@dataclass(frozen=True)
class Pairs:
    """K pairs of a cell and a ground truth, as a box loss needs them.

    t: raw x, y, w, h `[K, 4]`; place: (column, row) of the cell `[K, 2]`; anchors: (w, h) in pixels `[K, 2]`;
    ground truth: cxcywh 0..1 `[K, 4]`; grid: (rows, columns) of the map.
    """

    t: Tensor
    place: Tensor
    anchors: Tensor
    ground_truth: Tensor
    grid: tuple[int, int]


def pairs_of(
    head: CellHead, boxes: Tensor, targets: Targets, assignment: Assignment, grid: tuple[int, int]
) -> Pairs:
    """The pairs of an assignment. boxes: raw x, y, w, h of all cells `[B*A*H*W, 4]`."""
    cells, (height, width) = assignment.cells, grid
    return Pairs(
        t=boxes[cells],
        place=torch.stack((cells % width, cells // width % height), dim=-1),
        anchors=head.all_anchors[assignment.anchors],
        ground_truth=targets.boxes[assignment.ground_truths],
        grid=grid,
    )


def objectness_loss(
    head: CellHead, settings: YoloSettings, raw: Tensor, assignment: Assignment, multiplier: Tensor
) -> Tensor:
    """Every cell `[B*A*H*W]` should say 0, the ignored nothing, the assigned 1 (process_batch)."""
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
    last = last_of_each(positive)
    target[positive] = 1.0
    weight[positive[last]] = settings.obj_normalizer * multiplier[last]
    return (weight * _error(head, raw, target)).sum()


def class_loss(
    head: CellHead, settings: YoloSettings, raw: Tensor, targets: Targets, assignment: Assignment
) -> tuple[Tensor, Tensor]:
    """Sum over the assigned cells, and for each pair the number of classes its cell should believe in more, `[K]`.

    raw: `[B*A*H*W, classes]`. A cell's first ground truth sets all classes; every further one only adds its own class
    (delta_yolo_class).
    """
    cells, row = torch.unique(assignment.cells, return_inverse=True)
    labels = targets.labels[assignment.ground_truths]
    factors = class_multipliers(settings, targets)[assignment.ground_truths]
    raw = raw[cells]  # [U, classes]
    probability = _probability(head, raw.detach())
    first = _first_of_each(row)
    first_row, first_label = row[first], labels[first]
    smooth = settings.label_smooth_eps
    target = torch.full_like(raw, 0 if settings.focal_loss else 0.5 * smooth)
    weight = torch.ones_like(raw)
    target[first_row, first_label] = 1.0 if settings.focal_loss else 1 - 0.5 * smooth
    if settings.focal_loss:
        weight[first_row] *= focal_weight(probability[first_row, first_label])[:, None]
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


def class_multipliers(settings: YoloSettings, targets: Targets) -> Tensor:
    """`[M]`: the class weight of each ground truth, from counters_per_class."""
    if not settings.class_multipliers:
        return targets.boxes.new_ones(len(targets.labels))
    return targets.boxes.new_tensor(settings.class_multipliers)[targets.labels]


def last_of_each(keys: Tensor) -> Tensor:
    """bool `[K]`: whether no later entry has the same key."""
    _, group = torch.unique(keys, return_inverse=True)
    position = torch.arange(len(keys), device=keys.device)
    last = torch.zeros_like(position).scatter_reduce(0, group, position, "amax")
    return position == last[group]


def _first_of_each(keys: Tensor) -> Tensor:
    """bool `[K]`: whether no earlier entry has the same key."""
    return last_of_each(keys.flip(0)).flip(0)


def focal_weight(probability: Tensor) -> Tensor:
    """alpha x AlexeyAB's gradient factor of the true class (delta_yolo_class, gamma 2)."""
    p = probability + FOCAL_EPSILON
    return FOCAL_ALPHA * -(1 - p) * (2 * p * p.log() + p - 1)


def _error(head: CellHead, raw: Tensor, target: Tensor) -> Tensor:
    """What Darknet's `target - probability` is the negative derivative of."""
    if head.new_coords:
        return 0.5 * (raw - target).square()
    return F.binary_cross_entropy_with_logits(raw, target, reduction="none")


def _probability(head: CellHead, raw: Tensor) -> Tensor:
    return raw if head.new_coords else torch.sigmoid(raw)
