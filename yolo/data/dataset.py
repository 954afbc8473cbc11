"""Make augmented training batches of checked images, and evaluation images resized to the network input.

Every random number depends only on (seed, step, place in the batch), so a run that resumes at step n gets the same
images with the same changes as one that was never stopped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from yolo.data.augment.geometry import AugmentationSettings
from yolo.data.images import ROOM, ImageStore, ignore_remark, read_image
from yolo.data.labeled_images import LabeledImage
from yolo.data.sample import METHODS, Recipe, Sample, Source, draw_images, make_sample
from yolo.data.workers import joined_in_worker, start_worker
from yolo.errors import DatasetError
from yolo.letterbox import Placement, place
from yolo.records import Size, Targets
from yolo.settings import HeadSettings, InputSettings, TrainingSettings

ORDER_STREAM, IMAGE_STREAM = 0, 1  # separate random numbers for the order and for the images


@dataclass(frozen=True)
class Draw:
    """One image of a batch: its index in the list, its size (height, width), the seed of its augmentation."""

    index: int
    size: Size
    seed: tuple[int, ...]


class Batch(NamedTuple):
    """images: uint8 `[B, C, H, W]` RGB; targets: cxcywh 0..1 of the network input. A tuple: torch can pin it."""

    images: Tensor
    targets: Targets


@dataclass(frozen=True, eq=False)
class TrainingImages(Dataset):
    """Images augmented by their `Draw` and possibly mixed with others, drawn from the whole list.

    Args:
        images: The checked images.
        channels: Of the network input, 1 or 3.
        recipe: How samples are made.
        store: Keeps decoded images.
    """

    images: Sequence[LabeledImage]
    channels: int
    recipe: Recipe
    store: ImageStore

    def keep(self, size: Size) -> None:
        """Decode images while there is room. Called before workers are forked, which then share the memory.

        size: (height, width) of the network input. Images of twice that size or more are skipped: they are mostly read
        at half their size.
        """
        for labeled in self.images:
            height, width = labeled.size
            fits = height * width * self.channels <= self.store.room
            if fits and (height < 2 * size[0] or width < 2 * size[1]):
                # An image that was damaged after the check raises its error when a batch needs it.
                with suppress(DatasetError, OSError):
                    self.store.read(labeled.path, self.channels, halved=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Sample:
        """Return the drawn image, possibly mixed with others."""
        rng = np.random.default_rng(draw.seed)
        others = rng.integers(len(self.images), size=draw_images(self.recipe, rng) - 1)
        sources = [self._source(index) for index in (draw.index, *others)]
        return make_sample(self.recipe, sources, draw.size, rng)

    def _source(self, index: int) -> Source:
        labeled = self.images[index]
        read = partial(self.store.read, labeled.path, self.channels)
        return Source(labeled.size, labeled.ground_truth, read)


def training_images(
    images: Sequence[LabeledImage],
    seen: InputSettings,
    training: TrainingSettings,
    head: HeadSettings,
    dialect: str,
) -> TrainingImages:
    """Return the data set that augments `images` as a cfg describes.

    Args:
        images: The checked images.
        seen: The network's input size, channels and letter_box.
        training: The settings of [net].
        head: Settings of the last head, from which Darknet takes jitter, resize and max.
        dialect: A key of METHODS.
    """
    settings = AugmentationSettings(
        jitter=head.jitter,
        resize=head.resize,
        flip=training.flip,
        color=training.color,
        letter_box=seen.letter_box,
    )
    recipe = Recipe(METHODS[dialect], settings, training.mixing, head.max_boxes)
    return TrainingImages(images, seen.channels, recipe, ImageStore(ROOM))


@dataclass(frozen=True, eq=False)
class StepSampler(Sampler):
    """Yield the draws of one mini-batch after the other. Each epoch takes the images in a new order.

    Args:
        images: Number of images.
        batch: Images per step; a step is one update of the weights.
        mini_batch: Images per mini-batch.
        steps: Numbers of the steps, from 1.
        size_at: Step → (height, width) of the network input.
        seed: Of all random numbers.
    """

    images: int
    batch: int
    mini_batch: int
    steps: range
    size_at: Callable[[int], Size]
    seed: int

    def __len__(self) -> int:
        return len(self.steps) * (self.batch // self.mini_batch)

    def __iter__(self) -> Iterator[list[Draw]]:
        order_of, order = -1, np.zeros(0, np.int64)
        for step in self.steps:
            draws = []
            for position in range(self.batch):
                epoch, index = divmod((step - 1) * self.batch + position, self.images)
                if epoch != order_of:
                    order_of, order = epoch, self.order(epoch)
                seed = (self.seed, IMAGE_STREAM, step, position)
                draws.append(Draw(int(order[index]), self.size_at(step), seed))
            for start in range(0, self.batch, self.mini_batch):
                yield draws[start : start + self.mini_batch]

    def order(self, epoch: int) -> np.ndarray:
        """Return the order of the images in an epoch, counted from 0."""
        rng = np.random.default_rng((self.seed, ORDER_STREAM, epoch))
        return rng.permutation(self.images)


@dataclass(frozen=True, eq=False)
class EvaluationImages(Dataset):
    """Images resized to the network input, each with its placement.

    Args:
        images: The checked images.
        size: (height, width) of the network input.
        channels: Of the network input, 1 or 3.
        placed: `letterbox.stretched` or `letterbox.letterboxed`.
    """

    images: Sequence[LabeledImage]
    size: Size
    channels: int
    placed: Callable[[Size, Size], Placement]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Placement]:
        """Return an image float32 `[C, H, W]` in 0..1, and its placement in the network input."""
        image = read_image(self.images[index].path, self.channels, ignore_remark)
        placement = self.placed(image.shape[:2], self.size)
        return place(image, placement), placement


def evaluation_loader(images: EvaluationImages, batch: int, workers: int) -> DataLoader:
    """Return a loader of batches in order: images `[B, C, H, W]` and B placements."""
    return DataLoader(
        images,
        batch_size=batch,
        num_workers=workers,
        collate_fn=partial(joined_in_worker, _collate_placed),
        worker_init_fn=start_worker,
    )


def _collate_placed(samples: Sequence[tuple[Tensor, Placement]]) -> tuple[Tensor, list[Placement]]:
    images, placements = zip(*samples, strict=True)
    return torch.stack(images), list(placements)


def collate(samples: Sequence[Sample]) -> Batch:
    """Join samples of one size to a batch, their boxes image by image."""
    images, labels, boxes = zip(*samples, strict=True)
    counts = [len(each) for each in labels]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    targets = Targets(
        torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(boxes)),
    )
    return Batch(pixels, targets)


def training_loader(
    images: Dataset, sampler: Iterable[list[Draw]], collate_fn: Callable, workers: int, pin: bool
) -> DataLoader:
    """Return a loader of mini-batches in order, prepared ahead.

    Args:
        images: Returns a sample for each `Draw`.
        sampler: The draws of each mini-batch.
        collate_fn: Joins the samples of a mini-batch to a batch.
        workers: Number of processes that prepare batches.
        pin: Whether batches are in pinned memory.
    """
    return DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=partial(joined_in_worker, collate_fn),
        pin_memory=pin,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # its own, so that it does not disturb the random numbers of dropout
    )
