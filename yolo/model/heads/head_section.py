"""What the sections of several kinds of detection head have in common, and how it is read."""

import logging
from dataclasses import dataclass

import torch

from yolo.cfg import Section
from yolo.model.building import BuildContext

log = logging.getLogger(__name__)

COORDS = 4  # x, y, w, h

DEFAULT_ANCHOR = 0.5  # make_yolo_layer: biases without an `anchors` key

MOST_ANCHORS = 5_000  # ours: as many as the longest list of numbers has


def read_num(section: Section) -> int:
    total = section.integer("num", 1, minimum=1)
    if total > MOST_ANCHORS:
        raise section.error("num", f"at most {MOST_ANCHORS} anchors")
    return total


def read_anchors(section: Section, total: int) -> torch.Tensor:
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


def check_coords(section: Section, coords: int) -> None:
    if coords != COORDS:
        raise section.error("coords", f"{COORDS}: x, y, w, h")


def check_filters(section: Section, before: BuildContext, masks: int, values: int) -> None:
    """A head's map must have `values` (coordinates, objectness, classes) for each of its anchors."""
    channels = before.shape(before.previous)[0]
    if channels != masks * values:
        expected = f"{masks} anchors x {values} values = {masks * values} filters before the head"
        raise section.error("classes", expected, f"{channels} filters in layer {before.previous}")


@dataclass(frozen=True)
class ErrorScales:
    """Weights of the squared errors of a [region] or [detection]; rescore: objectness is to be the IoU, not 1."""

    coord_scale: float
    object_scale: float
    noobject_scale: float
    class_scale: float
    rescore: bool


SMALLEST_ZOOM = 0.01  # ours; `resize` divides

MOST_BOXES = (
    200  # default of `max`, the ground truths of an image that count: AlexeyAB's for every head
)

PJREDDIE_MOST_BOXES = {"yolo": 90, "region": 30, "detection": 90}


def read_augmentation(section: Section) -> dict[str, float]:
    """jitter, resize and random, which every head has."""
    return {
        "jitter": section.number("jitter", 0.2, minimum=0),
        "resize": section.number("resize", 1.0, minimum=SMALLEST_ZOOM),
        "random": section.number("random", 0.0),
    }


def read_scales(section: Section) -> ErrorScales:
    return ErrorScales(
        coord_scale=section.number("coord_scale", 1.0),
        object_scale=section.number("object_scale", 1.0),
        noobject_scale=section.number("noobject_scale", 1.0),
        class_scale=section.number("class_scale", 1.0),
        rescore=section.flag("rescore"),
    )


def read_most_boxes(section: Section, dialect: str) -> int:
    kinds = PJREDDIE_MOST_BOXES if dialect == "pjreddie" else {}
    return section.integer("max", kinds.get(section.kind, MOST_BOXES), minimum=1)
