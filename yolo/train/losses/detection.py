"""The loss of a detection network: raw maps + targets → a scalar whose gradient is Darknet's delta.

Each kind of head has its own file; here they are added up and divided by the number of images, as Darknet's update
does (convolutional_layer.c update_convolutional_layer: learning_rate / batch).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.defaults import BOX_GRADIENTS
from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolo import GaussianYoloHead, YoloHead
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.network import Network
from yolo.records import Targets
from yolo.settings import HeadSettings
from yolo.train.losses.assign import DIALECTS
from yolo.train.losses.gaussian_yolo import gaussian_yolo_loss
from yolo.train.losses.head_loss import HeadLoss, Rules
from yolo.train.losses.region import region_loss
from yolo.train.losses.yolo import yolo_loss
from yolo.train.losses.yolov1 import detection_loss

HEAD_LOSSES: dict[type[nn.Module], Callable[..., HeadLoss]] = {
    YoloHead: yolo_loss,
    GaussianYoloHead: gaussian_yolo_loss,
    RegionHead: region_loss,
    YoloV1Head: detection_loss,
}

RECALL_IOUS = (0.5, 0.75)  # of Darknet's log line


@dataclass(frozen=True)
class Losses:
    """The loss of a batch, an image: total = box + objectness + classification, divided by B.

    total carries the gradient; everything else is detached. iou: mean IoU of the `assigned` pairs with their
    ground truths (0 when there are none); heads: the same, head by head, as sums over the batch.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classification: Tensor
    iou: Tensor
    assigned: int
    heads: tuple[HeadLoss, ...] = ()

    def scalars(self) -> dict[str, Tensor | float]:
        """What is worth watching, by name; the names of one head end with its number, from 0."""
        images = {
            "loss/total": self.total.detach(),
            "loss/box": self.box,
            "loss/objectness": self.objectness,
            "loss/classification": self.classification,
            "train/iou": self.iou,
        }
        for number, head in enumerate(self.heads):
            images |= _head_scalars(head, number)
        return images


class DetectionLoss:
    """`loss(raw, targets, seen)` for all heads of a network. d(total)/d(raw map) = -delta / B.

    Args:
        network: its heads are trained.
        dialect: "alexeyab" or "pjreddie", whose arithmetic to follow.
        box_gradient: of iou_loss iou, giou, diou and ciou: "darknet", Darknet's own formula, or "autograd", the true
            gradient.
        head_settings: one for each head; default: what the cfg says.
        class_map: int64 `[L]`, the class of the heads for each label of the data set (`map` of a [region]); default:
            a label is the class of the same number.

    Raises:
        ValueError: another dialect or gradient, or a network without a head that can be trained.
    """

    def __init__(
        self,
        network: Network,
        dialect: str = "alexeyab",
        box_gradient: str = "darknet",
        *,
        head_settings: Sequence[HeadSettings] | None = None,
        class_map: Tensor | None = None,
    ) -> None:
        for what, found, known in (
            ("dialect", dialect, DIALECTS), ("box_gradient", box_gradient, BOX_GRADIENTS),
        ):  # fmt: skip
            if found not in known:
                raise ValueError(f"found {what} {found!r}, expected one of {', '.join(known)}")
        if not network.heads:
            raise ValueError(
                "found a network without a detection head, expected at least one [yolo]"
            )
        for index in network.heads:
            if type(network.layers[index]) not in HEAD_LOSSES:
                raise ValueError(
                    f"found layer {index} [{network.kinds[index]}], expected a head that can be trained"
                )
        self.dialect = DIALECTS[dialect]
        self.box_gradient = box_gradient
        self.heads = [network.layers[index] for index in network.heads]
        self.settings = network.head_settings if head_settings is None else tuple(head_settings)
        self.class_map = class_map

    def __call__(self, raw: Sequence[Tensor], targets: Targets, seen: int = 0) -> Losses:
        """Raw maps `[B, A*(5+classes), H, W]`, one a head, and the targets of the batch → Losses.

        seen: images that the network was trained on before; [region] and [detection] begin otherwise.
        """
        rules = Rules(self.dialect, seen, self.box_gradient)
        targets = self._with_head_classes(targets)
        parts = [
            HEAD_LOSSES[type(head)](head, settings, rules, map_, targets)
            for head, settings, map_ in zip(self.heads, self.settings, raw, strict=True)
        ]
        box, objectness, classification = (
            torch.stack([getattr(part, name) for part in parts]).sum() / len(raw[0])
            for name in ("box", "objectness", "classification")
        )
        ious = torch.cat([part.ious for part in parts])
        return Losses(
            total=box + objectness + classification,
            box=box.detach(),
            objectness=objectness.detach(),
            classification=classification.detach(),
            iou=ious.sum() / max(1, len(ious)),
            assigned=len(ious),
            heads=tuple(_detached(part) for part in parts),
        )

    def _with_head_classes(self, targets: Targets) -> Targets:
        """Return the targets with the classes of the heads as labels.

        Targets with a label that the heads do not have are left out, as in AlexeyAB's. So are those with a label
        beyond the end of the class map, where Darknet reads beyond its end.
        """
        classes = self.heads[0].classes
        if self.class_map is not None:
            classes = min(classes, len(self.class_map))
        known = (targets.labels >= 0) & (targets.labels < classes)
        targets = Targets(*(tensor[known] for tensor in targets))
        if self.class_map is None:
            return targets
        return targets._replace(labels=self.class_map.to(targets.labels.device)[targets.labels])


def _detached(part: HeadLoss) -> HeadLoss:
    return HeadLoss(
        part.box.detach(), part.objectness.detach(), part.classification.detach(),
        part.ious, part.cells, part.ignored,
    )  # fmt: skip


def _head_scalars(head: HeadLoss, number: int) -> dict[str, Tensor | float]:
    """One head's losses, mean IoU, recall, and shares of its cells."""
    pairs, count = max(1, len(head.ious)), len(head.ious)
    values: dict[str, Tensor | float] = {
        "loss_box": head.box,
        "loss_objectness": head.objectness,
        "loss_classification": head.classification,
        "iou": head.ious.sum() / pairs,
        "assigned_share": count / max(1, head.cells),
        "ignored_share": head.ignored / max(1, head.cells),
    }
    for least in RECALL_IOUS:
        values[f"recall_{round(100 * least)}"] = (head.ious > least).sum() / pairs
    return {f"heads/{name}_{number}": value for name, value in values.items()}
