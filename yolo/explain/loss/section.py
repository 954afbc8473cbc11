"""The section "Against the ground truth" of the page that explains an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from yolo.explain.image.drawings import InputFrame, input_frame
from yolo.explain.loss.candidates import BEST, EXTRA, NO_HEAD, NOT, PREDICTED, Candidate
from yolo.explain.loss.object_fates import BELOW, DETECTED, INEXACT, NO_BOX, OTHER_CLASS, SUPPRESSED, TAKEN, ObjectFate
from yolo.explain.loss.placed import label_name
from yolo.explain.loss.taken_apart import (
    BACKGROUND,
    IGNORED,
    RESPONSIBLE,
    HeadPart,
    ImageLoss,
    ObjectLoss,
    ResponsibleCell,
)
from yolo.explain.map_images import cells_uri
from yolo.explain.section import PageSection
from yolo.letterbox import Placement
from yolo.model.heads.yolo import YoloSettings
from yolo.pages.bar import BarPart, stacked_bar
from yolo.pages.svg import Drawing, SvgElement
from yolo.settings import HeadSettings
from yolo.train.losses.assign import Dialect

TEMPLATES = Path(__file__).parent / "templates"
MOST_CANDIDATES = 9  # anchors shown for an object
MOST_OBJECTS = 100  # rows of the table
MOSTLY_ONE = 0.05  # of the background's loss: a box that has more is named
BACKGROUND_COLOR = (240, 120, 30)
PARTS = (("box", "box"), ("objectness_object", "objectness of objects"),
         ("objectness_ignored", "objectness of ignored cells"),
         ("objectness_background", "objectness of the background"), ("class", "classes"))  # fmt: skip


@dataclass(frozen=True)
class LossPart:
    """A part of the loss. look: its class in the style sheet; fraction: of the total, 0..1."""

    look: str
    meaning: str
    value: float
    fraction: float


@dataclass(frozen=True)
class HeadCells:
    """A head: its cells over the photo, how many of each kind there are, and its loss by part."""

    layer: int
    kind: str
    grid: tuple[int, int]
    anchors: int
    drawing: Drawing
    responsible: int
    ignored: int
    background: int
    parts: tuple[LossPart, ...]
    box_parts: tuple[tuple[str, float], ...]
    total: float


@dataclass(frozen=True)
class ObjectView:
    """An object: its name, its losses, and sentences about its anchors, its cells and its fate."""

    name: str
    loss: ObjectLoss
    places: tuple[tuple[str, str], ...]
    candidates: tuple[tuple[str, str, str, str], ...]
    outcome: str
    fate: str
    fraction: float


@dataclass(frozen=True)
class GroundTruthView:
    """The content of the section.

    rest: the loss that belongs to no object; largest: the largest part, in words; why: a sentence about it.
    """

    total: float
    parts: tuple[LossPart, ...]
    bar: Drawing
    heads: tuple[HeadCells, ...]
    objects: tuple[ObjectView, ...]
    more_objects: int
    rest: float
    largest: str
    why: str
    collisions: tuple[str, ...]
    rules: tuple[str, ...]


def ground_truth_section(
    apart: ImageLoss,
    fates: Sequence[ObjectFate],
    names: Sequence[str],
    placement: Placement,
    photo: str,
    settings: HeadSettings,
    dialect: Dialect,
) -> PageSection:
    """Return the section.

    Args:
        apart: the loss of the image.
        fates: the fate of each object.
        names: of the classes.
        placement: of the image in the network input.
        photo: the id of the element with the photo, as `yolo.explain.image.drawings.InputFrame` uses it.
        settings: of the last head.
        dialect: of the loss.
    """
    sums = loss_sums(apart.heads)
    frame = input_frame(placement, photo)
    parts = _fractions(sums, apart.total)
    order = sorted(range(len(apart.objects)), key=lambda place: -apart.objects[place].total)
    largest = max(parts, key=lambda part: part.value, default=None)
    view = GroundTruthView(
        total=apart.total,
        parts=parts,
        bar=stacked_bar(
            [
                BarPart(part.look, part.fraction, f"{part.meaning}: {part.value:.3g}, {part.fraction:.0%}")
                for part in parts
            ],
            16.0,
            "the loss by part",
        ),
        heads=tuple(_head_view(frame, head, apart, names) for head in apart.heads),
        objects=tuple(_object_view(apart, apart.objects[place], fates[place], names) for place in order[:MOST_OBJECTS]),
        more_objects=max(0, len(order) - MOST_OBJECTS),
        rest=apart.of_no_object,
        largest=f"{largest.meaning}, {largest.fraction:.0%}" if largest and apart.total else "",
        why=_why_largest(largest, apart, fates, names) if largest and apart.total else "",
        collisions=tuple(collisions(apart, names, dialect)),
        rules=_rules(settings, dialect),
    )
    return PageSection(
        "Against the ground truth: false negatives and the loss", TEMPLATES, "ground_truth.html.jinja", view
    )


def _why_largest(part: LossPart, apart: ImageLoss, fates: Sequence[ObjectFate], names: Sequence[str]) -> str:
    """Return which object, or which box of the background, has most of a part of the loss."""
    if part.look.startswith("objectness_") and part.look != "objectness_object":
        return _largest_cell(part, apart)
    values = [
        {"box": each.box_loss, "class": each.classification}.get(part.look, each.objectness) for each in apart.objects
    ]
    if not values:
        return ""
    most = max(range(len(values)), key=values.__getitem__)
    return (
        f"{values[most]:.2f} of these {part.value:.2f} come from {_named(apart.objects[most], names)}: "
        f"{_fate_words(fates[most], names)}."
    )


def _largest_cell(part: LossPart, apart: ImageLoss) -> str:
    kind = IGNORED if part.look == "objectness_ignored" else BACKGROUND
    losses = [torch.where(head.kinds == kind, head.objectness, 0.0) for head in apart.heads]
    cells = sum(int((head.kinds == kind).sum()) for head in apart.heads)
    head = max(range(len(losses)), key=lambda each: float(losses[each].max()))
    most = float(losses[head].max())
    if most < MOSTLY_ONE * part.value:
        return f"It is the sum over {cells:,} boxes for no object. None costs more than {most:.2g}; they are many."
    _, row, column = torch.unravel_index(losses[head].argmax(), losses[head].shape)
    place = f"head {apart.heads[head].layer}, row {int(row)}, column {int(column)}"
    return (
        f"{most:.2f} of these {part.value:.2f} come from one of {cells:,} boxes, {place}, where the network predicts "
        "an object and no label has one."
    )


def loss_sums(heads: Sequence[HeadPart]) -> dict[str, float]:
    """Return the loss by part, over the heads; the keys are those of PARTS."""
    return {
        "box": sum(head.box + head.priors for head in heads),
        "objectness_object": sum(head.objectness_object for head in heads),
        "objectness_ignored": sum(head.objectness_ignored for head in heads),
        "objectness_background": sum(head.objectness_background for head in heads),
        "class": sum(head.classification for head in heads),
    }


def ground_truth_numbers(apart: ImageLoss, fates: Sequence[ObjectFate], names: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of the section for JSON."""
    return {
        "total": apart.total,
        "parts": loss_sums(apart.heads),
        "of_no_object": apart.of_no_object,
        "heads": [{"layer": head.layer, "total": head.total, **loss_sums([head])} for head in apart.heads],
        "objects": [
            {
                "name": label_name(names, each.label),
                "box": list(each.box),
                "total": each.total,
                "box_loss": each.box_loss,
                "objectness": each.objectness,
                "class": each.classification,
                "fate": fate.kind,
                "score": fate.score,
                "ignored_cells": each.ignored,
                "cells": [
                    {
                        "layer": apart.heads[cell.head].layer, "anchor": cell.anchor, "row": cell.row,
                        "column": cell.column, "why": cell.why, "iou": cell.iou, "box": dict(cell.box_parts),
                        "objectness": cell.objectness, "class": cell.classification,
                    }
                    for cell in each.cells
                ],
            }
            for each, fate in zip(apart.objects, fates, strict=True)
        ],
    }  # fmt: skip


