"""Assignment: which anchors are responsible for which ground truth box, and which cells the objectness loss ignores.

A *cell* here is one anchor at one place of the raw map, so a head has A x H x W cells in each image. Each cell belongs
to one of three groups:

1. **Positive**: the cell is responsible for a ground truth box. Its box, objectness (target 1) and classes are trained.
   - By shape: a ground truth box belongs to the place that contains its center, and there to the anchor, of all heads,
     whose shape has the largest IoU with the box. Only the head with that anchor is trained. With iou_thresh < 1
     (AlexeyAB) all other anchors whose shape has a larger IoU than iou_thresh are responsible too.
   - By prediction: a cell whose predicted box has an IoU above truth_thresh with a ground truth box is responsible for
     it. The default truth_thresh=1 turns this off.
2. **Ignored**: not positive, but the predicted box has an IoU above ignore_thresh with a ground truth box. The
   objectness is not trained: the prediction is too good to be called background. AlexeyAB's Darknet ignores a cell only
   if one of its class probabilities is also above 0.25; pjreddie's has no such condition.
3. **Negative**: all other cells. Only the objectness is trained, with target 0.

Targets and pairs are on the CPU, where the loader makes the targets, and predictions on the device of the network. What
the loss needs of the pairs is copied there. So a GPU is never waited for, as it would be for their number, except with
truth_thresh < 1.

Sources: forward_yolo_layer of pjreddie's yolo_layer.c; process_batch of AlexeyAB's. Redmon and Farhadi, "YOLOv3: An
Incremental Improvement" (2018), section 2.1. [region] and [detection] assign differently: see region.py and yolov1.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_iou, shape_iou
from yolo.model.heads.yolo import YoloHead, YoloSettings, width_and_height
from yolo.records import Targets

MOST_IOU = 1.0  # none is above truth_thresh=1, which turns it off
IGNORE_CLASS_PROBABILITY = 0.25  # AlexeyAB process_batch: compare_yolo_class(..., 0.25f)


@dataclass(frozen=True)
class Dialect:
    """Differences between the two Darknets in the losses.

    ignore_needs_class: a cell is ignored only if one of its class probabilities is above 0.25 (AlexeyAB, since 2019);
    boxes_accumulate: the box errors of several ground truth boxes in one cell add up; otherwise the last one counts;
    extended: the keys that only AlexeyAB's Darknet reads (normalizers, iou_thresh, label smoothing, focal …) count.
    """

    ignore_needs_class: bool
    boxes_accumulate: bool
    extended: bool


DIALECTS = {
    "alexeyab": Dialect(ignore_needs_class=True, boxes_accumulate=True, extended=True),
    "pjreddie": Dialect(ignore_needs_class=False, boxes_accumulate=False, extended=False),
}


@dataclass(frozen=True)
class Assignment:
    """The groups of the cells of one head. Cells are indexed in the flattened `[B, A, H, W]`.

    K pairs of a positive cell and its ground truth box, in the order in which Darknet writes their deltas, on the CPU:
        cell_index: int64 `[K]`; a cell may occur several times.
        target_index: int64 `[K]` into the targets.
        anchor_index: int64 `[K]` into the anchors of all heads.
        by_prediction: int; the first `by_prediction` pairs come from truth_thresh, the others from the shape.
    For all cells, `[B*A*H*W]`, on the device of the predictions:
        ignored: bool; a cell that is also in `cell_index` is positive all the same.
        best_iou: largest IoU of the predicted box with a ground truth box of its image, 0 without any.
        best_target: int64, that ground truth box; 0 without any.
        ignore_iou: the IoU that is compared with ignore_thresh: best_iou, or 0 if the dialect does not count the cell.
    """

    cell_index: Tensor
    target_index: Tensor
    anchor_index: Tensor
    by_prediction: int
    ignored: Tensor
    best_iou: Tensor
    best_target: Tensor
    ignore_iou: Tensor


@dataclass(frozen=True)
class PositiveBoxes:
    """What the box loss needs of K pairs of a positive cell and its ground truth box.

    raw: raw x, y, w, h of the cell `[K, 4]`, with gradient; cells: (column, row) of its place `[K, 2]`; anchors: its
    anchor's (width, height) in network-input pixels `[K, 2]`; ground_truth: cxcywh `[K, 4]`, 0..1 of the network input;
    grid: (H, W) of the map.
    """

    raw: Tensor
    cells: Tensor
    anchors: Tensor
    ground_truth: Tensor
    grid: tuple[int, int]


@torch.no_grad()
def assign(
    head: YoloHead,
    settings: YoloSettings,
    dialect: Dialect,
    boxes: Tensor,
    class_probs: Tensor,
    targets: Targets,
    grid: tuple[int, int],
) -> Assignment:
    """Assign the targets of a batch to the cells of one head.

    Args:
        head: the head.
        settings: ignore_thresh, truth_thresh and iou_thresh are used.
        dialect: decides which cells are ignored.
        boxes: predicted boxes of the head, `[B, A*H*W, 4]` cxcywh, 0..1 of the network input.
        class_probs: predicted class probabilities, `[B, A*H*W, classes]`.
        targets: of the batch, on the CPU; labels are 0..classes-1.
        grid: (H, W) of the map.
    """
    best_iou, best_target = best_targets(boxes, targets)
    ignore_iou = best_iou
    if dialect.ignore_needs_class:
        predicts_a_class = (class_probs > IGNORE_CLASS_PROBABILITY).any(dim=-1).flatten()
        ignore_iou = best_iou * predicts_a_class
    cell_index, target_index, anchor_index = assign_by_shape(head, settings, targets, grid)
    by_prediction = predicted_target = cell_index.new_zeros(0)
    if settings.truth_thresh < MOST_IOU:
        cells = torch.nonzero(best_iou > settings.truth_thresh)[:, 0]
        by_prediction, predicted_target = cells.cpu(), best_target[cells].cpu()
    head_anchors = torch.tensor(head.anchor_ids)
    anchor_of_cell = by_prediction // (grid[0] * grid[1]) % len(head_anchors)
    return Assignment(
        cell_index=torch.cat((by_prediction, cell_index)),
        target_index=torch.cat((predicted_target, target_index)),
        anchor_index=torch.cat((head_anchors[anchor_of_cell], anchor_index)),
        by_prediction=len(by_prediction),
        ignored=ignore_iou > settings.ignore_thresh,
        best_iou=best_iou,
        best_target=best_target,
        ignore_iou=ignore_iou,
    )


def best_targets(boxes: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Return the largest IoU of each predicted box with a target of its image, and the index of that target.

    boxes: `[B, P, 4]` cxcywh → float `[B*P]`, int64 `[B*P]`; 0 and 0 for an image without targets. targets: on the CPU.
    """
    batch, predictions, _ = boxes.shape
    if len(targets.labels) == 0:
        zeros = boxes.new_zeros(batch * predictions)
        return zeros, zeros.long()
    order = torch.argsort(targets.image_index, stable=True)
    images = targets.image_index[order]
    counts = torch.bincount(images, minlength=batch)
    starts = torch.cumsum(counts, dim=0) - counts
    slots = torch.arange(len(order), device=order.device) - starts[images]  # 0, 1, … in each image
    most = int(counts.max())
    padded_boxes = torch.zeros(batch, most, 4, dtype=boxes.dtype)  # the IoU with an empty box is 0
    padded_boxes[images, slots] = cxcywh_to_xyxy(targets.boxes[order])
    padded_index = order.new_zeros(batch, most)
    padded_index[images, slots] = order
    padded_boxes, padded_index = to_device(padded_boxes, boxes.device), to_device(padded_index, boxes.device)
    ious = paired_iou(cxcywh_to_xyxy(boxes)[:, :, None], padded_boxes[:, None])  # [B, P, most]
    best_iou, slot = ious.max(dim=-1)
    return best_iou.flatten(), padded_index.gather(1, slot).flatten()


