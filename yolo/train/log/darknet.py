"""Darknet's own log lines: what both Darknets print for each head and each step of training.

The loss that Darknet prints is a sum of squared deltas. It is not the function that is minimized, so it is computed
beside the loss.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy, paired_giou, paired_iou
from yolo.model.heads.yolo import IOU_LOSSES, YoloHead, YoloSettings
from yolo.model.network import Network
from yolo.records import LossResult, Targets
from yolo.settings import HeadSettings
from yolo.train.log.console import StepReport
from yolo.train.losses.assign import DIALECTS, assign

BOX = 4  # the first channels are x, y, w, h
SECONDS_PER_HOUR = 3600
UNKNOWN_HOURS = -1.0  # detector.c train_detector: avg_time at the start


class HeadStatistics(NamedTuple):
    """Statistics of a [yolo] head in a mini-batch: scalar tensors, or floats.

    count: number of pairs of a cell and the ground truth assigned to it by shape. Means over these pairs, 0 without
    any: iou, giou, class_prob (of the ground truth's class), objectness, recall50 and recall75 (fraction of pairs with
    a larger IoU). mean_objectness: of all cells. cost, cost_without_boxes: sum of the squared deltas, of all channels
    and without x, y, w, h.
    """

    count: Tensor | float
    iou: Tensor | float
    giou: Tensor | float
    class_prob: Tensor | float
    objectness: Tensor | float
    recall50: Tensor | float
    recall75: Tensor | float
    mean_objectness: Tensor | float
    cost_without_boxes: Tensor | float
    cost: Tensor | float


@dataclass(frozen=True)
class HeadReport:
    """A [yolo] head in a mini-batch: layer number, settings, number of images, statistics."""

    layer: int
    settings: YoloSettings
    images: int
    statistics: HeadStatistics


@dataclass(frozen=True)
class DarknetLosses:
    """The losses of a mini-batch, with Darknet's own loss (for one image) and a report for each [yolo]."""

    losses: LossResult
    darknet_loss: Tensor
    reports: Sequence[HeadReport]
    line_of: Callable[[HeadReport], str]

    @property
    def total(self) -> Tensor:
        return self.losses.total

    def scalars(self) -> dict[str, Tensor | float]:
        """Return the scalars of `losses`, and `loss/darknet`."""
        return {**self.losses.scalars(), "loss/darknet": self.darknet_loss}

    def lines(self) -> list[str]:
        """Return Darknet's line of each [yolo]."""
        return [self.line_of(report) for report in self.reports]


class DarknetLoss:
    """A DetectionLoss that also computes Darknet's loss and the statistics that Darknet prints.

    The deltas are those of a copy of the raw maps, so training is the same with and without it. Heads that are not
    [yolo] count in Darknet's loss but have no line.
    """

    def __init__(
        self,
        loss: Callable[[Sequence[Tensor], Targets, int], LossResult],
        network: Network,
        dialect: str,
        head_settings: Sequence[HeadSettings] | None = None,
    ) -> None:
        """Wrap a loss.

        Args:
            loss: the DetectionLoss.
            network: the network of `loss`.
            dialect: the dialect of `loss`, "alexeyab" or "pjreddie"; also decides the lines.
            head_settings: one for each head; default: those of the cfg.
        """
        if head_settings is None:
            head_settings = network.head_settings
        self.loss = loss
        self.dialect = dialect
        self.heads = [
            (index, network.layers[index], settings)
            for index, settings in zip(network.heads, head_settings, strict=True)
        ]

    def __call__(self, raw: Sequence[Tensor], targets: Targets, seen: int = 0) -> DarknetLosses:
        """Return the losses of raw maps `[B, ., H, W]`, one a head. seen: images trained on before this batch."""
        copies = [map_.detach().float().requires_grad_() for map_ in raw]
        with torch.enable_grad():
            total = self.loss(copies, targets, seen).total
        images, costs, reports = len(raw[0]), [], []
        gradients = torch.autograd.grad(total, copies)
        for (layer, head, settings), copy, gradient in zip(self.heads, copies, gradients, strict=True):
            delta = -gradient * images
            if isinstance(head, YoloHead) and not head.gaussian:
                statistics = head_statistics(head, settings, self.dialect, copy, delta, targets)
                reports.append(HeadReport(layer, settings, images, statistics))
                costs.append(head_cost(settings, self.dialect, statistics))
            else:
                costs.append(sum_of_squares(delta))
        # network.c get_network_cost, train_network
        darknet_loss = torch.stack(costs).mean() / images
        losses = self.loss(raw, targets, seen)
        return DarknetLosses(losses, darknet_loss, reports, HEAD_LINES[self.dialect])