def collisions(apart: ImageLoss, names: Sequence[str], dialect: Dialect) -> list[str]:
    """Return a sentence for each cell that has several objects, and for each object that has no cell."""
    sentences, seen = [], set()
    for each in apart.objects:
        if each.why:
            sentences.append(f"{_named(each, names)} is not trained: {each.why}.")
        for cell in each.cells:
            place = cell.head, cell.anchor, cell.row, cell.column
            if not cell.others or place in seen:
                continue
            seen.add(place)
            objects = [each, *(apart.objects[other] for other in cell.others)]
            together = " and ".join(_named(one, names) for one in sorted(objects, key=lambda one: one.target))
            sentences.append(
                f"{together} share a cell: {_place(apart.heads[cell.head], cell)}. {_who_wins(apart, cell, dialect)}"
            )
    return sentences


def _who_wins(apart: ImageLoss, cell: ResponsibleCell, dialect: Dialect) -> str:
    kind = apart.heads[cell.head].kind
    if kind == "region":
        return "Only the last one in the label file is learned: its box, its objectness and its class."
    box = "Their box errors add up" if dialect.boxes_accumulate or kind == "Gaussian_yolo" else (
        "The box of the last one in the label file is learned"
    )  # fmt: skip
    return f"{box}; both classes are, as the first one sets all classes and a later one adds its own."


