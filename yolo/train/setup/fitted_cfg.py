"""Compute the values that a cfg needs for a data set, from a base cfg.

They are classes, filters, anchors, schedule and subdivisions, which Darknet's README asks users to edit by hand.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.cfg import Section, override, parse_cfg, read_cfg, read_cfg_text
from yolo.data.anchors import AnchorFit, HeadAnchors, box_sizes, fit_of, refit_heads
from yolo.data.check import check_list
from yolo.data.class_folders import read_classified
from yolo.data.head_anchors import describe_fit, heads_of, placement_of
from yolo.data_file import DataFile, check_data_files
from yolo.errors import CfgError, DatasetError, counted
from yolo.formats.cfg_text import CfgChange, edit_cfg
from yolo.model.network import Network, build
from yolo.names_file import read_names
from yolo.train.multiscale import largest_input
from yolo.train.setup.preflight import estimate_memory, fitting_subdivisions, memory_line

Values = dict[int, dict[str, str | None]]  # number of a section, 0 for [net] → keys and values

# AlexeyAB's README, "How to train": max_batches = classes * 2000, but not less than the number of training images and
# not less than 6000; steps at 80 % and 90 % of it
STEPS_PER_CLASS = 2000
LEAST_STEPS = 6000
# Fewer get a remark: on 205 images of blood cells, 600 steps from a backbone reach mAP 0.8 (docs/training.md)
FEWEST_STEPS = 500
USUAL_BURN_IN = 1000  # of the published cfgs, also in AlexeyAB's runs of 6,000 steps; yolo-fastest has 4,000 of 500,000
DROPS = (0.8, 0.9)
DROP_FACTOR = 0.1
USUAL_BATCH = 64  # of the published cfgs; some have batch=1 for testing

# Layers with as many channels as their input: a convolution before them decides the number
SAME_CHANNELS = (
    "activation",
    "avg",
    "avgpool",
    "batchnorm",
    "dropout",
    "logistic",
    "max",
    "maxpool",
    "sam",
    "upsample",
)
KEY_OF_CHANNELS = {
    "conv": "filters",
    "convolutional": "filters",
    "conn": "output",
    "connected": "output",
}
# Values for each anchor beside the classes: coordinates, objectness, and for Gaussian_yolo an uncertainty each
ANCHOR_VALUES = {"yolo": 5, "Gaussian_yolo": 9, "region": 5}


@dataclass(frozen=True)
class FittedAnchors:
    """Anchors made for a data set. values: for the cfg; before, after: how the base's and these fit the boxes."""

    values: Values
    before: AnchorFit
    after: AnchorFit


@dataclass(frozen=True)
class FitOptions:
    """What the user decides: size, (height, width) of the input, None for the base's; epochs, None for Darknet's
    advice; keep_anchors: leave the base's; seed: of k-means; free: bytes of memory, None where unknown; recheck: read
    files that have not changed since the last check, too; burn_in: steps, None for the base's in proportion."""

    size: tuple[int, int] | None = None
    epochs: float | None = None
    keep_anchors: bool = False
    seed: int = 0
    free: int | None = None
    recheck: bool = False
    burn_in: int | None = None


@dataclass(frozen=True)
class FittedCfg:
    """The text of a new cfg, what differs from the base, line by line, and notes for the user, a line each.

    classifies: whether it is a classifier's.
    """

    text: str
    changes: list[CfgChange]
    notes: list[str]
    classifies: bool


def class_values(network: Network, sections: Sequence[Section], classes: int) -> Values:
    """Return the values of `classes` in every head and of the filters before it; of a classifier its last filters.

    Args:
        network: built from `sections`.
        sections: of the base cfg, [net] first, as `yolo.cfg.read_cfg` returns them.
        classes: of the data set.

    Raises:
        CfgError: a class hierarchy, or a head whose input comes from no convolution of its own.
    """
    values: Values = {}
    if not network.heads:
        index = _source_of_channels(network, sections, network.outputs[0])
        values[index + 1] = {KEY_OF_CHANNELS[network.kinds[index]]: str(classes)}
        return values
    for head in network.heads:
        section, kind = sections[head + 1], network.kinds[head]
        if section.has("tree") or section.has("map"):
            raise CfgError(
                f"{section.path}:{section.line}: found a class hierarchy, expected a head with plain classes"
            )
        values[head + 1] = {"classes": str(classes)}
        if section.has("counters_per_class"):  # of the base's classes
            values[head + 1]["counters_per_class"] = None
        index = _source_of_channels(network, sections, network.sources[head][0])
        needed = _head_values(network, section, kind, head, classes)
        if network.kinds[index] in ("conv", "convolutional") and kind == "detection":
            _, height, width = network.shapes[index]
            if needed % (height * width):
                raise CfgError(
                    f"{section.path}:{section.line}: found a map of {height}x{width}, expected one that holds "
                    f"{needed} values"
                )
            needed //= height * width
        values.setdefault(index + 1, {})[KEY_OF_CHANNELS[network.kinds[index]]] = str(needed)
    return values


