"""Anchors for a data set, by k-means on the boxes of its train list, as AlexeyAB's `detector calc_anchors`.

Prints how the cfg's anchors fit the boxes, how k-means' do, and the lines to put into every head of the cfg; small
anchors go to the head of the finest grid. Lists and labels are only read. Another --seed may find others as good.

example:
  python tools/anchors.py --cfg cfg/yolov3-voc.cfg --data voc/voc.data

example, as `darknet detector calc_anchors voc/voc.data -num_of_clusters 9 -width 608 -height 608`:
  python tools/anchors.py --cfg cfg/yolov3-voc.cfg --data voc/voc.data --set width=608 height=608
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolo.cfg import read_data
from yolo.console import add_dialect_option, add_set_option, stop, whole_number
from yolo.data.anchors import (
    CELL_DIGITS,
    PIXEL_DIGITS,
    HeadAnchors,
    anchors_line,
    box_sizes,
    fit_of,
    kmeans_anchors,
    masks_by_size,
    rounded_anchors,
)
from yolo.data.check import check_list, problem_lines
from yolo.errors import DatasetError
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.train.setup.data_report import fit_words, heads_of, placement_of


def main() -> None:
    args = _arguments()
    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    heads = heads_of(network)
    if not heads:
        stop(f"{args.cfg}: found no head with anchors, expected [yolo], [Gaussian_yolo], [region]")
    data = read_data(args.data)
    if data.train is None:
        raise DatasetError(f"{data.path}: found no train, expected train = the list of images")
    checked = check_list(data.train, data.classes, network.input.channels)
    for line in problem_lines(checked.problems):
        print(line, file=sys.stderr)
    size = network.input.height, network.input.width
    boxes = box_sizes(checked.images, size, placement_of(network))
    if len(boxes) == 0:
        raise DatasetError(f"{data.train}: found no box of a pixel or more, expected some")
    print(f"{len(boxes)} boxes at {size[1]}x{size[0]}")
    print(f"the cfg: {fit_words(fit_of(heads, boxes))}")
    _print_anchors(network, heads, boxes, args.seed)


def _print_anchors(
    network: Network, heads: list[HeadAnchors], boxes: np.ndarray, seed: int
) -> None:
    """K-means' anchors: how they fit, and the lines for the cfg."""
    counts = [len(head.own) for head in heads]
    masks = masks_by_size(counts, [head.stride for head in heads])
    in_cells = network.kinds[heads[0].layer] == "region"
    unit, digits = (heads[0].stride, CELL_DIGITS) if in_cells else (1.0, PIXEL_DIGITS)
    found = rounded_anchors(kmeans_anchors(boxes, sum(counts), seed) / unit, digits)
    new = [
        replace(head, anchors=found * unit, own=mask)
        for head, mask in zip(heads, masks, strict=True)
    ]
    fit = fit_of(new, boxes)
    print(f"k-means: {fit_words(fit)}\n")
    print(f"anchors = {anchors_line(found, digits)}\nnum = {len(found)}")
    for head, share in zip(new, fit.shares, strict=True):
        if not in_cells:  # a [region] has all
            mask = ",".join(map(str, head.own))
            print(
                f"mask = {mask}  in layer {head.layer}, stride {head.stride:g}: {share:.1%} of the boxes"
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cfg", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="default 0")
    add_set_option(parser)
    add_dialect_option(parser, WEIGHTS_VERSIONS, "pjreddie's keeps the images' aspect")
    return parser.parse_args()