def _head_view(frame: InputFrame, head: HeadPart, apart: ImageLoss, names: Sequence[str]) -> HeadCells:
    anchors, height, width = head.kinds.shape
    counts = [int((head.kinds == kind).sum()) for kind in (RESPONSIBLE, IGNORED, BACKGROUND)]
    return HeadCells(
        layer=head.layer,
        kind=head.kind,
        grid=(width, height),
        anchors=anchors,
        drawing=_cells_drawing(frame, head, apart, names),
        responsible=counts[0],
        ignored=counts[1],
        background=counts[2],
        parts=_fractions(loss_sums([head]), head.total),
        box_parts=head.box_parts,
        total=head.total,
    )


def _cells_drawing(frame: InputFrame, head: HeadPart, apart: ImageLoss, names: Sequence[str]) -> Drawing:
    """Draw the cells: orange by the background's loss, gray where a box is ignored, green where one is responsible."""
    _, height, width = head.kinds.shape
    lost = torch.where(head.kinds == BACKGROUND, head.objectness, 0.0).amax(dim=0)
    largest = float(lost.max())
    shapes = [frame.background("photo dim")]
    if largest > 0:
        shapes.append(frame.overlay(cells_uri(0.85 * lost / max(largest, 1.0), BACKGROUND_COLOR), "cells"))
    for kind, look in ((IGNORED, "ignored-cell"), (RESPONSIBLE, "responsible-cell")):
        anchors, rows, columns = torch.nonzero(head.kinds == kind, as_tuple=True)
        by_place: dict[tuple[int, int], list[int]] = {}
        for anchor, row, column in zip(anchors.tolist(), rows.tolist(), columns.tolist(), strict=True):
            by_place.setdefault((row, column), []).append(anchor)
        for (row, column), here in by_place.items():
            box = column / width, row / height, (column + 1) / width, (row + 1) / height
            shapes.append(frame.rectangle(box, look, data_tip=_cell_tip(head, apart, names, here, row, column)))
    for each in apart.objects:
        x, y, w, h = each.box
        corners = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        shapes.append(frame.rectangle(corners, "true-box"))
        center = frame.pixels((x, y, x, y))
        shapes.append(SvgElement("circle", {"cx": center[0], "cy": center[1], "r": 3.5, "class": "true-center"}))
    return Drawing(frame.width, frame.height, shapes, f"the cells of head {head.layer}", "scene truth-cells")


def _cell_tip(
    head: HeadPart, apart: ImageLoss, names: Sequence[str], anchors: Sequence[int], row: int, column: int
) -> str:
    lines = []
    for anchor in anchors:
        owner = apart.objects[int(head.owner[anchor, row, column])]
        if head.kinds[anchor, row, column] == RESPONSIBLE:
            loss = float(head.objectness[anchor, row, column])
            lines.append(f"responsible for {_named(owner, names)}, objectness loss {loss:.2f}")
        else:
            overlap = float(head.overlap[anchor, row, column])
            lines.append(f"ignored: its box has an IoU of {overlap:.2f} with {_named(owner, names)}")
    return f"row {row}, column {column}: " + "; ".join(lines)


