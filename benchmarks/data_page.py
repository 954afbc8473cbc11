"""Time and memory of the page of a data set for many images, at the first start and at the second.

The data set is synthetic: JPEGs of random blots, seven boxes each, one in a hundred a copy of another image at another
size and quality. Each run is a process of its own; its peak memory and its time include imports and the page. The bound
is decoding every image once in as many threads. The copies that are not found are counted.

example:
  .venv/bin/python benchmarks/data_page.py --images 20000
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

from yolo.data.parallel import in_threads

CLASSES, BOXES = 20, 7
SIZE = (320, 240)  # (width, height)
COPY_EVERY = 100
PAGE = """
import json, resource, sys, time
start, cpu = time.perf_counter(), time.process_time()
from pathlib import Path
from yolo.data_file import read_data
from yolo.explain.data_set.network_view import network_view
from yolo.explain.data_set.page import write_data_page
from yolo.explain.data_set.survey import survey_data
survey = survey_data(read_data(sys.argv[1]), network_view(Path(sys.argv[2]), {}, "alexeyab"))
surveyed = time.perf_counter() - start
page = write_data_page(sys.argv[3], survey)
seconds = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([surveyed, *seconds, peak, page.stat().st_size / 2**20]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="default: 20000")
    parser.add_argument("--cfg", type=Path, default=Path("cfg/yolov3-tiny.cfg"), help="default: cfg/yolov3-tiny.cfg")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, paths, copies = _write_set(folder, args.images)
        bound, decoding = _decoding_seconds(paths)
        rows = {each: _page(data, args.cfg, folder / "page") for each in ("first time", "second time")}
        print(f"{args.images} images of {SIZE[0]} x {SIZE[1]}, {args.images * BOXES} boxes, {os.cpu_count()} cores")
        print(f"{'':20} {'s':>7} {'CPU s':>7} {'ms/image':>9} {'MB':>6} {'page MB':>8} {'x decoding':>11}")
        for each, (_, seconds, cpu, peak, size) in rows.items():
            line = f"{each:20} {seconds:7.1f} {cpu:7.1f} {1000 * seconds / args.images:9.2f} {peak:6.0f} {size:8.2f}"
            print(f"{line} {seconds / bound:11.2f}")
        print(f"{'decoding alone':20} {bound:7.1f} {decoding:7.1f} {1000 * bound / args.images:9.2f}")
        found = _found_pairs(folder / "page/data.json")
        print(f"copies found: {len(copies & found)} of {len(copies)}; other pairs: {len(found - copies)}")


def _write_set(folder: Path, count: int) -> tuple[Path, list[str], set[frozenset[str]]]:
    """Write images, labels, the lists and the .data file; return it, the images, and the pairs of copies."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    rng, paths, copies = np.random.default_rng(0), [], set()
    for number in range(count):
        path = folder / "images" / f"{number:06}.jpg"
        if number % COPY_EVERY == COPY_EVERY - 1:
            original = paths[-1 - int(rng.integers(0, COPY_EVERY - 1))]
            small = cv2.resize(cv2.imread(original), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, 70])
            copies.add(frozenset((Path(original).name, path.name)))
        else:
            blots = rng.integers(0, 256, (9, 12, 3), np.uint8)
            cv2.imwrite(str(path), cv2.resize(blots, SIZE, interpolation=cv2.INTER_CUBIC))
        boxes = np.column_stack(
            (rng.random((BOXES, 2)) * 0.6 + 0.2, np.exp(rng.normal(-2.0, 0.6, (BOXES, 2))).clip(0.01, 0.38))
        )
        lines = (
            f"{label} {' '.join(f'{each:.5f}' for each in box)}\n"
            for label, box in zip(rng.integers(0, CLASSES, BOXES), boxes, strict=True)
        )
        (folder / "labels" / f"{number:06}.txt").write_text("".join(lines))
        paths.append(str(path))
    cut = count * 9 // 10
    (folder / "train.txt").write_text("\n".join(paths[:cut]) + "\n")
    (folder / "valid.txt").write_text("\n".join(paths[cut:]) + "\n")
    (folder / "blots.names").write_text("".join(f"class{number}\n" for number in range(CLASSES)))
    data = folder / "blots.data"
    data.write_text(f"classes = {CLASSES}\ntrain = train.txt\nvalid = valid.txt\nnames = blots.names\n")
    return data, paths, copies


def _decoding_seconds(paths: list[str]) -> tuple[float, float]:
    """Return the seconds, and the CPU seconds, of decoding every image."""
    start, cpu = time.perf_counter(), time.process_time()
    for _ in in_threads(lambda path: cv2.imread(path) is None, paths):
        pass
    return time.perf_counter() - start, time.process_time() - cpu


def _page(data: Path, cfg: Path, folder: Path) -> list[float]:
    """Return the seconds of the survey and of all, the CPU seconds, the peak memory and the size of the page in MB."""
    done = subprocess.run([sys.executable, "-c", PAGE, data, cfg, folder], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _found_pairs(numbers: Path) -> set[frozenset[str]]:
    groups = json.loads(numbers.read_text())["duplicates"]
    return {frozenset(Path(each["path"]).name for each in group["images"]) for group in groups}


if __name__ == "__main__":
    main()
