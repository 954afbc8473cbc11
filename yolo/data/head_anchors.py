"""The anchors of a network's heads, and the placement of images in its input, for comparisons of boxes with anchors."""

from collections.abc import Callable

from yolo.data.anchors import AnchorFit, HeadAnchors
from yolo.letterbox import Placement, letterboxed, stretched
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.network import Network


def placement_of(network: Network) -> Callable[[tuple[int, int], tuple[int, int]], Placement]:
    """Return how images are placed in the network's input: letterboxed or stretched."""
    return letterboxed if network.letterboxed else stretched


def heads_of(network: Network) -> list[HeadAnchors]:
    """Return the heads that have anchors: [yolo], [Gaussian_yolo] and [region], but not [detection]."""
    heads = []
    for layer in network.heads:
        head = network.layers[layer]
        if isinstance(head, YoloV1Head):
            continue
        stride = network.input.width / network.shapes[layer][2]
        anchors = getattr(head, "all_anchors", head.anchors).double().cpu().numpy()
        if network.kinds[layer] == "region":
            anchors = anchors * (stride, network.input.height / network.shapes[layer][1])  # cells
        own = tuple(getattr(head, "anchor_ids", range(len(anchors))))
        heads.append(HeadAnchors(layer, anchors, own, stride))
    return heads


def describe_fit(fit: AnchorFit) -> str:
    """Return for example "best possible recall 0.865 at IoU 0.5, mean IoU 0.641"."""
    return f"best possible recall {fit.recall:.3f} at IoU 0.5, mean IoU {fit.mean_iou:.3f}"
