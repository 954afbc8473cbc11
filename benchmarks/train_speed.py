"""How much of a training step is spent outside forward, backward and optimiser.

The real trainer runs on a real data set; three calls are timed inside it, the rest of each step's wall time is what
loading, the loss, logging and the loop cost. The bound is 10 % with 2 workers.

example:
  python benchmarks/train_speed.py --cfg bccd.cfg --data bccd/voc.data --steps 60
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from yolo.console import run
from yolo.train.start import Options, start
from yolo.train.trainer import Run, train

WARM_UP = 10  # steps that are not counted: workers start, memory is touched for the first time
BOUND = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cfg", type=Path, required=True, metavar="FILE")
    add("--data", type=Path, required=True, metavar="FILE")
    add("--steps", type=int, default=60, metavar="N", help="steps that count; default 60")
    add("--workers", type=int, default=2, metavar="N")
    add("--device", default="cpu", metavar="D")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            cfg=args.cfg,
            data=args.data,
            device=args.device,
            workers=args.workers,
            out=Path(folder),
            overrides=(("max_batches", str(WARM_UP + args.steps)),),
        )
        shares, seconds, pictures = measure(
            replace(start(options), validation=None, save_every=10**9)
        )
    speed = pictures * len(seconds) / sum(seconds)
    median = 1000 * statistics.median(seconds)
    together = sum(share * t for share, t in zip(shares, seconds, strict=True)) / sum(seconds)
    print(f"{len(shares)} steps of {pictures} pictures, {args.workers} workers, {args.device}")
    print(f"step: median {median:.0f} ms, {speed:.1f} pictures/s")
    print("outside forward, backward and optimiser:")
    print(f"median {statistics.median(shares):.1%}, of all time {together:.1%} (bound {BOUND:.0%})")


def measure(training: Run) -> tuple[list[float], list[float], int]:
    """Share outside and wall seconds of each counted step, and the pictures of a step."""
    inside = [0.0]
    ends: list[tuple[float, float]] = []

    def timed(call: Callable) -> Callable:
        def wrapped(*args: object, **kwargs: object) -> object:
            begin = time.perf_counter()
            result = call(*args, **kwargs)
            if training.device.type == "cuda":
                torch.cuda.synchronize()
            inside[0] += time.perf_counter() - begin
            return result

        return wrapped

    training.network.forward = timed(training.network.forward)
    training.optimiser.step = timed(training.optimiser.step)
    backward, torch.Tensor.backward = torch.Tensor.backward, timed(torch.Tensor.backward)
    note = training.journal.step

    def step(*args: object) -> None:
        note(*args)
        ends.append((time.perf_counter(), inside[0]))

    training.journal.step = step
    try:
        train(training)
    finally:
        torch.Tensor.backward = backward
        training.journal.close()
    counted = list(zip(ends[WARM_UP - 1 :], ends[WARM_UP:], strict=False))
    seconds = [after[0] - before[0] for before, after in counted]
    shares = [
        1 - (after[1] - before[1]) / total
        for (before, after), total in zip(counted, seconds, strict=True)
    ]
    return shares, seconds, training.batch


if __name__ == "__main__":
    run(main)
