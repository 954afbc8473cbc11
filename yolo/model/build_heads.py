"""A detection head's section → the head, checked against the filters before it."""

import torch

from yolo.cfg import Section
from yolo.model.graph import Before, Built
from yolo.model.heads import GaussianYoloHead, RegionHead, YoloHead
from yolo.settings import read_head

DEFAULT_ANCHOR = 0.5  # make_yolo_layer: biases without an `anchors` key


def build_yolo(section: Section, before: Before) -> Built:
    """[yolo] (parser.c parse_yolo): the filters before it must be masks x (5 + classes)."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    anchors, mask = _anchors(section)
    _check_filters(section, before, len(mask), 5 + classes)
    layer = YoloHead(
        all_anchors=anchors,
        anchor_ids=mask,
        classes=classes,
        stride=before.stride(shape),
        scale_x_y=section.number("scale_x_y", 1.0),
        new_coords=section.flag("new_coords"),
    )
    return Built(layer, (before.previous,), shape, read_head(section, classes))


def build_gaussian_yolo(section: Section, before: Before) -> Built:
    """[Gaussian_yolo] (parser.c parse_gaussian_yolo)."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    anchors, mask = _anchors(section)
    _check_filters(section, before, len(mask), 9 + classes)
    section.choice("yolo_point", "center", ("center",))
    layer = GaussianYoloHead(
        anchors=anchors[list(mask)],
        classes=classes,
        stride=before.stride(shape),
        scale_x_y=section.number("scale_x_y", 1.0),
    )
    return Built(layer, (before.previous,), shape, read_head(section, classes))


def build_region(section: Section, before: Before) -> Built:
    """[region] (parser.c parse_region): anchors x (5 + classes) filters before it."""
    shape = before.shape(before.previous)
    classes = section.integer("classes", 20, minimum=1)
    if section.integer("coords", 4) != 4:
        raise section.error("coords", "4")
    if section.has("tree"):
        raise section.error("tree", "no tree: class hierarchies are not supported")
    total = section.integer("num", 1, minimum=1)
    anchors = _numbers_of_anchors(section, total)
    _check_filters(section, before, total, 5 + classes)
    layer = RegionHead(anchors=anchors, classes=classes, softmax=section.flag("softmax"))
    return Built(layer, (before.previous,), shape, read_head(section, classes))


def _anchors(section: Section) -> tuple[torch.Tensor, tuple[int, ...]]:
    """All anchors `[num, 2]` and the mask of a [yolo]."""
    total = section.integer("num", 1, minimum=1)
    mask = section.integers("mask", tuple(range(total)))
    if min(mask) < 0 or max(mask) >= total:
        raise section.error("mask", f"anchors 0 to {total - 1}, as num={total}")
    return _numbers_of_anchors(section, total), mask


def _numbers_of_anchors(section: Section, total: int) -> torch.Tensor:
    numbers = section.numbers("anchors", (DEFAULT_ANCHOR,) * 2 * total)
    if len(numbers) != 2 * total or min(numbers) <= 0:
        expected = f"{2 * total} positive numbers, two for each of num={total}"
        raise section.error("anchors", expected, f"{len(numbers)}, the smallest {min(numbers):g}")
    return torch.tensor(numbers).view(total, 2)


def _check_filters(section: Section, before: Before, masks: int, values: int) -> None:
    """A head's map must have `values` (coordinates, objectness, classes) for each of its anchors."""
    channels = before.shape(before.previous)[0]
    if channels != masks * values:
        expected = f"{masks} anchors x {values} values = {masks * values} filters before the head"
        raise section.error("classes", expected, f"{channels} filters in layer {before.previous}")
