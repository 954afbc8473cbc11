"""Scale channels of an activation to the same range, and the next convolution's weights back: the same network.

int8 has one scale for all channels of an activation, so a channel with small values gets few levels. Between two
convolutions with an activation f(s x) = s f(x) for s > 0, a channel may be scaled freely (Nagel et al. 2019, section
4.1). Depthwise convolutions, which mix no channels, then behave as if each channel had a scale of its own.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from yolo.model.layers.convolution import Convolutional
from yolo.model.network import Network
from yolo.quantize.simulation import hooked

HOMOGENEOUS = (nn.LeakyReLU, nn.ReLU, nn.Identity)
SMALLEST = 1e-3  # of a channel's scale: nearly dead channels stay small


@torch.inference_mode()
def equalized(network: Network, images: Sequence[Tensor]) -> Network:
    """Return a copy that computes the same, with channels that lose less in int8.

    Args:
        network: Folded, on the CPU.
        images: Each `[1, C, H, W]`; the ranges of channels are measured on them.
    """
    copied = copy.deepcopy(network)
    pairs = list(_pairs(copied))
    tops = _channel_tops(copied, [second for _, second in pairs], images)
    for first, second in pairs:
        scales = _scales(tops[second], second)
        column = scales.view(-1, 1, 1, 1)
        first.weight.data /= column
        if first.bias is not None:
            first.bias.data /= scales
        if second.groups == 1:
            second.weight.data *= column.transpose(0, 1)
        else:
            second.weight.data *= column.repeat_interleave(second.out_channels // second.groups, dim=0)
    return copied


def _pairs(network: Network) -> Iterator[tuple[nn.Conv2d, nn.Conv2d]]:
    """Yield pairs of convolutions: only the second one reads the first; a grouped one must be depthwise."""
    readers = Counter(source for sources in network.sources for source in sources)
    for layer, sources in zip(network.layers, network.sources, strict=True):
        if not _is_plain(layer) or len(sources) != 1 or sources[0] < 0:
            continue
        before = network.layers[sources[0]]
        alone = readers[sources[0]] == 1 and sources[0] not in network.outputs
        if not (alone and _is_plain(before) and before.blur is None and isinstance(before.activation, HOMOGENEOUS)):
            continue
        if layer.conv.groups in (1, layer.conv.in_channels):
            yield before.conv, layer.conv


def _is_plain(layer: nn.Module) -> bool:
    return type(layer) is Convolutional and layer.norm is None


def _channel_tops(network: Network, convs: Sequence[nn.Conv2d], images: Sequence[Tensor]) -> dict[nn.Conv2d, Tensor]:
    """Return the largest absolute input of each channel of each convolution, `[channels]`."""
    tops = {conv: torch.zeros(conv.in_channels) for conv in convs}

    def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        tops[conv] = torch.maximum(tops[conv], inputs[0].abs().amax(dim=(0, 2, 3)))

    with hooked(dict.fromkeys(convs, note)):
        for image in images:
            network(image)
    return tops


def _scales(tops: Tensor, second: nn.Conv2d) -> Tensor:
    """Return the divisor of each channel: its range. If the next weights have one scale for all channels, it is the
    square root of the range over that of these weights, so that neither side gets too uneven.
    """
    if second.groups == 1:
        columns = second.weight.abs().amax(dim=(0, 2, 3))
        scales = torch.where(columns > 0, (tops / columns.clamp(min=1e-30)).sqrt(), torch.zeros_like(tops))
    else:
        scales = tops
    if scales.max() <= 0:
        return torch.ones_like(scales)
    return (scales / scales.max()).clamp(min=SMALLEST)