@torch.no_grad()
def head_statistics(
    head: YoloHead,
    settings: YoloSettings,
    dialect: str,
    raw: Tensor,
    delta: Tensor,
    targets: Targets,
) -> HeadStatistics:
    """Compute the statistics that forward_yolo_layer prints.

    Args:
        head, settings: of the [yolo].
        dialect: "alexeyab" or "pjreddie".
        raw: its raw map `[B, A*(5+classes), H, W]`.
        delta: Darknet's delta of the map, same shape.
        targets: of the batch.
    """
    differences = DIALECTS[dialect]
    if not differences.extended:
        settings = replace(settings, iou_thresh=1.0)
    targets = Targets(*(tensor.cpu() for tensor in targets))
    known = (targets.labels >= 0) & (targets.labels < head.classes)
    targets = Targets(*(tensor[known] for tensor in targets))
    boxes, objectness, class_probs = head.decode(raw)
    grid = (raw.shape[-2], raw.shape[-1])
    assignment = assign(head, settings, differences, boxes, class_probs, targets, grid)
    by_shape = slice(assignment.by_prediction, None)
    cells, ground_truths = (each[by_shape].to(raw.device) for each in (assignment.cell_index, assignment.target_index))
    targets = targets.to(raw.device)
    predicted = cxcywh_to_xyxy(boxes.flatten(0, 1)[cells])
    expected = cxcywh_to_xyxy(targets.boxes[ground_truths])
    iou = paired_iou(predicted, expected)
    return HeadStatistics(
        count=torch.tensor(len(cells), device=raw.device),
        iou=_mean(iou),
        giou=_mean(paired_giou(predicted, expected)),
        class_prob=_mean(class_probs.flatten(0, 1)[cells, targets.labels[ground_truths]]),
        objectness=_mean(objectness.flatten()[cells]),
        recall50=_mean((iou > 0.5).float()),
        recall75=_mean((iou > 0.75).float()),
        mean_objectness=objectness.mean(),
        cost_without_boxes=sum_of_squares(head.split(delta)[..., BOX:]),
        cost=sum_of_squares(delta),
    )


def sum_of_squares(delta: Tensor) -> Tensor:
    """Return the sum of squares as a scalar float64 (Darknet's mag_array, squared)."""
    return delta.double().square().sum()


def head_cost(settings: YoloSettings, dialect: str, statistics: HeadStatistics) -> Tensor:
    """Return the cost of a head, summed over images (both yolo_layer.c, forward_yolo_layer).

    In AlexeyAB's, with an iou_loss, 1 - mean IoU (or GIoU) replaces the deltas of the boxes. diou and ciou count as
    iou.
    """
    if dialect == "pjreddie" or settings.box_overlap is None:
        return statistics.cost
    overlap = statistics.giou if printed_iou_loss(settings) == "giou" else statistics.iou
    box_cost = (1 - overlap) * (statistics.count > 0)
    return settings.obj_normalizer * statistics.cost_without_boxes + settings.iou_normalizer * box_cost


def alexeyab_line(report: HeadReport) -> str:
    """Format the line of a head as AlexeyAB yolo_layer.c forward_yolo_layer with show_details=1.

    Its class_loss is the cost of objectness and classes times obj_normalizer, its iou_loss is the rest.
    """
    settings, statistics = report.settings, _floats(report.statistics)
    others = settings.obj_normalizer * statistics.cost_without_boxes
    class_loss, boxes, total = (value / report.images for value in (others, statistics.cost - others, statistics.cost))
    return (
        f"v3 ({printed_iou_loss(settings)} loss, Normalizer: (iou: {settings.iou_normalizer:.2f}, "
        f"obj: {settings.obj_normalizer:.2f}, cls: {settings.cls_normalizer:.2f}) "
        f"Region {report.layer} Avg (IOU: {statistics.iou:f}), count: {max(1, round(statistics.count))}, "
        f"class_loss = {class_loss:f}, iou_loss = {boxes:f}, total_loss = {total:f} "
    )


def pjreddie_line(report: HeadReport) -> str:
    """Format the line of a head as pjreddie yolo_layer.c forward_yolo_layer. Where it prints -nan, print 0: the mean of
    no values."""
    statistics = _floats(report.statistics)
    return (
        f"Region {report.layer} Avg IOU: {statistics.iou:f}, Class: {statistics.class_prob:f}, "
        f"Obj: {statistics.objectness:f}, No Obj: {statistics.mean_objectness:f}, .5R: {statistics.recall50:f}, "
        f".75R: {statistics.recall75:f},  count: {round(statistics.count)}"
    )


def alexeyab_step(report: StepReport) -> str:
    """Format the line of a step, with an empty line above it (AlexeyAB detector.c train_detector)."""
    left = report.seconds_left
    hours = left / SECONDS_PER_HOUR if math.isfinite(left) else UNKNOWN_HOURS
    return (
        f"\n {report.step}: {report.loss:f}, {report.average_loss:f} avg loss, {report.learning_rate:f} rate, "
        f"{report.seconds:f} seconds, {report.step * report.images} images, {hours:f} hours left"
    )


def pjreddie_step(report: StepReport) -> str:
    """Format the line of a step (pjreddie examples/detector.c train_detector)."""
    return (
        f"{report.step}: {report.loss:f}, {report.average_loss:f} avg, {report.learning_rate:f} rate, "
        f"{report.seconds:f} seconds, {report.step * report.images} images"
    )


HEAD_LINES = {"alexeyab": alexeyab_line, "pjreddie": pjreddie_line}
STEP_LINES = {"alexeyab": alexeyab_step, "pjreddie": pjreddie_step}


def printed_iou_loss(settings: YoloSettings) -> str:
    """Return the word that AlexeyAB prints for iou_loss: mse, giou, or iou for all others."""
    names = {IOU_LOSSES["mse"]: "mse", IOU_LOSSES["giou"]: "giou"}
    return names.get(settings.box_overlap, "iou")


def _mean(values: Tensor) -> Tensor:
    """Return the mean of `[K]` as a scalar, 0 if K is 0."""
    return values.sum() / max(1, len(values))


def _floats(statistics: HeadStatistics) -> HeadStatistics:
    """Return the statistics as floats, with one transfer from their device."""
    return HeadStatistics(*torch.stack([value.double() for value in statistics]).tolist())
