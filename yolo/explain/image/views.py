"""The content of the sections of the page, as texts and drawings: one record for each part of a template."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from yolo.detect.draw import class_color
from yolo.explain.image import drawings
from yolo.explain.image.explanation import DetectionCause, DetectionOrigin, Explanation, LayerFeatures
from yolo.explain.image.fates import BELOW, BoxFate
from yolo.explain.image.head_maps import HeadMaps
from yolo.explain.image.origin import HeadGrid, origin_of
from yolo.explain.map_images import cells_uri, channel_uri, classes_uri, heat_uri, input_uri, photo_uri, stacked_uri
from yolo.pages.svg import Drawing, SvgElement, bounded

OBJECTNESS_COLOR = (255, 190, 11)
MOST_KEPT = 100  # detections in the table and the drawing of all boxes
MOST_CLASSES = 100  # whose maps a page holds
MOST_IN_LEGEND = 12
LEGEND_AREA = 0.03  # of the cells of all heads: a class that fills less is left out
LEGEND_SCORE = 0.05  # classes with a higher score come first in the legend


@dataclass(frozen=True)
class Rules:
    """How boxes become detections. diou_exponent: None if NMS compares the plain IoU, else as of `postprocess`."""

    score_thresh: float
    nms_thresh: float
    diou_exponent: float | None
    nms_kind: str


@dataclass(frozen=True)
class NamedColor:
    """A class with its color for CSS; place: of its map among the stacked maps."""

    name: str
    color: str
    place: int
    score: float


@dataclass(frozen=True)
class InputView:
    """The image and the network input. photo: shapes that the other drawings use; words: how it was placed."""

    photo: Drawing
    placed: str
    placed_size: tuple[int, int]
    image_size: tuple[int, int]
    letterboxed: bool
    content: tuple[int, int]


@dataclass(frozen=True)
class HeadView:
    """A head's maps. stacked: its class maps below each other; grid, cell: (width, height)."""

    layer: int
    kind: str
    grid: tuple[int, int]
    cell: tuple[float, float]
    anchors: str
    predictions: int
    highest: float
    kept: int
    frame: tuple[float, float]
    objectness: Drawing
    objectness_uri: str
    background: tuple[SvgElement, ...]
    lines: tuple[SvgElement, ...]
    best_uri: str
    stacked: str


@dataclass(frozen=True)
class HeadsView:
    """All heads. classes: those whose maps can be chosen, the highest score first; chosen: place of one, or None."""

    heads: tuple[HeadView, ...]
    classes: tuple[NamedColor, ...]
    legend: tuple[NamedColor, ...]
    chosen: int | None
    all_classes: int


@dataclass(frozen=True)
class BoxRow:
    """A row of the table of boxes.

    kind: kept, suppressed or below. why: the reason. origin: head, anchor and cell. panel: of which detection.
    """

    place: int
    name: str
    color: str
    score: float
    kind: str
    why: str
    origin: str
    panel: int | None


@dataclass(frozen=True)
class BoxesView:
    """The boxes that are described. left_out: how many above the threshold are not."""

    drawing: Drawing
    rows: tuple[BoxRow, ...]
    left_out: int
    kept: int
    suppressed: int
    below: int
    predictions: int
    rules: Rules


@dataclass(frozen=True)
class CauseView:
    """A map of a detection: its title, a description, the drawing; flat: the map is 0 everywhere."""

    title: str
    words: str
    drawing: Drawing
    flat: bool


@dataclass(frozen=True)
class DetectionView:
    """A detection's panel."""

    place: int
    name: str
    color: str
    score: float
    detection: DetectionOrigin
    layer: int
    grid: tuple[int, int]
    cell: tuple[float, float]
    anchor: tuple[float, float] | None
    anchor_number: int
    place_in_head: int
    anchors: int
    in_image: tuple[int, int, int, int]
    drawing: Drawing
    causes: tuple[CauseView, ...]


