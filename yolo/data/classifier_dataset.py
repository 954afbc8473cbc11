"""Images with a class → a classifier's training batches: augmented pixels, and each class's share of the ground truth.

Every random choice follows from (seed, step, place in the batch), as in data/dataset.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from yolo.data.augment.classifier import (
    ClassifierSettings,
    blur,
    draw_blur,
    draw_panes,
    draw_view,
    paste,
    shares,
    show,
)
from yolo.data.class_folders import ClassifiedImage
from yolo.data.dataset import Draw, StepSampler
from yolo.data.images import read_image
from yolo.data.workers import start_worker
from yolo.errors import CfgError
from yolo.model.class_tree import NONE, Tree


class ClassificationBatch(NamedTuple):
    """images: uint8 `[B, C, H, W]` RGB; targets: float32 `[B, classes]`. A tuple: torch can pin it."""

    images: Tensor
    targets: Tensor


class ClassificationImages(Dataset):
    """Images augmented and mixed as their `Draw` says; the others of a mix are drawn from all of them.

    Targets are `smooth_ground_truth` for `classes` classes or, with a class hierarchy, `tree_ground_truth`, mixed in the shares in
    which the images are seen. Raises what `check_smoothing` does.
    """

    def __init__(
        self,
        images: Sequence[ClassifiedImage],
        settings: ClassifierSettings,
        channels: int,
        classes: int,
        label_smooth_eps: float = 0.0,
        tree: Tree | None = None,
    ) -> None:
        check_smoothing(label_smooth_eps, tree)
        self.images = images
        self.settings = settings
        self.channels = channels
        self.classes = classes
        self.label_smooth_eps = label_smooth_eps
        self.tree = tree

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """uint8 `[H, W, C]`, target float32 `[classes]`."""
        rng = np.random.default_rng(draw.seed)
        panes = draw_panes(self.settings.mixing, draw.size, rng)
        indices = [draw.index, *rng.integers(len(self.images), size=len(panes)).tolist()]
        seen = [self._view(index, draw.size, rng) for index in indices]
        window = draw_blur(self.settings.mixing, rng)
        target = sum(
            share * self._ground_truth(index)
            for share, index in zip(shares(panes, draw.size), indices, strict=True)
        )
        return blur(paste(seen, panes), window), target.astype(np.float32)

    def _view(self, index: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        image = read_image(self.images[index].path, self.channels)
        view = draw_view(self.settings, image.shape[:2], size, rng)
        return show(view, image, size)

    def _ground_truth(self, index: int) -> np.ndarray:
        label = self.images[index].label
        if self.tree is not None:
            return tree_ground_truth(label, self.tree)
        return smooth_ground_truth(label, self.classes, self.label_smooth_eps)


def smooth_ground_truth(label: int, classes: int, label_smooth_eps: float) -> np.ndarray:
    """An image's target, float64 `[classes]`: 1 - eps for its class, eps shared by the others.

    AlexeyAB data.c fill_truth_smooth. Of a single class the ground truth is 1.
    """
    if classes == 1:
        return np.ones(1)
    ground_truth = np.full(classes, label_smooth_eps / (classes - 1))
    ground_truth[label] = 1 - label_smooth_eps
    return ground_truth


def tree_ground_truth(label: int, tree: Tree) -> np.ndarray:
    """An image's target in a hierarchy, float64 `[classes]`: 1 for its class and those above it (fill_hierarchy).

    Groups in which nothing is true say nothing; Darknet marks their classes with a secret number.
    """
    ground_truth = np.zeros(len(tree.names))
    while label != NONE:
        ground_truth[label] = 1
        label = int(tree.parent[label])
    return ground_truth


def check_smoothing(label_smooth_eps: float, tree: Tree | None) -> None:
    """Raise CfgError for what Darknet would compute nonsense of: a share above 1, and smoothing in a hierarchy.

    AlexeyAB's fill_hierarchy takes whatever is not 0 for true, after smoothing that is every class.
    """
    if not 0 <= label_smooth_eps <= 1:
        raise CfgError(f"found label_smooth_eps={label_smooth_eps:g}, expected a share of 0 to 1")
    if tree is not None and label_smooth_eps > 0:
        raise CfgError(
            f"found label_smooth_eps={label_smooth_eps:g} with a class hierarchy, expected 0"
        )


def collate_classified(samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> ClassificationBatch:
    """Samples of one size → ClassificationBatch."""
    images, targets = zip(*samples, strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return ClassificationBatch(pixels, torch.from_numpy(np.stack(targets)))


def classification_loader(
    images: ClassificationImages, sampler: StepSampler, workers: int, pin: bool
) -> DataLoader:
    """Mini-batches of the sampler's steps in order, prepared by `workers` processes ahead of the network."""
    return DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate_classified,
        pin_memory=pin,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # or the loader would draw from the one that dropout draws from
    )
