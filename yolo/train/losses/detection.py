"""The loss of a detection network: raw maps and targets → a scalar whose gradient is Darknet's delta.

The loss of each kind of head has its own file. Here they are added up and divided by the number of images, as Darknet's
update does (convolutional_layer.c update_convolutional_layer: learning_rate / batch). For a [yolo] head the way is

    DetectionLoss.__call__   labels → classes of the heads
    yolo.py yolo_terms       box, objectness and class loss of one head, term by term
    assign.py assign         which anchors are responsible for which box, and which cells are ignored
    box_gradient.py          the gradient of iou_loss
    head_loss.py summed      the terms of a head added up

region.py and yolov1.py hold the losses and the assignment of the older heads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yolo.defaults import BOX_GRADIENTS
from yolo.model.network import Network
from yolo.records import Targets
from yolo.settings import HeadSettings
from yolo.train.losses.assign import DIALECTS
from yolo.train.losses.gaussian_yolo import gaussian_yolo_terms
from yolo.train.losses.head_loss import HeadLoss, HeadTerms, LossOptions, summed
from yolo.train.losses.region import region_terms
from yolo.train.losses.yolo import yolo_terms
from yolo.train.losses.yolov1 import yolov1_terms

HEAD_TERMS: dict[str, Callable[..., HeadTerms]] = {
    "yolo": yolo_terms,
    "Gaussian_yolo": gaussian_yolo_terms,
    "region": region_terms,
    "detection": yolov1_terms,
}

PARTS = ("box", "objectness", "classification")  # of the loss of a head
RECALL_IOUS = (0.5, 0.75)  # Darknet prints the recall at these


@dataclass(frozen=True)
class Losses:
    """The loss of a batch, divided by the number of images: total = box + objectness + classification.

    total: scalar with a gradient; all others are detached. box, objectness, classification: scalars, its parts.
    objectness_object: scalar, the part of `objectness` in positive cells; the rest is that of the background.
    assigned: number of pairs of a positive cell and its ground truth; iou: their mean IoU, 0 without any.
    heads: the losses of each head, summed over the batch.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    objectness_object: Tensor
    classification: Tensor
    iou: Tensor
    assigned: int
    heads: tuple[HeadLoss, ...] = ()

    def scalars(self) -> dict[str, Tensor | float]:
        """Return the values to log, by name; the names of one head end with its number, from 0."""
        values = {
            "loss/total": self.total.detach(),
            "loss/box": self.box,
            "loss/objectness": self.objectness,
            "loss/classification": self.classification,
            "train/iou": self.iou,
            "loss/objectness_object": self.objectness_object,
            "loss/objectness_background": self.objectness - self.objectness_object,
        }
        for number, head in enumerate(self.heads):
            values |= _head_scalars(head, number)
        return values


