"""Batches: which images are computed together, with which threads, and what happens after a deadline."""

import threading
import time
from concurrent.futures import Future

import pytest
import torch

from tests.helpers.tiny_data import NAMES, cfg_text, network_of
from yolo.detect.detector import Detector
from yolo.serve.batcher import NO_NMS, Batcher, Job, Settings, Worker, with_settings, workers_for
from yolo.serve.http.refusal import RefusedError

PLAIN = Settings(0.1, 0.45, 1000)
SECONDS = 10
POISON = 7.0  # a value that no image has


class Gate:
    """An engine that waits until it is opened, and notes the sizes of batches and the threads that compute them.

    computed: what the Batcher reports of each batch.
    """

    def __init__(self, engine):
        self.engine, self.open, self.entered = engine, threading.Event(), threading.Event()
        self.sizes, self.threads, self.computed = [], [], []

    def __call__(self, images):
        self.sizes.append(len(images))
        self.threads.append(torch.get_num_threads())
        self.entered.set()
        assert self.open.wait(SECONDS)
        if (images == POISON).any():
            raise RuntimeError("cannot\ncompute")
        return self.engine(images)


@pytest.fixture
def gate():
    return Gate(Detector(network_of(cfg_text(), seed=1), NAMES).engine)


@pytest.fixture
def start(gate):
    """start(workers) → a Batcher whose engine is the gate."""
    made = []

    def start(workers):
        detector = Detector(network_of(cfg_text(), seed=1), NAMES, engine=gate)
        made.append(Batcher(detector, workers, lambda *each: gate.computed.append(each), gate))
        made[-1].start()
        end = time.monotonic() + SECONDS
        asleep = len(workers)  # before any of them waits, there is nothing to choose from
        while made[-1]._asleep < asleep and time.monotonic() < end:  # noqa: SLF001
            time.sleep(0.001)
        return made[-1]

    yield start
    gate.open.set()
    for batcher in made:
        batcher.close(SECONDS)
        assert not any(thread.is_alive() for thread in batcher._threads)  # noqa: SLF001


def job_of(batcher, number, settings=PLAIN, seconds=SECONDS):
    pixels = torch.rand(50 + number, 60, 3, generator=torch.Generator().manual_seed(number))
    prepared, placement = batcher.detector.prepare((pixels * 255).to(torch.uint8).numpy())
    now = time.monotonic()
    return Job(prepared, placement, settings, now, now + seconds, Future())


def put(batcher, *jobs):
    batcher.put(jobs)
    return jobs


def test_images_that_wait_are_computed_together_and_each_gets_what_it_gets_alone(start, gate):
    batcher = start([Worker(1, range(1, 9), lone=False)])
    settings = [PLAIN, Settings(0.2, NO_NMS, 1000), Settings(0.1, 0.45, 2)]
    first = put(batcher, job_of(batcher, 0))
    assert gate.entered.wait(SECONDS)
    rest = put(batcher, *(job_of(batcher, number, settings[number % 3]) for number in range(1, 10)))
    gate.open.set()
    found = [job.future.result(SECONDS) for job in (*first, *rest)]
    assert gate.sizes == [1, 8, 1] and [each.batch for each in found] == [1, *[8] * 8, 1]
    assert gate.computed == [(each.batch, each.network) for each in (found[0], found[1], found[9])]
    for job, each in zip((*first, *rest), found, strict=True):
        (alone,) = with_settings(batcher.detector, job.settings).detect(job.input[None], [job.placement])
        assert len(each.detections) == min(len(alone), job.settings.most) > 0
        expected = alone[: job.settings.most]
        assert torch.allclose(each.detections.boxes, expected.boxes, atol=1e-4)
        assert torch.allclose(each.detections.scores, expected.scores, atol=1e-6)
        assert each.detections.labels.equal(expected.labels)
    kept = {len(each.detections) for job, each in zip(rest, found[1:], strict=True) if job.settings.nms == NO_NMS}
    assert min(kept) > 2  # without NMS, more boxes


def test_a_lone_image_has_all_threads_and_the_next_one_does_not_wait_for_it(start, gate):
    batcher = start([Worker(2, (1,), lone=True), Worker(1, range(1, 9), lone=False)])
    one = put(batcher, job_of(batcher, 0))
    assert gate.entered.wait(SECONDS)
    gate.entered.clear()
    two = put(batcher, job_of(batcher, 1))
    assert gate.entered.wait(SECONDS)
    gate.open.set()
    assert all(job.future.result(SECONDS) for job in (*one, *two))
    assert gate.threads == [2, 1]


def test_a_worker_takes_its_part_and_leaves_the_rest_to_the_others(start, gate):
    batcher = start([Worker(1, range(1, 9), lone=False)] * 2)
    put(batcher, job_of(batcher, 0), job_of(batcher, 1))
    while len(gate.sizes) < 2:
        time.sleep(0.001)
    jobs = put(batcher, *(job_of(batcher, number) for number in range(2, 8)))
    gate.open.set()
    for job in jobs:
        job.future.result(SECONDS)
    assert max(gate.sizes) <= 4 and sum(gate.sizes) == 8  # 6 wait and 1 or 2 are computed: a part is 3 or 4


