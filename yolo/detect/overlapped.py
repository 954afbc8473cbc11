"""Detect in the frames of sources, in threads: one reads, and the caller's or several others prepare and compute."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from threading import Event
from typing import NamedTuple

import torch
from torch import Tensor

from yolo.detect.detector import Detector
from yolo.detect.outputs.result import Result
from yolo.detect.pipeline import ahead, in_flight, one_opencv_thread
from yolo.detect.sources.frame import Fault, SourceFrame
from yolo.detect.views import ViewPlan, detect_views
from yolo.letterbox import Placement, batch_of

READ_AHEAD = 4  # batches that wait for the network
MOST_FLIGHTS = 4  # batches in the network at the same time; each needs memory for its maps
FRAMES_OF_A_FLIGHT = 4  # fewer frames for each are computed one after the other: the first result comes sooner
Group = list[SourceFrame] | Fault  # a batch for the network


class Inputs(NamedTuple):
    """Frames with the network input of each, and its placement."""

    frames: Sequence[SourceFrame]
    images: Sequence[Tensor]
    placements: Sequence[Placement]


def detect_items(
    detector: Detector,
    items: Iterable[SourceFrame | Fault],
    plan: ViewPlan,
    batch: int,
    stop: Event,
    flights: int = 1,
) -> Iterator[Result | Fault]:
    """Detect in every frame; faults are passed on in their order.

    Args:
        detector: its network computes in the caller's thread, or in `flights` others.
        items: from `read_sources`; they are read in a separate thread, and prepared there or in the `flights`.
        plan: which views of an image pass through the network.
        batch: frames, or views of one frame, that pass through the network together.
        stop: is set when the caller ends early.
        flights: batches that pass through the network at the same time; PyTorch's number of threads is divided among
            them. One thread for each of several batches computes more images per second than several threads for one
            batch, but the first result takes longer.
    """
    with one_opencv_thread():
        if not plan.is_plain:
            yield from _in_views(detector, items, plan, batch, stop)
        elif flights == 1:
            prepared = _prepared(detector, _batches(items, batch))
            with closing(ahead(prepared, READ_AHEAD, stop)) as inputs:
                yield from chain.from_iterable(map(partial(_detected, detector), inputs))
        else:
            yield from _in_flights(detector, _batches(items, batch), stop, flights)


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


def _in_views(
    detector: Detector, items: Iterable[SourceFrame | Fault], plan: ViewPlan, batch: int, stop: Event
) -> Iterator[Result | Fault]:
    with closing(ahead(items, READ_AHEAD, stop)) as frames:
        for item in frames:
            if isinstance(item, SourceFrame):
                yield Result(item, detect_views(detector, item.image, plan, batch))
            else:
                yield item


def _in_flights(detector: Detector, batches: Iterable[Group], stop: Event, flights: int) -> Iterator[Result | Fault]:
    threads = torch.get_num_threads()
    begin = partial(torch.set_num_threads, max(1, threads // flights))
    try:
        with (
            closing(ahead(batches, READ_AHEAD, stop)) as groups,
            closing(in_flight(groups, partial(_from_pixels, detector), flights, begin)) as found,
        ):
            yield from chain.from_iterable(found)
    finally:
        torch.set_num_threads(threads)  # new threads begin with the number that was set last in any


def _from_pixels(detector: Detector, group: Group) -> list[Result | Fault]:
    return _detected(detector, _inputs(detector, group))


def _detected(detector: Detector, inputs: Inputs | Fault) -> list[Result | Fault]:
    if isinstance(inputs, Fault):
        return [inputs]
    found = detector.detect(batch_of(inputs.images), inputs.placements)
    return list(map(Result, inputs.frames, found))


def _inputs(detector: Detector, group: Group) -> Inputs | Fault:
    if isinstance(group, Fault):
        return group
    images, placements = zip(*(detector.prepare(frame.image) for frame in group), strict=True)
    return Inputs(group, images, placements)


def _prepared(detector: Detector, groups: Iterable[Group]) -> Iterator[Inputs | Fault]:
    """Prepare frames for the network, on one core: PyTorch's number of threads is that of the calling thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for group in groups:
            yield _inputs(detector, group)
    finally:
        torch.set_num_threads(threads)


def _batches(items: Iterable[SourceFrame | Fault], size: int) -> Iterator[Group]:
    group: list[SourceFrame] = []
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
