"""The loss of [detection], the head of YOLOv1: its values + targets → scalars whose gradient is Darknet's delta.

Every delta of detection_layer.c forward_detection_layer is a scale times (target - value), so the functions here are
half squared errors and, for classes with softmax, whose derivative Darknet leaves out, the cross entropy.

The two Darknets differ in the smallest side that counts (data.c fill_truth_region). Of several ground truths in a cell the
first one counts; Darknet has shuffled them before.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads.yolov1 import YoloV1Head, YoloV1Settings
from yolo.records import Targets
from yolo.train.losses.head_loss import HeadLoss, Rules

SMALLEST_SIDE = 0.001  # of the network input, AlexeyAB's fill_truth_region,

PJREDDIE_SMALLEST_SIDE = 0.005  # and pjreddie's

SMALL_AREA = 0.1  # forced: smaller ground truths go to a cell's second box, others to its first

RANDOM_IMAGES = 64_000  # random: so long does chance say which box is to learn


def detection_loss(
    head: YoloV1Head, settings: YoloV1Settings, rules: Rules, raw: Tensor, targets: Targets
) -> HeadLoss:
    """Sums over the batch of one head's loss. raw: `[B, S²*(classes + 5*boxes), 1, 1]`, or a map of as many values.

    Labels are 0..classes-1. Source: detection_layer.c forward_detection_layer.
    """
    classes, objectness, boxes = (part.flatten(0, 2) for part in head.split(raw))  # [B*S*S, ·]
    targets, cells = _first_of_each_cell(
        head, rules, len(raw), targets
    )  # K cells with a ground truth
    ground_truth = torch.cat((_places(head, targets, cells), targets.boxes[:, 2:]), dim=-1)
    overlaps, distances = _compare(head, boxes[cells].detach(), ground_truth)
    early = rules.seen + len(raw) < RANDOM_IMAGES  # Darknet has counted this batch already
    chosen = _choose(settings, overlaps, distances, ground_truth, early)
    ious = overlaps.gather(1, chosen[:, None])[:, 0]

    scales = settings.scales
    target = torch.zeros_like(objectness)
    weight = torch.full_like(objectness, scales.noobject_scale)
    target[cells, chosen] = ious if scales.rescore else torch.ones_like(ious)
    weight[cells, chosen] = scales.object_scale
    if head.squared:
        ground_truth = torch.cat((ground_truth[:, :2], ground_truth[:, 2:].sqrt()), dim=-1)
    box_errors = _half_square(boxes[cells, chosen], ground_truth)
    return HeadLoss(
        box=scales.coord_scale * box_errors.sum(),
        objectness=(weight * _half_square(objectness, target)).sum(),
        classification=scales.class_scale * _class_error(head, classes[cells], targets.labels),
        ious=ious,
        cells=objectness.numel(),
        ignored=torch.zeros((), dtype=torch.int64, device=raw.device),
    )


def _first_of_each_cell(
    head: YoloV1Head, rules: Rules, batch: int, targets: Targets
) -> tuple[Targets, Tensor]:
    """The ground truths that count, and their cells `[K]` of the flattened `[B, S, S]` (data.c fill_truth_region).

    A center on the far border belongs to the last cell; Darknet writes it into the next row.
    """
    smallest = SMALLEST_SIDE if rules.dialect.extended else PJREDDIE_SMALLEST_SIDE
    large = (targets.boxes[:, 2:] >= smallest).all(dim=-1)
    targets = Targets(*(tensor[large] for tensor in targets))
    column, row = (targets.boxes[:, :2] * head.side).long().clamp(max=head.side - 1).unbind(dim=-1)
    cells = (targets.image_index * head.side + row) * head.side + column
    numbers = torch.arange(len(cells), device=cells.device)
    first = torch.full((batch * head.side**2,), len(cells), device=cells.device)
    first = first.scatter_reduce(0, cells, numbers, "amin")
    taken = torch.nonzero(first < len(cells))[:, 0]
    return Targets(*(tensor[first[taken]] for tensor in targets)), taken


def _places(head: YoloV1Head, targets: Targets, cells: Tensor) -> Tensor:
    """The centers `[K, 2]` within their cells, 0..1."""
    corner = torch.stack((cells % head.side, cells // head.side % head.side), dim=-1)
    return targets.boxes[:, :2] * head.side - corner


def _compare(head: YoloV1Head, predicted: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and squared distance of each box of a cell, as predicted `[K, boxes, 4]`, and its ground truth `[K, 4]`.

    Both `[K, boxes]`; the distance is that of all four numbers (box.c box_rmse), a center's from the cell's corner.
    """
    shapes = predicted[..., 2:].square() if head.squared else predicted[..., 2:]
    found = torch.cat((predicted[..., :2] / head.side, shapes), dim=-1)
    wanted = torch.cat((ground_truth[:, :2] / head.side, ground_truth[:, 2:]), dim=-1)[:, None]
    overlaps = paired_iou(cxcywh_to_xyxy(found), cxcywh_to_xyxy(wanted))
    return overlaps, (found - wanted).square().sum(dim=-1)


def _choose(
    settings: YoloV1Settings,
    overlaps: Tensor,
    distances: Tensor,
    ground_truth: Tensor,
    early: bool,
) -> Tensor:
    """int64 `[K]`: which box of its cell answers for a ground truth.

    The one of the largest IoU, or the nearest if none overlaps; with forced it goes by the ground truth's size, with random,
    as long as it is `early`, by chance. Of equals the first. Forced with one box a cell takes that, not one beyond it.
    """
    count = overlaps.shape[1]
    nearest = distances.sort(dim=1, stable=True).indices[:, 0]
    largest = overlaps.sort(dim=1, descending=True, stable=True).indices[:, 0]
    chosen = torch.where((overlaps > 0).any(dim=1), largest, nearest)
    if settings.forced:
        small = ground_truth[:, 2] * ground_truth[:, 3] < SMALL_AREA
        chosen = small.long().clamp(max=count - 1)
    if settings.random and early:
        chosen = torch.randint_like(chosen, count)
    return chosen


def _class_error(head: YoloV1Head, values: Tensor, labels: Tensor) -> Tensor:
    """Sum over the cells with a ground truth, `[K, classes]`."""
    if head.softmax:
        return F.cross_entropy(values, labels, reduction="sum")
    target = torch.zeros_like(values).scatter_(1, labels[:, None], 1.0)
    return _half_square(values, target).sum()


def _half_square(values: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (values - targets).square()
