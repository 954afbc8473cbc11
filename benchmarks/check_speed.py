"""How long the check of a data set takes at the first start, at the second, and after some files have changed.

The data set is synthetic: as many files as COCO's train2017 has, tiny images that are hard links of one JPEG, and seven
boxes an image. It shows the cost of a check without decoding. Each check runs in a separate process, without torch;
its peak memory and its time include imports. The bound is one `stat` for each file of a check.

example:
  .venv/bin/python benchmarks/check_speed.py --images 118000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

CLASSES, BOXES = 80, 7
CHANGED = 1000  # label files between the second check and the third
LABEL_FILES = 100  # different ones
MOST_LINKS = 30_000  # of one file: ext4 allows 65,000
CHECK = """
import json, resource, sys, time
start, cpu = time.perf_counter(), time.process_time()
from yolo.data.check import check_list
checked = check_list(sys.argv[1], 80, 3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
seconds = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps([len(checked.images), len(checked.images.ground_truth.labels), *seconds, peak]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=118_000, metavar="N", help="default: 118000")
    parser.add_argument("--folder", type=Path, help="where the files are made and deleted; default: a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        listed, files = _write_set(Path(folder), args.images)
        rows = {"first check": _check(listed), "second check": _check(listed)}
        for path in files[:CHANGED]:
            path.unlink()
            path.write_text("0 .5 .5 .5 .5\n")
        rows[f"{min(CHANGED, len(files))} label files changed"] = _check(listed)
        bound = _stat_seconds(listed)
        print(f"{args.images} images, {rows['first check'][1]} boxes, {os.cpu_count()} cores")
        print(f"{'':26} {'s':>7} {'CPU s':>7} {'MB':>6} {'x stat':>7}")
        for name, (_, _, seconds, cpu, peak) in rows.items():
            print(f"{name:26} {seconds:7.1f} {cpu:7.1f} {peak:6.0f} {seconds / bound:7.1f}")
        print(f"{'stat of every file':26} {bound:7.1f}")
        cache = listed.with_name(listed.name + ".checked")
        print(f"{cache.name}: {cache.stat().st_size / 2**20:.0f} MB")


def _write_set(folder: Path, count: int) -> tuple[Path, list[Path]]:
    """Return the list and the label files of `count` images."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    jpeg = cv2.imencode(".jpg", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    for number in range(LABEL_FILES):
        rows = np.column_stack((rng.integers(CLASSES, size=BOXES), rng.uniform(0.3, 0.4, (BOXES, 4)).round(6)))
        text = "\n".join(" ".join([str(int(row[0])), *map(str, row[1:])]) for row in rows)
        (folder / f"{number}.txt").write_text(text)
    labels, lines = [], []
    for number in range(count):
        image, label = folder / "images" / f"{number:012d}.jpg", folder / "labels" / f"{number:012d}.txt"
        one = folder / f"{number // MOST_LINKS}.jpg"
        if number % MOST_LINKS == 0:
            one.write_bytes(jpeg)
        os.link(one, image)
        os.link(folder / f"{number % LABEL_FILES}.txt", label)
        labels.append(label)
        lines.append(f"{image}\n")
    listed = folder / "train.txt"
    listed.write_text("".join(lines))
    return listed, labels


def _check(listed: Path) -> list[float]:
    """Return images, boxes, seconds, CPU seconds and peak memory in MB of a check in its own process."""
    done = subprocess.run([sys.executable, "-c", CHECK, str(listed)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _stat_seconds(listed: Path) -> float:
    """Return the seconds for the state of every image and of both places of its label file."""
    start = time.perf_counter()
    for line in listed.read_text().splitlines():
        beside = line.removesuffix(".jpg") + ".txt"
        for path in (line, beside.replace("/images/", "/labels/"), beside):
            os.path.exists(path)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
