"""The [detection] loss, of YOLOv1: raw values and the targets → losses whose gradient is Darknet's delta.

Every delta of detection_layer.c forward_detection_layer is a scale times (target - value), so the functions here are
half the squared errors. For classes with softmax they are the cross entropy, because Darknet leaves out the derivative
of the softmax.

Assignment: a ground truth box belongs to the cell that contains its center, and there to one of the cell's boxes
(`_responsible_box`). No cell is ignored. A cell learns only the first of its ground truth boxes; Darknet shuffles them.
The two Darknets differ in the smallest box that counts (data.c fill_truth_region).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.model.heads.yolov1 import YoloV1Head, YoloV1Settings
from yolo.records import Targets
from yolo.train.losses.assign import Dialect
from yolo.train.losses.head_loss import HeadTerms, LossOptions, half_square, no_terms
from yolo.train.losses.yolo import BOX_VALUES

SMALLEST_SIDE = 0.001  # of the network input, AlexeyAB's fill_truth_region
PJREDDIE_SMALLEST_SIDE = 0.005  # the same of pjreddie's
SMALL_AREA = 0.1  # forced: smaller ground truth boxes belong to the second box of a cell, others to the first
RANDOM_IMAGES = 64_000  # random: for so many images the responsible box is chosen at random


def yolov1_terms(
    head: YoloV1Head,
    settings: YoloV1Settings,
    options: LossOptions,
    raw: Tensor,
    targets: Targets,
) -> HeadTerms:
    """Compute the terms of the loss of one head.

    Source: detection_layer.c forward_detection_layer.

    Args:
        head, settings: of the [detection].
        options: dialect and images seen.
        raw: `[B, S²*(classes + 5*boxes), 1, 1]`, or a map of as many values.
        targets: of the batch, on the CPU; labels are 0..classes-1.
    """
    classes, objectness, boxes = (part.flatten(0, 2) for part in head.split(raw))  # [B*S*S, ·]
    targets = targets.to(raw.device)
    # K cells with ground truth
    first, cells = _first_target_of_each_cell(head, options.dialect, len(raw), targets)
    targets = Targets(*(tensor[first] for tensor in targets))
    corner = torch.stack((cells % head.side, cells // head.side % head.side), dim=-1)
    offsets = targets.boxes[:, :2] * head.side - corner  # relative to the cell, 0..1
    ground_truth = torch.cat((offsets, targets.boxes[:, 2:]), dim=-1)
    overlaps, distances = _compare(head, boxes[cells].detach(), ground_truth)
    at_random = settings.random and options.seen + len(raw) < RANDOM_IMAGES  # counts this batch
    chosen = _responsible_box(settings, overlaps, distances, ground_truth, bool(at_random))
    ious = overlaps.gather(1, chosen[:, None])[:, 0]

    if head.squared:
        ground_truth = torch.cat((ground_truth[:, :2], ground_truth[:, 2:].sqrt()), dim=-1)
    box = settings.scales.coord_scale * half_square(boxes[cells, chosen], ground_truth)
    errors = _objectness_errors(settings, objectness, cells, chosen, ious)
    places = head.side**2
    positive = (cells // places * head.boxes + chosen) * places + cells % places
    return HeadTerms(
        shape=(len(raw), head.boxes, head.side, head.side),
        cell_index=positive,
        target_index=first,
        by_prediction=0,
        ious=ious,
        box=box.sum(dim=-1),
        box_parts=box.detach(),
        box_names=BOX_VALUES,
        priors=no_terms(errors),
        objectness=errors.reshape(len(raw), places, head.boxes).transpose(1, 2).reshape(-1),
        positive=positive,
        classification=settings.scales.class_scale * _class_errors(head, classes[cells], targets.labels),
        class_cells=positive,
        ignored=torch.zeros(errors.numel(), dtype=torch.bool, device=raw.device),
        best_iou=no_terms(errors),
        best_target=no_terms(errors).long(),
    )


def _first_target_of_each_cell(
    head: YoloV1Head, dialect: Dialect, batch: int, targets: Targets
) -> tuple[Tensor, Tensor]:
    """Return the targets that count, and their cells of the flattened `[B, S, S]`, int64 `[K]` both.

    Source: data.c fill_truth_region.

    A center on the right or bottom border belongs to the last cell; Darknet writes it into the next row.
    """
    smallest = SMALLEST_SIDE if dialect.extended else PJREDDIE_SMALLEST_SIDE
    large = torch.nonzero((targets.boxes[:, 2:] >= smallest).all(dim=-1))[:, 0]
    targets = Targets(*(tensor[large] for tensor in targets))
    column, row = (targets.boxes[:, :2] * head.side).long().clamp(max=head.side - 1).unbind(dim=-1)
    cells = (targets.image_index * head.side + row) * head.side + column
    numbers = torch.arange(len(cells), device=cells.device)
    first = torch.full((batch * head.side**2,), len(cells), device=cells.device)
    first = first.scatter_reduce(0, cells, numbers, "amin")
    taken = torch.nonzero(first < len(cells))[:, 0]
    return large[first[taken]], taken


def _compare(head: YoloV1Head, predicted: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the IoU and the squared distance of each box of a cell and its ground truth, `[K, boxes]` both.

    The distance is that of all four numbers (box.c box_rmse). predicted: `[K, boxes, 4]`; ground_truth: `[K, 4]`,
    centers relative to the cell.
    """
    shapes = predicted[..., 2:].square() if head.squared else predicted[..., 2:]
    boxes = torch.cat((predicted[..., :2] / head.side, shapes), dim=-1)
    target = torch.cat((ground_truth[:, :2] / head.side, ground_truth[:, 2:]), dim=-1)[:, None]
    overlaps = paired_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target))
    return overlaps, (boxes - target).square().sum(dim=-1)


