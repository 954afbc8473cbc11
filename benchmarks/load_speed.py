"""Loading a .weights file against reading its bytes: time and extra memory.

A file of random numbers of yolov3's size is made and read once, so that it is in the page cache for both. Time:
`load_weights` over `numpy.fromfile`, medians of alternating runs; bound 2. Memory: how much the peak of the process
grows while loading, over the file's size; bound 1.2.

example:
  python benchmarks/load_speed.py --cfg cfg/yolov3.cfg
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from yolo.console.run import run
from yolo.model.network import Network
from yolo.model.weights import load_weights, save_weights

TIME_BOUND, MEMORY_BOUND = 2.0, 1.2
KIBIBYTE = 1024  # ru_maxrss counts in these on Linux


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", type=Path, default=Path("cfg/yolov3.cfg"), metavar="FILE")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="of each side; default 9")
    args = parser.parse_args()
    network = Network.from_cfg(args.cfg)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.weights"
        save_weights(network, path)
        size = path.stat().st_size
        before = _peak()
        load_weights(network, path)  # the first run, while the peak is still low
        grown = _peak() - before
        ours, plain = [], []
        for _ in range(args.runs):
            plain.append(_seconds(lambda: np.fromfile(path, np.float32)))
            ours.append(_seconds(lambda: load_weights(network, path)))
    fast, slow = statistics.median(plain), statistics.median(ours)
    print(f"{args.cfg}: {size:,} bytes, {os.cpu_count()} cores, {args.runs} runs each")
    print(f"numpy.fromfile {1000 * fast:.0f} ms, load_weights {1000 * slow:.0f} ms")
    print(f"time: ratio {slow / fast:.2f} (bound {TIME_BOUND})")
    print(f"extra memory {grown:,} bytes: {grown / size:.2f} of the file (bound {MEMORY_BOUND})")


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE


if __name__ == "__main__":
    run(main)
