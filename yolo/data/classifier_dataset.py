"""Make a classifier's training batches from images with a class: augmented pixels, and the target of each class.

Every random choice follows from (seed, step, place in the batch), as in data/dataset.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from yolo.data.augment.classifier import (
    ClassifierSettings,
    blur,
    draw_blur_window,
    draw_panes,
    draw_view,
    image_fractions,
    paste,
    show,
)
from yolo.data.class_folders import ClassifiedImage
from yolo.data.dataset import Draw
from yolo.data.images import ignore_remark, read_image
from yolo.errors import CfgError
from yolo.model.class_tree import NONE, Tree
from yolo.records import Size


class ClassificationBatch(NamedTuple):
    """images: uint8 `[B, C, H, W]` RGB; targets: float32 `[B, classes]`. A tuple: torch can pin it."""

    images: Tensor
    targets: Tensor


@dataclass(frozen=True, eq=False)
class ClassificationImages(Dataset):
    """Images augmented and mixed by their `Draw`; the other images of a mix are drawn from the whole list.

    Targets are those of `smooth_ground_truth` or, with a class hierarchy, of `tree_ground_truth`, weighted by the
    fraction of the input that each image fills.

    Args:
        images: Images with their classes.
        settings: Limits of the changes.
        channels: Of the network input, 1 or 3.
        classes: Number of classes.
        label_smooth_eps: See `smooth_ground_truth`.
        tree: The class hierarchy, if any.

    Raises:
        CfgError: The eps is outside 0..1, or the classes of a hierarchy would be smoothed: AlexeyAB's fill_hierarchy
            takes every value other than 0 as true, and after smoothing that is every class.
    """

    images: Sequence[ClassifiedImage]
    settings: ClassifierSettings
    channels: int
    classes: int
    label_smooth_eps: float = 0.0
    tree: Tree | None = None

    def __post_init__(self) -> None:
        eps = self.label_smooth_eps
        if not 0 <= eps <= 1:
            raise CfgError(f"found label_smooth_eps={eps:g}, expected 0 to 1")
        if self.tree is not None and eps > 0:
            raise CfgError(f"found label_smooth_eps={eps:g} with a class hierarchy, expected 0")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """Return an image uint8 `[H, W, C]` and its target float32 `[classes]`."""
        rng = np.random.default_rng(draw.seed)
        panes = draw_panes(self.settings.mixing, draw.size, rng)
        indices = [draw.index, *rng.integers(len(self.images), size=len(panes)).tolist()]
        seen = [self._view(index, draw.size, rng) for index in indices]
        window = draw_blur_window(self.settings.mixing, rng)
        target = sum(
            fraction * self._ground_truth(index)
            for fraction, index in zip(image_fractions(panes, draw.size), indices, strict=True)
        )
        return blur(paste(seen, panes), window), target.astype(np.float32)

    def _view(self, index: int, size: Size, rng: np.random.Generator) -> np.ndarray:
        image = read_image(self.images[index].path, self.channels, ignore_remark)
        view = draw_view(self.settings, image.shape[:2], size, rng)
        return show(view, image, size)

    def _ground_truth(self, index: int) -> np.ndarray:
        label = self.images[index].label
        if self.tree is not None:
            return tree_ground_truth(label, self.tree)
        return smooth_ground_truth(label, self.classes, self.label_smooth_eps)


def smooth_ground_truth(label: int, classes: int, label_smooth_eps: float) -> np.ndarray:
    """Return the target of an image, float64 `[classes]`: 1 - eps for its class, eps divided among the others.

    Source: AlexeyAB data.c fill_truth_smooth. With a single class the target is 1.
    """
    if classes == 1:
        return np.ones(1)
    ground_truth = np.full(classes, label_smooth_eps / (classes - 1))
    ground_truth[label] = 1 - label_smooth_eps
    return ground_truth


def tree_ground_truth(label: int, tree: Tree) -> np.ndarray:
    """Return the target of an image in a hierarchy, float64 `[classes]`: 1 for its class and its ancestors.

    Source: fill_hierarchy. Groups without a true class do not count in the loss; Darknet marks their classes with a
    special number.
    """
    ground_truth = np.zeros(len(tree.names))
    while label != NONE:
        ground_truth[label] = 1
        label = int(tree.parent[label])
    return ground_truth


def collate_classified(samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> ClassificationBatch:
    """Join samples of one size to a batch."""
    images, targets = zip(*samples, strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return ClassificationBatch(pixels, torch.from_numpy(np.stack(targets)))
