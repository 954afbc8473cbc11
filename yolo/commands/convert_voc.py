"""Convert PASCAL VOC annotations to label files, lists, names and a .data file for Darknet.

Each DIR holds Annotations/, ImageSets/Main/SET.txt and JPEGImages/. Labels go to DIR/labels, where Darknet looks for
them, or to OUT if DIR is not writable. Lists, names and voc.data go to OUT. All input is read and checked before any
file is written.

example, VOC2007 and 2012 as the papers use them:
  yolo-darknet convert_voc --train VOC2007:trainval VOC2012:trainval --valid VOC2007:test --names voc --out voc

example, your own data set, with the classes of its XML files:
  yolo-darknet convert_voc --train BCCD:train --valid BCCD:test --out bccd
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console import command_parser, names_file
from yolo.errors import DatasetError

if TYPE_CHECKING:
    from yolo.data.convert.plan import Plan
    from yolo.formats.voc_xml import ImageSet


def main() -> None:
    args = _arguments()

    from yolo.cfg import read_classes
    from yolo.data.convert.notes import plan_table
    from yolo.data.convert.plan import BOX_KINDS, write_plan
    from yolo.data.convert.voc import ALL_KINDS, plan_voc, voc_homes

    out = args.out.resolve()
    train, valid = [[_image_set(text) for text in texts] for texts in (args.train, args.valid)]
    plan = plan_voc(train, valid, read_classes(args.names) if args.names else None)
    skipped = {"skip-boxes": BOX_KINDS, "stop": (), "skip": ALL_KINDS}[args.on_problem]
    check_plan(plan, skipped, args.require_pictures)
    if not plan.names:
        raise DatasetError("no annotation of these sets has a usable object, nothing was written")
    homes = voc_homes(plan, out)
    write_plan(plan, homes, out, "voc", args.keep_difficult)
    difficult = "difficult, among them" if args.keep_difficult else "difficult, besides"
    print(plan_table(plan, difficult, args.keep_difficult))
    labels = []
    for images, home in homes.items():
        beside = home.images == images
        away = "" if beside else f" (not beside the images: {images.parent} is not writable)"
        labels.append(f"{home.labels}{away}")
    print_notes(plan, out, "voc", labels)


def check_plan(plan: Plan, skipped_kinds: Sequence[str], all_there: bool) -> None:
    """Print the problems of a plan if one of them stops the command, and raise DatasetError if it cannot be written."""
    from yolo.data.convert.notes import require_images, require_usable

    if any(problem.kind not in skipped_kinds for problem in plan.problems):
        for problem in plan.problems:
            print(f"{problem.kind}: {problem.message}")
    require_usable(plan, skipped_kinds)
    require_images(plan, all_there)


def print_notes(plan: Plan, out: Path, name: str, labels: Sequence[str]) -> None:
    """Print what a user should know about a conversion to `out`, and what to do next.

    name: of the .data file; labels: where the labels of each folder of images are.
    """
    from yolo.data.convert.notes import notes

    for line in notes(plan, out):
        print(line)
    for each in labels:
        print(f"labels: {each}")
    print(f"lists, names, .data: {out}")
    data = shlex.quote(str(out / f"{name}.data"))
    print(f"next: yolo-darknet train --cfg FILE --data {data}")
    print(f"      (FILE: a .cfg whose heads have classes={len(plan.names)})")


def add_conversion_options(parser: argparse.ArgumentParser, boxes: str, rest: str) -> None:
    """Add the options that both converters have.

    boxes: of `--on-problem skip-boxes`, the boxes that it leaves out; rest: what `skip` leaves out besides.
    """
    add = parser.add_argument
    add("--require-pictures", action="store_true", help="stop if an image is missing")
    add(
        "--on-problem",
        choices=("skip-boxes", "stop", "skip"),
        default="skip-boxes",
        help="what to do with anything that cannot become a label, besides listing it. skip-boxes (default): leave out "
        f"boxes {boxes}, stop for any other problem. stop: stop for any problem. skip: leave out anything ({rest}). A "
        "command that stops writes nothing",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the lists and the .data file go",
    )


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--train", nargs="+", required=True, metavar="DIR:SET", help="image sets to train on")
    add("--valid", nargs="+", required=True, metavar="DIR:SET", help="image sets to score on")
    default = "the classes; default: all of the XML files, sorted"
    add("--names", type=names_file, metavar="FILE", help=default)
    add(
        "--keep-difficult",
        action="store_true",
        help="treat difficult objects as ordinary ones; default: list those of --valid separately",
    )
    boxes = "without an area, outside their image or of an unknown class"
    add_conversion_options(parser, boxes, "the whole image, if its XML is unusable")
    return parser.parse_args()


def _image_set(text: str) -> ImageSet:
    from yolo.formats.voc_xml import ImageSet

    folder, _, name = text.rpartition(":")
    if not folder or not name:
        raise DatasetError(f"{text!r} is not DIR:SET, such as VOC2007:trainval")
    return ImageSet(Path(folder).resolve(), name)
