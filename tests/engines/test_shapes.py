"""yolo.engines.shapes: which call gets which runner."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from yolo.engines.shapes import RunnerPool

IMAGES = torch.rand(1, 3, 4, 4)


class Made:
    """Makes runners that are busy until `together` of them compute, and remembers those made and those at work."""

    def __init__(self, together=1):
        self.barrier = Barrier(together)
        self.runners, self.shared = 0, False

    def __call__(self):
        self.runners += 1
        busy = []

        def run(images):
            self.shared |= bool(busy)
            busy.append(True)
            self.barrier.wait(5)
            busy.clear()
            return [images]

        return run


def computed(maps, threads, torch_threads=1):
    """Compute as many batches at the same time in new threads."""
    usual = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(torch_threads)) as pool:
            list(pool.map(lambda _: maps(IMAGES), range(threads)))
    finally:
        torch.set_num_threads(usual)


def test_calls_at_the_same_time_have_a_runner_each_and_later_threads_use_them_again():
    made = Made(together=2)
    maps = RunnerPool(made)
    for _ in range(3):
        computed(maps, 2)
    assert made.runners == 2 and not made.shared


def test_a_runner_is_not_used_with_another_number_of_threads():
    made = Made()
    maps = RunnerPool(made)
    for torch_threads in (1, 2, 1, 2):
        computed(maps, 1, torch_threads)
    assert made.runners == 2


def test_a_runner_that_failed_is_not_used_again():
    made = []

    def make_runner():
        made.append(True)
        if len(made) > 1:
            return lambda images: [images]
        return lambda images: 1 / 0

    maps = RunnerPool(make_runner)
    with pytest.raises(ZeroDivisionError):
        maps(IMAGES)
    assert torch.equal(maps(IMAGES)[0], IMAGES) and len(made) == 2
