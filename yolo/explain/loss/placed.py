"""Labels of images as targets in the network input, where the image is placed as in validation, not augmented."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from yolo.letterbox import Placement
from yolo.records import LabeledBoxes, Targets


def placed_targets(labeled: Sequence[LabeledBoxes], placements: Sequence[Placement]) -> Targets:
    """Return the labels of B images, cxcywh in 0..1 of each image, as targets in 0..1 of the network input."""
    counts = [len(each.labels) for each in labeled]
    boxes = [
        to_network(torch.from_numpy(np.asarray(each.boxes)), at) for each, at in zip(labeled, placements, strict=True)
    ]
    labels = [torch.from_numpy(np.asarray(each.labels, np.int64)) for each in labeled]
    return Targets(
        torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.int64)),
        torch.cat([torch.zeros(0, dtype=torch.int64), *labels]),
        torch.cat([torch.zeros(0, 4), *boxes]).float(),
    )


def label_name(names: Sequence[str], label: int) -> str:
    """Return the name of the class of a label, which may be none of the network's."""
    return names[label] if 0 <= label < len(names) else f"class {label}"


def to_network(boxes: Tensor, placement: Placement) -> Tensor:
    """cxcywh `[M, 4]` in 0..1 of the image → in 0..1 of the network input, the inverse of `letterbox.to_image`."""
    rows, columns = placement.network
    height, width = placement.content
    content, network = boxes.new_tensor([width, height] * 2), boxes.new_tensor([columns, rows] * 2)
    margin = boxes.new_tensor([(columns - width) / 2, (rows - height) / 2, 0, 0])
    return (boxes * content + margin) / network
