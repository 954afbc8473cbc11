"""Write a sheet of augmented training images with their boxes, as this cfg trains on them.

The images are those of the first steps of `train` with the same cfg, data, dialect and seed, in the cfg's size. The cfg
sets jitter, resize, flip, hue, saturation, exposure, mosaic, mixup, blur, gaussian_noise and letter_box.

example:
  yolo-darknet show_augment --cfg yolov4 --data coco/coco.data --set mosaic=1 blur=1 --out sheet.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import chain, islice
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import new_file, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_dialect_option,
    add_max_pixels_option,
    add_recheck_option,
    add_set_option,
    check_ending,
)
from yolo.data_file import read_data
from yolo.errors import CfgError, OutputError, counted
from yolo.files.contents import PNG_CONTENT, named_content
from yolo.files.outputs import refuse_over_inputs

if TYPE_CHECKING:
    import numpy as np

    from yolo.data.sample import Sample

SMALLEST_SIDE = 320  # pixels; smaller samples are enlarged, so that their labels are legible
SHEET_ENDINGS = (".png",)
MOST_STEPS = 10**6


def main() -> None:
    args = _arguments()

    from yolo.detect.draw import contact_sheet
    from yolo.detect.outputs.images import write_png

    samples, names = _samples(args)
    drawn = [_drawn(sample, names) for sample in samples]
    sheet = contact_sheet(drawn, columns=ceil(sqrt(len(drawn))), cell=drawn[0].shape[:2])
    write_png(args.out, sheet)
    boxes = sum(len(sample.boxes) for sample in samples)
    height, width = samples[0].image.shape[:2]
    print(f"{counted(len(samples), 'image')} of {width} x {height}, {counted(boxes, 'box')}: {args.out}")


def _samples(args: argparse.Namespace) -> tuple[list[Sample], list[str]]:
    """Return the first `count` samples of the training, and the names of the classes."""
    from yolo.data.dataset import StepSampler, training_images
    from yolo.model.network import Network
    from yolo.train.setup.detection import read_detection_data
    from yolo.train.setup.preflight import check_channels

    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if not network.heads:
        raise CfgError(f"{args.cfg}: found a classifier, expected a detection head")
    check_channels(network, args.cfg)
    lists = replace(read_data(args.data), valid=None)
    refuse_over_inputs([args.out], [args.cfg, args.data, lists.train, lists.names])
    if args.out.is_file() and named_content(args.out) != PNG_CONTENT:
        raise OutputError(f"{args.out}: found a file that is no PNG image, expected a new file or an older sheet")
    data = read_detection_data(network, lists, args.cfg, skip_problems=True, recheck=args.recheck)
    refuse_over_inputs([args.out], [image.path for image in data.train.images] if args.out.exists() else [])
    settings = network.training_settings
    images = training_images(data.train.images, network.input, settings, network.head_settings[-1], args.dialect)
    sampler = StepSampler(
        images=len(images),
        batch=settings.batch,
        mini_batch=settings.batch,
        steps=range(1, MOST_STEPS),
        size_at=lambda step: (network.input.height, network.input.width),
        seed=args.seed,
    )
    draws = islice(chain.from_iterable(sampler), args.count)
    return [images[draw] for draw in draws], data.names


def _drawn(sample: Sample, names: list[str]) -> np.ndarray:
    """Return the sample with its boxes drawn, uint8 `[H, W, 3]`, large enough to be legible."""
    import cv2
    import numpy as np

    from yolo.detect.draw import draw_detections

    height, width, channels = sample.image.shape
    factor = max(1, ceil(SMALLEST_SIDE / max(height, width)))
    size = width * factor, height * factor
    image = np.repeat(sample.image, 3, axis=2) if channels == 1 else sample.image
    image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    low = (sample.boxes[:, :2] - sample.boxes[:, 2:] / 2) * size
    high = (sample.boxes[:, :2] + sample.boxes[:, 2:] / 2) * size
    return draw_detections(image, np.concatenate((low, high), axis=1), None, sample.labels, names)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add_cfg_option(parser)
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add("--out", type=new_file, default=Path("sheet.png"), metavar="FILE", help="a PNG image; default sheet.png")
    add("--count", type=whole_number(1), default=16, metavar="N", help="images; default 16")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of the training; default 0")
    add_dialect_option(parser, "layers, placement and mixing of the images")
    add_max_pixels_option(parser)
    add_recheck_option(parser)
    add_set_option(parser)
    args = parser.parse_args()
    check_ending("--out", args.out, SHEET_ENDINGS)
    return args
