"""Show a data set on one page: counts, boxes and anchors, duplicates, odd labels, problems, random images.

--report DIR gets index.html, which opens from disk, and data.json with all numbers, problems and groups. Without it
only the advice is printed. --cfg names the network whose input size and anchors are compared with the boxes.
Files that have not changed since the last time are not read again. A classifier's data set, folders or a list, also
has a page.

examples:
  yolo-darknet data --data voc/voc.data --report page
  yolo-darknet data --data voc/voc.data --cfg yolov3-voc --set width=608 height=608 --report page
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import new_folder, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_dialect_option,
    add_max_pixels_option,
    add_recheck_option,
    add_set_option,
)
from yolo.data_file import read_data
from yolo.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yolo.data_file import DataFile
    from yolo.explain.data_set.advice import Advice

MARKS = {"bad": "!!", "warn": " !", "good": "  "}


def main() -> None:
    args = _arguments()

    from yolo.explain.data_set.network_view import is_classification, network_view
    from yolo.explain.data_set.page import NUMBERS_FILE
    from yolo.pages.page import check_page_folder

    data = read_data(args.data)
    if args.report:
        check_page_folder(args.report, NUMBERS_FILE)
    frame = network_view(args.cfg, dict(args.overrides), args.dialect)
    if is_classification(data, frame):
        _classification(args, data, frame.channels)
    else:
        _detection(args, data, frame)


def _detection(args: argparse.Namespace, data: DataFile, frame: object) -> None:
    from yolo.explain.data_set.advice import advice_of
    from yolo.explain.data_set.page import write_data_page
    from yolo.explain.data_set.survey import survey_data

    survey = survey_data(data, frame, args.recheck, args.seed)
    for each in survey.lists:
        print(f"{each.name}: {counted(each.images, 'image')}, {counted(each.objects, 'object')}")
    _print_advice(advice_of(survey))
    if args.report:
        print(f"page: {write_data_page(args.report, survey, args.seed, args.sheet)}")


def _classification(args: argparse.Namespace, data: DataFile, channels: int) -> None:
    from yolo.explain.data_set.classified import classified_advice, survey_classified, write_classified_page

    survey = survey_classified(data, channels)
    for each in survey.lists:
        print(f"{each.name}: {counted(each.images, 'image')}")
    _print_advice(classified_advice(survey))
    if args.report:
        print(f"page: {write_classified_page(args.report, survey, args.seed, args.sheet)}")


def _print_advice(found: Sequence[Advice]) -> None:
    for each in found:
        print(f"{MARKS[each.level]} {each.text}{'; ' + each.action if each.action else ''}")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add_cfg_option(parser, required=False)
    add("--report", type=new_folder, metavar="DIR", help="write index.html and data.json")
    add("--sheet", type=whole_number(1), metavar="N", help="random images of each class; default 2 to 8")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of the random images and of k-means; default 0")
    add_recheck_option(parser)
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_dialect_option(parser, "pjreddie's keeps the aspect ratio of the images")
    return parser.parse_args()
