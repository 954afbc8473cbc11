"""tools/train.py under torchrun: two processes learn what one does; a process that ends early ends the run."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, write_set
from yolo.model.network import Network
from yolo.model.weights import load_weights

STEPS = 20
CLOSE = 1e-4  # of the loss
PATIENCE = 240  # seconds; starting python with torch three times takes most of them on a busy machine


@pytest.fixture
def command(tmp_path, project):
    """command(processes, folder, *more) → what runs the tiny network on eight images."""
    drawn = write_set(tmp_path / "eight", [*FOUR_IMAGES, *FOUR_IMAGES])
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(cfg_text(dropout=False).replace("batch=4", "batch=8"))

    def make(processes, folder, *more):
        # one and two processes could find another kind of step fastest; bfloat16 differs by more than CLOSE
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
        return [
            sys.executable, *(map(str, launcher) if processes > 1 else ()), project / "tools/train.py",
            "--cfg", cfg, "--data", drawn.data, "--out", tmp_path / folder, "--workers", "0",
            "--device", "cpu", "--amp", "off", "--memory-format", "contiguous", *map(str, more),
        ]  # fmt: skip

    return make


def started(command, **more):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes, **more)


def finished(process):
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out, err


def losses(folder):
    with open(folder / "scalars.csv", newline="") as file:
        return [float(row["loss/total"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("subdivisions", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_two_processes_have_the_losses_of_one(command, tmp_path, subdivisions):
    """The same images, steps and, by --sync-bn, statistics of whole mini-batches: only the order of sums differs."""
    more = ("--max-batches", STEPS, "--sync-bn", "--set", f"subdivisions={subdivisions}")
    both = [started(command(count, folder, *more)) for count, folder in ((1, "one"), (2, "two"))]
    _, (out, err) = (finished(process) for process in both)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == STEPS and one[0] > 2 * one[-1]  # it learns
    assert max(abs(a - b) / a for a, b in zip(one, two, strict=True)) < CLOSE
    assert out.count("step 20: ") == 1 and err.count("| mean (mAP)") == 1  # only the first process prints
    networks = [Network.from_cfg(tmp_path / "tiny.cfg") for _ in range(2)]
    for network, folder in zip(networks, ("one", "two"), strict=True):
        assert load_weights(network, tmp_path / folder / "tiny_last.weights").seen == STEPS * 8
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert (a - b).norm() < 1e-2 * a.norm()  # a channel of little variance blows the last digits up


def children(process):
    """The training processes that torchrun started."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def test_a_process_that_ends_early_ends_the_run(command, tmp_path):
    process = started(command(2, "two", "--max-batches", 10**6))
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "two" / "tiny_last.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)
    os.kill(children(process)[-1], signal.SIGKILL)
    killed = time.monotonic()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and time.monotonic() - killed < 60
    assert "Signal 9 (SIGKILL)" in err  # torchrun's report
    assert re.search(r"rank      : [01] \(local_rank: [01]\)\n  exitcode  : -9", err.partition("Root Cause")[2])
    assert "yolo/train" not in err.replace("\\", "/")  # no traceback of ours, whichever of them spoke
