"""Measure the parts of the gradient of the loss: box, classes, and objectness of objects, hard and easy background.

"Easy" background is a cell that the network already predicts as background: its objectness is below EASY. One such
cell has a small gradient, but there are thousands. Focal loss (Lin et al. 2017, section 3) reduces their weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolo.explain.loss.parts import detached_terms
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.records import Targets
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.head_loss import HeadTerms

# objectness; with p_t = 1 - objectness the "well-classified" examples of Lin et al. are those with p_t > 0.9
EASY = 0.1


@dataclass(frozen=True)
class GradientFractions:
    """Sums of |d loss / d raw value| over a batch, of all heads.

    box, classes: of all cells. responsible, ignored, hard, easy: of the objectness of responsible cells, of ignored
    ones, and of background with an objectness from EASY on and below it. cells: how many easy background cells there
    are; all_cells: of all. focused: what `easy` and the other three would be with a focal loss of the objectness.
    """

    box: float
    classes: float
    responsible: float
    ignored: float
    hard: float
    easy: float
    cells: int
    all_cells: int
    focused: tuple[float, float, float, float]

    @property
    def objectness(self) -> float:
        return self.responsible + self.ignored + self.hard + self.easy

    @property
    def total(self) -> float:
        return self.box + self.classes + self.objectness


def gradient_fractions(
    loss: DetectionLoss, raw: Sequence[Tensor], targets: Targets, seen: int = 0, gamma: float = 2.0
) -> GradientFractions:
    """Measure the parts of the gradient for the raw maps.

    Args:
        loss: of the network.
        raw: raw maps `[B, C, H, W]`, one a head.
        targets: of the batch.
        seen: images that the network was trained on.
        gamma: of the focal loss that `focused` supposes: the gradient of a cell is multiplied by |target - p|**gamma,
            its weight in Lin et al., equation 4, where its derivative is left out, as is usual in a first estimate.
    """
    raw = [map_.detach().requires_grad_() for map_ in raw]
    heads = loss.terms(raw, targets, seen)
    sums = [_magnitude(sum(term.box.sum() + term.priors.sum() for term in heads), raw)]
    sums.append(_magnitude(sum(term.classification.sum() for term in heads), raw))
    objectness = torch.autograd.grad(sum(term.objectness.sum() for term in heads), raw, allow_unused=True)
    plain, focused, easy_cells = torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64), 0
    for number, (term, gradient) in enumerate(zip(heads, objectness, strict=True)):
        by_cell = _by_cell(loss, number, gradient).double().cpu()
        group, probability = _groups(loss, number, raw[number].detach(), detached_terms(term))
        plain.index_add_(0, group, by_cell)
        expected = torch.zeros_like(probability).index_fill(0, term.positive.cpu(), 1.0)
        focused.index_add_(0, group, by_cell * (expected - probability).abs().double() ** gamma)
        easy_cells += int((group == 3).sum())
    return GradientFractions(
        *sums, *plain.tolist(), easy_cells, sum(len(term.objectness) for term in heads), tuple(focused.tolist())
    )


def _magnitude(part: Tensor, raw: Sequence[Tensor]) -> float:
    """Return the sum of |d part / d raw|; 0 for a part without a gradient."""
    if not isinstance(part, Tensor) or not part.requires_grad:
        return 0.0
    found = torch.autograd.grad(part, raw, retain_graph=True, allow_unused=True)
    return sum(float(each.abs().double().sum()) for each in found if each is not None)


def _by_cell(loss: DetectionLoss, number: int, gradient: Tensor) -> Tensor:
    """Return the sum of |gradient| of each cell of a head, `[B*A*H*W]`."""
    head = loss.heads[number]
    if isinstance(head, YoloV1Head):
        return head.split(gradient)[1].abs().permute(0, 3, 1, 2).flatten()
    return head.split(gradient).abs().sum(dim=-1).flatten()


def _groups(loss: DetectionLoss, number: int, raw: Tensor, terms: HeadTerms) -> tuple[Tensor, Tensor]:
    """Return the group of each cell, 0 responsible, 1 ignored, 2 hard, 3 easy, and its objectness, `[B*A*H*W]`."""
    probability = loss.heads[number].decode(raw).objectness.cpu().flatten()
    group = torch.where(probability < EASY, 3, 2)
    group = torch.where(terms.ignored, 1, group)
    return group.index_fill(0, terms.positive, 0), probability
