"""Turn COCO annotation files into what Darknet trains on: label files, lists, names and a .data.

JSON is an annotation file (instances_*.json), PICTURES the folder that its file names start from. Labels go where
Darknet looks for them: PICTURES with `images` replaced by `labels`; where that cannot be, OUT gets a link to the
images with labels beside it. Lists, names and coco.data go to OUT. Everything is read and checked before anything
is written. Crowd boxes (iscrowd) are in no label; those of --valid are kept apart, and scored neither right nor wrong.

example, COCO 2017:
  python tools/convert_coco.py --train annotations/instances_train2017.json:images/train2017 \\
      --valid annotations/instances_val2017.json:images/val2017 --out coco
"""

import argparse
import shlex
from collections import Counter
from pathlib import Path

from yolo.data.convert.coco import SHARED, CocoSet, Image, Plan, label_homes, make_plan, write
from yolo.data.convert.notes import columns, first_messages, missing, named, notes, problem_counts
from yolo.data.convert.voc import BOX_KINDS, read_classes
from yolo.errors import DatasetError
from yolo.formats.coco_annotations import ENTRY_KINDS
from yolo.formats.voc_xml import TWICE

SKIPPED_KINDS = {
    "skip-boxes": BOX_KINDS,
    "stop": (),
    "skip": (*BOX_KINDS, *ENTRY_KINDS, TWICE, SHARED),
}


def main() -> None:
    args = _arguments()
    out = args.out.resolve()
    train, valid = [[_coco_set(text) for text in texts] for texts in (args.train, args.valid)]
    plan = make_plan(train, valid, read_classes(args.names) if args.names else None)
    if any(problem.kind not in SKIPPED_KINDS[args.on_problem] for problem in plan.problems):
        for problem in plan.problems:
            print(f"{problem.kind}: {problem.message}")
        raise DatasetError(_stopped(plan))
    _require_something(plan, args.require_pictures)
    _require_folders(("--train", train, plan.train), ("--valid", valid, plan.valid))
    homes = label_homes(plan, out)
    write(plan, homes, out)
    _print_table(plan)
    for line in notes(plan.problems, plan.train, plan.valid, out):
        print(line)
    for home in homes.values():
        print(f"labels: {home.labels}")
    print(f"lists, names, .data: {out}")
    print(f"next: python tools/train.py --cfg FILE --data {shlex.quote(str(out / 'coco.data'))}")
    print(f"      (FILE: a .cfg whose heads have classes={len(plan.names)})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    pair = "JSON:PICTURES"
    add("--train", nargs="+", required=True, metavar=pair, help="what to train on")
    add("--valid", nargs="+", required=True, metavar=pair, help="what to score on")
    add(
        "--names",
        type=Path,
        metavar="FILE",
        help="the classes, those of the files that are wanted; default: all, in the order of their ids",
    )
    add("--require-pictures", action="store_true", help="stop where an image is not there")
    add(
        "--on-problem",
        choices=SKIPPED_KINDS,
        default="skip-boxes",
        help="what cannot become a label is listed, and: skip-boxes (default) leaves out boxes without an area or "
        "outside their image, and stops for anything else; stop stops for those too; skip leaves out whatever it "
        "is (an entry of the file, an image) and goes on. Stopped, nothing is written",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where lists and coco.data go")
    return parser.parse_args()


def _coco_set(text: str) -> CocoSet:
    annotations, _, images = text.rpartition(":")
    if not annotations or not images:
        raise DatasetError(f"{text!r} is not JSON:PICTURES, such as instances_val.json:images/val")
    return CocoSet(Path(annotations), Path(images).resolve())


def _stopped(plan: Plan) -> str:
    """One line: how many problems of which kind, the first of them, how to go on."""
    return (
        f"{problem_counts(plan.problems)}, nothing was written: {first_messages(plan.problems)}. "
        "Correct them, or leave them out with --on-problem skip"
    )


def _require_something(plan: Plan, images_too: bool) -> None:
    """Stop where a list would be empty, or, if asked, where an image is missing."""
    for option, images in (("--train", plan.train), ("--valid", plan.valid)):
        if not images:
            why = f": {plan.problems[0].message}" if plan.problems else ""
            raise DatasetError(f"no image is left for {option}, nothing was written{why}")
    gone = missing(plan.train + plan.valid)
    if images_too and gone:
        raise DatasetError(f"{len(gone)} images are not there, nothing was written: {named(gone)}")


def _require_folders(*lists: tuple[str, list[CocoSet], tuple[Image, ...]]) -> None:
    """Stop where a set has none of its images; lists: option, its sets, the images of all of them."""
    for option, sets, images in lists:
        for each in sets:
            mine = [image for image in images if image.folder.is_relative_to(each.images)]
            if mine and not any(image.is_there for image in mine):
                raise DatasetError(
                    f"{option} {each.images}: found none of the {len(mine)} images of "
                    f"{each.annotations}, nothing was written: expected {named(mine[:1])}"
                )


def _print_table(plan: Plan) -> None:
    """Images, objects of each class and crowd boxes, a column each for train and valid."""
    splits = (plan.train, plan.valid)
    objects = [[item for image in split for item in image.objects] for split in splits]
    ordinary = [Counter(label for label, crowd, _ in items if not crowd) for items in objects]
    rows = [("", "train", "valid"), ("images", *map(len, splits))]
    for label, name in enumerate(plan.names):
        rows.append((name, *(counter[label] for counter in ordinary)))
    rows += [("objects", *(counter.total() for counter in ordinary))]
    rows += [("crowd, besides", *(sum(item[1] for item in items) for items in objects))]
    rows += [("left out", *(sum(image.left_out for image in split) for split in splits))]
    print(columns(rows))