class DetectionLoss:
    """The loss of all heads of a network: `loss(raw, targets, seen)` → Losses, d(total)/d(raw map) = -delta / B.

    Args:
        network: the network whose heads are trained.
        dialect: the Darknet whose arithmetic is followed, "alexeyab" or "pjreddie".
        box_gradient: of iou_loss iou, giou, diou and ciou: "darknet", Darknet's own formula, or "autograd", the true
            gradient.
        head_settings: one for each head; default: those of the cfg.
        class_map: int64 `[L]`, the class of the heads for each label of the data set (`map` of a [region]); default:
            a label is the class of the same number.

    Raises:
        ValueError: another dialect or gradient, or a network without a head.
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
            raise ValueError("found a network without a detection head, expected at least one [yolo]")
        self.dialect = DIALECTS[dialect]
        self.box_gradient = box_gradient
        self.heads = [network.layers[index] for index in network.heads]
        self.layers = tuple(network.heads)  # their numbers
        self.kinds = tuple(network.kinds[index] for index in network.heads)
        self.head_terms = [HEAD_TERMS[kind] for kind in self.kinds]
        self.settings = network.head_settings if head_settings is None else tuple(head_settings)
        self.class_map = class_map

    def __call__(self, raw: Sequence[Tensor], targets: Targets, seen: int = 0) -> Losses:
        """Compute the losses of a batch.

        Args:
            raw: raw maps, one a head, e.g. `[B, A*(5+classes), H, W]` of a [yolo].
            targets: of the batch, best on the CPU: from a GPU they are copied back, which waits for it.
            seen: number of images the network was trained on before; [region] and [detection] start with another loss.
        """
        _, heads = self._terms(raw, targets, seen)
        parts = [summed(terms) for terms in heads]
        box, objectness, classification = (
            torch.stack([getattr(part, name) for part in parts]).sum() / len(raw[0]) for name in PARTS
        )
        ious = torch.cat([part.ious for part in parts])
        return Losses(
            total=box + objectness + classification,
            box=box.detach(),
            objectness=objectness.detach(),
            objectness_object=torch.stack([part.objectness_object for part in parts]).sum() / len(raw[0]),
            classification=classification.detach(),
            iou=ious.sum() / max(1, len(ious)),
            assigned=len(ious),
            heads=tuple(replace(part, **{name: getattr(part, name).detach() for name in PARTS}) for part in parts),
        )

    def terms(self, raw: Sequence[Tensor], targets: Targets, seen: int = 0) -> tuple[HeadTerms, ...]:
        """Return the terms of the loss of each head, whose sum is B times the total of `__call__`, of B images.

        raw, seen: as of `__call__`. The indices of targets are those of `targets`.
        """
        known, heads = self._terms(raw, targets, seen)
        index = torch.nonzero(known)[:, 0].to(raw[0].device)  # of the targets that count
        # without a target best_target is 0
        best = [index[terms.best_target] if len(index) else terms.best_target for terms in heads]
        return tuple(
            replace(terms, target_index=index[terms.target_index], best_target=target)
            for terms, target in zip(heads, best, strict=True)
        )

    def _terms(self, raw: Sequence[Tensor], targets: Targets, seen: int) -> tuple[Tensor, list[HeadTerms]]:
        """Return which targets count, bool `[M]`, and the terms of each head, with indices of these targets."""
        options = LossOptions(self.dialect, seen, self.box_gradient)
        known, targets = self._with_head_classes(targets)
        return known, [
            head_terms(head, settings, options, map_, targets)
            for head_terms, head, settings, map_ in zip(self.head_terms, self.heads, self.settings, raw, strict=True)
        ]

    def _with_head_classes(self, targets: Targets) -> tuple[Tensor, Targets]:
        """Return which targets count, bool `[M]`, and these with the classes of the heads as labels, on the CPU.

        Targets with a label that the heads do not have are left out, as in AlexeyAB's. Targets with a label beyond the
        end of the class map are also left out; Darknet reads beyond its end.
        """
        classes = self.heads[0].classes
        if self.class_map is not None:
            classes = min(classes, len(self.class_map))
        targets = Targets(*(tensor.cpu() for tensor in targets))
        known = (targets.labels >= 0) & (targets.labels < classes)
        targets = Targets(*(tensor[known] for tensor in targets))
        if self.class_map is not None:
            targets = targets._replace(labels=self.class_map.cpu()[targets.labels])
        return known, targets


def _head_scalars(head: HeadLoss, number: int) -> dict[str, Tensor | float]:
    """Return the losses of one head, mean IoU, recall, and the fractions of its cells that are positive and ignored.

    The objectness loss also in two parts: that of the positive cells, and the rest, that of the background.
    """
    count, divisor = len(head.ious), max(1, len(head.ious))
    values: dict[str, Tensor | float] = {
        "loss_box": head.box,
        "loss_objectness": head.objectness,
        "loss_classification": head.classification,
        "iou": head.ious.sum() / divisor,
        "assigned_share": count / max(1, head.cells),
        "ignored_share": head.ignored / max(1, head.cells),
    }
    for threshold in RECALL_IOUS:
        values[f"recall_{round(100 * threshold)}"] = (head.ious > threshold).sum() / divisor
    values["loss_objectness_object"] = head.objectness_object
    values["loss_objectness_background"] = head.objectness - head.objectness_object
    return {f"heads/{name}_{number}": value for name, value in values.items()}