def _head_values(network: Network, section: Section, kind: str, head: int, classes: int) -> int:
    """Filters before a head; of [detection] the values of all cells."""
    if kind == "detection":
        side, boxes = section.integer("side", 7), section.integer("num", 1)
        return side**2 * (classes + 5 * boxes)
    layer = network.layers[head]
    return len(layer.anchors) * (ANCHOR_VALUES[kind] + classes)


def _source_of_channels(network: Network, sections: Sequence[Section], index: int) -> int:
    """Index of the convolutional or connected layer that decides how many channels layer `index` has."""
    start = index
    while index >= 0 and network.kinds[index] in SAME_CHANNELS:
        index = network.sources[index][0]
    if index < 0 or network.kinds[index] not in KEY_OF_CHANNELS:
        section = sections[start + 1]
        raise CfgError(
            f"{section.path}:{section.line}: found [{section.kind}] before the head, "
            "expected a [convolutional] or [connected] whose number of outputs can be set"
        )
    return index


def anchor_values(
    network: Network, heads: Sequence[HeadAnchors], boxes: np.ndarray, seed: int = 0
) -> FittedAnchors | None:
    """Return anchors by k-means on the boxes, and how they fit.

    Return None if they have a lower best possible recall than the base's, or if the boxes have fewer different sizes
    than there are anchors.

    Args:
        network: built from the base cfg at the input size that will be trained.
        heads: of the network, from `heads_of`; all of its heads that have anchors.
        boxes: (width, height) of the training boxes in pixels of the network input `[M, 2]`.
        seed: of the starts of k-means.
    """
    if not heads or len(np.unique(boxes, axis=0)) < sum(len(head.own) for head in heads):
        return None
    in_cells = network.kinds[heads[0].layer] == "region"
    new, line = refit_heads(heads, boxes, in_cells, seed)
    before, after = fit_of(heads, boxes), fit_of(new, boxes)
    if (after.recall, after.mean_iou) <= (before.recall, before.mean_iou):
        return None
    values: Values = {}
    for head in new:
        values[head.layer + 1] = {"anchors": line.replace("  ", " "), "num": str(len(head.anchors))}
        if not in_cells:  # a [region] has no mask
            values[head.layer + 1]["mask"] = ",".join(map(str, head.own))
    return FittedAnchors(values, before, after)


def schedule_values(net: Section, classes: int, images: int, epochs: float | None = None) -> dict[str, str | None]:
    """Return batch, max_batches, steps, scales and burn_in of [net].

    max_batches follows AlexeyAB's advice, or `epochs`. With the policy steps, the rate drops at 80 and 90 % of it. If
    the base's own run has at most 6,000 steps, it drops at the same fractions as there. burn_in is the base's. It is
    shorter in proportion if the run is shorter than the base's own run (or than 6,000 steps, if the base's run is
    longer; then the base's burn_in counts as at most 1,000 steps).

    Args:
        net: [net] of the base cfg.
        classes: of the data set.
        images: of the training list.
        epochs: passes over the training images, instead of Darknet's advice.
    """
    batch = net.integer("batch", 1)
    batch = batch if batch > 1 else USUAL_BATCH
    if epochs is None:
        steps = max(STEPS_PER_CLASS * classes, LEAST_STEPS, images)
    else:
        steps = max(1, math.ceil(epochs * images / batch))
    values: dict[str, str | None] = {"batch": str(batch), "max_batches": str(steps)}
    if net.text("policy", "constant") == "steps":
        drops = _drops_of_short_run(net) or {part: DROP_FACTOR for part in DROPS}
        values["steps"] = ",".join(str(max(1, round(part * steps))) for part in drops)
        values["scales"] = ",".join(f"{factor:g}" for factor in drops.values())
    burn_in = net.integer("burn_in", 0)
    if burn_in:
        own_steps = net.integer("max_batches", 0) or LEAST_STEPS
        usual, most = (own_steps, burn_in) if own_steps <= LEAST_STEPS else (LEAST_STEPS, min(burn_in, USUAL_BURN_IN))
        values["burn_in"] = str(min(burn_in, max(1, round(most * steps / usual))))
    return values


def _drops_of_short_run(net: Section) -> dict[float, float]:
    """Return where a base of at most LEAST_STEPS steps changes the rate, as fractions of its run, and the factors."""
    last, steps, scales = net.integer("max_batches", 0), net.integers("steps", ()), net.numbers("scales", ())
    if not 0 < last <= LEAST_STEPS or len(steps) != len(scales) or not all(0 < step < last for step in steps):
        return {}
    return {step / last: factor for step, factor in zip(steps, scales, strict=True)}


