"""Sections that hand their input on: `[cost]`, `[empty]`, `[silence]`."""

from torch import nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built

COSTS = ("sse", "masked", "smooth", "L1", "seg", "wgan")  # cost_layer.c get_cost_type


def build_cost(section: Section, before: BuildContext) -> Built:
    """[cost] (parser.c parse_cost): hands on what it gets; its keys matter in training only."""
    section.choice("type", "sse", COSTS)
    for key, default in (("scale", 1.0), ("ratio", 0.0), ("noobj", 1.0), ("thresh", 0.0)):
        section.number(key, default)
    return Built(nn.Identity(), (before.previous,), before.shape(before.previous))


def build_empty(_section: Section, before: BuildContext) -> Built:
    """[empty], [silence]: hands on what it gets."""
    return Built(nn.Identity(), (before.previous,), before.shape(before.previous))
