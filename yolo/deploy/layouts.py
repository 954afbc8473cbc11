"""Output layouts of exported files, by the program that reads them: convert raw maps to output tensors.

docs/deploy.md describes them for users. A layout is a function here, a row in LAYOUTS, its inverse in `readers.py`, and
a row in docs/deploy.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yolo.boxes import cxcywh_to_xyxy
from yolo.defaults import CLASSIFIER_LAYOUT
from yolo.deploy.in_graph_nms import final_boxes
from yolo.detect.classifier import class_probabilities
from yolo.errors import CfgError
from yolo.model.class_tree import best_class_one_hot
from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolo import YoloHead
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.network import Network
from yolo.records import Predictions

RAW, OPENCV, DEEPSTREAM, NMS, PROBS = "raw", "opencv", "deepstream", "nms", CLASSIFIER_LAYOUT
OPENCV_YOLO_THRESH = 0.2  # OpenCV 4's darknet importer: default of `thresh` of a [yolo]

Outputs = tuple[Tensor, ...]
Arrange = Callable[[Network, list[Tensor]], Outputs]


@dataclass(frozen=True)
class Layout:
    """A layout of outputs.

    name: the reader. arrange: raw maps → output tensors. output_names: one for each of them. contents: a description
    of each.
    """

    name: str
    arrange: Arrange
    output_names: tuple[str, ...]
    contents: tuple[str, ...]


class ArrangedNetwork(nn.Module):
    """Images `[B, C, H, W]` float32, RGB 0..1 → the output tensors of a layout, float32 (labels too).

    Args:
        network: Folded, in evaluation mode.
        arrange: The layout's function.
        dtype: In which the network computes; decoding always is in float32.
    """

    def __init__(self, network: Network, arrange: Arrange, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.arrange = arrange
        self.dtype = dtype

    def forward(self, images: Tensor) -> Outputs:
        raw = self.network(images.to(self.dtype))
        return self.arrange(self.network, [each.float() for each in raw])


def choose_layout(name: str, network: Network, *, one_image: bool, score_thresh: float, nms_thresh: float) -> Layout:
    """Return a layout for a network.

    Args:
        name: One of LAYOUTS; of a classifier, one of CLASSIFIER_LAYOUTS.
        network: The network that is exported.
        one_image: The batch size is 1; `opencv` then has no batch axis, as OpenCV's importer.
        score_thresh, nms_thresh: Of the layout `nms`.

    Raises:
        CfgError: The layout does not exist, or not for this network.
    """
    if name not in (*LAYOUTS, PROBS):
        raise CfgError(f"found layout {name!r}, expected one of {', '.join(LAYOUTS)}")
    if not network.heads:
        return _classifier_layout(name, network)
    if name == PROBS:
        raise CfgError(f"found layout {name} and a detector, expected one of {', '.join(LAYOUTS)}")
    if name == OPENCV:
        return _opencv_layout(network, one_image)
    if name == RAW:
        names = tuple(f"raw_{index}" for index in network.heads)
        return Layout(name, _raw, names, tuple(f"raw map of layer {index}" for index in network.heads))
    if name == NMS:

        def arrange(network: Network, raw: list[Tensor]) -> Outputs:
            boxes, scores = _pixel_corners(network, raw)
            return (final_boxes(boxes, scores, score_thresh, nms_thresh),)

        return Layout(name, arrange, *LAYOUTS[name][1:])
    return Layout(name, *LAYOUTS[name])


def scored_predictions(network: Network, raw: list[Tensor]) -> Predictions:
    """Decode; with a class hierarchy each box has the one class that `best_class_one_hot` gives it."""
    predictions = network.decode(raw)
    tree = network.tree
    if tree is None:
        return predictions
    return predictions._replace(class_probs=best_class_one_hot(predictions.class_probs, tree))


def input_pixels(network: Network, like: Tensor) -> Tensor:
    """Return (width, height, width, height) of the network input."""
    return like.new_tensor([network.input.width, network.input.height] * 2)


def _raw(_network: Network, raw: list[Tensor]) -> Outputs:
    return tuple(raw)


def _yolo(network: Network, raw: list[Tensor]) -> Outputs:
    boxes, objectness, class_probs = scored_predictions(network, raw)
    return (torch.cat((boxes, objectness[..., None], class_probs), dim=-1),)


def _yolov5(network: Network, raw: list[Tensor]) -> Outputs:
    boxes, objectness, class_probs = scored_predictions(network, raw)
    return (torch.cat((boxes * input_pixels(network, boxes), objectness[..., None], class_probs), dim=-1),)


def _ultralytics(network: Network, raw: list[Tensor]) -> Outputs:
    boxes, objectness, class_probs = scored_predictions(network, raw)
    scores = objectness[..., None] * class_probs
    return (torch.cat((boxes * input_pixels(network, boxes), scores), dim=-1).transpose(1, 2),)


def _deepstream(network: Network, raw: list[Tensor]) -> Outputs:
    boxes, scores = _pixel_corners(network, raw)
    best, labels = scores.max(dim=-1, keepdim=True)
    return (torch.cat((boxes, best, labels.to(boxes.dtype)), dim=-1),)


def _hank(network: Network, raw: list[Tensor]) -> Outputs:
    boxes, objectness, class_probs = scored_predictions(network, raw)
    return cxcywh_to_xyxy(boxes).unsqueeze(2), objectness[..., None] * class_probs


def _pixel_corners(network: Network, raw: list[Tensor]) -> Outputs:
    """Return boxes `[B, N, 4]` xyxy in pixels of the network input, and scores `[B, N, C]`."""
    boxes, objectness, class_probs = scored_predictions(network, raw)
    corners = cxcywh_to_xyxy(boxes) * input_pixels(network, boxes)
    return corners, objectness[..., None] * class_probs


# name → function, names of the outputs, what they hold. N boxes of all heads, head by head, then anchor, row, column.
LAYOUTS: dict[str, tuple[Arrange, tuple[str, ...], tuple[str, ...]]] = {
    RAW: (_raw, (), ()),
    "yolo": (
        _yolo,
        ("predictions",),
        ("center x, center y, width, height, objectness, class probabilities; boxes 0..1 of the input",),
    ),
    OPENCV: (_raw, (), ()),
    "ultralytics": (
        _ultralytics,
        ("output0",),
        ("center x, center y, width, height, class scores; boxes in input pixels",),
    ),
    "frigate": (
        _ultralytics,
        ("output0",),
        ("center x, center y, width, height, class scores; boxes in input pixels",),
    ),
    "yolov5": (
        _yolov5,
        ("output0",),
        ("center x, center y, width, height, objectness, class probabilities; boxes in input pixels",),
    ),
    DEEPSTREAM: (_deepstream, ("output",), ("x1, y1, x2, y2, score, class; boxes in input pixels",)),
    "hank": (_hank, ("boxes", "confs"), ("x1, y1, x2, y2; 0..1 of the input", "class scores")),
    NMS: (
        _raw,
        ("detections",),
        ("image, x1, y1, x2, y2, class, score, best first; boxes in input pixels",),
    ),
    "tensorrt": (_pixel_corners, ("boxes", "scores"), ("x1, y1, x2, y2; input pixels", "class scores")),
}
CLASSIFIER_LAYOUTS = (PROBS, RAW, "yolo", OPENCV, "ultralytics")


def _classifier_layout(name: str, network: Network) -> Layout:
    if name not in CLASSIFIER_LAYOUTS:
        found = f"layout {name} and a classifier"
        raise CfgError(f"found {found}, expected one of {', '.join(CLASSIFIER_LAYOUTS)}: the others hold boxes")
    if name == RAW:
        return Layout(name, _raw, ("raw",), ("what enters the softmax",))
    if name == OPENCV:
        return Layout(name, _opencv_classes, (_opencv_name(network),), ("class probabilities",))
    names = ("output0",) if name == "ultralytics" else ("probabilities",)
    return Layout(name, lambda network, raw: (class_probabilities(network, raw),), names, ("class probabilities",))


def _opencv_classes(network: Network, raw: list[Tensor]) -> Outputs:
    return (class_probabilities(network, raw)[..., None, None],)


def _opencv_name(network: Network) -> str:
    """Return the name that OpenCV 4 gives the last layer of a classifier (darknet_io.cpp: [cost] is an identity)."""
    last = len(network.kinds) - 1
    kind = {"cost": "identity", "avg": "avgpool", "soft": "softmax"}.get(network.kinds[last], network.kinds[last])
    return f"{kind}_{last}"


def _opencv_layout(network: Network, one_image: bool) -> Layout:
    """Return the outputs of OpenCV 4's importer: for each head `[N, 5+C]`, its rows by row, column and anchor.

    A score is objectness x probability, and 0 unless it is above a threshold: a [region]'s `thresh`, .2 for others
    (modules/dnn/src/layers/region_layer.cpp). OpenCV has no YOLO9000, [Gaussian_yolo] and [detection]; here the
    latter two have the same rows.
    """
    if network.tree is not None:
        raise CfgError("found a class hierarchy, expected another layout than opencv: OpenCV has none for YOLO9000")
    names = tuple(
        "detection_out" if isinstance(network.layers[index], RegionHead) else f"yolo_{index}" for index in network.heads
    )
    if len(set(names)) < len(names):
        names = tuple(f"{name}_{index}" for name, index in zip(names, network.heads, strict=True))
    content = "center x, center y, width, height 0..1 of the input, objectness, class scores; by row, column, anchor"

    def arrange(network: Network, raw: list[Tensor]) -> Outputs:
        outputs = []
        for index, map_, thresh in zip(network.heads, raw, opencv_thresholds(network), strict=True):
            rows = _opencv_rows(network.layers[index], map_, thresh)
            outputs.append(rows.reshape(rows.shape[1:]) if one_image else rows)
        return tuple(outputs)

    return Layout(OPENCV, arrange, names, (content,) * len(names))


def opencv_thresholds(network: Network) -> list[float]:
    """Return for each head the score below which OpenCV's importer writes 0."""
    return [getattr(settings, "thresh", OPENCV_YOLO_THRESH) for settings in network.head_settings]