def assign_by_shape(
    head: YoloHead, settings: YoloSettings, targets: Targets, grid: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign each target to the anchor with the most similar shape, and to all with an IoU above iou_thresh.

    Of equally good anchors the first one is taken. A center on the right or bottom border belongs to the last cell.

    Args:
        head: only pairs with anchors of this head are returned.
        settings: iou_thresh and iou_thresh_overlap are used.
        targets: of the batch, on the CPU.
        grid: (H, W) of the map.

    Returns:
        cell_index, target_index, anchor_index, int64 `[K]` each, as in Assignment: target by target, the best anchor
        before the others.
    """
    height, width = grid
    network_size = width_and_height(head.anchors_on_cpu, width * head.stride[1], height * head.stride[0])
    best, responsible = _responsible_anchors(settings, targets.boxes[:, 2:], head.anchors_on_cpu / network_size)
    total = responsible.shape[1]
    number_in_head = torch.full((total,), -1)  # -1: of another head
    number_in_head[list(head.anchor_ids)] = torch.arange(len(head.anchor_ids))
    target_index, anchor_index = torch.nonzero(responsible & (number_in_head >= 0), as_tuple=True)
    rank = torch.where(anchor_index == best[target_index], 0, anchor_index + 1)
    order = torch.argsort(target_index * (total + 1) + rank)
    target_index, anchor_index = target_index[order], anchor_index[order]
    size = torch.tensor([width, height])
    centers = (targets.boxes[target_index, :2] * size).long()
    column, row = torch.minimum(centers, size - 1).unbind(dim=-1)
    image_and_anchor = targets.image_index[target_index] * len(head.anchor_ids) + number_in_head[anchor_index]
    return (image_and_anchor * height + row) * width + column, target_index, anchor_index


def _responsible_anchors(settings: YoloSettings, sizes: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the anchor with the most similar shape, int64 `[M]`, and all that are responsible, bool `[M, T]`.

    sizes: (width, height) of the targets, `[M, 2]`; anchors: of all heads, `[T, 2]`; both 0..1 of the network input.
    """
    numbers = torch.arange(len(anchors))
    shape_ious = shape_iou(sizes, anchors)  # [M, T]
    is_largest = shape_ious == shape_ious.amax(dim=1, keepdim=True)
    best = torch.where(is_largest, numbers, len(anchors)).amin(dim=1)
    responsible = numbers == best[:, None]
    if settings.iou_thresh < 1:
        anchor_boxes, target_boxes = (  # xyxy around one center
            torch.cat((-shapes, shapes), dim=-1) / 2 for shapes in (anchors, sizes)
        )
        overlaps = settings.iou_thresh_overlap(anchor_boxes[None], target_boxes[:, None])
        responsible = responsible | (overlaps > settings.iou_thresh)
    return best, responsible


def positive_boxes(
    head: YoloHead, raw: Tensor, targets: Targets, assignment: Assignment, grid: tuple[int, int]
) -> PositiveBoxes:
    """Collect what the box loss needs of each pair, on the device of `raw`.

    Args:
        head: the head.
        raw: raw x, y, w, h of all cells, `[B*A*H*W, 4]`.
        targets: of the batch, on the CPU.
        assignment: of the targets to the head.
        grid: (H, W) of the map.
    """
    cells, (height, width) = assignment.cell_index, grid
    return PositiveBoxes(
        raw=raw[to_device(cells, raw.device)],
        cells=to_device(torch.stack((cells % width, cells // width % height), dim=-1), raw.device),
        anchors=to_device(head.anchors_on_cpu[assignment.anchor_index], raw.device),
        ground_truth=to_device(targets.boxes[assignment.target_index], raw.device),
        grid=grid,
    )


def last_occurrence(keys: Tensor) -> Tensor:
    """Return bool `[K]`: whether no later entry of `keys` is equal."""
    _, group = torch.unique(keys, return_inverse=True)
    position = torch.arange(len(keys), device=keys.device)
    last = torch.zeros_like(position).scatter_reduce(0, group, position, "amax")
    return position == last[group]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on another device. The copy to a GPU is asynchronous: neither waits for the other."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
