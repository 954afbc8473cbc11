"""Memory for one large JPEG, from the file to the network input: bytes a pixel, against two copies of its pixels.

example:
  python benchmarks/image_memory.py --megapixels 108
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from yolo.data.images import read_image
from yolo.letterbox import place, stretched

BOUND = 6  # bytes a pixel: what OpenCV decodes, and its copy as an array
CHILD = "--child"


def peak() -> int:
    """The largest memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(path: Path) -> None:
    """Print how many bytes of memory an image needs beyond what the process has already and beyond its file."""
    place(np.zeros((3000, 3000, 3), np.uint8), stretched((3000, 3000), (416, 416)))
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    image = read_image(path)
    place(image, stretched(image.shape[:2], (416, 416)))
    print(peak() - before - path.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, default=108)
    parser.add_argument(CHILD, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        measure(args.child)
        return
    side = round((args.megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jpg"
        small = np.random.default_rng(0).integers(0, 256, (side // 64, side // 64, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC))
        command = [sys.executable, __file__, CHILD, str(path)]
        used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    pixels = side * side
    found = f"{used / pixels:.2f} bytes a pixel, {used / pixels / BOUND:.2f} of the bound of {BOUND}"
    print(f"{side} x {side} pixels: {found}")


if __name__ == "__main__":
    main()
