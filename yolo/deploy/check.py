"""Compare an exported file with its network, on images that were not traced."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from yolo.boxes import cxcywh_to_xyxy
from yolo.deploy.in_graph_nms import select_boxes, selected_rows
from yolo.deploy.layouts import DEEPSTREAM, OPENCV, Layout, Outputs, input_pixels, opencv_thresholds, scored_predictions
from yolo.engines.onnx_file import run_onnx
from yolo.extras import import_extra
from yolo.model.network import Network

BATCHES_OF_ANY = (1, 3)  # batch sizes that a file for any batch size is run with; it is traced with 2
IMAGES_OF_FIXED = 3  # runs of a file with a fixed batch size
SEED = 20_000  # of the images
BLOTCHES = 8  # cells of a smooth image in each direction
LAST_BOX_VALUE = 4
CHANNELS_FIRST = ("ultralytics", "frigate")
BOXES_FIRST = ("hank", "tensorrt")  # outputs: boxes, scores
# Where all scores of an image are smaller than this (noise is no object), differences are relative to this. With the
# limit 1e-4 they may be 1e-6: ONNX Runtime's sigmoid differs by up to 1.4e-7 from the true value (measured from -20 to
# 10; it is 0 below 1e-8), and a score is a product of two. An evaluation counts scores from .005 on.
LEAST_SCALE = 0.01

Run = Callable[[Tensor], list[Tensor]]


def check_batches(network: Network, batch: int | None) -> list[Tensor]:
    """Return the images to compare with, each `[B, C, H, W]`: smooth ones and noise, always the same."""
    sizes = BATCHES_OF_ANY if batch is None else (batch,) * IMAGES_OF_FIXED
    random = torch.Generator().manual_seed(SEED)
    shape = network.input.channels, network.input.height, network.input.width
    batches = []
    for number, size in enumerate(sizes):
        noise = torch.rand(size, *shape, generator=random)
        coarse = torch.rand(size, shape[0], BLOTCHES, BLOTCHES, generator=random)
        smooth = F.interpolate(coarse, shape[1:], mode="bilinear", align_corners=False)
        batches.append(noise if number == 0 else smooth)
    return batches


@torch.inference_mode()
def largest_difference(layout: Layout, network: Network, images: Tensor, found: list[Tensor]) -> float:
    """Return the largest difference from torch, relative to the largest value of each part (boxes, scores, maps).

    Args:
        layout: Of the file.
        network: Folded, float32.
        images: `[B, C, H, W]`.
        found: The file's outputs for them.

    Returns:
        infinity if a shape differs or a value is not a number where torch has one.
    """
    raw = network(images)
    expected = layout.arrange(network, raw)
    if [each.shape for each in found] != [each.shape for each in expected]:
        return float("inf")
    if layout.name == DEEPSTREAM:
        return _deepstream_difference(network, raw, found[0], expected[0])
    pairs = zip(_parts(layout, network, found), _parts(layout, network, expected), strict=True)
    return max(_relative(one, other, least) for (one, least), (other, _) in pairs)


@torch.inference_mode()
def nms_difference(
    path: Path, network: Network, images: Tensor, found: Tensor, score_thresh: float, nms_thresh: float
) -> float:
    """Return the largest difference from torch for a file with the layout `nms`, as `largest_difference` does.

    Boxes and scores are compared before NMS. A score near the threshold may fall on either side of it, so NMS in torch
    gets the file's own boxes and scores.

    Args:
        path: the file.
        network: folded, float32.
        images: `[B, C, H, W]`.
        found: the file's output for them, `[M, 7]`.
        score_thresh, nms_thresh: those in the file.

    Returns:
        infinity if NMS in torch chooses other rows than the file.
    """
    boxes, scores = _run_to_nms(path, images)
    predictions = scored_predictions(network, network(images))
    corners = cxcywh_to_xyxy(predictions.boxes) * input_pixels(network, boxes)
    torch_scores = predictions.objectness[..., None] * predictions.class_probs
    scores = scores.transpose(1, 2)
    rows = selected_rows(boxes, scores, select_boxes(boxes, scores, score_thresh, nms_thresh))
    if _sorted(rows).shape != _sorted(found).shape or not torch.equal(_sorted(rows), _sorted(found)):
        return float("inf")
    return max(_relative(boxes, corners), _relative(scores, torch_scores, LEAST_SCALE))


def _run_to_nms(path: Path, images: Tensor) -> list[Tensor]:
    """Return the boxes and scores that the NonMaxSuppression of a file gets."""
    onnx = import_extra("onnx", "export", "checking an ONNX file")
    onnxruntime = import_extra("onnxruntime", "export", "checking an ONNX file")
    model = onnx.load(path)
    (node,) = (each for each in model.graph.node if each.op_type == "NonMaxSuppression")
    del model.graph.output[:]
    for name in node.input[:2]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return run_onnx(session, images)


def _sorted(rows: Tensor) -> Tensor:
    """Return rows in an order that does not depend on ties."""
    order = sorted(range(len(rows)), key=lambda index: rows[index].tolist())
    return rows[order]


def _parts(layout: Layout, network: Network, outputs: Outputs | list[Tensor]) -> list[tuple[Tensor, float]]:
    """Split outputs into boxes and the rest, which have different scales: each part, and the least of its scale."""
    if network.heads and layout.name in BOXES_FIRST:
        boxes, scores = outputs
        return [(boxes, 0.0), (scores, LEAST_SCALE)]
    if not network.heads or layout.name not in ("yolo", "yolov5", OPENCV, *CHANNELS_FIRST):
        return [(output, 0.0) for output in outputs]
    axis = 1 if layout.name in CHANNELS_FIRST else -1
    parts = []
    for index, output in enumerate(outputs):
        boxes, rest = output.split((LAST_BOX_VALUE, output.shape[axis] - LAST_BOX_VALUE), dim=axis)
        parts.append((boxes, 0.0))
        if layout.name == OPENCV:
            objectness, scores = rest[..., :1], rest[..., 1:]
            # a score near OpenCV's threshold may be 0 on one side: 0 counts as the threshold
            thresholded = torch.where(scores == 0, opencv_thresholds(network)[index], scores)
            parts += [(objectness, LEAST_SCALE), (thresholded, LEAST_SCALE)]
        else:
            parts.append((rest, LEAST_SCALE))
    return parts


def _deepstream_difference(network: Network, raw: list[Tensor], found: Tensor, expected: Tensor) -> float:
    """Return the difference. Another label counts by the difference of its score, because two may be almost equal."""
    predictions = scored_predictions(network, raw)
    scores = predictions.objectness[..., None] * predictions.class_probs
    labels = found[..., -1:]
    if not torch.equal(labels, labels.round().clamp(0, scores.shape[-1] - 1)):
        return float("inf")
    chosen = scores.gather(-1, labels.long())
    return max(
        _relative(found[..., :LAST_BOX_VALUE], expected[..., :LAST_BOX_VALUE]),
        _relative(found[..., LAST_BOX_VALUE:-1], expected[..., LAST_BOX_VALUE:-1], LEAST_SCALE),
        _relative(chosen, expected[..., LAST_BOX_VALUE:-1], LEAST_SCALE),
    )


def _relative(found: Tensor, expected: Tensor, least: float = 0.0) -> float:
    """Return the largest absolute difference / the largest absolute finite value, or `least` if that is larger.

    Equal infinities differ by 0.
    """
    if not found.numel():
        return 0.0
    difference = torch.where(found == expected, torch.zeros_like(expected), (found - expected).abs())
    if not bool(torch.isfinite(difference).all()):
        return float("inf")
    finite = expected[torch.isfinite(expected)].abs()
    largest = max(float(finite.max()) if finite.numel() else 0.0, least)
    worst = float(difference.max())
    return 0.0 if worst == 0 else worst / largest if largest else float("inf")
