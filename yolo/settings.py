"""cfg sections → plain records of what they say about input, training, losses and detection.

Every key is read here once, with Darknet's default (AlexeyAB parser.c parse_net_options, parse_yolo), so that what
is left unread is what nobody in the project reads.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from yolo import boxes
from yolo.cfg import Section
from yolo.train.schedule import POLICIES, Schedule

UNLIMITED = float("inf")  # Darknet's FLT_MAX: no max_delta
PairedOverlap = Callable[[Tensor, Tensor], Tensor]

# iou_loss of a [yolo]: None is the squared error of the t-values (parser.c parse_yolo: any other word means iou)
IOU_LOSSES: dict[str, PairedOverlap | None] = {
    "mse": None,
    "iou": boxes.paired_iou,
    "giou": boxes.paired_giou,
    "diou": boxes.paired_diou,
    "ciou": boxes.paired_ciou,
}
SMALLEST_ZOOM = 0.01  # ours; `resize` divides
NMS_KINDS = ("default", "greedynms", "diounms")


@dataclass(frozen=True)
class InputSettings:
    """What the network looks at: size in pixels, channels, and whether AlexeyAB letterboxes pictures for it."""

    height: int
    width: int
    channels: int
    letter_box: bool


@dataclass(frozen=True)
class ColourSettings:
    """Largest changes of colour (image.c random_distort_image): hue in turns, the others as factors."""

    hue: float
    saturation: float
    exposure: float


@dataclass(frozen=True)
class TrainingSettings:
    """[net] as the trainer needs it, in Darknet's words: `batch` pictures an update, in `subdivisions` parts."""

    batch: int
    subdivisions: int
    max_batches: int
    momentum: float
    decay: float
    schedule: Schedule
    colour: ColourSettings
    flip: bool
    resize_step: int


@dataclass(frozen=True)
class HeadSettings:
    """A [yolo] section as loss, augmentation and detection need it. Frames and meaning as in Darknet's parse_yolo.

    box_overlap: None for squared error, else the overlap whose complement is the box loss.
    """

    max_boxes: int
    ignore_thresh: float
    truth_thresh: float
    iou_thresh: float
    iou_thresh_overlap: PairedOverlap
    box_overlap: PairedOverlap | None
    iou_normalizer: float
    obj_normalizer: float
    cls_normalizer: float
    delta_normalizer: float
    max_delta: float
    label_smooth_eps: float
    focal_loss: bool
    objectness_smooth: bool
    class_multipliers: tuple[float, ...]
    jitter: float
    resize: float
    random: float
    nms_kind: str
    beta_nms: float


def read_input(net: Section, size: tuple[int, int] | None) -> InputSettings:
    """Size and channels of `[net]`; `size` (height, width) overrides the cfg's."""
    height = net.integer("height", 0, minimum=0)
    width = net.integer("width", 0, minimum=0)
    if size is not None:
        height, width = size
    for key, value in (("height", height), ("width", width)):
        if value < 1:
            raise net.error(key, "a size of at least 1 pixel")
    channels = net.integer("channels", 3, minimum=1)
    return InputSettings(height, width, channels, net.flag("letter_box"))


def read_training(net: Section) -> TrainingSettings:
    """What `[net]` says about training."""
    batch = net.integer("batch", 1, minimum=1)
    subdivisions = net.integer("subdivisions", 1, minimum=1)
    if subdivisions > batch:
        # Darknet would train on batches of 0 pictures; test cfgs with batch=1 and a stray subdivisions still load.
        subdivisions = batch
    for key in ("angle", "aspect", "max_crop", "min_crop"):
        net.number(
            key, 0.0
        )  # Darknet crops and turns pictures for classifiers only (data.c load_image_augment_paths)
    return TrainingSettings(
        batch=batch,
        subdivisions=subdivisions,
        max_batches=net.integer("max_batches", 0, minimum=0),
        momentum=net.number("momentum", 0.9, minimum=0),
        decay=net.number("decay", 0.0001, minimum=0),
        schedule=_read_schedule(net),
        colour=ColourSettings(
            hue=net.number("hue", 0.0),
            saturation=net.number("saturation", 1.0),
            exposure=net.number("exposure", 1.0),
        ),
        flip=net.flag("flip", True),
        resize_step=net.integer("resize_step", 32, minimum=1),
    )


def with_iou_loss(settings: HeadSettings, iou_loss: str) -> HeadSettings:
    """The same head trained with another box loss, one of IOU_LOSSES; its normalizer stays the cfg's."""
    return replace(settings, box_overlap=IOU_LOSSES[iou_loss])


def _read_schedule(net: Section) -> Schedule:
    policy = net.choice("policy", "constant", POLICIES)
    steps, scales = net.integers("steps", ()), net.numbers("scales", ())
    if policy == "steps" and (not steps or len(steps) != len(scales)):
        raise net.error(
            "steps", f"as many steps as scales, at least one; there are {len(scales)} scales"
        )
    max_batches = net.integer("max_batches", 0, minimum=0)
    if policy == "poly" and max_batches == 0:
        raise net.error("max_batches", "at least 1 with policy=poly")
    if policy == "sgdr" and max_batches == 0 and net.integer("sgdr_cycle", 0) == 0:
        raise net.error("max_batches", "at least 1 with policy=sgdr")
    return Schedule(
        learning_rate=net.number("learning_rate", 0.001),
        policy=policy,
        max_batches=max_batches,
        burn_in=net.integer("burn_in", 0, minimum=0),
        power=net.number("power", 4.0),
        step=net.integer("step", 1, minimum=1),
        scale=net.number("scale", 1.0),
        gamma=net.number("gamma", 1.0),
        steps=steps,
        scales=scales,
        learning_rate_min=net.number("learning_rate_min", 1e-5),
        sgdr_cycle=net.integer("sgdr_cycle", 0, minimum=0),
        sgdr_mult=net.integer("sgdr_mult", 2, minimum=1),
    )


def read_head(section: Section, classes: int) -> HeadSettings:
    """What a `[yolo]` says beyond its shape."""
    return HeadSettings(
        max_boxes=section.integer("max", 200, minimum=1),
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
        jitter=section.number("jitter", 0.2, minimum=0),
        resize=section.number("resize", 1.0, minimum=SMALLEST_ZOOM),
        random=section.number("random", 0.0),
        nms_kind=section.choice("nms_kind", "default", NMS_KINDS),
        beta_nms=section.number("beta_nms", 0.6),
    )


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
