"""What a cfg says about input, training, losses and detection, as plain records, and how `[net]` is read.

Every key is read once, here or beside the layer that its section becomes,
with Darknet's default (AlexeyAB parser.c parse_net_options), so
that what is left unread is what nobody in the project reads.
"""

from dataclasses import dataclass
from typing import Protocol

from yolo.cfg import Section
from yolo.schedule import POLICIES, Schedule


@dataclass(frozen=True)
class InputSettings:
    """What the network looks at: size in pixels, channels, and whether AlexeyAB letterboxes images for it."""

    height: int
    width: int
    channels: int
    letter_box: bool


@dataclass(frozen=True)
class ColorSettings:
    """Largest changes of color (image.c random_distort_image): hue in turns, the others as factors."""

    hue: float
    saturation: float
    exposure: float


@dataclass(frozen=True)
class MixingSettings:
    """What is done to whole images beside jitter and color (AlexeyAB data.c load_data_detection).

    mosaic: four images in one; mosaic_bound: whose boxes are cut where their image ends; mixup: two images over
    each other; cutmix: of classifiers, a part of one in the other; blur: 1 for the background only, above 1 also for
    the whole image with a window of so many pixels; gaussian_noise: its largest strength, of 255.
    """

    mosaic: bool = False
    mosaic_bound: bool = False
    mixup: bool = False
    cutmix: bool = False
    blur: int = 0
    gaussian_noise: float = 0.0


@dataclass(frozen=True)
class CropSettings:
    """How a classifier's training image is cut (data.c load_image_augment_paths, image.c random_augment_image).

    angle: largest turn in degrees; aspect: largest factor of width to height; smallest, largest: of the image's
    smaller side, in pixels, before the network's input is cut out of it.
    """

    angle: float
    aspect: float
    smallest: int
    largest: int


@dataclass(frozen=True)
class AdamSettings:
    """[net] adam=1: its decay rates and what keeps its root from 0 (parser.c parse_net_options)."""

    beta1: float
    beta2: float
    eps: float


@dataclass(frozen=True)
class TrainingSettings:
    """[net] as the trainer needs it, in Darknet's words: `batch` images an update, in `subdivisions` parts.

    adam: None for SGD; ema_alpha: share of the old value in the average of the weights, 0 for no average;
    label_smooth_eps: of classifiers; max_chart_loss: top of the chart.
    """

    batch: int
    subdivisions: int
    max_batches: int
    momentum: float
    decay: float
    schedule: Schedule
    color: ColorSettings
    flip: bool
    resize_step: int
    mixing: MixingSettings
    crop: CropSettings
    adam: AdamSettings | None
    ema_alpha: float
    label_smooth_eps: float
    max_chart_loss: float


@dataclass(frozen=True)
class LayerControls:
    """What any layer's section says about its own learning and loading; the defaults change nothing.

    learning_rate: factor of the network's; stopbackward: no gradient goes into this layer or one before it in the
    file, 1: ever, N: before step N + 1; dont_update: its parameters stay until after step N; burnin_update: and until
    step N * burn_in; train_only_bn: in this layer and all before it nothing but rolling statistics moves;
    onlyforward: no gradient goes through this layer; dontload: its tensors are not in the .weights files that are
    loaded; dontloadscales: nor are the scales and rolling statistics of its batch norm.
    """

    learning_rate: float = 1.0
    stopbackward: int = 0
    dont_update: int = 0
    burnin_update: int = 0
    train_only_bn: bool = False
    onlyforward: bool = False
    dontload: bool = False
    dontloadscales: bool = False


class HeadSettings(Protocol):
    """What every detection head's section says beyond the head's shape; each kind of head adds its own.

    max_boxes: labeled boxes of an image that count; jitter, resize: limits of the augmentation; random: limit of the
    change of the input size; nms_kind, beta_nms: how detections are suppressed.
    """

    @property
    def max_boxes(self) -> int: ...
    @property
    def jitter(self) -> float: ...
    @property
    def resize(self) -> float: ...
    @property
    def random(self) -> float: ...
    @property
    def nms_kind(self) -> str: ...
    @property
    def beta_nms(self) -> float: ...


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
        # test cfgs have batch=1 and a stray subdivisions (AlexeyAB parse_net_options: a batch of at least 1)
        subdivisions = batch
    return TrainingSettings(
        batch=batch,
        subdivisions=subdivisions,
        max_batches=net.integer("max_batches", 0, minimum=0),
        momentum=net.number("momentum", 0.9, minimum=0),
        decay=net.number("decay", 0.0001, minimum=0),
        schedule=_read_schedule(net),
        color=ColorSettings(
            hue=net.number("hue", 0.0),
            saturation=net.number("saturation", 1.0),
            exposure=net.number("exposure", 1.0),
        ),
        flip=net.flag("flip", True),
        resize_step=net.integer("resize_step", 32, minimum=1),
        mixing=_read_mixing(net),
        crop=_read_crop(net),
        adam=_read_adam(net),
        ema_alpha=net.number("ema_alpha", 0.0, minimum=0),
        label_smooth_eps=net.number("label_smooth_eps", 0.0, minimum=0),
        max_chart_loss=net.number("max_chart_loss", 20.0, minimum=0),
    )


def read_controls(section: Section) -> LayerControls:
    """What a layer's section, whatever its kind, says about its learning and loading (parse_network_cfg_custom)."""
    return LayerControls(
        learning_rate=section.number("learning_rate", 1.0, minimum=0),
        stopbackward=section.integer("stopbackward", 0, minimum=0),
        dont_update=section.integer("dont_update", 0, minimum=0),
        burnin_update=section.integer("burnin_update", 0, minimum=0),
        train_only_bn=section.flag("train_only_bn"),
        onlyforward=section.flag("onlyforward"),
        dontload=section.flag("dontload"),
        dontloadscales=section.flag("dontloadscales"),
    )


def _read_mixing(net: Section) -> MixingSettings:
    return MixingSettings(
        mosaic=net.flag("mosaic"),
        mosaic_bound=net.flag("mosaic_bound"),
        mixup=net.flag("mixup"),
        cutmix=net.flag("cutmix"),
        blur=net.integer("blur", 0, minimum=0),
        gaussian_noise=net.number("gaussian_noise", 0.0, minimum=0),
    )


def _read_crop(net: Section) -> CropSettings:
    width = net.integer("width", 0, minimum=0)
    return CropSettings(
        angle=net.number("angle", 0.0),
        aspect=net.number("aspect", 1.0),
        smallest=net.integer("min_crop", width, minimum=0),
        largest=net.integer("max_crop", 2 * width, minimum=0),
    )


def _read_adam(net: Section) -> AdamSettings | None:
    settings = AdamSettings(
        beta1=net.number("B1", 0.9, minimum=0),
        beta2=net.number("B2", 0.999, minimum=0),
        eps=net.number("eps", 1e-6, minimum=0),
    )
    return settings if net.flag("adam") else None


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
