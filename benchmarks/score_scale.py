"""Time and memory of scoring up to 5 million random detections in 100,000 images.

Each size runs in a process of its own: it makes the arrays, then scores them by VOC's rules with 80 classes and IoU .5.
Images and ground truths grow with the detections, with seven ground truths per image as in COCO. Bounds: time grows at
most as n log n, and resident memory is at most 3 times the size of the arrays beside what Python and NumPy take. The
exit code is 1 if a bound is exceeded.

  python benchmarks/score_scale.py
"""

import argparse
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from yolo.console.option_types import whole_number
from yolo.console.run import run
from yolo.evaluate.metrics.voc import mean_ap, score_classes
from yolo.records import GroundTruth, ScoredBoxes

SIZES = (1_250_000, 2_500_000, 5_000_000)
DETECTIONS_PER_IMAGE = 50
GROUND_TRUTHS_PER_IMAGE = 7  # COCO's mean
CLASSES = 80
MEMORY_BOUND = 3.0
IMAGE_SIDE = 500.0
RESET_PEAK = "5"  # proc(5), clear_refs: reset the peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=whole_number(1), default=CLASSES, help="default 80")
    parser.add_argument("--repeats", type=whole_number(1), default=3, help="the smallest time is used; default 3")
    parser.add_argument("--one", type=whole_number(1), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_size(args.one, args.classes, args.repeats)))
        return
    options = ("--classes", args.classes, "--repeats", args.repeats)
    found = [in_a_process("--one", size, *options) for size in SIZES]
    sys.exit(report(found))


def report(found: list[dict]) -> int:
    """Print each size; return 0 within the bounds, else 1."""
    first, kept = found[0], True
    for each in found:
        grown = each["seconds"] / first["seconds"]
        allowed = n_log_n(each["detections"]) / n_log_n(first["detections"])
        memory = each["peak"] / each["arrays"]
        kept &= grown <= allowed and memory <= MEMORY_BOUND
        print(
            f"{each['detections']:9,} detections: {each['seconds']:6.2f} s = {grown:.2f} x the first, "
            f"bound {allowed:.2f};  arrays {each['arrays'] / 1e6:.0f} MB, peak {each['peak'] / 1e6:.0f} MB "
            f"= {memory:.2f} x, bound {MEMORY_BOUND:.2f};  mAP area {each['map']:.4f}"
        )
    return 0 if kept else 1


def n_log_n(count: int) -> float:
    return count * math.log(count)


def in_a_process(*arguments: object) -> dict:
    """Return what a process of its own measured."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def one_size(count: int, classes: int, repeats: int) -> dict:
    """Measure the CPU seconds of the fastest scoring of `count` detections, and the resident bytes."""
    made_of(DETECTIONS_PER_IMAGE, classes)  # load what NumPy loads on first use
    bare = memory("VmRSS")
    ground_truth, detections = made_of(count, classes)
    arrays = sum(column.nbytes for boxes in (ground_truth, detections) for column in vars(boxes).values())
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()  # not affected by other processes
        scores = score_classes(ground_truth, detections, classes, 0.5, 0.0)
        seconds.append(time.process_time() - start)
    return {
        "detections": count,
        "seconds": min(seconds),
        "arrays": arrays,
        "peak": memory("VmHWM") - bare,
        "map": mean_ap(score.area_ap for score in scores),
    }


def made_of(count: int, classes: int) -> tuple[GroundTruth, ScoredBoxes]:
    """Make ground truths and detections; two in three detections are a ground truth moved a little, the others
    random."""
    rng = np.random.default_rng(5)
    images = count // DETECTIONS_PER_IMAGE
    ground_truth = GroundTruth(
        image_index=np.repeat(np.arange(images), GROUND_TRUTHS_PER_IMAGE),
        labels=rng.integers(0, classes, images * GROUND_TRUTHS_PER_IMAGE),
        boxes=boxes_anywhere(rng, images * GROUND_TRUTHS_PER_IMAGE),
        difficult=rng.random(images * GROUND_TRUTHS_PER_IMAGE) < 0.05,
    )
    image_index = np.repeat(np.arange(images), DETECTIONS_PER_IMAGE)
    near = image_index * GROUND_TRUTHS_PER_IMAGE + rng.integers(0, GROUND_TRUTHS_PER_IMAGE, len(image_index))
    stray = rng.random(len(image_index)) < 1 / 3
    boxes = ground_truth.boxes[near]
    boxes += rng.normal(0, 8, (len(boxes), 1))
    boxes[stray] = boxes_anywhere(rng, int(stray.sum()))
    labels = np.where(stray, rng.integers(0, classes, len(near)), ground_truth.labels[near])
    return ground_truth, ScoredBoxes(image_index, labels, rng.random(len(near)), boxes)


def boxes_anywhere(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return random boxes, float64 [count, 4] xyxy."""
    boxes = rng.uniform(0, IMAGE_SIDE, (count, 4))
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(8, 150, (count, 2))
    return boxes


def memory(name: str) -> int:
    """Return the bytes of VmRSS (resident now) or VmHWM (peak since the reset)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024


if __name__ == "__main__":
    run(main)
