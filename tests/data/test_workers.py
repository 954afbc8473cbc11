"""yolo.data.workers: an error in a worker is one line, and workers end with their parent process."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
import torch

from yolo.data.augment.geometry import AugmentationSettings
from yolo.data.check import check_list
from yolo.data.dataset import StepSampler, TrainingImages, collate, training_loader
from yolo.data.images import ImageStore
from yolo.data.sample import METHODS, Recipe
from yolo.data.workers import prepared
from yolo.errors import DatasetError
from yolo.settings import MixingSettings

PATIENCE = 120  # seconds to start python with torch on a busy machine


def loader_of(drawn, dataset, workers):
    """A loader of the four images, unchanged, in `dataset`, which is TrainingImages or one of its kind."""
    recipe = Recipe(METHODS["alexeyab"], AugmentationSettings(), MixingSettings(), 200)
    listed = check_list(drawn.folder / "list.txt", 2, 3).images
    images = dataset(listed, 3, recipe, ImageStore(10**6))
    sampler = StepSampler(4, 4, 2, range(1, 8), lambda step: (48, 64), 3)
    return training_loader(images, sampler, collate, workers, pin=False)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("spoil", ["delete", "empty"])
def test_an_image_gone_bad_since_the_check_is_one_line(four, workers, spoil):
    loader = loader_of(four, TrainingImages, workers)
    before = multiprocessing.active_children()  # of tests that an error has ended
    if spoil == "delete":
        four.images[2].unlink()
        message = "No such file or directory: .*p2.png"
    else:
        four.images[2].write_bytes(b"")
        message = "^[^ ]*p2.png: found an empty file, expected an image$"
    with pytest.raises(DatasetError, match=message) as error:
        list(prepared(loader))
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == before  # no worker is left running


class Deadly(TrainingImages):
    """A worker that the system kills, as it does where memory runs out."""

    def __getitem__(self, draw):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_line(four):
    with pytest.raises(DatasetError, match=r"DataLoader worker \(pid.* (killed|exited)") as error:
        list(prepared(loader_of(four, Deadly, 1)))
    assert "\n" not in str(error.value)


class Cut:
    """Batches from a worker that is killed while it sends one; the news of its death comes after that."""

    def __iter__(self):
        return self

    def __next__(self):
        raise ConnectionResetError(104, "Connection reset by peer")

    def __del__(self):
        os.kill(os.getpid(), signal.SIGCHLD)


class CutLoader:
    def __iter__(self):
        return Cut()


def test_the_late_news_of_a_death_prints_no_traceback(monkeypatch):
    def news(number, frame):
        raise RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed.")

    printed = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    before = signal.signal(signal.SIGCHLD, news)
    try:
        with pytest.raises(DatasetError, match="DataLoader worker was lost"):
            list(prepared(CutLoader()))
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert not printed


def test_no_room_in_shared_memory_is_one_line(four, monkeypatch):
    """A small /dev/shm: torch would print a traceback in a thread of the worker, and the reader would wait forever."""

    def full(_tensor):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(DatasetError, match=r"found no room for a batch .*\(28\)\); .*--workers 0") as error:
        list(prepared(loader_of(four, TrainingImages, 1)))
    assert "\n" not in str(error.value)


LEAVES_A_LOOP = """
from torch.utils.data import DataLoader
from yolo.data.workers import prepared, start_worker

batches = prepared(DataLoader(range(100), num_workers=2, worker_init_fn=start_worker))
print("first:", next(batches).item())
raise SystemExit(3)  # the module's `batches` outlives everything that Python calls at exit
"""


def test_python_ends_though_workers_are_left(project):
    """They ignore SIGTERM, by which multiprocessing would end them before it waits for them."""
    ended = subprocess.run(
        [sys.executable, "-c", LEAVES_A_LOOP],
        capture_output=True, text=True, cwd=project, timeout=PATIENCE,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "first: 0\n", "")
