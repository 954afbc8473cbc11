"""Detect in several views of an image: tiles for small objects, mirrored and scaled copies, then NMS over all.

Sources: Akyon et al., "Slicing Aided Hyper Inference" (2022), for tiles beside the whole image; test-time augmentation
as in Ultralytics' YOLOv5 (its scales .83 and .67 only shrink; larger ones help small objects more).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

import numpy as np
import torch
from torch import Tensor

from yolo.detect.detector import Detector
from yolo.detect.nms import nms
from yolo.letterbox import batch_of, place
from yolo.model.network import Network
from yolo.model.sizes import computes_size, network_stride
from yolo.records import Detections, Size

Region = tuple[int, int, int, int]  # x1, y1, x2, y2 in image pixels
TTA_SCALES = (0.83, 1.0, 1.25)  # of the network input
CUT = 0.5  # of a box's area: a box that a tile cuts is dropped if another of its class covers more than this fraction
TOUCH = 2.0  # pixels; a box that ends this close to a tile's edge may be cut by it


@dataclass(frozen=True)
class ImageView:
    """One pass of the network over a part of an image.

    region: the part. mirrored: left and right are swapped. size: (height, width) of the network input.
    """

    region: Region
    mirrored: bool
    size: tuple[int, int]


@dataclass(frozen=True)
class ViewPlan:
    """The views of an image.

    tile: the side of the tiles in pixels, None for the whole image alone. overlap: of neighboring tiles, 0..1 of the
    side. mirrored: the whole image mirrored, too. sizes: (height, width) of the network inputs for the whole image;
    empty for the network's own.
    """

    tile: int | None = None
    overlap: float = 0.2
    mirrored: bool = False
    sizes: tuple[Size, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether each image goes through the network once."""
        return self.tile is None and not self.mirrored and not self.sizes

    def views(self, image: Size, network: Size) -> list[ImageView]:
        """Return the views of an image, the whole image first, for a network input; both sizes are (height, width)."""
        height, width = image
        whole = (0, 0, width, height)
        flips = (False, True) if self.mirrored else (False,)
        views = [ImageView(whole, flip, size) for size in self.sizes or (network,) for flip in flips]
        if self.tile is not None and max(image) > self.tile:
            regions = tile_regions(image, self.tile, self.overlap)
            views += [ImageView(region, False, network) for region in regions]
        return views


def tta_sizes(network: Network) -> tuple[Size, ...]:
    """Return the input sizes (height, width) for test-time augmentation: those of TTA_SCALES that a network computes.

    Networks with a [connected], a [local] or a [detection] compute only the input size of their cfg.
    """
    own = (network.input.height, network.input.width)
    scaled = dict.fromkeys(scaled_size(own, scale, network_stride(network)) for scale in TTA_SCALES)
    return tuple(size for size in scaled if size == own or computes_size(network, size))


def scaled_size(size: Size, scale: float, stride: Size) -> Size:
    """Return a network input (height, width) times `scale`, in whole strides; unchanged for scale 1."""
    if scale == 1:
        return size
    height, width = (max(1, round(side * scale / step)) * step for side, step in zip(size, stride, strict=True))
    return height, width


def tile_regions(image: Size, side: int, overlap: float) -> list[Region]:
    """Return squares of `side` pixels that cover an image of (height, width), row by row, spread evenly.

    Neighbors overlap by at least `overlap` of their side; a tile is no larger than the image.
    """
    rows, columns = (_starts(length, side, overlap) for length in image)
    height, width = min(side, image[0]), min(side, image[1])
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    if length <= side:
        return [0]
    step = max(1.0, side * (1 - overlap))
    count = 1 + ceil((length - side) / step)
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


def detect_views(detector: Detector, image: np.ndarray, plan: ViewPlan, batch: int = 1) -> Detections:
    """Detect in all views of an image, then NMS over all of them.

    Args:
        detector: its thresholds hold for each view and for all together.
        image: uint8 `[H, W, C]`, RGB.
        plan: which views.
        batch: how many views of one size pass through the network together.

    Returns:
        Detections in image pixels, best first.
    """
    network = detector.network.input
    views = plan.views(image.shape[:2], (network.height, network.width))
    parts, cut = [], []
    for size, same in groupby(views, key=lambda view: view.size):
        group = list(same)
        for start in range(0, len(group), batch):
            some = group[start : start + batch]
            found = _detect_group(detector, image, some, size)
            parts += found
            cut += [_cut(each, view, image) for each, view in zip(found, some, strict=True)]
    boxes, scores, labels = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("boxes", "scores", "labels")
    )
    whole = ~_covered_cuts(boxes, labels, torch.cat(cut))
    boxes, scores, labels = boxes[whole], scores[whole], labels[whole]
    keep = nms(boxes, scores, labels, detector.nms_thresh, detector.diou_exponent)
    return Detections(boxes[keep], scores[keep], labels[keep], detector.names)


def _detect_group(detector: Detector, image: np.ndarray, views: Sequence[ImageView], size: Size) -> list[Detections]:
    prepared, placements = [], []
    for view in views:
        x1, y1, x2, y2 = view.region
        part = image[y1:y2, x1:x2]
        part = part[:, ::-1] if view.mirrored else part
        placements.append(detector.placement(part.shape[:2], size))
        prepared.append(place(part, placements[-1]))
    found = detector.detect(batch_of(prepared), placements)
    return [_in_image(each, view) for each, view in zip(found, views, strict=True)]


def _in_image(found: Detections, view: ImageView) -> Detections:
    """Convert detections from pixels of a view to pixels of its image."""
    x1, y1, x2, _ = view.region
    boxes = found.boxes
    if view.mirrored:
        left, top, right, bottom = boxes.unbind(1)
        boxes = torch.stack((x2 - x1 - right, top, x2 - x1 - left, bottom), dim=1)
    return replace(found, boxes=boxes + boxes.new_tensor([x1, y1, x1, y1]))


def _cut(found: Detections, view: ImageView, image: np.ndarray) -> Tensor:
    """Return which boxes, in image pixels, end at an edge of their tile inside the image: bool `[N]`."""
    height, width = image.shape[:2]
    low = found.boxes[:, :2] < found.boxes.new_tensor(view.region[:2]) + TOUCH
    high = found.boxes[:, 2:] > found.boxes.new_tensor(view.region[2:]) - TOUCH
    inside_low = torch.tensor([edge > 0 for edge in view.region[:2]])
    inside_high = torch.tensor([view.region[2] < width, view.region[3] < height])
    return (low & inside_low).any(dim=1) | (high & inside_high).any(dim=1)


def _covered_cuts(boxes: Tensor, labels: Tensor, cut: Tensor) -> Tensor:
    """Return which boxes are cut, and covered by a box that is not cut or is larger: bool `[N]`."""
    covered = torch.zeros(len(boxes), dtype=torch.bool)
    rows = torch.nonzero(cut)[:, 0]
    if len(rows) == 0:
        return covered
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    low = torch.maximum(boxes[rows, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[rows, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    better = (labels[rows, None] == labels) & (~cut | (areas > areas[rows, None]))
    covered[rows] = (better & (shared > CUT * areas[rows, None])).any(dim=1)
    return covered