def _responsible_box(
    settings: YoloV1Settings,
    overlaps: Tensor,
    distances: Tensor,
    ground_truth: Tensor,
    at_random: bool,
) -> Tensor:
    """Return which box of its cell is responsible for each ground truth box, int64 `[K]`.

    It is the one with the largest IoU, or the nearest if none overlaps; of equal ones the first. With `forced` the size
    of the ground truth decides; a cell with one box then uses that one. `at_random` overrides both.
    overlaps, distances: `[K, boxes]`, as `_compare` returns them; ground_truth: `[K, 4]`.
    """
    count = overlaps.shape[1]
    nearest = distances.sort(dim=1, stable=True).indices[:, 0]
    largest = overlaps.sort(dim=1, descending=True, stable=True).indices[:, 0]
    chosen = torch.where((overlaps > 0).any(dim=1), largest, nearest)
    if settings.forced:
        small = ground_truth[:, 2] * ground_truth[:, 3] < SMALL_AREA
        chosen = small.long().clamp(max=count - 1)
    if at_random:
        chosen = torch.randint_like(chosen, count)
    return chosen


def _objectness_errors(
    settings: YoloV1Settings, objectness: Tensor, cells: Tensor, chosen: Tensor, ious: Tensor
) -> Tensor:
    """Return the weighted objectness error of every box `[B*S*S, boxes]`.

    Args:
        settings: of the [detection]; with rescore the target of a responsible box is its IoU, else 1.
        objectness: predicted, `[B*S*S, boxes]`.
        cells: of the ground truth, int64 `[K]`.
        chosen: the responsible box of each of these cells, int64 `[K]`.
        ious: of these boxes with the ground truth, `[K]`.
    """
    scales = settings.scales
    target = torch.zeros_like(objectness)
    weight = torch.full_like(objectness, scales.noobject_scale)
    target[cells, chosen] = ious if scales.rescore else torch.ones_like(ious)
    weight[cells, chosen] = scales.object_scale
    return weight * half_square(objectness, target)


def _class_errors(head: YoloV1Head, values: Tensor, labels: Tensor) -> Tensor:
    """Return the class error of the cells with ground truth `[K]`. values: `[K, classes]`; labels: `[K]`."""
    if head.softmax:
        return F.cross_entropy(values, labels, reduction="none")
    target = torch.zeros_like(values).scatter_(1, labels[:, None], 1.0)
    return half_square(values, target).sum(dim=-1)
