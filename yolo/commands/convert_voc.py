"""Turn PASCAL VOC annotations into what Darknet trains on: label files, lists, names and a .data.

Each DIR holds Annotations/, ImageSets/Main/SET.txt and JPEGImages/. Labels go to DIR/labels, where
Darknet looks for them (or to OUT, where DIR cannot be written); lists, names and voc.data to OUT.
Everything is read and checked before anything is written.

example, VOC2007 and 2012 as the papers use them:
  python tools/convert_voc.py --train VOC2007:trainval VOC2012:trainval --valid VOC2007:test \\
      --names data/voc.names --out voc

example, a data set of one's own, whose classes are those of its XML:
  python tools/convert_voc.py --train BCCD:train --valid BCCD:test --out bccd
"""

import argparse
import shlex
from collections import Counter
from pathlib import Path

from yolo.data.convert.notes import columns, first_messages, missing, named, notes, problem_counts
from yolo.data.convert.voc import (
    ALL_KINDS,
    BOX_KINDS,
    Plan,
    label_homes,
    make_plan,
    read_classes,
    write,
)
from yolo.errors import DatasetError
from yolo.formats.voc_xml import ImageSet
from yolo.records import Problem

SKIPPED_KINDS = {"skip-boxes": BOX_KINDS, "stop": (), "skip": ALL_KINDS}


def main() -> None:
    args = _arguments()
    out = args.out.resolve()
    train, valid = [[_image_set(text) for text in texts] for texts in (args.train, args.valid)]
    plan = make_plan(train, valid, read_classes(args.names) if args.names else None)
    if any(problem.kind not in SKIPPED_KINDS[args.on_problem] for problem in plan.problems):
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
        away = f" (not beside the images: {folder} cannot be written)" if home != folder else ""
        print(f"labels: {home / 'labels'}{away}")
    print(f"lists, names, .data: {out}")
    data = shlex.quote(str(out / "voc.data"))
    print(f"next: python tools/train.py --cfg FILE --data {data}")
    print(f"      (FILE: a .cfg whose heads have classes={len(plan.names)})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--train", nargs="+", required=True, metavar="DIR:SET", help="image sets to train on")
    add("--valid", nargs="+", required=True, metavar="DIR:SET", help="image sets to score on")
    add("--names", type=Path, metavar="FILE", help="the classes; default: all of the XML, sorted")
    add(
        "--keep-difficult",
        action="store_true",
        help="difficult objects are ordinary ones; default: those of --valid are kept apart",
    )
    add("--require-pictures", action="store_true", help="stop where an image is not there")
    add(
        "--on-problem",
        choices=SKIPPED_KINDS,
        default="skip-boxes",
        help="what cannot become a label is listed, and: skip-boxes (default) leaves out boxes without an area, "
        "outside their image or of an unknown class, and stops for anything else; stop stops for those too; skip "
        "leaves out whatever it is (the image, where all its XML is unusable) and goes on. Stopped, nothing is "
        "written",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where lists and voc.data go")
    return parser.parse_args()


def _image_set(text: str) -> ImageSet:
    folder, _, name = text.rpartition(":")
    if not folder or not name:
        raise DatasetError(f"{text!r} is not DIR:SET, such as VOC2007:trainval")
    return ImageSet(Path(folder).resolve(), name)


def _stopped(problems: tuple[Problem, ...]) -> str:
    """One line: how many problems of which kind, the first of them, how to go on."""
    return (
        f"{problem_counts(problems)}, nothing was written: {first_messages(problems)}. "
        "Correct them, or leave them out with --on-problem skip"
    )


def _require_something(plan: Plan, images_too: bool) -> None:
    """Stop where a list or the names would be empty, or, if asked, where an image is missing."""
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
    """Images, objects of each class and difficult ones, a column each for train and valid."""
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
