"""Convert PASCAL VOC annotations to label files, lists, names and a .data file for Darknet.

DIR is a folder of images and XML files, as LabelImg, CVAT and Roboflow write them: in one folder, in two (images/ and
annotations/, JPEGImages/ and Annotations/ ...), with subfolders, or in train/ and valid/. DIR:SET is PASCAL's image set
DIR/ImageSets/Main/SET.txt. Labels are written where Darknet looks for them (DIR/images → DIR/labels). If that folder is
not writable or another conversion uses it, the labels and a link to the images are written to OUT. Lists, names and
voc.data are written to OUT. All input is read and checked before any file is written. Files that this conversion did
not write are not replaced.

--split 0.2 uses a fifth of the images for scoring. A hash of an image's name decides, so adding images later moves no
image to the other list. Each class is in both lists if there are enough images.

example, your own data set, with the classes of its XML files:
  yolo-darknet convert_voc flowers --split 0.2 --out flowers-data

example, VOC2007 and 2012 as the papers use them:
  yolo-darknet convert_voc --train VOC2007:trainval VOC2012:trainval --valid VOC2007:test --names voc --out voc
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import fraction, names_file, new_folder, whole_number
from yolo.errors import DatasetError
from yolo.files.folders import data_set_folder

if TYPE_CHECKING:
    from yolo.data.convert.conversion import Target
    from yolo.data.convert.plan import Plan
    from yolo.data.convert.splitting import Split
    from yolo.data.convert.voc_layout import VocSource
    from yolo.formats.voc_xml import ImageSet

NAME = "voc"  # of the .names and .data file, and of a data set that has no folder of its own

SET_FORM = "DIR:SET"  # of --train and --valid


def main() -> None:
    args = _arguments()

    from yolo.data.convert.conversion import Target, check_target
    from yolo.data.convert.notes import require_any_image
    from yolo.data.convert.plan import MINOR_KINDS, NOT_THERE
    from yolo.data.convert.voc import ALL_KINDS, OTHER_XML, plan_voc
    from yolo.names_file import read_classes

    title = args.name or (Path(args.folders[0]).resolve().name if args.folders else NAME)
    target = Target(args.out.resolve(), NAME, title, args.overwrite, args.keep_difficult)
    check_target(target, _image_set_files(args), args.names)
    source = _source(args)
    plan = plan_voc(source, read_classes(args.names) if args.names else None)
    minor = MINOR_KINDS
    if not (args.train or args.valid or args.require_pictures):  # an image set may be scored without its images
        plan, minor = plan.without_missing(), (*minor, OTHER_XML)
    skipped = {"skip-boxes": minor, "stop": (), "skip": (*ALL_KINDS, NOT_THERE)}[args.on_problem]
    check_plan(plan, skipped, args.require_pictures, ("--train", "--valid") if args.valid else ("--train",))
    if not plan.names:
        why = f": {plan.problems[0].message}" if plan.problems else ""
        raise DatasetError(f"no annotation of these sets has a usable object, nothing was written{why}")
    notes = _source_notes(source, plan)
    plan, split = split_of(plan, target.out, args.split, args.seed)
    require_any_image(plan)
    difficult = "difficult, among them" if args.keep_difficult else "difficult, besides"
    finish(plan, target, split, difficult, notes)


def check_plan(
    plan: Plan, skipped_kinds: Sequence[str], all_there: bool, wanted: Sequence[str] = ("--train", "--valid")
) -> None:
    """Print the problems of a plan if one of them stops the command, and check that the plan can be written.

    Args:
        plan: the plan.
        skipped_kinds: kinds of problems that do not stop the command.
        all_there: stop if an image is missing.
        wanted: the options whose lists must have an image.

    Raises:
        DatasetError: a problem stops the command, or a list has no image.
    """
    from yolo.data.convert.notes import require_images, require_usable

    if any(problem.kind not in skipped_kinds for problem in plan.problems):
        for problem in plan.problems:
            print(f"{problem.kind}: {problem.message}")
    require_usable(plan, skipped_kinds)
    require_images(plan, all_there, wanted)


def split_of(plan: Plan, out: Path, valid_fraction: float | None, seed: int) -> tuple[Plan, Split | None]:
    """Return the plan split by --split and --seed, and how it was split; without --split the same plan.

    Args:
        plan: of a data set.
        out: where it is to be written.
        valid_fraction: of the images that --split puts into the valid list.
        seed: of the split.
    """
    from yolo.data.convert.conversion import split_again

    return (plan, None) if valid_fraction is None else split_again(plan, out, valid_fraction, seed)


def finish(plan: Plan, target: Target, split: Split | None, difficult: str, more_notes: Sequence[str] = ()) -> None:
    """Write a plan, and print what was written, remarks, and the next commands.

    Args:
        plan: What to write.
        target: Where.
        split: How the plan was split, if it was.
        difficult: Title of the row of difficult boxes.
        more_notes: Lines to print besides.
    """
    from yolo.data.convert.conversion import next_lines, place_lines, split_note, write_conversion
    from yolo.data.convert.notes import notes, plan_table

    homes = write_conversion(plan, target, split)
    lines = [plan_table(plan, difficult, target.keep_difficult), *(split_note(plan, split) if split else ())]
    lines += [*more_notes, *notes(plan, target.out), *place_lines(homes, target), *next_lines(plan, target)]
    for line in lines:
        print(line)


def add_conversion_options(parser: argparse.ArgumentParser, boxes: str, rest: str) -> None:
    """Add the common options of both converters.

    boxes: of `--on-problem skip-boxes`, the boxes that it leaves out; rest: what `skip` also leaves out.
    """
    add = parser.add_argument
    add("--require-pictures", action="store_true", help="stop if an image is missing")
    add(
        "--on-problem",
        choices=("skip-boxes", "stop", "skip"),
        default="skip-boxes",
        help="what to do with anything that cannot become a label, besides listing it. skip-boxes (default): leave out "
        f"boxes {boxes}, and annotations in DIR without an image, stop for any other problem. stop: stop for any "
        f"problem. skip: leave out anything ({rest}). A command that stops writes nothing",
    )
    add_split_options(parser)
    add(
        "--name", type=data_set_name, metavar="NAME",
        help="of the data set, in tables and reports; default: its folder's",
    )  # fmt: skip
    add(
        "--overwrite",
        action="store_true",
        help="replace labels and lists that this conversion did not write, or that were changed since; never labels "
        "that another conversion's .data relies on",
    )
    add(
        "--out",
        type=new_folder,
        required=True,
        metavar="DIR",
        help="folder for the lists and the .data file",
    )


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """Add `--split` and `--seed`: how to divide images into a list to train on and a list to score on."""
    add = parser.add_argument
    add("--split", type=split_fraction, metavar="F", help="score on this fraction of the images, such as 0.2")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of --split: another split; default 0")


def data_set_name(text: str) -> str:
    """A type for argparse: a name that can be part of a file's name."""
    if not text.strip() or "/" in text or "\\" in text or text.startswith(".") or not text.isprintable():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a name without / and control characters")
    return text.strip()


