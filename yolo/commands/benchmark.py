"""Measure which engine and precision computes a network fastest on this machine.

All installed engines compute the same random images in turn, in several rounds. The table gives the median time of a
batch, the ratio to the fastest one, the time until the first result (with export and compilation), the memory that the
engine needs, and how far its raw maps are from PyTorch's in float32, relative to their largest value. `compile` takes
up to a minute for each row: --engine leaves it out. int8 is measured with --calibrate LIST, in ONNX Runtime and
OpenVINO.

example:
  yolo-darknet benchmark --cfg yolov3-tiny --batch 1 8 --engine torch onnxruntime openvino --chart times.png
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import new_file, positive, weights_file, whole_number
from yolo.console.options import (
    add_calibrate_option,
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    check_ending,
)
from yolo.defaults import AUTO, ENGINES, INT8, PRECISIONS
from yolo.errors import CfgError
from yolo.files.chart_file import CHART_ENDINGS, write_figure
from yolo.files.outputs import refuse_charts_over, refuse_texts_over
from yolo.files.writing import write_text

if TYPE_CHECKING:
    from yolo.engines.shapes import Engine
    from yolo.model.network import Network

DEFAULT_BATCHES = (1, 8)
DEFAULT_ROUNDS, DEFAULT_SECONDS = 15, 20.0  # for each size and batch


def main() -> None:
    args = _arguments()
    inputs = args.cfg, args.weights, args.calibrate
    refuse_texts_over([args.json], inputs)
    refuse_charts_over([args.chart], inputs)

    import torch

    from yolo.engines.benchmark.measure import combinations_of, measure_engines
    from yolo.engines.benchmark.report import times_chart, times_record, times_table
    from yolo.engines.choose import machine_text
    from yolo.model.network import Network
    from yolo.model.weights import load_weights

    if args.threads:
        torch.set_num_threads(args.threads)
    precisions = args.precision or [each for each in PRECISIONS if each != INT8 or args.calibrate]
    combinations = combinations_of(args.engine, precisions)
    if not combinations:
        raise CfgError(f"found no engine of {', '.join(args.engine)} that computes in {', '.join(precisions)}")
    groups, left_out = [], []
    for side in args.image_size or (None,):
        network = Network.from_cfg(args.cfg, None if side is None else (side, side), dialect=args.dialect)
        if args.weights:
            load_weights(network, args.weights)
        network = network.to(args.device).eval()
        size = network.input.height, network.input.width
        build = partial(_engine, args.calibrate)
        for batch in args.batch:
            times, without = measure_engines(network, combinations, size, batch, args.rounds, args.seconds, build)
            left_out += [each for each in without if each not in left_out]
            if times:
                print(times_table(times))
                groups.append(times)
    for each in left_out:
        print(f"without {each.engine} {each.precision}: {each.reason}")
    if not groups:
        raise CfgError(f"{args.cfg}: found no engine that computes it here, expected at least one")
    about = {"cfg": str(args.cfg), "machine": machine_text(), "threads": torch.get_num_threads(), "device": args.device}
    if args.json:
        write_text(args.json, json.dumps(times_record(about, groups, left_out), indent=1) + "\n")
        print(f"numbers: {args.json}")
    if args.chart:
        write_figure(args.chart, times_chart(args.cfg.stem, groups))
        print(f"chart: {args.chart}")


def _engine(calibrate: Path | None, network: Network, engine: str, precision: str) -> Engine:
    """Return an engine; int8 is calibrated on the images of a list or folder."""
    from yolo.engines.build import build_engine
    from yolo.quantize.engine_option import chosen_engine

    chosen = chosen_engine(network, engine, precision, calibrate, network.letterboxed)
    return build_engine(network, chosen, precision) if isinstance(chosen, str) else chosen


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add_cfg_option(parser)
    add(
        "--weights", type=weights_file, metavar="FILE",
        help=".weights or .safetensors, or the name of a published model; default: random numbers, as fast as others",
    )  # fmt: skip
    add(
        "--image-size", type=whole_number(1), nargs="+", metavar="N",
        help="width and height of the images; default: as in the cfg",
    )  # fmt: skip
    add(
        "--batch", type=whole_number(1), nargs="+", default=DEFAULT_BATCHES, metavar="N",
        help=f"images at a time; default {' '.join(map(str, DEFAULT_BATCHES))}",
    )  # fmt: skip
    add(
        "--engine", choices=(*ENGINES, AUTO), nargs="+", default=ENGINES,
        help=f"default: all; {AUTO}: the one that `--engine {AUTO}` of other commands takes",
    )  # fmt: skip
    add(
        "--precision", choices=PRECISIONS, nargs="+", help="default: all that an engine has; int8 with --calibrate",
    )  # fmt: skip
    add_calibrate_option(parser)
    add("--rounds", type=whole_number(3), default=DEFAULT_ROUNDS, metavar="N", help=f"default {DEFAULT_ROUNDS}")
    add(
        "--seconds", type=positive, default=DEFAULT_SECONDS, metavar="S",
        help=f"begin no further round after S seconds, for each size and batch; default {DEFAULT_SECONDS:g}",
    )  # fmt: skip
    add("--threads", type=whole_number(1), metavar="N", help="of all engines; default: PyTorch's")
    add("--json", type=new_file, metavar="FILE", help="write all numbers")
    add("--chart", type=new_file, metavar="FILE", help="write bars as .png, .svg, .pdf or .jpg")
    add_dialect_option(parser, "layers")
    add_device_option(parser)
    args = parser.parse_args()
    check_ending("--chart", args.chart, CHART_ENDINGS)
    if args.precision and (INT8 in args.precision) != (args.calibrate is not None):
        parser.error("argument --calibrate: expected it together with --precision int8")
    return args
