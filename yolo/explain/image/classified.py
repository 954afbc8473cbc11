"""Explain the result of a classifier for one image: its classes, and the places that raise the score of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yolo.detect.classifier import Classifier, class_probabilities
from yolo.explain.classifier.maps import map_layer
from yolo.explain.graph_layers import larger_maps_before
from yolo.explain.image.explanation import LayerFeatures, middle_span, score_maps, strongest_channels
from yolo.explain.layer_cam import traced_pass
from yolo.explain.receptive_field import Span
from yolo.model.network import IMAGE

CLASSES_SHOWN = 10


@dataclass(frozen=True)
class ClassAnswer:
    """A class of an image. raw: its value before the softmax; probability: as `yolo-darknet classify` gives it."""

    label: int
    raw: float
    probability: float


@dataclass(frozen=True)
class ClassCause:
    """The places of the image that raise the raw value of a class; cams, sensitivity, span: as of DetectionCause."""

    label: int
    cams: dict[int, Tensor]
    sensitivity: Tensor
    span: Span


@dataclass(frozen=True)
class ClassifiedExplanation:
    """The result of a classifier for one image, explained. answers: the most probable classes first."""

    name: str
    pixels: np.ndarray
    network_input: Tensor
    letterbox: bool
    answers: tuple[ClassAnswer, ...]
    causes: tuple[ClassCause, ...]
    features: tuple[LayerFeatures, ...]


@torch.inference_mode(False)
@torch.enable_grad()
def explain_classified(
    classifier: Classifier,
    name: str,
    pixels: np.ndarray,
    *,
    causes: int,
    layers: Sequence[int] = (),
    cam_layers: Sequence[int] = (),
    label: int | None = None,
) -> ClassifiedExplanation:
    """Explain the result of a classifier for an image.

    Args:
        classifier: the network, its names and placement.
        name: what the image is called.
        pixels: uint8 `[H, W, C]`.
        causes: how many classes get LayerCAM maps, the most probable first.
        layers: Darknet's numbers of the layers whose maps are shown; () for the last one with a place in the image
            and two earlier ones.
        cam_layers: the layers of the LayerCAM maps; () for the same.
        label: a class that comes first among them.

    Raises:
        DatasetError: the image cannot be cropped.
        ValueError: the network has no layer of a number, or the image does not fit it.
    """
    network = classifier.network
    image = classifier.prepare(pixels)
    device = next((each.device for each in network.parameters()), image.device)
    last = map_layer(network)
    looked_at = list(layers) or [last, *(larger_maps_before(network, last) if last != IMAGE else ())]
    mapped = list(cam_layers) or looked_at
    traced = traced_pass(network, image[None].to(device), {*looked_at, *mapped})
    raw = traced.raw[0].flatten(1)[0]
    with torch.no_grad():
        probabilities = class_probabilities(network, [each.detach() for each in traced.raw])[0].flatten().cpu()
    order = torch.argsort(probabilities, descending=True, stable=True).tolist()
    answers = tuple(ClassAnswer(each, float(raw[each].detach()), float(probabilities[each])) for each in order)
    chosen = [each for each in (label, *order) if each is not None]
    found = []
    for each in list(dict.fromkeys(chosen))[:causes]:
        cams, sensitivity = score_maps(traced, raw[each], mapped)
        found.append(ClassCause(each, cams, sensitivity, middle_span(sensitivity)))
    shown = sorted(layer for layer in looked_at if layer != IMAGE)
    return ClassifiedExplanation(
        name=name,
        pixels=pixels,
        network_input=image,
        letterbox=classifier.letterbox,
        answers=answers[:CLASSES_SHOWN],
        causes=tuple(found),
        features=tuple(strongest_channels(network, traced, layer) for layer in shown),
    )


def classified_numbers(explanation: ClassifiedExplanation, names: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of an image for JSON."""
    height, width = explanation.pixels.shape[:2]
    return {
        "image": explanation.name,
        "image_size": (width, height),
        "input_size": tuple(explanation.network_input.shape[:0:-1]),
        "classes": [
            {"class": each.label, "name": names[each.label], "raw": each.raw, "probability": each.probability}
            for each in explanation.answers
        ],
        "causes": [
            {"class": each.label, "layer_cam": list(each.cams), "gradient_span": each.span}
            for each in explanation.causes
        ],
    }
