"""Explain the detections of one image, with one forward pass and a few gradients."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from yolo.detect.detector import Detector
from yolo.explain.graph_layers import informative_layers, layers_before
from yolo.explain.image.decode_steps import DecodedBox, decoded_box
from yolo.explain.image.fates import BoxFate, BoxFates, box_fates
from yolo.explain.image.head_maps import HeadMaps, head_maps
from yolo.explain.image.origin import HeadGrid, Origin, head_grids, origin_of
from yolo.explain.layer_cam import TracedPass, layer_cam, score_gradients, traced_pass
from yolo.explain.receptive_field import Span, receptive_field
from yolo.letterbox import Placement, to_image
from yolo.model.network import IMAGE, Network
from yolo.records import Predictions

MOST_DECODED = 40  # detections that are decoded in numbers
MOST_FEATURE_LAYERS = 6
CHANNELS_SHOWN = 12
MIDDLE = 0.9  # fraction of a gradient that its span holds, in each direction


@dataclass(frozen=True)
class DetectionOrigin:
    """A detection, its origin, and the calculation of its numbers.

    fate: its box; origin: head, anchor, cell; in_image: xyxy in image pixels; field: the pixels of the network input
    that can reach its cell, None if there are none.
    """

    fate: BoxFate
    origin: Origin
    decoded: DecodedBox
    in_image: tuple[float, float, float, float]
    field: Span | None


@dataclass(frozen=True)
class DetectionCause:
    """The places of the image that raise the score of a detection.

    detection: its place among the detections. cams: the LayerCAM map `[h, w]` of each layer, by Darknet's number, the
    most informative one first. feeding: the layer that feeds its head; its map shows the head's cell, not the cause.
    sensitivity: `[H, W]`, the sum over the colors of |d(score)/d(input)|. span: the middle 90 % of it in each
    direction: the part of the receptive field that this score depends on in practice.
    """

    detection: int
    cams: dict[int, Tensor]
    feeding: int
    sensitivity: Tensor
    span: Span


@dataclass(frozen=True)
class LayerFeatures:
    """The strongest channels of a layer for this image: those with the largest mean absolute value.

    strengths: these means. maps: `[N, H, W]`. count: how many channels the layer has.
    """

    layer: int
    kind: str
    channels: tuple[int, ...]
    strengths: tuple[float, ...]
    maps: Tensor
    count: int


@dataclass(frozen=True)
class Explanation:
    """The detections of one image, explained. All tensors are on the CPU.

    name: what the image is called. pixels: uint8 `[H, W, C]`. network_input: float32 `[C, H, W]` in 0..1.
    detections: highest score first, as the Detector finds them, up to MOST_DECODED; causes: of the best few.
    """

    name: str
    pixels: np.ndarray
    network_input: Tensor
    placement: Placement
    grids: tuple[HeadGrid, ...]
    heads: tuple[HeadMaps, ...]
    fates: BoxFates
    detections: tuple[DetectionOrigin, ...]
    causes: tuple[DetectionCause, ...]
    features: tuple[LayerFeatures, ...]


@torch.inference_mode(False)
@torch.enable_grad()
def explain_image(
    detector: Detector,
    name: str,
    pixels: np.ndarray,
    *,
    causes: int,
    layers: Sequence[int] = (),
    cam_layers: Sequence[int] = (),
    label: int | None = None,
) -> Explanation:
    """Explain the detections of an image.

    Args:
        detector: the network, its names, thresholds and placement; `engine` is not used.
        name: what the image is called.
        pixels: uint8 `[H, W, C]`.
        causes: how many detections get LayerCAM maps, the highest scores first.
        layers: Darknet's numbers of the layers whose maps are shown; () for the layer that feeds the head of a
            detection and two earlier ones.
        cam_layers: the layers of the LayerCAM maps; () for `layers` and the one that feeds the head.
        label: a class whose detections come first for `causes`, and whose best boxes are described in any case.

    Raises:
        ValueError: the network has no layer of a number, or the image does not fit it.
    """
    network = detector.network
    image, placement = detector.prepare(pixels)
    device = next((each.device for each in network.parameters()), image.device)
    wanted = {layer for head in network.heads for layer in informative_layers(network, head)}
    wanted |= {*layers, *cam_layers}
    traced = traced_pass(network, image[None].to(device), wanted)
    raw = [map_.detach().cpu() for map_ in traced.raw]
    predictions = network.decode(traced.raw)
    fixed = Predictions(*(part[0].detach().cpu() for part in predictions))
    grids = head_grids(network)
    fates = box_fates(
        fixed,
        score_thresh=detector.score_thresh,
        nms_thresh=detector.nms_thresh,
        diou_exponent=detector.diou_exponent,
        tree=detector.tree,
        label=label,
    )
    detections = tuple(_detection(detector, grids, raw, placement, fate) for fate in fates.kept[:MOST_DECODED])
    chosen = sorted(range(len(detections)), key=lambda place: label not in (None, detections[place].fate.label))
    found = tuple(
        _cause(network, traced, predictions, place, detections[place], layers, cam_layers) for place in chosen[:causes]
    )
    return Explanation(
        name=name,
        pixels=pixels,
        network_input=image,
        placement=placement,
        grids=grids,
        heads=tuple(head_maps(grid, fixed) for grid in grids),
        fates=fates,
        detections=detections,
        causes=found,
        features=tuple(strongest_channels(network, traced, layer) for layer in _shown_layers(network, layers, found)),
    )


def detection_score(predictions: Predictions, prediction: int, label: int, has_tree: bool) -> Tensor:
    """Return the score of a box of the first image, with its gradient.

    Args:
        predictions: of the network, with gradients.
        prediction: number of the box, 0..P - 1.
        label: the class.
        has_tree: the network has a class hierarchy; its score is the objectness alone.
    """
    objectness = predictions.objectness[0, prediction]
    return objectness if has_tree else objectness * predictions.class_probs[0, prediction, label]


def middle_span(weights: Tensor) -> Span:
    """Return the rows and columns of `[H, W]`, at least 0, that hold the middle fraction, MIDDLE, of their sum."""
    ends = []
    for sums in (weights.sum(dim=1), weights.sum(dim=0)):
        running = sums.double().cumsum(0)
        edges = running[-1] * torch.tensor([(1 - MIDDLE) / 2, (1 + MIDDLE) / 2], dtype=torch.float64)
        ends.append(torch.searchsorted(running, edges).clamp(max=len(sums) - 1).tolist())
    (top, bottom), (left, right) = ends
    return Span(top, left, bottom, right)


def _detection(
    detector: Detector, grids: tuple[HeadGrid, ...], raw: list[Tensor], placement: Placement, fate: BoxFate
) -> DetectionOrigin:
    network = detector.network
    origin = origin_of(grids, fate.prediction)
    grid = grids[origin.head]
    name = detector.names[fate.label]
    decoded = decoded_box(network.layers[grid.layer], grid, raw[origin.head], origin, fate.label, name, placement)
    box = to_image(torch.tensor([fate.box]), placement)[0].tolist()
    size = network.shapes[grid.layer][1:]
    cell = (origin.row, origin.column) if size == (grid.height, grid.width) else (0, 0)  # [detection] has no map
    return DetectionOrigin(fate, origin, decoded, tuple(box), receptive_field(network, grid.layer, cell))


def _shown_layers(network: Network, layers: Sequence[int], causes: Sequence[DetectionCause]) -> list[int]:
    """Return the layers whose channels are shown: `layers`, or without any those of the LayerCAM maps."""
    if layers:
        return sorted(layers)
    mapped = list(dict.fromkeys(layer for each in causes for layer in each.cams))
    return sorted((mapped or list(informative_layers(network, network.heads[0])))[:MOST_FEATURE_LAYERS])


def _cause(
    network: Network,
    traced: TracedPass,
    predictions: Predictions,
    place: int,
    detection: DetectionOrigin,
    layers: Collection[int],
    cam_layers: Sequence[int],
) -> DetectionCause:
    fate, head = detection.fate, network.heads[detection.origin.head]
    feeding, *earlier = informative_layers(network, head)
    chosen = sorted(set(layers) & layers_before(network, head), reverse=True)
    looked_at = cam_layers or [*(chosen or earlier), feeding]  # docs/log.md: the deletion test
    score = detection_score(predictions, fate.prediction, fate.label, network.tree is not None)
    cams, sensitivity = score_maps(traced, score, looked_at)
    return DetectionCause(place, cams, feeding, sensitivity, middle_span(sensitivity))


def score_maps(traced: TracedPass, score: Tensor, layers: Sequence[int]) -> tuple[dict[int, Tensor], Tensor]:
    """Return the maps of a score: `cams` and `sensitivity` as of DetectionCause.

    Args:
        traced: a pass that has kept `layers`.
        score: a number computed from `traced.raw`.
        layers: Darknet's numbers, in the order of the maps.
    """
    gradients = score_gradients(traced, score, [*layers, IMAGE])
    cams = {layer: layer_cam(traced.features[layer], gradients[layer])[0].cpu() for layer in dict.fromkeys(layers)}
    return cams, gradients[IMAGE][0].abs().sum(dim=0).cpu()


def strongest_channels(network: Network, traced: TracedPass, layer: int) -> LayerFeatures:
    """Return the strongest channels of a layer that a pass has kept, for its first image."""
    features = traced.features[layer].detach()[0].float().cpu()
    strengths = features.abs().mean(dim=(1, 2))
    best = torch.topk(strengths, min(CHANNELS_SHOWN, len(strengths)))
    return LayerFeatures(
        layer=layer,
        kind=network.kinds[layer],
        channels=tuple(best.indices.tolist()),
        strengths=tuple(best.values.tolist()),
        maps=features[best.indices],
        count=len(strengths),
    )
