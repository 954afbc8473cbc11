"""Settings of a cfg as records: all of `[net]`, the keys of every layer, and the common keys of detection heads.

Keys that are particular to one kind of layer are read by its builder. All defaults are Darknet's (AlexeyAB parser.c
parse_net_options). A key that is read nowhere is reported as unread.
"""

from dataclasses import dataclass
from typing import Protocol

from yolo.cfg import Section
from yolo.schedule import POLICIES, Schedule

LARGEST_SIDE = 2**15 - 1  # pixels; OpenCV's warps take no larger images (SHRT_MAX)


@dataclass(frozen=True)
class InputSettings:
    """The network input: size in pixels, channels, and whether AlexeyAB's Darknet letterboxes images for it."""

    height: int
    width: int
    channels: int
    letter_box: bool


@dataclass(frozen=True)
class ColorSettings:
    """Largest random changes of color (image.c random_distort_image): hue in turns, the others as factors."""

    hue: float
    saturation: float
    exposure: float


@dataclass(frozen=True)
class MixingSettings:
    """Augmentation of whole images, beside jitter and color (AlexeyAB data.c load_data_detection).

    mosaic: combine four images; mosaic_bound: clip boxes at the border of their image in the mosaic; mixup: blend two
    images; cutmix: for classifiers, paste a part of one image into another; blur: 1 to blur the background, above 1 to
    blur the whole image too, with a window of that many pixels; gaussian_noise: largest strength, out of 255.
    """

    mosaic: bool = False
    mosaic_bound: bool = False
    mixup: bool = False
    cutmix: bool = False
    blur: int = 0
    gaussian_noise: float = 0.0


@dataclass(frozen=True)
class CropSettings:
    """Random crops of a classifier's training images (data.c load_image_augment_paths, image.c random_augment_image).

    angle: largest rotation in degrees; aspect: largest factor of the aspect ratio; smallest, largest: range of the
    image's smaller side in pixels, to which it is resized before the network input is cropped from it.
    """

    angle: float
    aspect: float
    smallest: int
    largest: int


@dataclass(frozen=True)
class AdamSettings:
    """Parameters of Adam, which [net] adam=1 selects (parser.c parse_net_options)."""

    beta1: float
    beta2: float
    eps: float


@dataclass(frozen=True)
class TrainingSettings:
    """[net] for the trainer, in Darknet's words: `batch` images per update, in `subdivisions` mini-batches.

    adam: None for SGD; ema_alpha: weight of the old value in the EMA of the weights, 0 for no EMA;
    label_smooth_eps: label smoothing of classifiers; max_chart_loss: upper end of the chart's loss axis.
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
    """Keys of any layer's section about its training and loading. The defaults change nothing.

    learning_rate: factor of the network's learning rate;
    stopbackward: this layer and all before it get no gradient: never with 1, up to step N with N > 1;
    dont_update: the parameters do not change up to step N;
    burnin_update: the parameters do not change before step N * burn_in;
    train_only_bn: in this layer and all before it, only the rolling statistics change;
    onlyforward: no gradient passes through this layer;
    dontload: .weights files that are loaded do not contain this layer's tensors;
    dontloadscales: they do not contain the scales and rolling statistics of its batch norm.
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
    """Settings that every detection head has; each kind of head adds its own.

    max_boxes: number of ground truths per image that training uses; jitter, resize: limits of the augmentation;
    random: limit of the change of the input size; nms_kind, beta_nms: kind of NMS.
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
    """Read size and channels of `[net]`; `size` (height, width) overrides the cfg's."""
    height = net.integer("height", 0, minimum=0)
    width = net.integer("width", 0, minimum=0)
    if size is not None:
        height, width = size
    for key, value in (("height", height), ("width", width)):
        if value < 1:
            raise net.error(key, "a size of at least 1 pixel")
        if value > LARGEST_SIDE:
            raise net.error(key, f"at most {LARGEST_SIDE} pixels", str(value))
    channels = net.integer("channels", 3, minimum=1)
    return InputSettings(height, width, channels, net.flag("letter_box"))


def read_training(net: Section) -> TrainingSettings:
    """Read the training keys of `[net]`."""
    batch = net.integer("batch", 1, minimum=1)
    subdivisions = net.integer("subdivisions", 1, minimum=1)
    return TrainingSettings(
        batch=batch,
        # cfgs for testing have batch=1 and any subdivisions (AlexeyAB parse_net_options: a batch of at least 1)
        subdivisions=min(subdivisions, batch),
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
    """Read the keys that every layer's section may have (parse_network_cfg_custom)."""
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
    policy = net.choice("policy", "constant", POLICIES, "constant")
    steps, scales = net.integers("steps", ()), net.numbers("scales", ())
    if policy == "steps" and (not steps or len(steps) != len(scales)):
        raise net.error("steps", f"as many steps as scales, at least one; there are {len(scales)} scales")
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
