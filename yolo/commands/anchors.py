"""Compute anchors for a data set, by k-means on the boxes of its train list.

This is AlexeyAB's `detector calc_anchors`. It prints how well the cfg's anchors and those of k-means fit the boxes,
and the lines to put into every head of the cfg. Small anchors go to the head with the finest grid. No file is
changed. Another --seed may find other anchors that fit as well.

example:
  yolo-darknet anchors --cfg yolov3-voc --data voc/voc.data

example, as `darknet detector calc_anchors voc/voc.data -num_of_clusters 9 -width 608 -height 608`:
  yolo-darknet anchors --cfg yolov3-voc --data voc/voc.data --set width=608 height=608
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import whole_number
from yolo.console.options import (
    add_cfg_option,
    add_dialect_option,
    add_max_pixels_option,
    add_recheck_option,
    add_set_option,
)
from yolo.console.run import stop
from yolo.data_file import check_data_files, read_data
from yolo.errors import DatasetError, counted

if TYPE_CHECKING:
    import numpy as np

    from yolo.data.anchors import HeadAnchors
    from yolo.model.network import Network


def main() -> None:
    args = _arguments()

    from yolo.data import anchors
    from yolo.data.check import check_list, problem_lines
    from yolo.data.head_anchors import describe_fit, heads_of, placement_of
    from yolo.model.network import Network

    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    heads = heads_of(network)
    if not heads:
        stop(f"{args.cfg}: found no head with anchors, expected [yolo], [Gaussian_yolo], [region]")
    data = read_data(args.data)
    if data.train is None:
        raise DatasetError(f"{data.path}: found no train, expected train = the list of images")
    check_data_files(data, "train")
    checked = check_list(data.train, data.classes, network.input.channels, recheck=args.recheck)
    for line in problem_lines(checked.problems):
        print(line, file=sys.stderr)
    size = network.input.height, network.input.width
    boxes = anchors.box_sizes(checked.images, size, placement_of(network))
    if len(boxes) == 0:
        raise DatasetError(f"{data.train}: found no box of a pixel or more, expected some")
    print(f"{counted(len(boxes), 'box')} at {size[1]}x{size[0]}")
    print(f"the cfg: {describe_fit(anchors.fit_of(heads, boxes))}")
    _print_anchors(network, heads, boxes, args.seed)


def _print_anchors(network: Network, heads: list[HeadAnchors], boxes: np.ndarray, seed: int) -> None:
    """Print how well the anchors of k-means fit, and the lines for the cfg."""
    from yolo.data import anchors
    from yolo.data.head_anchors import describe_fit

    in_cells = network.kinds[heads[0].layer] == "region"
    new, line = anchors.refit_heads(heads, boxes, in_cells, seed)
    fit = anchors.fit_of(new, boxes)
    print(f"k-means: {describe_fit(fit)}\n")
    print(f"anchors = {line}\nnum = {len(new[0].anchors)}")
    for head, fraction in zip(new, fit.fractions, strict=True):
        if not in_cells:  # a [region] uses all anchors
            place = f"layer {head.layer}, stride {head.stride:g}"
            mask = ",".join(map(str, head.own))
            print(f"mask = {mask}  in {place}: {fraction:.1%} of the boxes")


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_cfg_option(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of k-means; default 0")
    add_recheck_option(parser)
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_dialect_option(parser, "pjreddie's keeps the aspect ratio of the images")
    return parser.parse_args()
