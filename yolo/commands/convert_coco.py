"""Convert COCO annotation files to label files, lists, names and a .data file for Darknet.

DIR is a folder with annotation files (.json) and their images, as COCO, CVAT and Roboflow have them; a word in a file's
path (train, valid, val, test) says which list it is. JSON:IMAGES names an annotation file (instances_*.json) and the
folder of its images. Labels are written where Darknet looks for them: IMAGES with `images` replaced by `labels`. If
that is not possible, or another conversion uses that folder, the labels and a link to the images are written to OUT.
Lists, names and coco.data are written to OUT. All input is read and checked before any file is written. Files that this
conversion did not write are not replaced. Crowd boxes (iscrowd) are in no label file. Those of --valid are listed
separately; a detection of one counts neither as a true nor as a false positive.

--split 0.2 uses a fifth of the images for scoring. A hash of an image's name decides, so adding images later moves no
image to the other list. Each class is in both lists if there are enough images.

example, your own data set:
  yolo-darknet convert_coco flowers --split 0.2 --out flowers-data

example, COCO 2017:
  yolo-darknet convert_coco --train annotations/instances_train2017.json:images/train2017 \\
      --valid annotations/instances_val2017.json:images/val2017 --out coco
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.commands.convert_voc import add_conversion_options, check_plan, finish, split_of
from yolo.console.command_line import command_parser
from yolo.console.option_types import names_file
from yolo.errors import DatasetError
from yolo.files.folders import data_set_folder

if TYPE_CHECKING:
    from yolo.data.convert.coco import CocoSet
    from yolo.data.convert.plan import PlannedImage

NAME = "coco"  # of the .names and .data file

SET_FORM = "JSON:IMAGES"  # of --train and --valid


def main() -> None:
    args = _arguments()

    from yolo.data.convert.coco import plan_coco
    from yolo.data.convert.coco_layout import read_coco_folder
    from yolo.data.convert.conversion import Target, check_target
    from yolo.data.convert.plan import MINOR_KINDS, SHARED
    from yolo.formats.coco_annotations import ENTRY_KINDS, NO_BOX
    from yolo.formats.voc_xml import TWICE
    from yolo.names_file import read_classes

    train, valid = [[_coco_set(text) for text in texts] for texts in (args.train, args.valid)]
    whole = args.split is not None or bool(args.valid)
    folders = [read_coco_folder(data_set_folder(each, SET_FORM), whole) for each in args.folders]
    train += [each for folder in folders for each in folder.train]
    valid += [each for folder in folders for each in folder.valid]
    title = args.name or (Path(args.folders[0]).resolve().name if args.folders else NAME)
    target = Target(args.out.resolve(), NAME, title, args.overwrite)
    check_target(target, [each.annotations for each in (*train, *valid)], args.names)
    plan = plan_coco(train, valid, read_classes(args.names) if args.names else None)
    if not (args.train or args.valid or args.require_pictures):
        plan = plan.without_missing()
    minor = (*MINOR_KINDS, NO_BOX)
    every = (*minor, *ENTRY_KINDS, TWICE, SHARED)
    skipped = {"skip-boxes": minor, "stop": (), "skip": every}[args.on_problem]
    check_plan(plan, skipped, args.require_pictures, ("--train", "--valid") if valid else ("--train",))
    _require_folders(("--train", train, plan.train), ("--valid", valid, plan.valid))
    plan, split = split_of(plan, target.out, args.split, args.seed)
    finish(plan, target, split, "crowd, besides", [f"not used: {each}" for found in folders for each in found.unused])


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    pair = "JSON:IMAGES"
    add("folders", nargs="*", metavar="DIR", help="folders of annotation files and images")
    add("--train", nargs="+", default=[], metavar=pair, help="what to train on")
    add("--valid", nargs="+", default=[], metavar=pair, help="what to score on")
    default = "the classes to convert; default: all of the files, in the order of their ids"
    add("--names", type=names_file, metavar="FILE", help=default)
    boxes = "without an area or more than half outside their image"
    add_conversion_options(parser, boxes, "an entry of the file, an image")
    args = parser.parse_args()
    if not (args.folders or args.train):
        parser.error("found neither DIR nor --train, expected what to convert")
    if args.valid and args.split is not None:
        parser.error("found --valid and --split, expected one of them")
    return args


def _coco_set(text: str) -> CocoSet:
    from yolo.data.convert.coco import CocoSet

    annotations, _, images = text.rpartition(":")
    if not annotations or not images:
        raise DatasetError(f"{text!r} is not JSON:IMAGES, such as instances_val.json:images/val")
    return CocoSet(Path(annotations), Path(images).resolve())


def _require_folders(*lists: tuple[str, list[CocoSet], tuple[PlannedImage, ...]]) -> None:
    """Raise DatasetError if no image of a set exists. lists: option, its sets, the images of all of them."""
    from yolo.data.convert.notes import named

    for option, sets, images in lists:
        for each in sets:
            mine = [image for image in images if image.folder.is_relative_to(each.images)]
            if mine and not any(image.is_there for image in mine):
                found = f"none of the {len(mine)} images of {each.annotations}, nothing was written"
                place = f"{option} {each.images}"
                raise DatasetError(f"{place}: found {found}: expected {named(mine[:1])}")
