"""A detection head's section → the head, checked against the filters before it."""

import logging

import torch

from yolo.cfg import Section
from yolo.model.early_heads import COORDS, DetectionHead, RegionHead
from yolo.model.graph import Before, Built
from yolo.model.heads import GaussianYoloHead, YoloHead
from yolo.model.read_heads import read_detection, read_gaussian_yolo, read_region, read_yolo
from yolo.model.reading import read_class_tree

log = logging.getLogger(__name__)

DEFAULT_ANCHOR = 0.5  # make_yolo_layer: biases without an `anchors` key
MOST_ANCHORS = 5_000  # ours: as many as the longest list of numbers has

# yolo_point of a [Gaussian_yolo]: the way from the point that x, y say to the centre, in sizes of the box
CENTRE_SHIFTS = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}


def build_yolo(section: Section, before: Before) -> Built:
    """[yolo] (parser.c parse_yolo): the filters before it must be masks x (5 + classes)."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    scale_x_y, new_coords = section.number("scale_x_y", 1.0), section.flag("new_coords")
    settings = read_yolo(section, classes, before.dialect)
    anchors, mask = _anchors(section)
    _check_filters(section, before, len(mask), 5 + classes)
    layer = YoloHead(
        all_anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=before.stride(shape),
        scale_x_y=scale_x_y,
        new_coords=new_coords,
    )
    return Built(layer, (before.previous,), shape, settings)


def build_gaussian_yolo(section: Section, before: Before) -> Built:
    """[Gaussian_yolo] (parser.c parse_gaussian_yolo): masks x (9 + classes) filters before it."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    scale_x_y = section.number("scale_x_y", 1.0)
    point = section.choice("yolo_point", "center", tuple(CENTRE_SHIFTS))
    settings = read_gaussian_yolo(section, classes, before.dialect)
    anchors, mask = _anchors(section)
    _check_filters(section, before, len(mask), 9 + classes)
    layer = GaussianYoloHead(
        anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=before.stride(shape),
        scale_x_y=scale_x_y,
        centre_shift=CENTRE_SHIFTS[point],
    )
    return Built(layer, (before.previous,), shape, settings)


def build_region(section: Section, before: Before) -> Built:
    """[region] (parser.c parse_region): num x (5 + classes) filters before it.

    The section's `map`, a file, says which class of the tree a label of the training set is; nothing else reads it.
    """
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    coords, total = section.integer("coords", COORDS), _read_num(section)
    softmax, background = section.flag("softmax"), section.flag("background")
    anchors = _read_anchors(section, total)[:total]
    settings = read_region(section, before.dialect)
    tree = read_class_tree(section, "tree", classes)
    _check_coords(section, coords)
    _check_filters(section, before, total, 5 + classes)
    if background and tree is not None:
        raise section.error("background", "0 with a tree")  # forward and detection disagree there
    layer = RegionHead(
        anchors=anchors, classes=classes, softmax=softmax, background=background, tree=tree
    )
    return Built(layer, (before.previous,), shape, settings)


def build_detection(section: Section, before: Before) -> Built:
    """[detection] (parser.c parse_detection): side² x (classes + num x 5) values before it, of whatever shape."""
    shape = channels, height, width = before.shape(before.previous)
    classes = section.integer("classes", 1, minimum=1)
    coords = section.integer("coords", 1)
    boxes, side = section.integer("num", 1, minimum=1), section.integer("side", 7, minimum=1)
    softmax, squared = section.flag("softmax"), section.flag("sqrt")
    settings = read_detection(section, before.dialect)
    _check_coords(section, coords)
    values, found = side**2 * (classes + boxes * (1 + COORDS)), channels * height * width
    if values != found:
        cell = f"({classes} classes + {boxes} boxes x {1 + COORDS})"
        expected = f"{side}x{side} cells x {cell} = {values} values before the head"
        raise section.error("side", expected, f"{found} values in layer {before.previous}")
    layer = DetectionHead(side=side, boxes=boxes, classes=classes, squared=squared, softmax=softmax)
    return Built(layer, (before.previous,), shape, settings)


def _anchors(section: Section) -> tuple[torch.Tensor, tuple[int, ...]]:
    """All anchors `[T, 2]` and the mask of a [yolo]."""
    total = _read_num(section)
    mask = section.integers("mask", tuple(range(total)))
    anchors = _read_anchors(section, total)
    if min(mask) < 0 or max(mask) >= len(anchors):
        raise section.error("mask", f"anchors 0 to {len(anchors) - 1}")
    return anchors, mask


def _read_num(section: Section) -> int:
    total = section.integer("num", 1, minimum=1)
    if total > MOST_ANCHORS:
        raise section.error("num", f"at most {MOST_ANCHORS} anchors")
    return total


def _read_anchors(section: Section, total: int) -> torch.Tensor:
    """The anchors listed, at least num of them, `[T, 2]`.

    More than num are logged and kept, as AlexeyAB's masks may name them (cspx-p7-mish.cfg: num=16, 20 anchors).
    """
    numbers = section.numbers("anchors", (DEFAULT_ANCHOR,) * 2 * total)
    if len(numbers) % 2 or len(numbers) < 2 * total or min(numbers) <= 0:
        expected = f"positive numbers, two for each of num={total} anchors"
        raise section.error("anchors", expected, f"{len(numbers)}, the smallest {min(numbers):g}")
    anchors = torch.tensor(numbers).view(-1, 2)
    if len(anchors) > total:
        log.warning(
            "%s:%d: [%s] has %d anchors, num=%d",
            section.path,
            section.line,
            section.kind,
            len(anchors),
            total,
        )
    return anchors


def _check_coords(section: Section, coords: int) -> None:
    if coords != COORDS:
        raise section.error("coords", f"{COORDS}: x, y, w, h")


def _check_filters(section: Section, before: Before, masks: int, values: int) -> None:
    """A head's map must have `values` (coordinates, objectness, classes) for each of its anchors."""
    channels = before.shape(before.previous)[0]
    if channels != masks * values:
        expected = f"{masks} anchors x {values} values = {masks * values} filters before the head"
        raise section.error("classes", expected, f"{channels} filters in layer {before.previous}")
