"""Sections that scale, drop or cut values, or hand them on → the layer, the layer it reads and the shape it gives."""

from torch import nn

from yolo.cfg import Section
from yolo.model.graph import Before, Built
from yolo.model.normalise import (
    BATCH_NORM_NUMBERS,
    BatchNorm,
    Crop,
    DropBlock,
    LocalResponseNorm,
    Softmax,
    SpatialSoftmax,
    TreeSoftmax,
)
from yolo.model.reading import read_class_tree

DROPOUT = {"alexeyab": 0.2, "pjreddie": 0.5}  # the default of each Darknet's parse_dropout
DROPBLOCK_PIXELS = 7  # AlexeyAB parse_dropout, where no size is given
COSTS = ("sse", "masked", "smooth", "L1", "seg", "wgan")  # cost_layer.c get_cost_type


def build_crop(section: Section, before: Before) -> Built:
    """[crop] (parser.c parse_crop).

    angle, saturation, exposure and shift are read and change nothing: only Darknet's GPU code knows them.
    """
    size = section.integer("crop_height", 1, minimum=1), section.integer("crop_width", 1, minimum=1)
    flip, noadjust = section.flag("flip"), section.flag("noadjust")
    for key, default in (("angle", 0.0), ("saturation", 1.0), ("exposure", 1.0), ("shift", 0.0)):
        section.number(key, default)
    channels, height, width = before.shape(before.previous)
    for key, wanted, there in (("crop_height", size[0], height), ("crop_width", size[1], width)):
        if wanted > there:
            raise section.error(key, f"at most the {there} pixels before it")
    scale, shift = (1.0, 0.0) if noadjust else (2.0, -1.0)
    layer = Crop(size=size, flip=flip, scale=scale, shift=shift)
    return Built(layer, (before.previous,), (channels, *size))


def build_batchnorm(section: Section, before: Before) -> Built:
    """[batchnorm] (parser.c parse_batchnorm)."""
    shape = before.shape(before.previous)
    before.afford(section, "channels", BATCH_NORM_NUMBERS * shape[0])
    return Built(BatchNorm(channels=shape[0]), (before.previous,), shape)


def build_normalization(section: Section, before: Before) -> Built:
    """[lrn], [normalization] (parser.c parse_normalization)."""
    size = section.integer("size", 5, minimum=1)
    alpha, beta = section.number("alpha", 0.0001), section.number("beta", 0.75)
    kappa = section.number("kappa", 1.0)
    shape = before.shape(before.previous)
    if size // 2 > shape[0]:  # Darknet reads size // 2 channels, whatever there is
        raise section.error("size", f"at most {2 * shape[0] + 1}, for {shape[0]} channels")
    layer = LocalResponseNorm(size=size, alpha=alpha, beta=beta, kappa=kappa)
    return Built(layer, (before.previous,), shape)


def build_dropout(section: Section, before: Before) -> Built:
    """[dropout] (parser.c parse_dropout; dropblock: AlexeyAB's); nothing in evaluation."""
    probability = section.number("probability", DROPOUT[before.dialect], minimum=0)
    dropblock = section.flag("dropblock")
    share = section.number("dropblock_size_rel", 0.0, minimum=0)
    pixels = section.integer("dropblock_size_abs", 0, minimum=0)
    if probability >= 1:
        raise section.error("probability", "a share below 1")
    if not dropblock:
        layer = nn.Dropout(probability)
    elif share and not pixels:
        layer = DropBlock(probability=probability, share=share)
    else:
        layer = DropBlock(probability=probability, pixels=pixels or DROPBLOCK_PIXELS)
    return Built(layer, (before.previous,), before.shape(before.previous))


def build_softmax(section: Section, before: Before) -> Built:
    """[softmax], [soft] (parser.c parse_softmax); `noloss` matters in training only."""
    groups = section.integer("groups", 1, minimum=1)
    temperature = section.number("temperature", 1.0)
    spatial = section.flag("spatial")
    section.flag("noloss")
    shape = channels, height, width = before.shape(before.previous)
    values = channels * height * width
    if values % groups:
        raise section.error("groups", f"a divisor of the {values} values before it")
    if temperature <= 0:
        raise section.error("temperature", "a number above 0")
    tree = read_class_tree(section, "tree", values)
    if tree is not None:  # as in Darknet, the tree goes before `spatial`
        layer = TreeSoftmax(tree=tree, temperature=temperature)
    elif spatial:
        layer = SpatialSoftmax()
    else:
        layer = Softmax(groups=groups, temperature=temperature)
    return Built(layer, (before.previous,), shape)


def build_cost(section: Section, before: Before) -> Built:
    """[cost] (parser.c parse_cost): hands on what it gets; its keys matter in training only."""
    section.choice("type", "sse", COSTS)
    for key, default in (("scale", 1.0), ("ratio", 0.0), ("noobj", 1.0), ("thresh", 0.0)):
        section.number(key, default)
    return Built(nn.Identity(), (before.previous,), before.shape(before.previous))


def build_empty(_section: Section, before: Before) -> Built:
    """[empty], [silence]: hands on what it gets."""
    return Built(nn.Identity(), (before.previous,), before.shape(before.previous))
