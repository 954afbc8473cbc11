"""The loss of each image of a batch, by part, and the loss of each object in it: sums of the terms of DetectionLoss.

A cell of several objects has one objectness and one class term, which are divided equally among its pairs. So the
losses of the objects and of the rest add up to the loss of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yolo.train.losses.head_loss import HeadTerms


@dataclass(frozen=True)
class PairLosses:
    """The losses of the K pairs of a head, float64 `[K]` each.

    objectness, classification: the cell's loss divided by the number of its pairs.
    """

    box: Tensor
    objectness: Tensor
    classification: Tensor


@dataclass(frozen=True)
class BatchParts:
    """The losses of B images and of the M targets in them, over all heads; float64.

    Of images `[B]`: box; objectness_object: of responsible cells; objectness_background: of all others; classification.
    Of targets `[M]`: target_box, target_objectness, target_classification: sums over the cells that are responsible for
    it; cells: how many these are.
    """

    box: Tensor
    objectness_object: Tensor
    objectness_background: Tensor
    classification: Tensor
    target_box: Tensor
    target_objectness: Tensor
    target_classification: Tensor
    cells: Tensor

    @property
    def total(self) -> Tensor:
        """The loss of each image, `[B]`."""
        return self.box + self.objectness_object + self.objectness_background + self.classification


def detached_terms(terms: HeadTerms) -> HeadTerms:
    """Return the terms without gradients, on the CPU."""
    moved = {name: value.detach().cpu() for name, value in vars(terms).items() if isinstance(value, Tensor)}
    return replace(terms, **moved)


def pair_losses(terms: HeadTerms) -> PairLosses:
    """Return the losses of the pairs of a head."""
    count = terms.objectness.numel()
    pairs_of_cell = torch.bincount(terms.cell_index, minlength=count)
    fraction = 1 / pairs_of_cell[terms.cell_index].double()
    classes = _by_cell(terms.class_cells, terms.classification, count)
    return PairLosses(
        box=terms.box.detach().double(),
        objectness=fraction * terms.objectness.detach().double()[terms.cell_index],
        classification=fraction * classes[terms.cell_index],
    )


def background_terms(terms: HeadTerms) -> Tensor:
    """Return the objectness terms of the cells that are not responsible, float64 `[N]`; 0 for the others."""
    return terms.objectness.detach().double().index_fill(0, terms.positive, 0.0)


def batch_parts(heads: Sequence[HeadTerms], targets: int) -> BatchParts:
    """Add up the terms of the heads, on the CPU. targets: how many the batch has."""
    images = heads[0].shape[0]
    of_images, of_targets = torch.zeros(4, images, dtype=torch.float64), torch.zeros(4, targets, dtype=torch.float64)
    parts = BatchParts(
        box=of_images[0],
        objectness_object=of_images[1],
        objectness_background=of_images[2],
        classification=of_images[3],
        target_box=of_targets[0],
        target_objectness=of_targets[1],
        target_classification=of_targets[2],
        cells=of_targets[3],
    )
    for terms in heads:
        pairs, target = pair_losses(terms), terms.target_index
        cells = len(terms.objectness) // images  # of an image
        objectness = terms.objectness.detach().double()
        parts.box.index_add_(0, terms.cell_index // cells, pairs.box)
        if len(terms.priors):
            parts.box.add_(terms.priors.detach().double().view(images, -1).sum(dim=1))
        parts.objectness_object.index_add_(0, terms.positive // cells, objectness[terms.positive])
        parts.objectness_background.add_(background_terms(terms).view(images, -1).sum(dim=1))
        parts.classification.index_add_(0, terms.class_cells // cells, terms.classification.detach().double())
        parts.target_box.index_add_(0, target, pairs.box)
        parts.target_objectness.index_add_(0, target, pairs.objectness)
        parts.target_classification.index_add_(0, target, pairs.classification)
        parts.cells.index_add_(0, target, torch.ones_like(pairs.box))
    return parts


def _by_cell(cells: Tensor, values: Tensor, count: int) -> Tensor:
    """Add up values `[V]` of cells int64 `[V]` that may repeat → float64 `[count]`."""
    return torch.zeros(count, dtype=torch.float64).index_add_(0, cells, values.detach().double())