@dataclass(frozen=True)
class FeatureView:
    """A layer's strongest channels as images: (number, mean absolute value, data URI)."""

    layer: int
    kind: str
    size: tuple[int, int]
    count: int
    aspect: float
    channels: tuple[tuple[int, float, str], ...]


def css_color(label: int) -> str:
    """Return the color of a class, the same on all pages and drawings."""
    return "rgb({} {} {})".format(*class_color(label))


def input_view(explanation: Explanation, photo: str) -> InputView:
    """Describe the network input; photo: the id that other drawings use the photo by."""
    placement = explanation.placement
    frame = drawings.input_frame(placement, photo)
    shapes = drawings.photo_shapes(frame, placement, photo_uri(explanation.pixels))
    group = SvgElement("g", {"id": photo}, parts=tuple(shapes))
    height, width = placement.network
    return InputView(
        photo=Drawing(frame.width, frame.height, [group], "the image as the network sees it", "scene"),
        placed=input_uri(explanation.network_input),
        placed_size=(width, height),
        image_size=placement.image[::-1],
        letterboxed=placement.content != placement.network,
        content=placement.content[::-1],
    )


def heads_view(explanation: Explanation, names: Sequence[str], photo: str, label: int | None) -> HeadsView:
    """Draw the maps of all heads.

    Args:
        explanation: of the image.
        names: the classes.
        photo: data URI of the image.
        label: the class whose map is shown first; None: the one with the highest score.
    """
    scores = torch.stack([maps.scores for maps in explanation.heads]).amax(dim=0)
    best = torch.argsort(scores, descending=True, stable=True).tolist()[:MOST_CLASSES]
    if label is not None and label not in best:
        best[-1] = label
    classes = tuple(
        NamedColor(names[each], css_color(each), place, float(scores[each])) for place, each in enumerate(best)
    )
    frame = drawings.input_frame(explanation.placement, photo)
    colors = np.array([class_color(each) for each in range(len(names))], np.uint8)
    kept = Counter(each.origin.head for each in explanation.detections)
    heads = zip(explanation.grids, explanation.heads, strict=True)
    return HeadsView(
        heads=tuple(
            _head_view(grid, maps, frame, colors, best, kept[number]) for number, (grid, maps) in enumerate(heads)
        ),
        classes=classes,
        legend=_legend(explanation, names, classes),
        chosen=None if label is None else best.index(label),
        all_classes=len(names),
    )


def _head_view(
    grid: HeadGrid, maps: HeadMaps, frame: drawings.InputFrame, colors: np.ndarray, best: Sequence[int], kept: int
) -> HeadView:
    """Draw the maps of a head. colors: of all classes; best: the classes that have a map; kept: detections of it."""
    lines = tuple(drawings.grid_lines(frame, grid))
    uri = cells_uri(maps.objectness, OBJECTNESS_COLOR)
    background = (frame.background("photo dim"),)
    shapes = [*background, frame.overlay(uri, "cells"), *lines]
    title = f"objectness in each cell of head {grid.layer}"
    probability = maps.class_probs.gather(-1, maps.best_class[..., None])[..., 0]
    return HeadView(
        layer=grid.layer,
        kind=grid.kind,
        grid=(grid.width, grid.height),
        cell=grid.cell,
        anchors=_anchor_words(grid),
        predictions=grid.count,
        highest=float(maps.objectness.max()),
        kept=kept,
        frame=(frame.width, frame.height),
        objectness=Drawing(frame.width, frame.height, shapes, title, "scene"),
        objectness_uri=uri,
        background=background,
        lines=lines,
        best_uri=classes_uri(maps.best_class, probability, colors),
        stacked=stacked_uri(maps.class_probs[..., best].permute(2, 0, 1), colors[best]),
    )


