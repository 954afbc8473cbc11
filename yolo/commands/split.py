"""Split images with YOLO label files into a list to train on and one to score on, with a .data file.

SOURCE is a list of images (one path a line), a .data file, or a folder of images with label files (x.txt beside x.jpg,
or in labels/ beside images/). A hash of an image's name decides, so adding images later moves no image to the other
list. Each class is in both lists if there are enough images. Labels and images stay where they are. Labels where
Darknet does not look, such as Labels/ beside Images/, are copied to where it does, as `convert_voc` writes them. A
folder with train/ and valid/, or with train.txt and valid.txt, keeps these lists, unless --split is given. Class names
come from --names, from the .data file, or from classes.txt, obj.names or data.yaml.

example:
  yolo-darknet split flowers --out flowers-data

example, a tenth of a list to score on:
  yolo-darknet split all.txt --names flowers.names --split 0.1 --out flowers-data
"""

from __future__ import annotations

import argparse
from pathlib import Path

from yolo.commands.convert_voc import add_split_options, data_set_name
from yolo.console.command_line import command_parser
from yolo.console.option_types import names_file, new_folder

DEFAULT_FRACTION = 0.2  # of the images, to score on


def main() -> None:
    args = _arguments()

    from yolo.data.convert.conversion import (
        Target,
        check_target,
        next_lines,
        place_lines,
        split_again,
        split_note,
        write_conversion,
        write_lists,
    )
    from yolo.data.convert.notes import list_table, repair_notes
    from yolo.data.convert.yolo_labels import plan_labeled, read_labeled
    from yolo.names_file import read_classes

    source = read_labeled(args.source, whole=args.split is not None)
    name = args.name or source.title
    target = Target(args.out.resolve(), name, name, args.overwrite, keep_difficult=True)
    check_target(target, [args.source, *source.files], args.names)
    plan, split = plan_labeled(source, read_classes(args.names) if args.names else None), None
    if args.split is not None or not plan.valid:
        plan, split = split_again(plan, target.out, args.split or DEFAULT_FRACTION, args.seed)
    homes = {}
    if source.elsewhere:
        homes = write_conversion(plan, target, split)
    else:
        write_lists(plan, target, split)
    lines = [list_table(plan), *(split_note(plan, split) if split else ()), *repair_notes(plan.repairs, target.out)]
    lines += [f"not used: {each}" for each in source.unused]
    if args.names is None and source.names is None:
        lines.append(f"class names: none found, numbers are written to {target.names}; --names gives them")
    for line in [*lines, *place_lines(homes, target), *next_lines(plan, target)]:
        print(line)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="a list of images, a .data file, or a folder")
    add("--names", type=names_file, metavar="FILE", help="the classes, one a line; default: those of SOURCE")
    add_split_options(parser)
    add(
        "--name", type=data_set_name, metavar="NAME",
        help="of the data set and its .data file; default: the name of SOURCE",
    )  # fmt: skip
    add("--overwrite", action="store_true", help="replace lists that this command did not write")
    add("--out", type=new_folder, required=True, metavar="DIR", help="folder for the lists and the .data file")
    return parser.parse_args()
