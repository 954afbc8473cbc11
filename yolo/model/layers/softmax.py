"""`[softmax]`, `[soft]`: over all values, over channels, or in the groups of a class hierarchy."""

import torch
from torch import Tensor, nn

from yolo.cfg import Section
from yolo.model.building import BuildContext, Built, read_class_tree
from yolo.model.class_tree import Tree, group_softmax


class Softmax(nn.Module):
    """Softmax of an image's values / `temperature`, in each of `groups` equal parts (softmax_layer.c)."""

    def __init__(self, *, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups = groups
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        parts = features.reshape(features.shape[0], self.groups, -1) / self.temperature
        return torch.softmax(parts, dim=-1).reshape(features.shape)


class SpatialSoftmax(nn.Module):
    """Softmax over the channels of each pixel (softmax_layer.c forward_softmax_layer_gpu, spatial).

    Darknet's CPU code does not have `spatial`. Its GPU code ignores the temperature, as this layer does. The GPU code
    also starts one softmax per channel, whose threads overwrite each other; this layer computes the intended values.
    """

    def forward(self, features: Tensor) -> Tensor:
        return torch.softmax(features, dim=1)


class TreeSoftmax(nn.Module):
    """Softmax of an image's values / `temperature`, in each group of a class hierarchy (softmax_layer.c).

    The values are those of the tree's classes, in order.
    """

    def __init__(self, *, tree: Tree, temperature: float) -> None:
        super().__init__()
        self.tree = tree
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        values = features.flatten(1) / self.temperature
        return group_softmax(values, self.tree).reshape(features.shape)


def build_softmax(section: Section, context: BuildContext) -> Built:
    """[softmax], [soft] (parser.c parse_softmax); `noloss` is read and has no effect."""
    groups = section.integer("groups", 1, minimum=1)
    temperature = section.number("temperature", 1.0)
    spatial = section.flag("spatial")
    section.flag("noloss")
    shape = channels, height, width = context.previous_shape
    values = channels * height * width
    if values % groups:
        raise section.error("groups", f"a divisor of the {values} values of the previous layer")
    if temperature <= 0:
        raise section.error("temperature", "a number above 0")
    tree = read_class_tree(section, values)
    if tree is not None:  # as in Darknet, the tree has priority over `spatial`
        layer = TreeSoftmax(tree=tree, temperature=temperature)
    elif spatial:
        layer = SpatialSoftmax()
    else:
        layer = Softmax(groups=groups, temperature=temperature)
    return Built(layer, (context.previous,), shape)