def boxes_view(explanation: Explanation, names: Sequence[str], photo: str, rules: Rules) -> BoxesView:
    """Describe for each box whether it is kept, suppressed by NMS or below the threshold, and why.

    Args:
        explanation: of the image.
        names: the classes.
        photo: data URI of the image.
        rules: thresholds and kind of NMS.
    """
    fates = explanation.fates
    every = [*fates.kept[:MOST_KEPT], *fates.suppressed, *fates.below]
    kept = {(each.prediction, each.label): place for place, each in enumerate(fates.kept)}
    rows = []
    for place, fate in enumerate(every):
        panel = kept.get((fate.prediction, fate.label))
        better = kept.get((fate.suppressor, fate.label))
        rows.append(
            BoxRow(
                place=place,
                name=names[fate.label],
                color=css_color(fate.label),
                score=fate.score,
                kind=fate.fate.split()[0],
                why=fate_words(fate, better, fates.kept, names, rules),
                origin=_origin_words(explanation, fate),
                panel=panel if panel is not None and panel < len(explanation.detections) else None,
            )
        )
    frame = drawings.input_frame(explanation.placement, photo)
    texts = [f"{row.name} {row.score:.3f}: {row.why}" for row in rows]
    return BoxesView(
        drawing=drawings.boxes_drawing(frame, every, texts, [row.color for row in rows]),
        rows=tuple(rows),
        left_out=len(fates.kept) + fates.suppressed_count - sum(row.kind != "below" for row in rows),
        kept=len(fates.kept),
        suppressed=fates.suppressed_count,
        below=fates.below_count,
        predictions=fates.predictions,
        rules=rules,
    )


def fate_words(fate: BoxFate, better: int | None, kept: Sequence[BoxFate], names: Sequence[str], rules: Rules) -> str:
    """Return why a box is kept or not.

    Args:
        fate: of the box.
        better: the place among the kept boxes of the one that suppresses it, None if it is not suppressed.
        kept: all kept boxes.
        names: of the classes.
        rules: the thresholds.
    """
    if fate.fate == BELOW:
        parts = f"objectness {fate.objectness:.3f} × {names[fate.label]} {fate.class_prob:.3f}"
        return f"not above {rules.score_thresh:g}: {parts}"
    if better is None:
        return "kept"
    by = f"{names[fate.label]} {kept[better].score:.3f} (box {better + 1})"
    if rules.diou_exponent is None:
        return f"IoU {fate.overlap:.2f} with {by}, above {rules.nms_thresh:g}"
    return f"IoU {fate.iou:.2f} less the distance is {fate.overlap:.2f} with {by}, above {rules.nms_thresh:g}"


def detection_views(explanation: Explanation, names: Sequence[str], photo: str) -> tuple[DetectionView, ...]:
    """Describe each detection that was decoded."""
    frame = drawings.input_frame(explanation.placement, photo)
    causes = {each.detection: each for each in explanation.causes}
    views = []
    for place, detection in enumerate(explanation.detections):
        grid = explanation.grids[detection.origin.head]
        color = css_color(detection.fate.label)
        cause = causes.get(place)
        views.append(
            DetectionView(
                place=place,
                name=names[detection.fate.label],
                color=color,
                score=detection.fate.score,
                detection=detection,
                layer=grid.layer,
                grid=(grid.width, grid.height),
                cell=grid.cell,
                anchor=grid.anchors[detection.origin.anchor],
                anchor_number=grid.numbers[detection.origin.anchor],
                place_in_head=detection.origin.anchor + 1,
                anchors=len(grid.anchors),
                in_image=tuple(round(bounded(each)) for each in detection.in_image),
                drawing=drawings.origin_drawing(frame, grid, detection, color),
                causes=() if cause is None else _cause_views(explanation, frame, detection, cause, color),
            )
        )
    return tuple(views)


def feature_views(features: Sequence[LayerFeatures], aspect: float) -> tuple[FeatureView, ...]:
    """Draw the strongest channels of each layer; aspect: width / height of the input as the page shows it."""
    return tuple(_feature_view(each, aspect) for each in features)


