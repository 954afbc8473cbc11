"""The loss of one image by cell and object: which cells are responsible for which object and why, and their losses.

All numbers are those of `DetectionLoss.terms`; nothing is computed a second time. The losses of the objects, of the
background and of the rest add up to the total of DetectionLoss for this image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yolo.explain.loss.candidates import BEST, EXTRA, NOT, PREDICTED, Candidate, anchor_number, candidates_of, why_none
from yolo.explain.loss.parts import background_terms, detached_terms, pair_losses
from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolo import YoloHead
from yolo.records import Targets
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.head_loss import HeadTerms

BACKGROUND, IGNORED, RESPONSIBLE = 0, 1, 2  # kinds of cells


@dataclass(frozen=True)
class ResponsibleCell:
    """A cell that is responsible for an object, and its losses.

    head: number of the head; anchor: as in `Candidate`; row, column: of the place; why: BEST, EXTRA or PREDICTED.
    iou: of the predicted box with the object. box_parts: the box loss by part; their sum is `box`. objectness,
    classification: the cell's loss divided by the number of its objects. others: the other objects of the cell.
    box_counts: false where another object of the cell replaces this one's box.
    """

    head: int
    anchor: int
    row: int
    column: int
    why: str
    iou: float
    box_parts: tuple[tuple[str, float], ...]
    box: float
    objectness: float
    classification: float
    others: tuple[int, ...]
    box_counts: bool

    @property
    def total(self) -> float:
        return self.box + self.objectness + self.classification


@dataclass(frozen=True)
class ObjectLoss:
    """The loss of one object of the ground truth.

    target: its place in the labels; label: its class in the labels; box: cxcywh, 0..1 of the network input.
    candidates: all anchors, the most similar first. ignored: how many cells are not trained as background because of
    this object; why: a sentence if no cell is responsible for it, else "".
    """

    target: int
    label: int
    box: tuple[float, float, float, float]
    candidates: tuple[Candidate, ...]
    cells: tuple[ResponsibleCell, ...]
    ignored: int
    why: str

    @property
    def box_loss(self) -> float:
        return sum(cell.box for cell in self.cells)

    @property
    def objectness(self) -> float:
        return sum(cell.objectness for cell in self.cells)

    @property
    def classification(self) -> float:
        return sum(cell.classification for cell in self.cells)

    @property
    def total(self) -> float:
        return sum(cell.total for cell in self.cells)


@dataclass(frozen=True)
class HeadPart:
    """The loss of one head for one image.

    layer: its number in the cfg; kind: its section. kinds: int64 `[A, H, W]`, BACKGROUND, IGNORED or RESPONSIBLE;
    owner: int64 `[A, H, W]`, the object that a responsible or ignored cell belongs to, -1 for the others; overlap:
    `[A, H, W]`, the IoU that makes a cell an ignored one. objectness: `[A, H, W]`, the term of each cell.
    box_parts: the box loss of the objects by part; priors: the box loss of cells without an object, which only a
    [region] has, at first. objectness_object, objectness_ignored, objectness_background, classification: sums.
    """

    layer: int
    kind: str
    kinds: Tensor
    owner: Tensor
    overlap: Tensor
    objectness: Tensor
    box_parts: tuple[tuple[str, float], ...]
    priors: float
    objectness_object: float
    objectness_ignored: float
    objectness_background: float
    classification: float

    @property
    def box(self) -> float:
        return sum(value for _, value in self.box_parts)

    @property
    def total(self) -> float:
        objectness = self.objectness_object + self.objectness_ignored + self.objectness_background
        return self.box + self.priors + objectness + self.classification


@dataclass(frozen=True)
class ImageLoss:
    """The loss of an image: by head, and by object. Either sum, with the loss of no object, is the total.

    of_no_object: background, ignored cells, priors and the classes of ignored cells.
    """

    heads: tuple[HeadPart, ...]
    objects: tuple[ObjectLoss, ...]

    @property
    def total(self) -> float:
        return sum(head.total for head in self.heads)

    @property
    def of_no_object(self) -> float:
        return self.total - sum(each.total for each in self.objects)


def take_apart(loss: DetectionLoss, raw: Sequence[Tensor], targets: Targets, seen: int = 0) -> ImageLoss:
    """Return the loss of one image by cell and object.

    Args:
        loss: of the network.
        raw: raw maps of one image, one a head, `[1, C, H, W]`.
        targets: its labels.
        seen: images that the network was trained on.
    """
    with torch.no_grad():
        targets = targets.to(raw[0].device)
        heads = [detached_terms(terms) for terms in loss.terms(raw, targets, seen)]
        compared = candidates_of(loss, raw, targets)
    best = [next(((each.head, each.anchor) for each in anchors), None) for anchors in compared]
    by_target: list[list[ResponsibleCell]] = [[] for _ in compared]
    for number, terms in enumerate(heads):
        for target, cell in _responsible_cells(loss, number, terms, best):
            by_target[target].append(cell)
    ignored = sum(_ignored_by_target(terms, len(compared)) for terms in heads)
    return ImageLoss(
        heads=tuple(_head_part(loss, number, terms) for number, terms in enumerate(heads)),
        objects=tuple(
            ObjectLoss(
                target=target,
                label=int(targets.labels[target]),
                box=tuple(targets.boxes[target].tolist()),
                candidates=tuple(_with_reasons(anchors, by_target[target])),
                cells=tuple(by_target[target]),
                ignored=int(ignored[target]),
                why="" if by_target[target] else why_none(loss, targets, target),
            )
            for target, anchors in enumerate(compared)
        ),
    )


def _responsible_cells(
    loss: DetectionLoss, number: int, terms: HeadTerms, best: Sequence[tuple[int, int] | None]
) -> Iterator[tuple[int, ResponsibleCell]]:
    """Yield (target, cell) for each pair of a head. best: (head, anchor) of the most similar anchor of each target."""
    _, _, height, width = terms.shape
    pairs, head = pair_losses(terms), loss.heads[number]
    cells, owners = terms.cell_index.tolist(), terms.target_index.tolist()
    last_counts = isinstance(head, RegionHead) or _replaces_boxes(loss, head)
    for place, (cell, target) in enumerate(zip(cells, owners, strict=True)):
        others = {owner for other, owner in zip(cells, owners, strict=True) if other == cell} - {target}
        anchor = anchor_number(head, cell // (height * width))
        by_shape = BEST if not isinstance(head, YoloHead) or best[target] == (number, anchor) else EXTRA
        yield (
            target,
            ResponsibleCell(
                head=number,
                anchor=anchor,
                row=cell // width % height,
                column=cell % width,
                why=PREDICTED if place < terms.by_prediction else by_shape,
                iou=float(terms.ious[place]),
                box_parts=tuple(zip(terms.box_names, terms.box_parts[place].tolist(), strict=True)),
                box=float(pairs.box[place]),
                objectness=float(pairs.objectness[place]),
                classification=float(pairs.classification[place]),
                others=tuple(sorted(others)),
                box_counts=not (last_counts and cell in cells[place + 1 :]),
            ),
        )


def _replaces_boxes(loss: DetectionLoss, head: torch.nn.Module) -> bool:
    """Whether of several objects in a cell only the last one's box counts: [yolo] of pjreddie's Darknet."""
    return isinstance(head, YoloHead) and not head.gaussian and not loss.dialect.boxes_accumulate


def _with_reasons(anchors: Sequence[Candidate], cells: Sequence[ResponsibleCell]) -> list[Candidate]:
    reasons = {(cell.head, cell.anchor): cell.why for cell in cells}
    return [replace(each, why=reasons.get((each.head, each.anchor), NOT)) for each in anchors]


def _kinds(terms: HeadTerms) -> Tensor:
    """Return what each cell is, int64 `[N]`."""
    kinds = torch.where(terms.ignored, IGNORED, BACKGROUND)
    return kinds.index_fill(0, terms.positive, RESPONSIBLE)


def _ignored_by_target(terms: HeadTerms, targets: int) -> Tensor:
    """Return how many cells of a head are ignored because of each target, int64 `[M]`."""
    is_ignored = _kinds(terms) == IGNORED
    return (
        torch.bincount(terms.best_target[is_ignored], minlength=targets) if is_ignored.any() else torch.zeros(targets)
    )


def _head_part(loss: DetectionLoss, number: int, terms: HeadTerms) -> HeadPart:
    kinds, background = _kinds(terms), background_terms(terms)
    objectness = terms.objectness.detach().double()
    owner, overlap = torch.full_like(kinds, -1), torch.zeros_like(objectness)
    is_ignored = kinds == IGNORED
    if is_ignored.any():
        owner[is_ignored], overlap[is_ignored] = terms.best_target[is_ignored], terms.best_iou[is_ignored].double()
    owner[terms.cell_index] = terms.target_index
    shape, sums = terms.shape[1:], terms.box_parts.double().sum(dim=0).tolist()
    return HeadPart(
        layer=loss.layers[number],
        kind=loss.kinds[number],
        kinds=kinds.view(shape),
        owner=owner.view(shape),
        overlap=overlap.view(shape),
        objectness=objectness.view(shape),
        box_parts=tuple(zip(terms.box_names, sums, strict=True)),
        priors=float(terms.priors.double().sum()),
        objectness_object=float(objectness[terms.positive].sum()),
        objectness_ignored=float(background[is_ignored].sum()),
        objectness_background=float(background[~is_ignored].sum()),
        classification=float(terms.classification.double().sum()),
    )
