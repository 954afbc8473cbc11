"""`[activation]`, `[logistic]`, `[cost]`, `[empty]`, `[silence]`: layers of one input that keep its shape."""

from torch import nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, read_activation

COSTS = ("sse", "masked", "smooth", "L1", "seg", "wgan")  # cost_layer.c get_cost_type


def build_activation(section: Section, context: BuildContext) -> Built:
    """[activation] (parser.c parse_activation)."""
    layer = read_activation(section, default="linear")
    return Built(layer, (context.previous,), context.previous_shape)


def build_logistic(_section: Section, context: BuildContext) -> Built:
    """[logistic]: the end of a classifier with several labels per image (pjreddie logistic_layer.c)."""
    return Built(nn.Sigmoid(), (context.previous,), context.previous_shape)


def build_cost(section: Section, context: BuildContext) -> Built:
    """[cost] (parser.c parse_cost): returns its input; the keys are read and have no effect."""
    section.choice("type", "sse", COSTS)
    for key, default in (("scale", 1.0), ("ratio", 0.0), ("noobj", 1.0), ("thresh", 0.0)):
        section.number(key, default)
    return build_empty(section, context)


def build_empty(_section: Section, context: BuildContext) -> Built:
    """[empty], [silence]: returns its input."""
    return Built(nn.Identity(), (context.previous,), context.previous_shape)