def test_who_does_not_wait_any_more_is_not_computed(start, gate):
    batcher = start([Worker(1, range(1, 9), lone=False)])
    put(batcher, job_of(batcher, 0))
    assert gate.entered.wait(SECONDS)
    gone, late, good = put(batcher, job_of(batcher, 1), job_of(batcher, 2, seconds=-1), job_of(batcher, 3))
    assert gone.future.cancel()
    gate.open.set()
    good.future.result(SECONDS)
    with pytest.raises(RefusedError) as refused:
        late.future.result(SECONDS)
    assert refused.value.status == 504 and gate.sizes == [1, 1]


def test_an_image_that_cannot_be_computed_harms_no_other(start, gate):
    batcher = start([Worker(1, range(1, 9), lone=False)])
    put(batcher, job_of(batcher, 0))
    assert gate.entered.wait(SECONDS)
    jobs = put(batcher, *(job_of(batcher, number) for number in range(1, 5)))
    jobs[2].input.fill_(POISON)
    gate.open.set()
    assert [job.future.exception(SECONDS) is None for job in jobs] == [True, True, False, True]
    with pytest.raises(RefusedError, match="the network failed: cannot$") as refused:
        jobs[2].future.result()
    assert refused.value.status == 500 and batcher.ready


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_internal_error_is_answered_at_once_and_the_other_worker_goes_on(start, gate):
    batcher = start([Worker(1, range(1, 9), lone=False)] * 2)
    gate.open.set()
    engine, gate.engine = gate.engine, lambda _: {}["no such map"]
    (job,) = put(batcher, job_of(batcher, 0))
    assert job.future.exception(SECONDS).status == 500
    gate.engine = engine
    (job,) = put(batcher, job_of(batcher, 1))
    assert job.future.result(SECONDS).batch == 1
    while batcher.ready:  # a service that is not ready is started again from outside
        time.sleep(0.001)


def test_what_waits_is_computed_before_the_end_and_nothing_after_it(start, gate):
    batcher = start([Worker(1, (1,), lone=False)])
    jobs = put(batcher, *(job_of(batcher, number) for number in range(4)))
    closing = threading.Thread(target=batcher.close, args=(SECONDS,))
    closing.start()
    gate.open.set()
    closing.join(SECONDS)
    assert all(job.future.done() and job.future.result() for job in jobs) and not batcher.ready
    (late,) = put(batcher, job_of(batcher, 5))
    assert late.future.exception().status == 503


def test_batches_are_small_on_a_cpu_and_larger_on_a_gpu():
    assert [max(workers_for(1, on_cpu, None)[0].sizes) for on_cpu in (True, False)] == [4, 16]


@pytest.mark.parametrize(
    ("threads", "on_cpu", "expected"),
    [
        (1, True, [(1, [1, 2, 4], False)]),
        (8, False, [(8, [1, 2, 4], False)]),
        (2, True, [(2, [1], True), (1, [1, 2, 4], False), (1, [1, 2, 4], False)]),
        (8, True, [(8, [1], True), *[(2, [1, 2, 4], False)] * 4]),
    ],
)
def test_workers_share_the_threads_and_compute_each_size_before_they_are_ready(threads, on_cpu, expected):
    found = workers_for(threads, on_cpu, 6)
    assert [(each.threads, list(each.sizes), each.lone) for each in found] == expected
    assert [list(each.warm) for each in found] == [sizes for _, sizes, _ in expected]


def test_a_network_that_cannot_be_computed_is_an_error_with_the_reason(gate):
    def broken(_images):
        raise RuntimeError("no such kernel\nmore lines")

    batcher = Batcher(Detector(network_of(cfg_text(), seed=1), NAMES), [Worker(1, (1,), False, (1,))], print, broken)
    batcher.start()
    end = time.monotonic() + SECONDS
    while batcher.fault is None and time.monotonic() < end:
        time.sleep(0.001)
    assert batcher.fault == "the network cannot be computed: no such kernel" and not batcher.ready
    batcher.close(SECONDS)


def test_an_image_is_not_alone_while_others_are_decoded(start, gate):
    """All threads for it would compete with the workers that those others get."""
    batcher = start([Worker(2, (1,), lone=True), Worker(1, range(1, 9), lone=False)])
    gate.open.set()
    for others, threads in ((1, 1), (0, 2)):
        with batcher.coming(others):
            (job,) = put(batcher, job_of(batcher, 0))
            job.future.result(SECONDS)
        assert gate.threads.pop() == threads
        while batcher._asleep < 2:  # noqa: SLF001
            time.sleep(0.001)
