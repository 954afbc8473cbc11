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
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console import command_parser, names_file
from yolo.errors import DatasetError

if TYPE_CHECKING:
    from yolo.data.convert.voc import Plan
    from yolo.formats.voc_xml import ImageSet
    from yolo.records import Problem


def main() -> None:
    args = _arguments()

    from yolo.data.convert.notes import notes
    from yolo.data.convert.voc import (
        ALL_KINDS,
        BOX_KINDS,
        label_homes,
        make_plan,
        read_classes,
        write,
    )

    out = args.out.resolve()
    train, valid = [[_image_set(text) for text in texts] for texts in (args.train, args.valid)]
    plan = make_plan(train, valid, read_classes(args.names) if args.names else None)
    skipped = {"skip-boxes": BOX_KINDS, "stop": (), "skip": ALL_KINDS}[args.on_problem]
    if any(problem.kind not in skipped for problem in plan.problems):
        for problem in plan.problems:
            print(f"{problem.kind}: {problem.message}")
        raise DatasetError(_stopped(plan.problems))
    _require_something(plan, args.require_pictures)
    homes = label_homes(plan, out)
    write(plan, homes, out, args.keep_difficult)
    _print_table(plan, args.keep_difficult)
    for line in notes(plan.problems, plan.train, plan.valid, out):
        print(line)
    for folder, home in homes.items():
        away = f" (not beside the images: {folder} is not writable)" if home != folder else ""
        print(f"labels: {home / 'labels'}{away}")
    print(f"lists, names, .data: {out}")
    data = shlex.quote(str(out / "voc.data"))
    print(f"next: yolo-darknet train --cfg FILE --data {data}")
    print(f"      (FILE: a .cfg whose heads have classes={len(plan.names)})")


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--train", nargs="+", required=True, metavar="DIR:SET", help="image sets to train on")
    add("--valid", nargs="+", required=True, metavar="DIR:SET", help="image sets to score on")
    add(
        "--names", type=names_file, metavar="FILE",
        help="the classes; default: all of the XML files, sorted",
    )  # fmt: skip
    add(
        "--keep-difficult",
        action="store_true",
        help="treat difficult objects as ordinary ones; default: list those of --valid separately",
    )
    add("--require-pictures", action="store_true", help="stop if an image is missing")
    add(
        "--on-problem",
        choices=("skip-boxes", "stop", "skip"),
        default="skip-boxes",
        help="what to do with anything that cannot become a label, besides listing it. skip-boxes (default): leave out "
        "boxes without an area, outside their image or of an unknown class, stop for any other problem. stop: stop for "
        "any problem. skip: leave out anything (the whole image, if its XML is unusable). A command that stops writes "
        "nothing",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where lists and voc.data go")
    return parser.parse_args()


def _image_set(text: str) -> ImageSet:
    from yolo.formats.voc_xml import ImageSet

    folder, _, name = text.rpartition(":")
    if not folder or not name:
        raise DatasetError(f"{text!r} is not DIR:SET, such as VOC2007:trainval")
    return ImageSet(Path(folder).resolve(), name)


def _stopped(problems: tuple[Problem, ...]) -> str:
    """One line: the number of problems of each kind, the first of them, how to continue."""
    from yolo.data.convert.notes import first_messages, problem_counts

    return (
        f"{problem_counts(problems)}, nothing was written: {first_messages(problems)}. "
        "Correct them, or leave them out with --on-problem skip"
    )


def _require_something(plan: Plan, images_too: bool) -> None:
    """Raise DatasetError if a list or the names would be empty or, with images_too, if an image is missing."""
    from yolo.data.convert.notes import missing, named

    for option, images in (("--train", plan.train), ("--valid", plan.valid)):
        if not images:
            why = f": {plan.problems[0].message}" if plan.problems else ""
            raise DatasetError(f"no image is left for {option}, nothing was written{why}")
    if not plan.names:
        raise DatasetError("no annotation of these sets has a usable object, nothing was written")
    gone = missing(plan.train + plan.valid)
    if images_too and gone:
        raise DatasetError(f"{len(gone)} images are not there, nothing was written: {named(gone)}")


def _print_table(plan: Plan, keep_difficult: bool) -> None:
    """Print the numbers of images, objects of each class and difficult ones, in one column for each list."""
    from yolo.data.convert.notes import columns

    splits = (plan.train, plan.valid)
    objects = [[item for p in images for item in p.objects] for images in splits]
    ordinary = [
        Counter(name for name, difficult, _ in items if keep_difficult or not difficult)
        for items in objects
    ]
    difficult = [sum(item[1] for item in items) for items in objects]
    rows = [("", "train", "valid"), ("images", *map(len, splits))]
    rows += [(name, *(counter[name] for counter in ordinary)) for name in plan.names]
    rows += [("objects", *(counter.total() for counter in ordinary))]
    rows += [("difficult, among them" if keep_difficult else "difficult, besides", *difficult)]
    rows += [("left out", *(sum(image.left_out for image in split) for split in splits))]
    print(columns(rows))
