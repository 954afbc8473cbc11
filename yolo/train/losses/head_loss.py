"""Records that the losses of all kinds of heads take and return, the squared error, and the target of a size.

A head's function returns `HeadTerms`, the loss before it is added up. `summed` adds it up for training. yolo/explain
shows the terms themselves.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yolo.train.losses.assign import Dialect


@dataclass(frozen=True)
class LossOptions:
    """Options of a head's loss that are not in its section of the cfg.

    dialect: which Darknet; seen: number of images that the weights were trained on before this batch;
    box_gradient: of iou_loss iou, giou, diou and ciou: "darknet", Darknet's own formula, or "autograd", the true one.
    """

    dialect: Dialect
    seen: int
    box_gradient: str


def half_square(values: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, element by element; its negative derivative is `targets - values`."""
    return 0.5 * (values - targets).square()


def log_size_target(ratio: Tensor, raw: Tensor) -> Tensor:
    """Return the target of raw w, h, `[K, 2]`: the logarithm of a ground truth's size divided by the anchor's.

    The logarithm of a width of 0 is -inf, and Darknet would write it into the network. There the target is the `raw`
    value itself, so that the loss is 0.
    """
    target = ratio.log()
    return torch.where(target.isfinite(), target, raw.detach())


@dataclass(frozen=True)
class HeadTerms:
    """The terms of the loss of one head, whose sum is its loss for a batch.

    A cell is one anchor (or box number) at one place of the map. The N = B*A*H*W cells are numbered as in the flattened
    `[B, A, H, W]`. K pairs of a positive cell and its ground truth, in Darknet's order; U positive cells.

    shape: (B, A, H, W).
    cell_index, target_index: int64 `[K]`, cell and target of each pair. The first `by_prediction` pairs come from
        truth_thresh, the others from the shape of the target.
    ious: `[K]`, IoU of the predicted box of each pair with its ground truth.
    box: `[K]`, with a gradient: the box loss of each pair, 0 for a pair that a later one in its cell replaces.
    box_parts: `[K, C]`, the parts of `box`, which is the sum of each row; box_names: the names of the C columns.
    priors: `[N]`, with a gradient: the box loss of cells without ground truth, in the first steps of a [region], or
    `[0]`.
    objectness: `[N]`, with a gradient. positive: int64 `[U]`, each cell of `cell_index` once.
    classification: `[V]`, with a gradient; class_cells: int64 `[V]`, its cells.
    ignored: bool `[N]`, whether the predicted box is too good to be background; a positive cell counts as positive.
    best_iou, best_target: `[N]`, the largest IoU of the predicted box with a target, and int64, which one; 0 and 0
        without any. A [detection] ignores no cell and does not compute them: `[0]`.
    """

    shape: tuple[int, int, int, int]
    cell_index: Tensor
    target_index: Tensor
    by_prediction: int
    ious: Tensor
    box: Tensor
    box_parts: Tensor
    box_names: tuple[str, ...]
    priors: Tensor
    objectness: Tensor
    positive: Tensor
    classification: Tensor
    class_cells: Tensor
    ignored: Tensor
    best_iou: Tensor
    best_target: Tensor

    def scaled(self, factor: float) -> "HeadTerms":
        """Return the terms multiplied by a factor."""
        if factor == 1:
            return self
        names = ("box", "box_parts", "priors", "objectness", "classification")
        return replace(self, **{name: factor * getattr(self, name) for name in names})


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one head, summed over a batch.

    box, objectness, classification: scalars with a gradient.
    objectness_object: scalar, detached, the part of `objectness` in positive cells; the rest is that of the background.
    ious: `[K]`, detached, IoU of each pair of a positive cell and its ground truth.
    cells: number of cells (times anchors) in the batch; ignored: scalar, how many of them have no objectness loss.
    """

    box: Tensor
    objectness: Tensor
    objectness_object: Tensor
    classification: Tensor
    ious: Tensor
    cells: int
    ignored: Tensor


def summed(terms: HeadTerms) -> HeadLoss:
    """Add up the terms of a head."""
    box = terms.box.sum()
    return HeadLoss(
        box=box + terms.priors.sum() if len(terms.priors) else box,
        objectness=terms.objectness.sum(),
        objectness_object=terms.objectness.detach()[terms.positive].sum(),
        classification=terms.classification.sum(),
        ious=terms.ious,
        cells=len(terms.objectness),
        ignored=terms.ignored.sum(),
    )


def no_terms(like: Tensor) -> Tensor:
    """Return `[0]`, for terms that a head does not have."""
    return torch.zeros(0, dtype=like.dtype, device=like.device)
