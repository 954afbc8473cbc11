"""Darknet's own lines: what each head and each step prints while either Darknet trains.

Its losses are sums of squared deltas, not the ones that are minimized, so that they are worked out beside the loss.
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
from yolo.train.log.console import Told
from yolo.train.losses.assign import DIALECTS, assign

BOX = 4  # x, y, w, h come first

SECONDS_AN_HOUR = 3600

UNKNOWN_HOURS = -1.0  # detector.c train_detector: avg_time before there is one


class HeadNumbers(NamedTuple):
    """What a [yolo] counts in a mini-batch: scalar tensors, or the floats made of them.

    count: pairs of a cell and the ground truth that chose it; means over them, 0 where there are none: iou, ground truth_class and
    ground truth_object (what the cell believes of the ground truth's class and of there being an object), over50 and over75 (the
    share with more IoU than that), giou; everywhere: mean objectness of all cells; other_cost, cost: sums of squared
    deltas, without the boxes' and of all.
    """

    count: Tensor | float
    iou: Tensor | float
    giou: Tensor | float
    ground_truth_class: Tensor | float
    ground_truth_object: Tensor | float
    over50: Tensor | float
    over75: Tensor | float
    everywhere: Tensor | float
    other_cost: Tensor | float
    cost: Tensor | float


@dataclass(frozen=True)
class HeadFigures:
    """One [yolo] in a mini-batch: its layer number, its settings, how many images there were, what it counted."""

    layer: int
    settings: YoloSettings
    images: int
    numbers: HeadNumbers


@dataclass(frozen=True)
class DarknetLosses:
    """The losses of a mini-batch, and beside them Darknet's loss an image and the figures of each [yolo]."""

    losses: LossResult
    loss: Tensor
    figures: Sequence[HeadFigures]
    line_of: Callable[[HeadFigures], str]

    @property
    def total(self) -> Tensor:
        return self.losses.total

    def scalars(self) -> dict[str, Tensor | float]:
        """Those of `losses`, and `loss/darknet`."""
        return self.losses.scalars() | {"loss/darknet": self.loss}

    def lines(self) -> list[str]:
        """A line a [yolo]."""
        return [self.line_of(figures) for figures in self.figures]


class DarknetLoss:
    """`loss`, a DetectionLoss of `network` in `dialect`, which tells Darknet's figures too: as `loss`, but for
    DarknetLosses. Other heads than [yolo] have a share in Darknet's loss and no line.

    The deltas are those of a copy of the raw maps, so that training itself is what it is without them.
    """

    def __init__(
        self,
        loss: Callable[[Sequence[Tensor], Targets, int], LossResult],
        network: Network,
        dialect: str,
        head_settings: Sequence[HeadSettings] | None = None,
    ) -> None:
        if head_settings is None:
            head_settings = network.head_settings
        self.loss = loss
        self.dialect = dialect
        self.heads = [
            (index, network.layers[index], settings)
            for index, settings in zip(network.heads, head_settings, strict=True)
        ]

    def __call__(self, raw: Sequence[Tensor], targets: Targets, seen: int = 0) -> DarknetLosses:
        """raw: `[B, ., H, W]`, one a head; seen: images before these."""
        copies = [map_.detach().float().requires_grad_() for map_ in raw]
        with torch.enable_grad():
            total = self.loss(copies, targets, seen).total
        images, costs, figures = len(raw[0]), [], []
        slopes = torch.autograd.grad(total, copies)
        for (layer, head, settings), copy, slope in zip(self.heads, copies, slopes, strict=True):
            delta = -slope * images
            if isinstance(head, YoloHead):
                numbers = head_numbers(head, settings, self.dialect, copy, delta, targets)
                figures.append(HeadFigures(layer, settings, images, numbers))
                costs.append(COSTS[self.dialect](settings, numbers))
            else:
                costs.append(squares(delta))
        loss = torch.stack(costs).mean() / images  # network.c get_network_cost, train_network
        return DarknetLosses(self.loss(raw, targets, seen), loss, figures, HEAD_LINES[self.dialect])


@torch.no_grad()
def head_numbers(
    head: YoloHead,
    settings: YoloSettings,
    dialect: str,
    raw: Tensor,
    delta: Tensor,
    targets: Targets,
) -> HeadNumbers:
    """What forward_yolo_layer counts. raw, delta: `[B, A*(5+classes), H, W]`, delta as Darknet's."""
    rules = DIALECTS[dialect]
    if not rules.extended:
        settings = replace(settings, iou_thresh=1.0)
    known = (targets.labels >= 0) & (targets.labels < head.classes)
    targets = Targets(*(tensor[known] for tensor in targets))
    boxes, objectness, class_probs = head.decode(raw)
    grid = (raw.shape[-2], raw.shape[-1])
    found = assign(head, settings, rules, boxes, class_probs, targets, grid)
    cells, ground_truths = (
        found.cells[found.by_prediction :],
        found.ground_truths[found.by_prediction :],
    )
    pairs = [
        cxcywh_to_xyxy(each) for each in (boxes.flatten(0, 1)[cells], targets.boxes[ground_truths])
    ]
    iou = paired_iou(*pairs)
    return HeadNumbers(
        count=torch.tensor(len(cells), device=raw.device),
        iou=_mean(iou),
        giou=_mean(paired_giou(*pairs)),
        ground_truth_class=_mean(class_probs.flatten(0, 1)[cells, targets.labels[ground_truths]]),
        ground_truth_object=_mean(objectness.flatten()[cells]),
        over50=_mean((iou > 0.5).float()),
        over75=_mean((iou > 0.75).float()),
        everywhere=objectness.mean(),
        other_cost=squares(head.split(delta)[..., BOX:]),
        cost=squares(delta),
    )


