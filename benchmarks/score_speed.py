"""Time and memory of scoring VOC2007 test from files, compared with the usual voc_eval.

Both run as commands, tools/score_voc.py and plain_voc_eval.py beside this file, on the 4,952 XML files and the 101,139
boxes of a YOLOv2, alternately, with the start of Python included. Bounds: half the time of the plain version, by the
medians, and 300 MB. The exit code is 1 if a bound is exceeded or the two results differ.

  python benchmarks/score_speed.py --reference ../shared
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from yolo.console.option_types import whole_number
from yolo.console.run import run

PROJECT = Path(__file__).resolve().parent.parent
TIME_BOUND = 0.5
MEMORY_BOUND = 300e6  # bytes
KIBIBYTE = 1024  # getrusage counts in these on Linux
MAP_LINE = re.compile(r"^mAP .*$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """One run of a command. peak: the largest resident memory in bytes; line: its mAP."""

    seconds: float
    peak: int
    line: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reference", type=Path, default=PROJECT.parent / "shared", metavar="DIR",
        help="folder with datasets/VOC2007_annotations.tar.xz and voc_results/yolov2.tar.xz",
    )  # fmt: skip
    parser.add_argument("--repeats", type=whole_number(1), default=5, help="default 5")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(args.reference / "datasets/VOC2007_annotations.tar.xz", folder)
        unpack(args.reference / "voc_results/yolov2.tar.xz", folder)
        annotations = folder / "VOC2007/Annotations"
        imageset = folder / "VOC2007/ImageSets/Main/test.txt"
        results = folder / "yolov2"
        ours_command = [PROJECT / "tools/score_voc.py", results, "--annotations", annotations,
                        "--imageset", imageset]  # fmt: skip
        plain_command = [PROJECT / "benchmarks/plain_voc_eval.py", results, annotations, imageset]
        measured(ours_command)  # the files are in memory from here on
        plain, ours = [], []
        for _ in range(args.repeats):
            plain.append(measured(plain_command))
            ours.append(measured(ours_command))
    sys.exit(report(plain, ours))


def report(plain: list[Measured], ours: list[Measured]) -> int:
    """Print both results; return 0 within the bounds and with equal numbers, else 1."""
    for title, runs in (("plain voc_eval", plain), ("score_voc.py", ours)):
        listed = " ".join(f"{each.seconds:.2f}" for each in runs)
        middle = statistics.median(each.seconds for each in runs)
        peak = max(each.peak for each in runs) / 1e6
        print(f"{title:14} {middle:6.2f} s  (median of {listed})  {peak:.0f} MB  {runs[0].line}")
    ratio = statistics.median(each.seconds for each in ours) / statistics.median(each.seconds for each in plain)
    peak = max(each.peak for each in ours)
    print(f"time, ours / plain = {ratio:.2f}, bound {TIME_BOUND}")
    print(f"memory of ours = {peak / 1e6:.0f} MB, bound {MEMORY_BOUND / 1e6:.0f} MB")
    agree = {each.line for each in (*plain, *ours)} == {plain[0].line}
    if not agree:
        print("the two results differ")
    return 0 if agree and ratio <= TIME_BOUND and peak <= MEMORY_BOUND else 1


def measured(command: list) -> Measured:
    """Run a Python script and measure it."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return Measured(seconds, usage.ru_maxrss * KIBIBYTE, MAP_LINE.search(output)[0])


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive, including the annotations of images outside the test set."""
    with tarfile.open(archive) as file:
        for member in file:
            target = folder / PurePosixPath(member.name)
            if member.isfile():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.extractfile(member).read())


if __name__ == "__main__":
    run(main)
