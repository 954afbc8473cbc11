"""What a network is trained for: the record that detection and classification both fill."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from yolo.train.checkpoint import Progress
from yolo.train.validation import Validation

MAP_EPOCHS = 4  # detector.c train_detector: mAP every 4 times through the list …

MAP_LEAST_STEPS = 100  # … but not more often than this


@dataclass(frozen=True)
class Task:
    """loss: (raw maps, targets, images seen) → losses with `total` and `scalars()`; batches: from where a run begins,
    the mini-batches of the steps that are left; validation: None without a valid list.
    """

    loss: Callable[..., object]
    batches: Callable[[Progress], Iterable]
    validation: Validation | None


def steps_between_scores(wanted: int | None, images: int, batch: int) -> int:
    """How often to score: as `wanted`, or as Darknet does for a list of so many images."""
    return wanted or max(MAP_LEAST_STEPS, MAP_EPOCHS * images // batch)
