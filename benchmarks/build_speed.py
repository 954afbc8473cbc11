"""Building a network from a cfg against building the same one by hand: time.

`Network.from_cfg` reads the text, checks it, builds the layers and fills the weights as Darknet does; the peer is
`PlainYolov4()`, YOLOv4 written in plain PyTorch, filled as torch does. Both are checked to be the same network first.
Medians of alternating runs; bound 1.5.

example:
  python benchmarks/build_speed.py
"""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from plain_yolov4 import PlainYolov4, check

from yolo.console.option_types import whole_number
from yolo.console.run import run
from yolo.model.network import Network

CFG = Path(__file__).parent.parent / "cfg" / "yolov4.cfg"
BOUND = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--runs", type=whole_number(1), default=21, metavar="N", help="of each side; default 21")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # the cfg's unread keys, at every run
    check(Network.from_cfg(CFG), PlainYolov4())  # also the first run of each, which does not count
    ours, plain = [], []
    for _ in range(args.runs):
        plain.append(_seconds(PlainYolov4))
        ours.append(_seconds(lambda: Network.from_cfg(CFG)))
    print(f"yolov4, {os.cpu_count()} cores, {args.runs} runs each")
    for title, times in (("plain", plain), ("ours", ours)):
        listed = " ".join(f"{1000 * seconds:.0f}" for seconds in times)
        print(f"{title:5} {1000 * statistics.median(times):5.0f} ms  (median of {listed})")
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"time: ratio {ratio:.2f} (bound {BOUND})")


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    built = call()
    seconds = time.perf_counter() - begin
    del built  # freeing it is not part of building it
    return seconds


if __name__ == "__main__":
    run(main)