def squares(delta: Tensor) -> Tensor:
    """Scalar float64: the sum of squares (Darknet's mag_array, squared)."""
    return delta.double().square().sum()


def alexeyab_cost(settings: YoloSettings, numbers: HeadNumbers) -> Tensor:
    """A head's cost, of all images: with the overlap losses, its mean takes the place of the boxes' deltas.

    yolo_layer.c forward_yolo_layer; diou and ciou count as iou there.
    """
    if settings.box_overlap is None:
        return numbers.cost
    overlap = numbers.giou if loss_name(settings) == "giou" else numbers.iou
    missing = (1 - overlap) * (numbers.count > 0)
    return settings.obj_normalizer * numbers.other_cost + settings.iou_normalizer * missing


def pjreddie_cost(settings: YoloSettings, numbers: HeadNumbers) -> Tensor:
    """A head's cost, of all images (yolo_layer.c forward_yolo_layer)."""
    return numbers.cost


def alexeyab_line(figures: HeadFigures) -> str:
    """AlexeyAB yolo_layer.c forward_yolo_layer, show_details=1. What it calls class_loss is objectness and classes,
    times obj_normalizer; what it calls iou_loss is the rest.
    """
    settings, numbers = figures.settings, _floats(figures.numbers)
    others = settings.obj_normalizer * numbers.other_cost
    class_loss, boxes, total = (
        value / figures.images for value in (others, numbers.cost - others, numbers.cost)
    )
    return (
        f"v3 ({loss_name(settings)} loss, Normalizer: (iou: {settings.iou_normalizer:.2f}, "
        f"obj: {settings.obj_normalizer:.2f}, cls: {settings.cls_normalizer:.2f}) "
        f"Region {figures.layer} Avg (IOU: {numbers.iou:f}), count: {max(1, round(numbers.count))}, "
        f"class_loss = {class_loss:f}, iou_loss = {boxes:f}, total_loss = {total:f} "
    )


def pjreddie_line(figures: HeadFigures) -> str:
    """pjreddie yolo_layer.c forward_yolo_layer; where it prints -nan for the mean of nothing, here it is 0."""
    numbers = _floats(figures.numbers)
    return (
        f"Region {figures.layer} Avg IOU: {numbers.iou:f}, Class: {numbers.ground_truth_class:f}, "
        f"Obj: {numbers.ground_truth_object:f}, No Obj: {numbers.everywhere:f}, .5R: {numbers.over50:f}, "
        f".75R: {numbers.over75:f},  count: {round(numbers.count)}"
    )


def alexeyab_step(told: Told) -> str:
    """The line of an update (AlexeyAB detector.c train_detector), which stands apart from those of the heads."""
    hours = told.left / SECONDS_AN_HOUR if math.isfinite(told.left) else UNKNOWN_HOURS
    return (
        f"\n {told.step}: {told.loss:f}, {told.average:f} avg loss, {told.rate:f} rate, "
        f"{told.seconds:f} seconds, {told.step * told.images} images, {hours:f} hours left"
    )


def pjreddie_step(told: Told) -> str:
    """The line of an update (pjreddie examples/detector.c train_detector)."""
    return (
        f"{told.step}: {told.loss:f}, {told.average:f} avg, {told.rate:f} rate, "
        f"{told.seconds:f} seconds, {told.step * told.images} images"
    )


COSTS = {"alexeyab": alexeyab_cost, "pjreddie": pjreddie_cost}

HEAD_LINES = {"alexeyab": alexeyab_line, "pjreddie": pjreddie_line}

STEP_LINES = {"alexeyab": alexeyab_step, "pjreddie": pjreddie_step}


def loss_name(settings: YoloSettings) -> str:
    """The word that AlexeyAB prints for iou_loss: mse, giou, or iou for all others."""
    names = {IOU_LOSSES["mse"]: "mse", IOU_LOSSES["giou"]: "giou"}
    return names.get(settings.box_overlap, "iou")


def _mean(values: Tensor) -> Tensor:
    """The mean `[K]` → scalar, 0 of nothing."""
    return values.sum() / max(1, len(values))


def _floats(numbers: HeadNumbers) -> HeadNumbers:
    """The same as floats, in one transfer from where they were computed."""
    return HeadNumbers(*torch.stack([number.double() for number in numbers]).tolist())
