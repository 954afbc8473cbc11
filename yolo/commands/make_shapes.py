"""Draw a small data set in PASCAL VOC's layout: circles, squares and triangles, with their boxes.

DIR gets Annotations/, ImageSets/Main/train.txt and val.txt, JPEGImages/. The same options give the
same files, byte for byte. 300 images take some seconds.

example:
  python tools/make_shapes.py --out shapes
  python tools/convert_voc.py --train shapes:train --valid shapes:val --out shapes
"""

import argparse
import re
from pathlib import Path

from yolo.data.shapes import CLASSES, write_shapes
from yolo.errors import DatasetError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="a new folder, or one made by this")
    add("--train", type=int, default=240, metavar="N", help="images to train on; default 240")
    add("--valid", type=int, default=60, metavar="N", help="images to score on; default 60")
    add("--seed", type=int, default=1, help="default 1")
    add("--size", default="160x128", metavar="WxH", help="of an image; default 160x128")
    args = parser.parse_args()
    write_shapes(args.out, args.train, args.valid, args.seed, _size(args.size))
    print(f"{args.train} + {args.valid} images of {', '.join(CLASSES)}: {args.out}")


def _size(text: str) -> tuple[int, int]:
    """(height, width) of "WxH"."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise DatasetError(f"--size {text}: expected WIDTHxHEIGHT, such as 160x128")
    return int(found[2]), int(found[1])