def _legend(explanation: Explanation, names: Sequence[str], classes: Sequence[NamedColor]) -> tuple[NamedColor, ...]:
    """Return the classes with a high score, then those that fill most of the maps of most probable classes."""
    areas = torch.zeros(len(names))
    for maps in explanation.heads:
        opacity = maps.class_probs.amax(dim=-1).clamp(0, 1).flatten()
        areas.scatter_add_(0, maps.best_class.flatten(), opacity / opacity.numel())
    scored = [each for each in classes if each.score > LEGEND_SCORE]
    largest = [each for each in areas.argsort(descending=True).tolist() if areas[each] > LEGEND_AREA]
    wide = [NamedColor(names[each], css_color(each), -1, 0.0) for each in largest]
    colors = {each.name: each for each in reversed((*scored, *wide))}
    return tuple(reversed(colors.values()))[:MOST_IN_LEGEND]


def _feature_view(features: LayerFeatures, aspect: float) -> FeatureView:
    _, height, width = features.maps.shape
    images = map(channel_uri, features.maps)
    return FeatureView(
        layer=features.layer,
        kind=features.kind,
        size=(width, height),
        count=features.count,
        aspect=aspect if min(height, width) > 1 else 1.0,
        channels=tuple(zip(features.channels, features.strengths, images, strict=True)),
    )


def _cause_views(
    explanation: Explanation, frame: drawings.InputFrame, detection: DetectionOrigin, cause: DetectionCause, color: str
) -> tuple[CauseView, ...]:
    views, label = [], "the places of the image that raise the score"
    box = frame.rectangle(detection.fate.box, "box chosen", style=f"--class: {color}")
    for layer, cam in cause.cams.items():
        uri = heat_uri(cam)
        height, width = cam.shape
        role = "which feeds the head" if layer == cause.feeding else "earlier"
        limit = ". It shows the place, not the reason" if layer == cause.feeding else ""
        words = f"{width} × {height} places{limit}" if uri else "nothing in this layer raises the score"
        drawing = drawings.heat_drawing(frame, uri, [box], label)
        views.append(CauseView(f"LayerCAM at layer {layer}, {role}", words, drawing, uri is None))
    network = explanation.placement.network
    spans = [frame.rectangle(drawings.relative(cause.span, network), "effective")]
    if detection.field is not None:
        spans.append(frame.rectangle(drawings.relative(detection.field, network), "theoretical"))
    uri = heat_uri(cause.sensitivity)
    wide, high = cause.span.size[::-1]
    could = (
        ""
        if detection.field is None
        else f"; {detection.field.size[1]} × {detection.field.size[0]} px can reach it (dashed)"
    )
    words = f"90% of the gradient in each direction lies in {wide} × {high} px of the input{could}"
    drawing = drawings.heat_drawing(frame, uri, [*spans, box], label)
    views.append(CauseView("Receptive field of this score", words, drawing, uri is None))
    return tuple(views)


def _origin_words(explanation: Explanation, fate: BoxFate) -> str:
    origin = origin_of(explanation.grids, fate.prediction)
    grid = explanation.grids[origin.head]
    anchor = grid.anchors[origin.anchor]
    number = grid.numbers[origin.anchor]
    shape = f"box {number}" if anchor is None else f"anchor {number}: {anchor[0]:.0f}×{anchor[1]:.0f}"
    return f"head {grid.layer}, row {origin.row}, column {origin.column}, {shape}"


def _anchor_words(grid: HeadGrid) -> str:
    if grid.anchors[0] is None:
        return f"{len(grid.anchors)} boxes for each cell, without anchors"
    sizes = zip(grid.numbers, grid.anchors, strict=True)
    return "the anchors " + ", ".join(f"{number}: {width:.0f}×{height:.0f} px" for number, (width, height) in sizes)
