"""A detection head's section → its settings: what it says beyond its shape, for losses, augmentation and detection.

Every key is read here once, with Darknet's default (AlexeyAB parser.c parse_yolo, parse_gaussian_yolo, parse_region,
parse_detection). dialect: "alexeyab" or "pjreddie", whose default of `max` counts.
"""

from dataclasses import replace

from yolo.cfg import Section
from yolo.settings import (
    IOU_LOSSES,
    UNLIMITED,
    DetectionSettings,
    ErrorScales,
    PairedOverlap,
    RegionSettings,
    YoloSettings,
)

SMALLEST_ZOOM = 0.01  # ours; `resize` divides
NMS_KINDS = ("default", "greedynms", "diounms")
CORNERS_NMS = "cornersnms"  # of [Gaussian_yolo]: in box.c diounms_sort it does what default does
MOST_BOXES = 200  # default of `max`, the truths of a picture that count: AlexeyAB's for every head
PJREDDIE_MOST_BOXES = {"yolo": 90, "region": 30, "detection": 90}


def read_yolo(
    section: Section, classes: int, dialect: str, nms_kinds: tuple[str, ...] = NMS_KINDS
) -> YoloSettings:
    """What a `[yolo]` says beyond its shape."""
    return YoloSettings(
        max_boxes=_read_most_boxes(section, dialect),
        ignore_thresh=section.number("ignore_thresh", 0.5),
        truth_thresh=section.number("truth_thresh", 1.0),
        iou_thresh=section.number("iou_thresh", 1.0),
        iou_thresh_overlap=_read_iou_thresh_kind(section),
        box_overlap=IOU_LOSSES[section.choice("iou_loss", "mse", tuple(IOU_LOSSES))],
        iou_normalizer=section.number("iou_normalizer", 0.75),
        obj_normalizer=section.number("obj_normalizer", 1.0),
        cls_normalizer=section.number("cls_normalizer", 1.0),
        delta_normalizer=section.number("delta_normalizer", 1.0),
        max_delta=section.number("max_delta", UNLIMITED),
        label_smooth_eps=section.number("label_smooth_eps", 0.0),
        focal_loss=section.flag("focal_loss"),
        objectness_smooth=section.flag("objectness_smooth"),
        class_multipliers=_read_class_multipliers(section, classes),
        **_read_augmentation(section),
        nms_kind=section.choice("nms_kind", "default", nms_kinds),
        beta_nms=section.number("beta_nms", 0.6),
    )


def read_gaussian_yolo(section: Section, classes: int, dialect: str) -> YoloSettings:
    """What a `[Gaussian_yolo]` says beyond its shape."""
    settings = read_yolo(section, classes, dialect, (*NMS_KINDS, CORNERS_NMS))
    nms_kind = "default" if settings.nms_kind == CORNERS_NMS else settings.nms_kind
    uc_normalizer = section.number("uc_normalizer", 1.0)
    return replace(settings, nms_kind=nms_kind, uc_normalizer=uc_normalizer)


def read_region(section: Section, dialect: str) -> RegionSettings:
    """What a `[region]` says beyond its shape."""
    for key in ("log", "sqrt", "absolute"):
        section.flag(key)  # Darknet reads them and uses them nowhere
    section.number("mask_scale", 1.0)  # for more than 4 coords
    return RegionSettings(
        max_boxes=_read_most_boxes(section, dialect),
        **_read_augmentation(section),
        scales=_read_scales(section),
        thresh=section.number("thresh", 0.5),
        bias_match=section.flag("bias_match"),
        classfix=section.integer("classfix", 0),
        focal_loss=section.flag("focal_loss"),
        class_map=section.text("map", ""),
    )


def read_detection(section: Section, dialect: str) -> DetectionSettings:
    """What a `[detection]` says beyond its shape."""
    section.flag("reorg")  # Darknet reads it and uses it nowhere
    return DetectionSettings(
        max_boxes=_read_most_boxes(section, dialect),
        **_read_augmentation(section),
        scales=_read_scales(section),
        forced=section.flag("forced"),
    )


def _read_augmentation(section: Section) -> dict[str, float]:
    """jitter, resize and random, which every head has."""
    return {
        "jitter": section.number("jitter", 0.2, minimum=0),
        "resize": section.number("resize", 1.0, minimum=SMALLEST_ZOOM),
        "random": section.number("random", 0.0),
    }


def _read_scales(section: Section) -> ErrorScales:
    return ErrorScales(
        coord_scale=section.number("coord_scale", 1.0),
        object_scale=section.number("object_scale", 1.0),
        noobject_scale=section.number("noobject_scale", 1.0),
        class_scale=section.number("class_scale", 1.0),
        rescore=section.flag("rescore"),
    )


def _read_most_boxes(section: Section, dialect: str) -> int:
    kinds = PJREDDIE_MOST_BOXES if dialect == "pjreddie" else {}
    return section.integer("max", kinds.get(section.kind, MOST_BOXES), minimum=1)


def _read_iou_thresh_kind(section: Section) -> PairedOverlap:
    kinds = {kind: overlap for kind, overlap in IOU_LOSSES.items() if overlap is not None}
    return kinds[section.choice("iou_thresh_kind", "iou", tuple(kinds))]


def _read_class_multipliers(section: Section, classes: int) -> tuple[float, ...]:
    """One factor a class from counters_per_class: the rarest class weighs most; () without that key.

    Source: parser.c get_classes_multipliers: largest counter / counter, at most max_delta.
    """
    counters = section.integers("counters_per_class", ())
    if not counters:
        return ()
    if len(counters) != classes or min(counters) < 1:
        raise section.error("counters_per_class", f"{classes} counters of at least 1")
    most = section.number("max_delta", UNLIMITED)
    return tuple(min(max(counters) / counter, most) for counter in counters)