def split_fraction(text: str) -> float:
    """A type for argparse: a number above 0 and below 1, or a percentage such as 20%."""
    try:
        number = fraction(text)
    except argparse.ArgumentTypeError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0 and below 1, such as 0.2")
    return number


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("folders", nargs="*", metavar="DIR", help="folders of images and XML files")
    add("--train", nargs="+", default=[], metavar="DIR:SET", help="image sets to train on, or folders")
    add("--valid", nargs="+", default=[], metavar="DIR:SET", help="image sets to score on, or folders")
    default = "the classes; default: all of the XML files, sorted"
    add("--names", type=names_file, metavar="FILE", help=default)
    add(
        "--keep-difficult",
        action="store_true",
        help="treat difficult objects as ordinary ones; default: list those of --valid separately",
    )
    boxes = "without an area, of an unknown class, or more than half outside their image"
    add_conversion_options(parser, boxes, "an object, or the whole image, if its XML is unusable")
    args = parser.parse_args()
    if not (args.folders or args.train):
        parser.error("found neither DIR nor --train, expected what to convert")
    if args.valid and args.split is not None:
        parser.error("found --valid and --split, expected one of them")
    return args


def _source(args: argparse.Namespace) -> VocSource:
    """Read the layouts of all given folders."""
    from yolo.data.convert.voc_layout import VocSource, joined, read_folder, read_sets

    whole = args.split is not None or bool(args.valid)
    found = [read_folder(data_set_folder(each, SET_FORM), whole) for each in args.folders]
    for option, texts in (("train", args.train), ("valid", args.valid)):
        entries, problems = read_sets([_image_set(each) for each in texts if not Path(each).is_dir()])
        found.append(VocSource(**{option: entries}, problems=problems))
        for each in filter(os.path.isdir, texts):
            source = read_folder(data_set_folder(each, SET_FORM), whole=True)
            found.append(VocSource(**{option: source.train}, unannotated=source.unannotated))
    return joined(found)


def _image_set(text: str) -> ImageSet:
    from yolo.formats.voc_xml import ImageSet

    folder, _, name = text.rpartition(":")
    if not folder or not name:
        raise DatasetError(f"{text!r} is not DIR:SET, such as VOC2007:trainval, and no folder")
    return ImageSet(Path(folder).resolve(), name)


def _image_set_files(args: argparse.Namespace) -> list[Path]:
    from yolo.formats.voc_xml import image_set_file

    sets = (_image_set(each) for each in (*args.train, *args.valid) if not Path(each).is_dir())
    return [image_set_file(each) for each in sets]


def _source_notes(source: VocSource, plan: Plan) -> list[str]:
    lines = []
    found = {image.path for image in (*plan.train, *plan.valid)}  # also those that <filename> names
    unannotated = [each for each in source.unannotated if each not in found]
    if unannotated:
        lines.append(f"images without an annotation, left out: {len(unannotated)} (such as {unannotated[0]})")
    if source.unused:
        lines.append(f"not used: {', '.join(source.unused)}")
    return lines
