"""How the time to score one image of very many boxes grows: 11,000, 22,000 and 55,000 labels and as many detections.

`yolo-darknet score` reads a label file and a Darknet json and scores by VOC's and COCO's rules, each size and metric in
this process, processor time. Boxes get smaller as there are more, so that each has the same number of neighbors. The
bound: time grows at most 1.5 times as n log n. With --same-size boxes stay as large as those of 11,000, so that the
pairs that overlap grow with n²; this has no bound.

  python benchmarks/many_boxes.py
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import cv2
import numpy as np

from yolo.commands import score
from yolo.console.run import run

COUNTS = (11_000, 22_000, 55_000)
SIDE = 2000  # of the image, in pixels
NEIGHBORS = 4.0  # boxes whose center is in a box, as a mean
ALLOWED = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--same-size", action="store_true", help="more boxes of the same size, without a bound")
    args = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(f"{folder}/a.png", np.zeros((SIDE, SIDE, 3), np.uint8))
        calls = {"VOC, area": ("--metric", "area"), "COCO": ("--metric", "coco")}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for count in COUNTS:
            write_boxes(Path(folder), count, COUNTS[0] if args.same_size else count)
            for name, options in calls.items():
                times[name].append(processor_seconds(lambda options=options: score_boxes(Path(folder), options)))
        for name, found in times.items():
            print(f"{name}: " + ", ".join(f"{n:,} boxes {s:.2f} s" for n, s in zip(COUNTS, found, strict=True)))
            for count, seconds in zip(COUNTS[1:], found[1:], strict=True):
                grown, expected = seconds / found[0], growth_of(count)
                kept &= grown <= ALLOWED * expected
                print(f"  {count / COUNTS[0]:.0f} times the boxes: {grown:.2f} times the time, n log n {expected:.2f}")
    sys.exit(0 if kept or args.same_size else 1)


def growth_of(count: int) -> float:
    return count * math.log(count) / (COUNTS[0] * math.log(COUNTS[0]))


def write_boxes(folder: Path, count: int, sized_for: int) -> None:
    """Write labels of one class, and detections that are the same boxes, moved a little."""
    rng = np.random.default_rng(count)
    side = math.sqrt(NEIGHBORS / sized_for)
    center, size = rng.uniform(side, 1 - side, (count, 2)), side * rng.uniform(0.5, 1.5, (count, 2))
    rows = np.concatenate((center, size), axis=1)
    (folder / "a.txt").write_text("".join(f"0 {x:.4f} {y:.4f} {w:.4f} {h:.4f}\n" for x, y, w, h in rows))
    (folder / "list.txt").write_text(f"{folder}/a.png\n")
    (folder / "a.names").write_text("thing\n")
    (folder / "a.data").write_text(f"classes=1\nvalid={folder}/list.txt\nnames={folder}/a.names\n")
    moved = rows + size.repeat(2, axis=1)[:, [0, 2, 0, 2]] * rng.normal(0, 0.1, (count, 4))
    objects = [
        {
            "class_id": 0,
            "name": "thing",
            "relative_coordinates": {"center_x": x, "center_y": y, "width": abs(w), "height": abs(h)},
            "confidence": confidence,
        }
        for (x, y, w, h), confidence in zip(moved.round(5).tolist(), rng.random(count).round(5).tolist(), strict=True)
    ]
    frame = {"frame_id": 1, "filename": f"{folder}/a.png", "objects": objects}
    (folder / "result.json").write_text(json.dumps([frame]))


def score_boxes(folder: Path, options: tuple[str, ...]) -> None:
    sys.argv = ["score", "--truth", f"{folder}/a.data", "--detections", f"{folder}/result.json", *options]
    with redirect_stdout(StringIO()):
        run(score.main)


def processor_seconds(function: Callable[[], None]) -> float:
    function()
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