def fitted_cfg(base: str | Path, data: DataFile, options: FitOptions) -> FittedCfg:
    """Return the text of a cfg that trains the network of `base` on a data set, and what is different.

    Args:
        base: a cfg whose heads have anchors and classes of their own, or a classifier's.
        data: `classes` and the list or folder `train`; every image of it is read.
        options: see FitOptions.

    Raises:
        CfgError: the base is no cfg, or its classes cannot be changed.
        DatasetError: the data set has no usable image.
    """
    if data.train is None:
        raise DatasetError(f"{data.path}: expected the key train")
    check_data_files(data, "train")
    size = {key: str(side) for key, side in zip(("height", "width"), options.size or (), strict=False)}
    sections = override(read_cfg(base), size)
    network, _ = build(sections)
    images, boxes, summary = _training_data(network, data, options.recheck)
    anchors = None
    if not options.keep_anchors:
        anchors = anchor_values(network, heads_of(network), boxes, options.seed)
    schedule = schedule_values(sections[0], data.classes, images, options.epochs)
    if options.burn_in is not None:
        schedule["burn_in"] = str(options.burn_in)
    values = merged(
        {0: {**size, **schedule}},
        class_values(network, sections, data.classes),
        anchors.values if anchors else {},
    )
    text = read_cfg_text(base)
    edited, _ = edit_cfg(text, str(base), values)
    subdivisions, memory = _subdivisions(edited, str(base), options.free)
    values[0]["subdivisions"] = str(subdivisions)
    edited, changes = edit_cfg(text, str(base), values)
    steps = int(schedule["max_batches"])
    notes = [summary]
    if not options.keep_anchors and (heads := heads_of(network)):
        notes.append(_anchor_note(anchors) if anchors else _kept_note(heads, boxes))
    notes += [*_few_steps_note(steps, options.epochs), memory]
    return FittedCfg(edited, changes, notes, not network.heads)


def _training_data(network: Network, data: DataFile, recheck: bool) -> tuple[int, np.ndarray, str]:
    """Return the number of training images, their boxes (width, height) in network pixels, and a line about both."""
    if not network.heads:
        names = read_names(data.labels) if data.labels else []
        found = read_classified(data.train, names, network.input.channels).images
        if not found:
            raise DatasetError(
                f"{data.train}: found no image of a class, expected a folder for each class (or a base with heads, "
                "which finds objects)"
            )
        return (
            len(found),
            np.zeros((0, 2)),
            f"data: {counted(len(found), 'training image')}, {counted(data.classes, 'class')}",
        )
    checked = check_list(data.train, data.classes, network.input.channels, recheck=recheck)
    if not checked.images:
        raise DatasetError(f"{data.train}: found no usable image")
    size = network.input.height, network.input.width
    boxes = box_sizes(checked.images, size, placement_of(network))
    count = len(checked.images)
    return (
        count,
        boxes,
        f"data: {counted(count, 'training image')}, {counted(len(boxes), 'box')}, {counted(data.classes, 'class')}",
    )


def _few_steps_note(steps: int, epochs: float | None) -> list[str]:
    """Return a line about a run that is too short to learn much, else none."""
    if epochs is None or steps >= FEWEST_STEPS:
        return []
    return [
        f"schedule: {epochs:g} epochs are only {counted(steps, 'step')}. A detector usually needs more than "
        f"{FEWEST_STEPS} steps, even from pretrained weights, and Darknet advises at least {LEAST_STEPS}: "
        "expect low scores"
    ]


def _anchor_note(anchors: FittedAnchors) -> str:
    return f"anchors: {describe_fit(anchors.after)}; the base's: {describe_fit(anchors.before)}"


def _kept_note(heads: Sequence[HeadAnchors], boxes: np.ndarray) -> str:
    """Return why the anchors of the base stay, see `anchor_values`."""
    sizes, needed = len(np.unique(boxes, axis=0)), sum(len(head.own) for head in heads)
    if sizes < needed:
        found = counted(sizes, "different size")
        return f"anchors: found {found} of boxes, expected at least {needed} for as many anchors; the base's stay"
    return f"anchors: k-means found none that fit better; the base's stay: {describe_fit(fit_of(heads, boxes))}"


def _subdivisions(text: str, path: str, free: int | None) -> tuple[int, str]:
    """Return the smallest number of subdivisions that fits the free memory, and a line about it.

    Raises CfgError if not even one image at a time fits.
    """
    network, _ = build(parse_cfg(text, path))
    settings = network.training_settings
    size, copies = largest_input(network), 2 if settings.adam else 1
    subdivisions = fitting_subdivisions(network, settings.batch, size, free, copies=copies)
    if subdivisions is not None:
        images = settings.batch // subdivisions
        memory = estimate_memory(network, images, size, copies)
        return subdivisions, memory_line(memory, free, images, size)
    raise CfgError(
        f"{path}: found a network that needs more than the free memory for one image of "
        f"{size[1]}x{size[0]}, expected a smaller --width and --height"
    )


def merged(*parts: Mapping[int, Mapping[str, str | None]]) -> Values:
    """Return the values of all parts; of one key, the last part counts."""
    values: Values = {}
    for part in parts:
        for number, keys in part.items():
            values.setdefault(number, {}).update(keys)
    return values
