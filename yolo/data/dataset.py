"""Checked images → augmented training batches, and evaluation images as the network sees them.

Every random choice follows from (seed, step, place in the batch), so a run that resumes at step n sees the same
images, changed in the same way, as one that was never stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from yolo.data.augment.geometry import AugmentationSettings
from yolo.data.check import LabeledImage
from yolo.data.images import ROOM, ImageStore, read_image
from yolo.data.sample import (
    UNMIXED,
    VIEWS,
    Recipe,
    Sample,
    Source,
    View,
    draw_images,
    make_sample,
)
from yolo.data.workers import start_worker
from yolo.errors import DatasetError
from yolo.letterbox import Placement, place
from yolo.records import Targets
from yolo.settings import HeadSettings, InputSettings, MixingSettings, TrainingSettings

ORDER_STREAM, IMAGE_STREAM = 0, 1  # keep the draws of the order and of the images apart


@dataclass(frozen=True)
class Draw:
    """One image of a batch: which, how large, and the seed of its augmentation."""

    index: int
    size: tuple[int, int]
    seed: tuple[int, ...]


class Batch(NamedTuple):
    """images: uint8 `[B, C, H, W]` RGB; targets: cxcywh 0..1 of the network input. A tuple: torch can pin it."""

    images: Tensor
    targets: Targets


class TrainingImages(Dataset):
    """Images augmented as their `Draw` says, half of them mixed with others of the list where `mixing` says so.

    At most `max_boxes` boxes each, in a drawn order. room: bytes of decoded images that are kept.
    """

    def __init__(
        self,
        images: Sequence[LabeledImage],
        settings: AugmentationSettings,
        channels: int,
        max_boxes: int,
        mixing: MixingSettings = UNMIXED,
        view: View = VIEWS["alexeyab"],
        room: int = ROOM,
    ) -> None:
        self.images = images
        self.channels = channels
        self.recipe = Recipe(view, settings, mixing, max_boxes)
        self.store = ImageStore(room)

    def keep(self, size: tuple[int, int]) -> None:
        """Decode what there is room for, before workers are forked: then all of them have it, and it is there once.

        size: (height, width) of the network input. Images twice as large or more are left out: these are mostly
        read at half their size.
        """
        for labeled in self.images:
            height, width = labeled.size
            fits = height * width * self.channels <= self.store.room
            if fits and (height < 2 * size[0] or width < 2 * size[1]):
                with suppress(
                    DatasetError, OSError
                ):  # gone bad since the check: told when its turn comes
                    self.store.read(labeled.path, self.channels, halved=False)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Sample:
        """The drawn image, or one made of it and others, which are drawn from the whole list."""
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
    room: int = ROOM,
) -> TrainingImages:
    """`images` as a cfg has them augmented for training; seen: what the network looks at; dialect: one of VIEWS.

    head: the last one's settings, from which Darknet takes jitter, resize and max.
    """
    settings = AugmentationSettings(
        jitter=head.jitter,
        resize=head.resize,
        flip=training.flip,
        hue=training.color.hue,
        saturation=training.color.saturation,
        exposure=training.color.exposure,
        letter_box=seen.letter_box,
    )
    return TrainingImages(
        images, settings, seen.channels, head.max_boxes, training.mixing, VIEWS[dialect], room
    )


class StepSampler(Sampler):
    """The draws of one mini-batch after the other, of `steps`.

    A step is one update of `batch` images, given out in mini-batches of `mini_batch`. The list is gone through in
    a new order each time; size_at(step): (height, width) of the network input at that step.
    """

    def __init__(
        self,
        images: int,
        batch: int,
        mini_batch: int,
        steps: range,
        size_at: Callable[[int], tuple[int, int]],
        seed: int,
    ) -> None:
        self.images = images
        self.batch = batch
        self.mini_batch = mini_batch
        self.steps = steps
        self.size_at = size_at
        self.seed = seed

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
        """The order in which the list is gone through for the `epoch`-th time."""
        rng = np.random.default_rng((self.seed, ORDER_STREAM, epoch))
        return rng.permutation(self.images)


class EvaluationImages(Dataset):
    """Images as the network sees them in testing, each with its placement.

    placed: `letterbox.stretched` or `letterbox.letterboxed`; size: (height, width) of the network input.
    """

    def __init__(
        self,
        images: Sequence[LabeledImage],
        size: tuple[int, int],
        channels: int,
        placed: Callable[[tuple[int, int], tuple[int, int]], Placement],
    ) -> None:
        self.images = images
        self.size = size
        self.channels = channels
        self.placed = placed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Placement]:
        """float32 `[C, H, W]` 0..1, and where the image lies in it."""
        image = read_image(self.images[index].path, self.channels)
        placement = self.placed(image.shape[:2], self.size)
        return place(image, placement), placement


def evaluation_loader(images: EvaluationImages, batch: int, workers: int) -> DataLoader:
    """`[B, C, H, W]` and B placements at a time, in order."""
    return DataLoader(
        images,
        batch_size=batch,
        num_workers=workers,
        collate_fn=_collate_placed,
        worker_init_fn=start_worker,
    )


def _collate_placed(samples: Sequence[tuple[Tensor, Placement]]) -> tuple[Tensor, list[Placement]]:
    images, placements = zip(*samples, strict=True)
    return torch.stack(images), list(placements)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size → Batch, their boxes image by image."""
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
    images: TrainingImages, sampler: StepSampler, workers: int, pin: bool
) -> DataLoader:
    """Mini-batches of the sampler's steps in order, prepared by `workers` processes ahead of the network."""
    return DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # or the loader would draw from the one that dropout draws from
    )