def _above(values: Tensor, thresh: float) -> Tensor:
    """Return the values that are above `thresh`, and 0 for the others."""
    return torch.where(values > thresh, values, torch.zeros_like(values))


class _ThresholdedRelu(torch.autograd.Function):
    """`_above` as ONNX's operator of that name."""

    @staticmethod
    def forward(ctx, values: Tensor, thresh: float) -> Tensor:
        return _above(values, thresh)

    @staticmethod
    def symbolic(g, values, thresh: float):
        return g.op("ThresholdedRelu", values, alpha_f=thresh)


def _opencv_rows(head: YoloHead | RegionHead | YoloV1Head, raw: Tensor, thresh: float) -> Tensor:
    """Return the predictions of a head, `[B, H*W*A, 5+C]`, in the order row, column, anchor."""
    boxes, objectness, class_probs = head.decode(raw)
    objectness = objectness[..., None]
    scores = objectness * class_probs
    # ONNX's ThresholdedRelu, as OpenCV 4.6 has no Where
    scores = _ThresholdedRelu.apply(scores, thresh) if torch.onnx.is_in_onnx_export() else _above(scores, thresh)
    rows = torch.cat((boxes, objectness, scores), dim=-1)
    anchors = head.boxes if isinstance(head, YoloV1Head) else len(head.anchors)
    batch, count, values = rows.shape[0], int(rows.shape[1]), int(rows.shape[2])
    by_anchor = rows.reshape(batch, anchors, count // anchors, values)
    return by_anchor.transpose(1, 2).reshape(batch, count, values)
