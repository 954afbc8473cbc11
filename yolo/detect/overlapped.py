"""Sources in, results out: reading and preparing in one thread, the network in the caller's or in several."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import chain
from threading import Event

import torch
from torch import Tensor

from yolo.detect.detector import Detector
from yolo.detect.outputs.result import Result
from yolo.detect.pipeline import ahead, in_flight
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.views import ViewPlan, detect_views
from yolo.letterbox import Placement, batch_of

READ_AHEAD = 4  # batches that wait for the network
MOST_FLIGHTS = 4  # batches in the network at the same time; each needs memory for its maps
FRAMES_OF_A_FLIGHT = 4  # fewer frames for each are computed one after the other, which gives the first one sooner
Prepared = tuple[SourceFrame, Tensor, Placement]


def detect_items(
    detector: Detector,
    items: Iterable[SourceFrame | Fault],
    plan: ViewPlan,
    batch: int,
    stop: Event,
    flights: int = 1,
) -> Iterator[Result | Fault]:
    """Detect in every frame; faults are handed on in their place.

    Args:
        detector: its network computes in the caller's thread, or in `flights` others.
        items: from `read_sources`; they are read and prepared in a thread of their own.
        plan: which views of an image pass through the network.
        batch: frames, or views of one frame, that pass through the network together.
        stop: is set when the caller ends early.
        flights: batches that pass through the network at the same time, in threads that share PyTorch's number of
            threads. One thread for each of several batches computes more images per second than several threads for
            one batch, but the first result takes longer.
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
        detect = partial(_detected, detector)
        if flights == 1:
            yield from chain.from_iterable(map(detect, batches))
            return
        threads = torch.get_num_threads()
        begin = partial(torch.set_num_threads, max(1, threads // flights))
        try:
            with closing(in_flight(batches, detect, flights, begin)) as found:
                yield from chain.from_iterable(found)
        finally:
            torch.set_num_threads(threads)  # new threads begin with the number that was set last in any


def flights_for(detector: Detector, frames: int | None, live: bool) -> int:
    """Return how many batches should be computed at the same time.

    Args:
        detector: on a GPU it is one, which its kernels fill.
        frames: how many there will be, None if that is not known.
        live: whether a camera or stream waits for its result.
    """
    flights = min(torch.get_num_threads(), MOST_FLIGHTS)
    on_cpu = next(detector.network.parameters()).device.type == "cpu"
    few = frames is not None and frames < FRAMES_OF_A_FLIGHT * flights
    return 1 if live or few or not on_cpu else flights


def _detected(detector: Detector, group: list[Prepared] | Fault) -> list[Result | Fault]:
    if isinstance(group, Fault):
        return [group]
    frames, images, placements = zip(*group, strict=True)
    found = detector.detect(batch_of(images), placements)
    return list(map(Result, frames, found))


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
