"""The loss of a classifier: the input of its last [softmax] and the targets → a scalar whose gradient is Darknet's
delta.

The delta of Darknet's softmax, logistic and cost layers is target - output, and they pass it on unchanged: the
derivatives of the softmax, the logistic function and the temperature are left out (backward functions of
softmax_layer.c, logistic_layer.c, cost_layer.c). Each loss here is the function with that negative gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.cfg import Section
from yolo.errors import CfgError
from yolo.model.class_tree import Tree
from yolo.model.layers.softmax import SpatialSoftmax, TreeSoftmax
from yolo.model.network import SOFTMAX, Network, last_output

LOGISTIC = "logistic"
COST_TYPES = ("sse", "masked")  # the types of [cost] whose delta is target - output


@dataclass(frozen=True)
class ClassificationLosses:
    """The loss of a batch, divided by the number of images.

    total: scalar with a gradient; top1: fraction of the images whose most probable class is that of the largest target.
    """

    total: Tensor
    top1: Tensor

    def scalars(self) -> dict[str, Tensor | float]:
        """Return the values to log, by name."""
        return {"loss/total": self.total.detach(), "train/top1": self.top1}


class ClassificationLoss:
    """The loss of a classifier: `loss(raw, targets)` → ClassificationLosses.

    d(total)/d(raw) = -weight * (targets - output) / B, where output is that of the last [softmax] or [logistic], or
    the raw values. weight: see `loss_weight`; 1 for a cfg that ends with [softmax]. In a class hierarchy each group is
    a softmax of its own, weighted by the sum of its targets.
    Raises ValueError for a network with a detection head, CfgError for a softmax over the channels of each pixel.
    """

    def __init__(self, network: Network, weight: float = 1.0) -> None:
        if network.heads:
            raise ValueError("found a network with a detection head, expected a classifier")
        self.network = network
        self.weight = weight
        last = last_output(network.kinds)
        self.kind = network.kinds[last]
        self.layer = network.layers[last]
        if isinstance(self.layer, SpatialSoftmax):
            raise CfgError(f"layer {last} [{self.kind}]: found spatial=1, expected a softmax of the whole image")

    def __call__(self, raw: Sequence[Tensor], targets: Tensor) -> ClassificationLosses:
        """Compute the loss. raw: output of `network.forward`; targets: float `[B, classes]`."""
        values = raw[0].float().flatten(1)
        targets = targets.to(values.device, non_blocking=True)
        if values.shape != targets.shape:
            raise ValueError(f"found targets of shape {list(targets.shape)}, expected {list(values.shape)}")
        if isinstance(self.layer, TreeSoftmax):
            loss = tree_loss(values, targets, self.layer.tree, self.layer.temperature)
        elif self.kind in SOFTMAX:
            loss = softmax_loss(values, targets, self.layer.groups, self.layer.temperature)
        elif self.kind == LOGISTIC:
            loss = F.binary_cross_entropy(values, targets, reduction="sum")
        else:
            loss = (values - targets).square().sum() / 2
        top1 = self._top1(raw, targets)
        return ClassificationLosses(self.weight * loss / len(values), top1)

    @torch.no_grad()
    def _top1(self, raw: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Compare the leaves of a class hierarchy; an image whose target is not a leaf counts as an error."""
        probabilities = self.network.classify(list(raw)).float()
        if self.network.tree is None:
            return (probabilities.argmax(dim=1) == targets.argmax(dim=1)).float().mean()
        leaf = self.network.tree.leaf.to(targets.device)
        leaf_targets = targets * leaf
        correct = (probabilities * leaf).argmax(dim=1) == leaf_targets.argmax(dim=1)
        return (correct & (leaf_targets > 0).any(dim=1)).float().mean()


def loss_weight(sections: Sequence[Section]) -> float:
    """Return the factor of target - output in the delta of a classifier. sections: of the cfg, [net] first.

    The [softmax] or [logistic] at the end adds 1 (0 with noloss=1), each [cost] after it adds its `scale`: Darknet adds
    them to the same delta, so [softmax] and [cost] have twice the gradient of [softmax] alone.
    Raises CfgError with file and line for a cfg without any of them, and for a [cost] with another delta.
    """
    layers = sections[1:]
    last = last_output([section.kind for section in layers])
    end = layers[last]
    has_loss = end.kind == LOGISTIC or (end.kind in SOFTMAX and not end.flag("noloss"))
    weight = float(has_loss) + sum(_cost_scale(section) for section in layers[last + 1 :])
    if weight <= 0:
        found = f"{end.path}:{end.line}: found [{end.kind}] at the end and no loss"
        raise CfgError(f"{found}, expected [softmax], [logistic] or [cost]")
    return weight


def softmax_loss(values: Tensor, targets: Tensor, groups: int, temperature: float) -> Tensor:
    """Return the cross entropy of each of `groups` equal parts of the classes, summed over the batch.

    In a part whose targets do not add up to 1 (without the true class) the gradient is softmax - target too, as in
    Darknet.

    Args:
        values: input of the softmax, `[B, N]`.
        targets: `[B, N]`.
        groups: number of parts.
        temperature: of the softmax.
    """
    parts = values.reshape(len(values), groups, -1) / temperature
    return temperature * torch.logsumexp(parts, dim=-1).sum() - (values * targets).sum()


def tree_loss(values: Tensor, targets: Tensor, tree: Tree, temperature: float) -> Tensor:
    """Return the cross entropy of each group of a class hierarchy, weighted by the sum of its targets: 1 on the
    path, or 0.

    Source: softmax_layer.c forward_softmax_layer_gpu, which masks the groups off the path; the CPU code does not.

    Args:
        values: input of the softmax, `[B, N]`.
        targets: `[B, N]`.
        tree: the hierarchy.
        temperature: of the softmax.
    """
    scaled = values / temperature
    group = tree.group.to(values.device)
    empty = values.new_zeros(len(values), tree.groups)
    largest = empty.scatter_reduce(1, group.expand_as(scaled), scaled.detach(), "amax", include_self=False)
    sums = empty.index_add(1, group, torch.exp(scaled - largest[:, group]))
    group_targets = empty.index_add(1, group, targets)
    return temperature * (group_targets * (largest + sums.log())).sum() - (values * targets).sum()


def _cost_scale(cost: Section) -> float:
    cost.choice("type", "sse", COST_TYPES)
    for key in ("ratio", "thresh"):  # they drop small deltas, which is not supported
        if cost.number(key, 0.0) != 0:
            raise cost.error(key, "0 in the training of a classifier")
    return cost.number("scale", 1.0)