def _object_view(apart: ImageLoss, each: ObjectLoss, fate: ObjectFate, names: Sequence[str]) -> ObjectView:
    candidates = each.candidates[:MOST_CANDIDATES]
    candidates += tuple(one for one in each.candidates[MOST_CANDIDATES:] if one.why != NOT)
    return ObjectView(
        name=_named(each, names),
        loss=each,
        places=tuple((_place(apart.heads[cell.head], cell), _box_words(cell)) for cell in each.cells),
        candidates=tuple(_candidate(apart, one) for one in candidates),
        outcome=_fate_words(fate, names),
        fate="hit" if fate.kind == DETECTED else "fault",
        fraction=each.total / apart.total if apart.total else 0.0,
    )


def _place(head: HeadPart, cell: ResponsibleCell) -> str:
    number = "box" if head.kind == "detection" else "anchor"
    return f"head {head.layer}, row {cell.row}, column {cell.column}, {number} {cell.anchor}"


def _box_words(cell: ResponsibleCell) -> str:
    parts = ", ".join(f"{name} {value:.2f}" for name, value in cell.box_parts)
    words = f"IoU {cell.iou:.2f}; box {cell.box:.2f} ({parts})" if len(cell.box_parts) > 1 else (
        f"IoU {cell.iou:.2f}; box {cell.box:.2f} by {cell.box_parts[0][0]}"
    )  # fmt: skip
    return words if cell.box_counts else f"IoU {cell.iou:.2f}; its box is replaced by that of another object"


def _candidate(apart: ImageLoss, one: Candidate) -> tuple[str, str, str, str]:
    """Return (head, anchor, IoU, why) as texts."""
    head = "no head" if one.head == NO_HEAD else f"head {apart.heads[one.head].layer}"
    size = "" if one.size is None else f": {one.size[0]:.0f} × {one.size[1]:.0f} px"
    why = {
        BEST: "responsible: the most similar", EXTRA: "responsible: above iou_thresh",
        PREDICTED: "responsible: its predicted box is above truth_thresh", NOT: "",
    }[one.why]  # fmt: skip
    return head, f"{one.anchor}{size}", f"{one.iou:.2f}", why


def _fate_words(fate: ObjectFate, names: Sequence[str]) -> str:
    """Return the fate of an object, in words."""
    score, iou = f"{fate.score:.2f}", f"{fate.iou:.2f}"
    return {
        DETECTED: f"detected, score {score}, IoU {iou}",
        TAKEN: "false negative: the detection here counts for another object",
        OTHER_CLASS: f"false negative: detected as {label_name(names, fate.label or 0)} {score}",
        INEXACT: f"false negative: its detection {score} has an IoU of only {iou}",
        SUPPRESSED: f"false negative: its box with score {score} was suppressed by another",
        BELOW: f"false negative: the best box here has a score of {score} (objectness {fate.objectness:.2f})",
        NO_BOX: f"false negative: no predicted box fits, the nearest has an IoU of {iou}",
    }[fate.kind]


def _fractions(sums: dict[str, float], total: float) -> tuple[LossPart, ...]:
    parts = (LossPart(look, meaning, sums[look], sums[look] / total if total else 0.0) for look, meaning in PARTS)
    return tuple(part for part in parts if part.value or part.look != "objectness_ignored")


def _rules(settings: HeadSettings, dialect: Dialect) -> tuple[str, ...]:
    """Return how this network assigns, in sentences."""
    if not isinstance(settings, YoloSettings):
        return ()
    rules = ["An object belongs to the cell with its center, and there to the anchor whose shape is most similar."]
    if settings.iou_thresh < 1 and dialect.extended:
        rules.append(f"All anchors with a larger IoU than iou_thresh={settings.iou_thresh:g} learn the object too.")
    if settings.truth_thresh < 1:
        rules.append(
            f"A cell whose predicted box has an IoU above truth_thresh={settings.truth_thresh:g} learns the object too."
        )
    needs = ", and names a class with more than 0.25," if dialect.ignore_needs_class else ""
    rules.append(
        f"A cell whose predicted box has an IoU above ignore_thresh={settings.ignore_thresh:g}{needs} is ignored: "
        "the box is too good to be trained as background."
    )
    return tuple(rules)


def _named(each: ObjectLoss, names: Sequence[str]) -> str:
    return f"{label_name(names, each.label)} {each.target + 1}"
