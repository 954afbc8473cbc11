"""Simulate int8 in PyTorch: ranges of activations, rounded values, and biases that correct the mean error.

It needs no optional package. Weights have one scale per output channel, the input of a convolution has one scale. There
is no zero point: kernels for one are slow (OpenVINO's) or missing (TensorRT's).
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.model.network import Network

SIGNED_LEVELS, UNSIGNED_LEVELS = 127, 255
PERCENTILE = 99.99  # of the absolute values of an activation in an image: larger ones may be clipped
TINY = torch.finfo(torch.float32).tiny

Hook = Callable[[nn.Module, tuple[Tensor, ...]], object]


@dataclass(frozen=True)
class Range:
    """The values of an activation that int8 keeps: -top to top, or 0 to top if it is never negative."""

    top: float
    negative: bool

    def rounded(self, values: Tensor) -> Tensor:
        """Return values as they are after int8."""
        if self.negative:
            return _rounded(values, values.new_tensor(self.top), SIGNED_LEVELS, -SIGNED_LEVELS)
        return _rounded(values, values.new_tensor(self.top), UNSIGNED_LEVELS, 0)


def layer_convolutions(network: Network) -> dict[int, dict[str, nn.Conv2d]]:
    """Return the convolutions of each layer that has any, by its number and by their names in the network."""
    found: dict[int, dict[str, nn.Conv2d]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            found.setdefault(int(name.split(".")[1]), {})[name] = module  # layers.NUMBER.NAME
    return found


@torch.inference_mode()
def activation_ranges(network: Network, images: Sequence[Tensor]) -> dict[str, Range]:
    """Return the range of the input of each convolution, by its name: the largest percentile of all images.

    Args:
        network: Folded, on the CPU.
        images: Each `[1, C, H, W]`.
    """
    ranges: dict[str, Range] = {}

    def note(name: str) -> Hook:
        def hook(_conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].abs().flatten()
            above = max(1, round(len(values) * (1 - PERCENTILE / 100)))
            old = ranges.get(name, Range(0.0, False))
            top = max(old.top, float(values.topk(above).values[-1]))
            ranges[name] = Range(top, old.negative or bool((inputs[0] < 0).any()))

        return hook

    with hooked({conv: note(name) for name, conv in _named(network).items()}):
        for image in images:
            network(image)
    return ranges


@contextmanager
def in_int8(convs: Mapping[str, nn.Conv2d], ranges: Mapping[str, Range]) -> Iterator[None]:
    """Within the `with` block, convolutions have rounded weights and get rounded inputs."""

    def rounding(given: Range) -> Hook:
        return lambda _conv, inputs: (given.rounded(inputs[0]),)

    kept = {conv: conv.weight.data for conv in convs.values()}
    try:
        for conv in kept:
            conv.weight.data = int8_weights(conv.weight.data)
        with hooked({conv: rounding(ranges[name]) for name, conv in convs.items()}):
            yield
    finally:
        for conv, weight in kept.items():
            conv.weight.data = weight


@torch.inference_mode()
def with_corrected_biases(
    network: Network, images: Sequence[Tensor], ranges: Mapping[str, Range], float_layers: Collection[int]
) -> Network:
    """Return a copy whose biases correct the mean error of each channel in int8 (Nagel et al. 2019, section 4.2).

    Args:
        network: Folded, on the CPU.
        images: Each `[1, C, H, W]`.
        ranges: Of `activation_ranges`.
        float_layers: Numbers of the layers that stay as they are.
    """
    copied = copy.deepcopy(network)
    layers = layer_convolutions(copied)
    convs = {name: conv for layer, named in layers.items() if layer not in float_layers for name, conv in named.items()}
    sums = {conv: torch.zeros(conv.out_channels) for conv in convs.values()}

    def note(given: Range, weight: Tensor) -> Hook:
        def hook(conv: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
            exact = conv._conv_forward(inputs[0], conv.weight, None)
            rounded = conv._conv_forward(given.rounded(inputs[0]), weight, None)
            sums[conv] += (exact - rounded).mean(dim=(0, 2, 3))

        return hook

    with hooked({conv: note(ranges[name], int8_weights(conv.weight)) for name, conv in convs.items()}):
        for image in images:
            copied(image)
    for conv, total in sums.items():
        mean = total / len(images)
        conv.bias = nn.Parameter(mean if conv.bias is None else conv.bias + mean, requires_grad=False)
    return copied


def int8_weights(weight: Tensor) -> Tensor:
    """Return weights `[filters, ...]` rounded to int8, with one scale per filter."""
    tops = weight.abs().flatten(1).amax(dim=1).view(-1, *[1] * (weight.ndim - 1))
    return _rounded(weight, tops, SIGNED_LEVELS, -SIGNED_LEVELS)


@contextmanager
def hooked(hooks: Mapping[nn.Module, Hook]) -> Iterator[None]:
    """Call a function with the inputs before each of the modules, within the `with` block."""
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _named(network: Network) -> dict[str, nn.Conv2d]:
    return {name: conv for named in layer_convolutions(network).values() for name, conv in named.items()}


def _rounded(values: Tensor, top: Tensor, levels: int, lowest: int) -> Tensor:
    scale = (top / levels).clamp(min=TINY)
    return (values / scale).round().clamp(lowest, levels) * scale
