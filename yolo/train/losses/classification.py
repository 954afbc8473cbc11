"""The loss of a classifier: what enters its last [softmax] and the ground truth → a scalar whose gradient is Darknet's delta.

Darknet's softmax, logistic and cost layers hand their delta, ground truth - output, on as it is: no derivative of the softmax,
the sigmoid or the temperature is multiplied in (softmax_layer.c, logistic_layer.c, cost_layer.c, their backward
functions). Each loss here is the function of which that is the negative gradient.
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
from yolo.model.network import SOFTMAX, Network

COST, LOGISTIC = "cost", "logistic"

COSTS = ("sse", "masked")  # of those that Darknet has; ground truth - output is their delta


@dataclass(frozen=True)
class ClassificationLosses:
    """The loss of a batch, an image: total carries the gradient.

    top1: share of the images whose likeliest class is that with the largest part of the ground truth.
    """

    total: Tensor
    top1: Tensor

    def scalars(self) -> dict[str, Tensor | float]:
        """What is worth watching, by name."""
        return {"loss/total": self.total.detach(), "train/top1": self.top1}


class ClassificationLoss:
    """`loss(raw, targets)` for a network without a detection head.

    d(total)/d(raw) = -weight * (targets - output) / B, where output is what the last [softmax] or [logistic] gives, or
    the raw values themselves. weight: as `loss_weight` reads it from the cfg; 1 for one that ends with [softmax].
    Of a class hierarchy each group is a softmax of its own, which counts as much as the ground truth that lies in it.
    Raises ValueError for a network with a detection head, CfgError for a softmax of every pixel.
    """

    def __init__(self, network: Network, weight: float = 1.0) -> None:
        if network.heads:
            raise ValueError("found a network with a detection head, expected a classifier")
        self.network = network
        self.weight = weight
        last = _last_output(network.kinds)
        self.kind = network.kinds[last]
        self.layer = network.layers[last]
        if isinstance(self.layer, SpatialSoftmax):
            raise CfgError(
                f"layer {last} [{self.kind}]: found spatial=1, expected a softmax of the whole image"
            )

    def __call__(self, raw: Sequence[Tensor], targets: Tensor) -> ClassificationLosses:
        """What `network.forward` gave, and the ground truth float `[B, classes]` → ClassificationLosses."""
        values = raw[0].float().flatten(1)
        if values.shape != targets.shape:
            raise ValueError(
                f"found targets of shape {list(targets.shape)}, expected {list(values.shape)}"
            )
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
        """Of a class hierarchy among the leaves; ground truth that is no leaf counts as a miss."""
        probabilities = self.network.classify(list(raw)).float()
        if self.network.tree is None:
            return (probabilities.argmax(dim=1) == targets.argmax(dim=1)).float().mean()
        leaf = self.network.tree.leaf.to(targets.device)
        ground_truth = targets * leaf
        hits = (probabilities * leaf).argmax(dim=1) == ground_truth.argmax(dim=1)
        return (hits & (ground_truth > 0).any(dim=1)).float().mean()


def loss_weight(sections: Sequence[Section]) -> float:
    """How many times ground truth - output counts in a classifier of these sections, [net] first.

    Once for the [softmax] or [logistic] at its end, but for noloss=1, and `scale` times for each [cost] after it: all
    add to the same delta, so that [softmax] and [cost] have twice the gradient of [softmax] alone.
    Raises CfgError with file and line for a cfg without any of them, and for a [cost] that is computed otherwise.
    """
    layers = sections[1:]
    last = _last_output([section.kind for section in layers])
    end = layers[last]
    own = end.kind == LOGISTIC or (end.kind in SOFTMAX and not end.flag("noloss"))
    weight = float(own) + sum(_cost_scale(section) for section in layers[last + 1 :])
    if weight <= 0:
        found = f"{end.path}:{end.line}: found [{end.kind}] at the end and no loss"
        raise CfgError(f"{found}, expected [softmax], [logistic] or [cost]")
    return weight


def softmax_loss(values: Tensor, targets: Tensor, groups: int, temperature: float) -> Tensor:
    """Sum over a batch `[B, N]`, in each of `groups` equal parts: the cross entropy, where ground truth adds up to 1.

    Where it does not (the parts without the class), the gradient is softmax - ground truth all the same, as in Darknet.
    """
    parts = values.reshape(len(values), groups, -1) / temperature
    return temperature * torch.logsumexp(parts, dim=-1).sum() - (values * targets).sum()


def tree_loss(values: Tensor, targets: Tensor, tree: Tree, temperature: float) -> Tensor:
    """The same in the groups of a hierarchy `[B, N]`, each times the ground truth that lies in it: 1, or 0 off the path.

    softmax_layer.c forward_softmax_layer_gpu, which masks the groups off the path; its CPU code forgets to.
    """
    scaled = values / temperature
    group = tree.group.to(values.device)
    empty = values.new_zeros(len(values), len(tree.group_size))
    largest = empty.scatter_reduce(
        1, group.expand_as(scaled), scaled.detach(), "amax", include_self=False
    )
    sums = empty.index_add(1, group, torch.exp(scaled - largest[:, group]))
    within = empty.index_add(1, group, targets)
    return temperature * (within * (largest + sums.log())).sum() - (values * targets).sum()


def _last_output(kinds: Sequence[str]) -> int:
    """Index of the last layer that is no [cost]; the first where there is no other."""
    last = len(kinds) - 1
    while last > 0 and kinds[last] == COST:
        last -= 1
    return last


def _cost_scale(cost: Section) -> float:
    cost.choice("type", "sse", COSTS)
    for key in ("ratio", "thresh"):  # they drop small deltas
        if cost.number(key, 0.0) != 0:
            raise cost.error(key, "0, for a classifier that is to be trained")
    return cost.number("scale", 1.0)
