"""Measure how much each layer loses if only this layer computes in int8, simulated in PyTorch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.boxes import cxcywh_to_xyxy
from yolo.model.network import Network
from yolo.quantize.simulation import TINY, Range, in_int8, layer_convolutions
from yolo.records import Predictions


@dataclass(frozen=True)
class LayerError:
    """The error of one layer in int8.

    layer: its number in the cfg, [net] not counted. text: its convolution. error: 0 if no prediction changes, see
    `prediction_error`.
    """

    layer: int
    text: str
    error: float


@torch.inference_mode()
def layer_errors(network: Network, images: Sequence[Tensor], ranges: Mapping[str, Range]) -> list[LayerError]:
    """Return the error of each layer with a convolution when it alone is in int8, the largest first.

    Args:
        network: Folded, on the CPU, with a head; it is not changed.
        images: Each `[1, C, H, W]`.
        ranges: Of `activation_ranges`.
    """
    expected = [network.decode(network(image)) for image in images]
    errors = []
    for layer, convs in layer_convolutions(network).items():
        with in_int8(convs, ranges):
            found = [network.decode(network(image)) for image in images]
        error = sum(map(prediction_error, found, expected)) / len(images)
        errors.append(LayerError(layer, _text(convs.values()), error))
    return sorted(errors, key=lambda each: -each.error)


def prediction_error(found: Predictions, expected: Predictions) -> float:
    """Return by how much predictions differ, weighted as in AP: those with a high score count most.

    For each prediction, the largest change of a score and the lost overlap of its box (1 - IoU) times its score are
    added. The sum over all predictions is divided by the sum of all scores.
    """
    scores = expected.objectness[..., None] * expected.class_probs
    changed = (found.objectness[..., None] * found.class_probs - scores).abs().amax(dim=-1)
    best = scores.amax(dim=-1)
    moved = best * (1 - _paired_iou(found.boxes, expected.boxes))
    return float((changed + moved).sum() / best.sum().clamp(min=TINY))


def _paired_iou(one: Tensor, other: Tensor) -> Tensor:
    """cxcywh `[..., 4]` twice → the IoU of each pair `[...]`; 1 for two boxes without an area."""
    one, other = cxcywh_to_xyxy(one), cxcywh_to_xyxy(other)
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    common = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(dim=-1) for box in (one, other)]
    union = areas[0] + areas[1] - common
    return torch.where(union > 0, common / union, torch.ones_like(union))


def _text(convs: Iterable[nn.Conv2d]) -> str:
    """Return the size and the channels of a layer's first convolution."""
    conv = next(iter(convs))
    size = "x".join(map(str, conv.kernel_size))
    groups = f" in {conv.groups} groups" if conv.groups > 1 else ""
    return f"{size}, {conv.in_channels} to {conv.out_channels} channels{groups}"
