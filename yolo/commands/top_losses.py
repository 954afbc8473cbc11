"""Rank the images of a data set by how likely one of their labels is wrong, or by their training loss.

Each image goes through the network as in validation, without augmentation. --report DIR gets a page of the first images
with their labels, the detections and the reasons to doubt the labels; losses.csv ranks all images. A label is doubtful
if the network contradicts it, and an image if it has a detection without a label. The weights of these signs are
learned from mistakes that the command plants in the same labels. --by total ranks by the loss, --by box, objectness or
class by a part of it: hard images and crowds come first.

example:
  yolo-darknet top-losses --cfg my.cfg --weights voc/backup/my_best.weights --data voc/voc.data --report top
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_line, command_parser
from yolo.console.option_types import fraction, new_folder, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_max_pixels_option,
    add_recheck_option,
    add_weights_option,
    add_workers_option,
)
from yolo.data_file import check_classes, check_data_files, check_names, read_data
from yolo.defaults import IOU_LOSS_NAMES, LOSS_PARTS, SCORE_THRESH
from yolo.errors import CfgError, DatasetError
from yolo.files.text import one_line
from yolo.names_file import read_classes

if TYPE_CHECKING:
    from yolo.model.network import Network
    from yolo.train.losses.detection import DetectionLoss

TRAIN, VALID = SETS = ("train", "valid")
PRINTED = 10  # images


def main() -> None:
    args = _arguments()

    from yolo.data.check import check_list, problem_lines
    from yolo.detect.detector import Detector
    from yolo.distributed import device_of, processes_of
    from yolo.explain.loss.ranking import image_losses
    from yolo.explain.loss.ranking_page import RANKING_FILE, TABLE_FILE, RankingAbout, write_ranking
    from yolo.model.network import Network
    from yolo.model.weights import load_weights
    from yolo.pages.page import check_page_folder

    data = read_data(args.data)
    listed = data.train if args.set == TRAIN else data.valid
    if listed is None or data.names is None:
        raise DatasetError(f"{args.data}: expected the keys {args.set} and names")
    check_data_files(data, "names", "labels", args.set)
    check_page_folder(args.report, RANKING_FILE)
    names = list(read_classes(data.names))
    check_names(data, names)
    network = Network.from_cfg(args.cfg, dialect=args.dialect)
    if not network.heads:
        raise CfgError(f"{args.cfg}: found a classifier, expected a detection head; evaluate --report ranks its images")
    check_classes(data, network.classes, args.cfg)
    header = load_weights(network, args.weights)
    checked = check_list(listed, network.classes, network.input.channels, recheck=args.recheck)
    for line in problem_lines(checked.problems):
        print(line)
    if not checked.images:
        raise DatasetError(f"{listed}: found no usable image")
    args.report.mkdir(parents=True, exist_ok=True)  # fail before the work, not after it
    network = network.to(device_of(processes_of({}), args.device))
    detector = Detector(network, names, args.thresh, letterbox=network.letterboxed)
    loss = _loss(network, args.dialect, args.iou_loss)
    losses = image_losses(detector, loss, checked.images, seen=header.seen, batch=args.batch, workers=args.workers)
    about = RankingAbout(
        command=command_line(),
        cfg=str(args.cfg),
        weights=str(args.weights),
        data=str(args.data),
        data_set=args.set,
        by=args.by,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )
    page = write_ranking(args.report, about, losses, checked.images, detector, args.top)
    for place, index in enumerate(losses.ranked(args.by)[: min(args.top, PRINTED)].tolist(), start=1):
        path = one_line(str(checked.images[index].path))
        print(f"{place:3}  {args.by} {losses.by(args.by)[index]:.3f}  {path}")
    print(f"page: {page}\nall images: {args.report / TABLE_FILE}")


def _loss(network: Network, dialect: str, iou_loss: str | None) -> DetectionLoss:
    from yolo.model.heads.yolo import with_iou_loss
    from yolo.train.losses.detection import DetectionLoss

    return DetectionLoss(network, dialect, head_settings=with_iou_loss(network.head_settings, iou_loss))


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add_cfg_option(parser)
    add_weights_option(parser)
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add("--set", choices=SETS, default=TRAIN, help="which list of the .data file; default train")
    add("--report", type=new_folder, required=True, metavar="DIR", help="for index.html, top_losses.json, losses.csv")
    add(
        "--by", choices=LOSS_PARTS, default=LOSS_PARTS[0],
        help="label (default): how likely a label is wrong; total: the loss; or a part of it",
    )  # fmt: skip
    add("--top", type=whole_number(1), default=30, metavar="N", help="images on the page; default 30")
    add(
        "--thresh", type=fraction, default=SCORE_THRESH, metavar="SCORE",
        help=f"lowest score of the detections; default {SCORE_THRESH:g}",
    )  # fmt: skip
    add_dialect_option(parser, "loss and layers")
    add("--iou-loss", choices=IOU_LOSS_NAMES, help="box loss of all heads, as in training, instead of the cfg's")
    add_recheck_option(parser)
    add_max_pixels_option(parser)
    add_device_option(parser)
    add("--batch", type=whole_number(1), default=8, metavar="N", help="images at a time; default 8")
    add_workers_option(parser)
    return parser.parse_args()
