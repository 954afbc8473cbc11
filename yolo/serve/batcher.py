"""Compute waiting images in batches: all images that wait form a batch, without a delay to collect them.

A lone image is computed with all threads, which is the fastest for it. As soon as several wait, several workers compute
a batch each with a fraction of the threads, which computes more images per second.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

import cv2
import torch

from yolo.detect.detector import Detector
from yolo.engines.shapes import Engine
from yolo.errors import CfgError, WeightsError
from yolo.letterbox import Placement, batch_of
from yolo.records import Detections
from yolo.serve.http.refusal import MISTAKE, TOO_LATE, RefusedError
from yolo.settings import InputSettings

log = logging.getLogger(__name__)

NO_NMS = 2.0  # no IoU is above it, so every box stays
# Most images of a batch. On a CPU larger batches are no faster, and their answers take longer (docs/log.md).
CPU_BATCH, GPU_BATCH = 4, 16
MOST_WORKERS = 4  # of a network; each needs memory for its maps
LATEST_WEIGHT = 0.2  # of the latest batch in the running average of the speed
# What an engine raises for one batch; the service continues.
ENGINE_ERRORS = (RuntimeError, ValueError, MemoryError, OSError, cv2.error, CfgError, WeightsError)


@dataclass(frozen=True)
class Settings:
    """The settings of a request. thresh: scores must exceed it. nms: highest IoU, or NO_NMS. most: detections."""

    thresh: float
    nms: float
    most: int


@dataclass(frozen=True)
class Job:
    """A prepared image that waits.

    input: float32 `[C, H, W]`. deadline: time.monotonic() after which its client no longer waits. queued: since when
    it waits. future: of a `Computed`.
    """

    input: torch.Tensor
    placement: Placement
    settings: Settings
    queued: float
    deadline: float
    future: Future


@dataclass(frozen=True)
class Computed:
    """The detections of an image, the size of its batch, and seconds: waiting, in the network, in postprocessing."""

    detections: Detections
    batch: int
    queue: float
    network: float
    postprocess: float


@dataclass(frozen=True)
class Worker:
    """A thread that computes.

    threads: of PyTorch's. sizes: of its batches, ascending. lone: takes lone images. warm: sizes of the batches that it
    computes before it is ready.
    """

    threads: int
    sizes: Sequence[int]
    lone: bool
    warm: Sequence[int] = ()


def workers_for(threads: int, on_cpu: bool, batch: int | None) -> list[Worker]:
    """Return the workers of a network. Batches have powers of 2: engines compile or record each size.

    threads: PyTorch's number of threads. on_cpu: a GPU is filled by one worker. batch: the largest size; None chooses.
    """
    batch = batch or (CPU_BATCH if on_cpu else GPU_BATCH)
    sizes = [2**power for power in range(batch.bit_length())]
    count = min(threads, MOST_WORKERS) if on_cpu else 1
    if count == 1:
        return [Worker(threads, sizes, False, sizes)]
    return [Worker(threads, (1,), True, (1,))] + [Worker(max(1, threads // count), sizes, False, sizes)] * count


class Batcher:
    """Computes the detections of images by the workers of one network.

    Args:
        detector: its thresholds are replaced by those of each job.
        workers: see `workers_for`.
        computed: called with the size of each batch and its seconds in the network.
        warm: computes a batch to warm up; the engine's own way to prepare for a size, or the engine.
    """

    def __init__(
        self,
        detector: Detector,
        workers: Sequence[Worker],
        computed: Callable[[int, float], None],
        warm: Engine,
    ) -> None:
        self.detector = detector
        self.fault: str | None = None  # why the network cannot be computed
        self.seconds_an_image = 0.0  # a running average over all workers, 0 before the first batch
        self._workers = workers
        self._computed = computed
        self._warm = warm
        self._queue: deque[Job] = deque()
        self._lock = threading.Lock()
        self._alone, self._together = threading.Condition(self._lock), threading.Condition(self._lock)
        self._lone_waits = False
        self._coming = 0  # images that are decoded
        self._asleep = 0  # workers that wait for images; the tests wait for them
        self._computing = 0  # images
        self._lanes = max(1, sum(not each.lone for each in workers))
        self._left_to_warm = len(workers)
        self._closed = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers, which warm up first."""
        for worker in self._workers:
            thread = threading.Thread(target=self._work, args=(worker,), name="detect", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def ready(self) -> bool:
        """Whether every worker is warm and runs."""
        return not self._closed and not self._left_to_warm and all(each.is_alive() for each in self._threads)

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return len(self._queue)

    @contextmanager
    def coming(self, images: int) -> Iterator[None]:
        """Count an image that is being decoded: until it waits here, no other one is computed as a lone image."""
        with self._lock:
            self._coming += images
        try:
            yield
        finally:
            with self._lock:
                self._coming -= images

    def put(self, jobs: Sequence[Job]) -> None:
        """Let images wait. After `close` their futures raise RefusedError."""
        with self._lock:
            if self._closed:
                for job in jobs:
                    job.future.set_exception(RefusedError(503, "the service is stopping"))
                return
            self._queue.extend(jobs)
            if self._lone_waits and not self._computing and not self._coming and len(self._queue) == 1:
                self._lone_waits = False
                self._alone.notify()
            else:
                self._together.notify(len(jobs))

    def close(self, seconds: float) -> None:
        """Compute what waits, at most for some seconds, and end the workers."""
        with self._lock:
            self._closed = True
            self._alone.notify_all()
            self._together.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self, worker: Worker) -> None:
        use_threads(worker.threads)
        self._warm_up(worker)
        while jobs := self._take(worker):
            try:
                self._compute(jobs)
            finally:
                for job in jobs:
                    if not job.future.done():  # after an internal error, which ends this worker and `ready`
                        job.future.set_exception(RefusedError(500, MISTAKE))
                with self._lock:
                    self._computing -= len(jobs)

    def _warm_up(self, worker: Worker) -> None:
        try:
            for size in worker.warm:
                network = self.detector.network.input
                blank = torch.zeros(size, network.channels, network.height, network.width)
                with torch.inference_mode():
                    self.detector.detections(self._warm(blank), [_whole(network)] * size)
            with self._lock:
                self._left_to_warm -= 1
        except ENGINE_ERRORS as error:
            self.fault = f"the network cannot be computed: {_first_line(error)}"

    def _take(self, worker: Worker) -> list[Job]:
        """Wait for images and return a batch; none when the service is closed.

        A batch is at most a worker's part of all images that wait or are computed. Otherwise no image would be left for
        the next free worker.
        """
        condition = self._alone if worker.lone else self._together
        with condition:
            self._asleep += 1
            while not self._queue:
                if self._closed:
                    return []
                self._lone_waits |= worker.lone
                condition.wait()
            self._asleep -= 1
            self._lone_waits &= not worker.lone
            part = -(-(len(self._queue) + self._computing) // self._lanes)
            size = max((each for each in worker.sizes if each <= min(part, len(self._queue))), default=1)
            self._computing += size
            return [self._queue.popleft() for _ in range(size)]

    def _compute(self, jobs: list[Job]) -> None:
        begun = time.monotonic()
        jobs = [job for job in jobs if _wanted(job, begun)]
        if not jobs:
            return
        try:
            maps, network = self._maps(jobs)
            for group in _grouped(jobs):
                self._finish(jobs, group, maps, begun, network)
        except ENGINE_ERRORS as error:
            self._apart(jobs, error)

    def _maps(self, jobs: Sequence[Job]) -> tuple[list[torch.Tensor], float]:
        begun = time.monotonic()
        with torch.inference_mode():
            maps = self.detector.engine(batch_of([job.input for job in jobs]))
        seconds = time.monotonic() - begun
        latest = seconds / len(jobs) / self._lanes
        before = self.seconds_an_image or latest
        self.seconds_an_image = before + LATEST_WEIGHT * (latest - before)
        self._computed(len(jobs), seconds)
        return maps, seconds

    def _finish(
        self, jobs: list[Job], group: list[int], maps: list[torch.Tensor], begun: float, network: float
    ) -> None:
        """Set the results of the jobs of a group, which have the same settings."""
        start = time.monotonic()
        settings = jobs[group[0]].settings
        if len(group) < len(jobs):
            maps = [each[group] for each in maps]
        detector = with_settings(self.detector, settings)
        found = detector.detections(maps, [jobs[place].placement for place in group])
        seconds = (time.monotonic() - start) / len(group)
        for place, detections in zip(group, found, strict=True):
            kept = detections if len(detections) <= settings.most else detections[: settings.most]
            job = jobs[place]
            job.future.set_result(Computed(kept, len(jobs), begun - job.queued, network, seconds))

    def _apart(self, jobs: list[Job], error: BaseException) -> None:
        """After an error, compute the images that have no result yet one by one; one alone gets the error."""
        left = [job for job in jobs if not job.future.done()]
        if len(jobs) > 1:
            for job in left:
                self._again(job)
            return
        log.error("a batch failed: %s", _first_line(error))
        for job in left:
            job.future.set_exception(RefusedError(500, f"the network failed: {_first_line(error)}"))

    def _again(self, job: Job) -> None:
        begun = time.monotonic()
        try:
            maps, network = self._maps([job])
            self._finish([job], [0], maps, begun, network)
        except ENGINE_ERRORS as error:
            self._apart([job], error)


def use_threads(count: int) -> None:
    """Set PyTorch's number of threads in this thread alone.

    At its first query, a thread takes over the number that was set last in any thread. A number that is set after that
    is its own.
    """
    torch.get_num_threads()
    torch.set_num_threads(count)


def with_settings(detector: Detector, settings: Settings) -> Detector:
    """Return the same detector with other thresholds, with the same network and engine."""
    chosen = copy(detector)
    chosen.score_thresh, chosen.nms_thresh = settings.thresh, settings.nms
    return chosen


def _wanted(job: Job, now: float) -> bool:
    """Whether a client still waits for a job; from now on it cannot be cancelled."""
    if not job.future.set_running_or_notify_cancel():
        return False
    if now > job.deadline:
        job.future.set_exception(RefusedError(504, TOO_LATE))
        return False
    return True


def _grouped(jobs: Sequence[Job]) -> list[list[int]]:
    """Return the places of the jobs by their settings."""
    groups: dict[Settings, list[int]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(job.settings, []).append(place)
    return list(groups.values())


def _whole(network: InputSettings) -> Placement:
    size = network.height, network.width
    return Placement(size, size, size, (0, 0))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
