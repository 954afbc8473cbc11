"""Sources in, results out: reading and preparing in one thread, the network in the caller's."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from threading import Event

import torch
from torch import Tensor

from yolo.detect.detector import Detector
from yolo.detect.outputs.result import Result
from yolo.detect.pipeline import ahead
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.views import ViewPlan, detect_views
from yolo.letterbox import Placement

READ_AHEAD = 4  # batches that wait for the network
Prepared = tuple[SourceFrame, Tensor, Placement]


def detect_items(
    detector: Detector,
    items: Iterable[SourceFrame | Fault],
    plan: ViewPlan,
    batch: int,
    stop: Event,
) -> Iterator[Result | Fault]:
    """Detect in every frame; faults are handed on in their place.

    Args:
        detector: its network computes in the caller's thread.
        items: from `read_sources`; they are read and prepared in a thread of their own.
        plan: which views of an image pass through the network.
        batch: frames, or views of one frame, that pass through the network together.
        stop: is set when the caller ends early.
    """
    if not plan.is_plain:
        with closing(ahead(items, READ_AHEAD, stop)) as frames:
            for item in frames:
                if isinstance(item, SourceFrame):
                    yield Result(item, detect_views(detector, item.image, plan, batch))
                else:
                    yield item
        return
    with closing(ahead(_batches(_prepared(detector, items), batch), READ_AHEAD, stop)) as batches:
        for group in batches:
            if isinstance(group, Fault):
                yield group
                continue
            frames, images, placements = zip(*group, strict=True)
            found = detector.detect(torch.stack(images), placements)
            yield from map(Result, frames, found)


def _prepared(detector: Detector, items: Iterable[SourceFrame | Fault]) -> Iterator[Prepared | Fault]:
    """Prepare frames for the network, on one core: PyTorch's number of threads is that of the calling thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for item in items:
            yield item if isinstance(item, Fault) else (item, *detector.prepare(item.image))
    finally:
        torch.set_num_threads(threads)


def _batches(items: Iterable[Prepared | Fault], size: int) -> Iterator[list[Prepared] | Fault]:
    group: list[Prepared] = []
    for item in items:
        if isinstance(item, Fault):
            if group:
                yield group
                group = []
            yield item
            continue
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
