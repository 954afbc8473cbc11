"""Find the input sizes that a network can compute, besides the one of its cfg."""

from math import ceil

import torch
from torch.func import functional_call

from yolo.model.network import Network
from yolo.records import Size


def network_stride(network: Network) -> Size:
    """Return (vertical, horizontal) network-input pixels per cell of the coarsest map, rounded up.

    Maps of one cell do not count: an [avgpool] makes them from any size.
    """
    maps = [(height, width) for _, height, width in network.shapes if height * width > 1]
    vertical = ceil(max((network.input.height / height for height, _ in maps), default=1))
    horizontal = ceil(max((network.input.width / width for _, width in maps), default=1))
    return vertical, horizontal


def computes_size(network: Network, size: Size) -> bool:
    """Return whether every layer computes an input of (height, width).

    Only shapes are computed, on torch's "meta" device.
    False for sizes that a stride before a [route] or [shortcut] does not divide, and for networks with a [connected],
    [local] or [detection], which have one size. The network is in evaluation mode afterwards.
    """
    network.eval()
    tensors = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    images = torch.empty(1, network.input.channels, *size, device="meta")
    try:
        functional_call(network, tensors, images)
    except (RuntimeError, ValueError):
        return False
    return True
