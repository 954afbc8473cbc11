"""Convert COCO annotation files to label files, lists, names and a .data file for Darknet.

JSON is an annotation file (instances_*.json), PICTURES the folder that its file names are relative to. Labels go where
Darknet looks for them: PICTURES with `images` replaced by `labels`. Where that is not possible, OUT gets a link to the
images and the labels beside it. Lists, names and coco.data go to OUT. All input is read and checked before any file
is written. Crowd boxes (iscrowd) are in no label file. Those of --valid are listed separately; a detection of one
counts neither as a true nor as a false positive.

example, COCO 2017:
  yolo-darknet convert_coco --train annotations/instances_train2017.json:images/train2017 \\
      --valid annotations/instances_val2017.json:images/val2017 --out coco
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console import command_parser, names_file
from yolo.errors import DatasetError

if TYPE_CHECKING:
    from yolo.data.convert.coco import CocoSet
    from yolo.data.convert.plan import PlannedImage


def main() -> None:
    args = _arguments()

    from yolo.cfg import read_classes
    from yolo.data.convert.coco import coco_homes, plan_coco
    from yolo.data.convert.notes import notes, plan_table, require_images, require_usable
    from yolo.data.convert.plan import write_plan

    out = args.out.resolve()
    train, valid = [[_coco_set(text) for text in texts] for texts in (args.train, args.valid)]
    plan = plan_coco(train, valid, read_classes(args.names) if args.names else None)
    skipped = _skipped_kinds(args.on_problem)
    if any(problem.kind not in skipped for problem in plan.problems):
        for problem in plan.problems:
            print(f"{problem.kind}: {problem.message}")
    require_usable(plan, skipped)
    require_images(plan, args.require_pictures)
    _require_folders(("--train", train, plan.train), ("--valid", valid, plan.valid))
    homes = coco_homes(plan, out)
    write_plan(plan, homes, out, "coco")
    print(plan_table(plan, "crowd, besides"))
    for line in notes(plan, out):
        print(line)
    for home in homes.values():
        print(f"labels: {home.labels}")
    print(f"lists, names, .data: {out}")
    print(f"next: yolo-darknet train --cfg FILE --data {shlex.quote(str(out / 'coco.data'))}")
    print(f"      (FILE: a .cfg whose heads have classes={len(plan.names)})")


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    pair = "JSON:PICTURES"
    add("--train", nargs="+", required=True, metavar=pair, help="what to train on")
    add("--valid", nargs="+", required=True, metavar=pair, help="what to score on")
    add(
        "--names",
        type=names_file,
        metavar="FILE",
        help="the classes to convert; default: all of the files, in the order of their ids",
    )
    add("--require-pictures", action="store_true", help="stop if an image is missing")
    add(
        "--on-problem",
        choices=("skip-boxes", "stop", "skip"),
        default="skip-boxes",
        help="what to do with anything that cannot become a label, besides listing it. skip-boxes (default): leave out "
        "boxes without an area or outside their image, stop for any other problem. stop: stop for any problem. skip: "
        "leave out anything (an entry of the file, an image). A command that stops writes nothing",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where lists and coco.data go")
    return parser.parse_args()


def _skipped_kinds(on_problem: str) -> tuple[str, ...]:
    """The kinds of problems that do not stop the command."""
    from yolo.data.convert.coco import SHARED
    from yolo.data.convert.plan import BOX_KINDS
    from yolo.formats.coco_annotations import ENTRY_KINDS
    from yolo.formats.voc_xml import TWICE

    kinds = {
        "skip-boxes": BOX_KINDS,
        "stop": (),
        "skip": (*BOX_KINDS, *ENTRY_KINDS, TWICE, SHARED),
    }
    return kinds[on_problem]


def _coco_set(text: str) -> CocoSet:
    from yolo.data.convert.coco import CocoSet

    annotations, _, images = text.rpartition(":")
    if not annotations or not images:
        raise DatasetError(f"{text!r} is not JSON:PICTURES, such as instances_val.json:images/val")
    return CocoSet(Path(annotations), Path(images).resolve())


def _require_folders(*lists: tuple[str, list[CocoSet], tuple[PlannedImage, ...]]) -> None:
    """Raise DatasetError if no image of a set exists. lists: option, its sets, the images of all of them."""
    from yolo.data.convert.notes import named

    for option, sets, images in lists:
        for each in sets:
            mine = [image for image in images if image.folder.is_relative_to(each.images)]
            if mine and not any(image.is_there for image in mine):
                raise DatasetError(
                    f"{option} {each.images}: found none of the {len(mine)} images of "
                    f"{each.annotations}, nothing was written: expected {named(mine[:1])}"
                )
