"""Write a network as ONNX, OpenVINO IR, .pt2 or TorchScript for another program, and check the outputs of the file.

--for names the reader, which decides what the outputs are (docs/deploy.md): raw, yolo, opencv, ultralytics, frigate,
yolov5, deepstream, hank, nms, tensorrt; probs for classifiers. The ending of --out decides the kind of file: .onnx,
.xml, .pt2, .torchscript. The file is run on other images than the exporter saw; one that differs from PyTorch is not
kept.

--precision int8 --calibrate LIST quantizes: ONNX with QuantizeLinear and DequantizeLinear, or OpenVINO IR. --data
scores the file before and after. While int8 loses more AP than --max-drop, its most sensitive layers go back to
float32; a file that still loses more is not kept.

example, for OpenCV, whose version 5 reads no .cfg and .weights:
  yolo-darknet export --cfg yolov4-tiny --weights yolov4-tiny --names coco --for opencv --out yolov4-tiny.onnx
int8 for OpenVINO, calibrated on some of the training images, scored on the valid list:
  yolo-darknet export --cfg a.cfg --weights a.weights --precision int8 --calibrate some.txt --data a.data --out a.xml
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import fraction, new_file
from yolo.console.options import (
    add_cfg_option,
    add_dialect_option,
    add_names_option,
    add_recheck_option,
    add_set_option,
    add_weights_option,
)
from yolo.defaults import CLASSIFIER_LAYOUT, DEFAULT_LAYOUT, INT8, LAYOUT_NAMES, NMS_THRESH, OPSETS, SCORE_THRESH
from yolo.errors import DatasetError, counted
from yolo.files.outputs import refuse_exports_over
from yolo.named_files import find_names
from yolo.names_file import read_classes, read_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yolo.deploy.export import ExportOptions, ExportResult
    from yolo.model.network import Network

DEFAULT_OPSET = 13
PRECISIONS = ("float32", "fp16", INT8)
MAX_DROP = 0.005  # of AP
DYNAMIC = "dynamic"


def main() -> None:
    args = _arguments()
    refuse_exports_over(args.out, [args.cfg, args.weights, args.names, args.calibrate, args.data])

    from yolo.deploy.export import ExportOptions, export_network
    from yolo.deploy.metadata import describe_files
    from yolo.model.network import Network
    from yolo.model.weights import load_weights

    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    load_weights(network, args.weights)
    path = args.names or _names_beside(args.cfg, args.weights, network.classes)
    names = _names(path, network)
    letterbox = args.letterbox or network.letterboxed
    options = ExportOptions(
        layout=args.layout or (DEFAULT_LAYOUT if network.heads else CLASSIFIER_LAYOUT),
        precision=args.precision,
        batch=args.batch,
        opset=args.opset,
        letterbox=letterbox,
        score_thresh=args.thresh,
        nms_thresh=args.nms,
    )
    sources = describe_files(cfg=args.cfg, weights=args.weights)
    if args.precision == INT8 or args.data:
        result = _export_scored(args, network, names, options, sources)
    else:
        result = export_network(network, names, args.out, options, sources)
    _print(args, network, path, result)


def _export_scored(
    args: argparse.Namespace, network: Network, names: Sequence[str], options: ExportOptions, sources: dict[str, str]
) -> ExportResult:
    """Export with scores before and after, and print them."""
    from yolo.letterbox import letterboxed, stretched
    from yolo.quantize.calibration import read_calibration
    from yolo.quantize.report import errors_table, versions_table
    from yolo.quantize.scored_export import DropLimit, check_scored_options, export_scored
    from yolo.quantize.scoring import read_scored

    check_scored_options(network, args.out, options)
    limit = DropLimit(read_scored(args.data, network, args.recheck), args.max_drop) if args.data else None
    calibration = []
    if args.calibrate:
        size = network.input.height, network.input.width
        placed = letterboxed if options.letterbox else stretched
        calibration = read_calibration(args.calibrate, network.input.channels, size, placed)
    exported = export_scored(
        network, names, args.out, options, sources,
        calibration=calibration, limit=limit, report=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    if exported.errors:
        print(errors_table(exported.errors, exported.versions[-1].float_layers))
    print(versions_table(exported.versions))
    if limit:
        print(f"AP of COCO on {counted(len(limit.images), 'image')} of {args.data}, loss at most {args.max_drop:g}")
    return exported.result


def _names(path: Path | None, network: Network) -> Sequence[str]:
    """Return the names of the classes in a file, without one their numbers."""
    if path is None:
        return [str(index) for index in range(network.classes)]
    # lists of ImageNet's classes have names twice; a detector's do not
    names = read_classes(path) if network.heads else read_names(path)
    if len(names) != network.classes:
        raise DatasetError(
            f"{path}: found {counted(len(names), 'name')}, expected {network.classes}, one for each class"
        )
    return names


def _names_beside(cfg: Path, weights: Path, classes: int) -> Path | None:
    """Return the .names file beside the model if there is exactly one with a name for each class."""
    try:
        found = find_names(cfg, weights, classes)
    except DatasetError:
        return None
    return found if len(read_names(found)) == classes else None


def _print(args: argparse.Namespace, network: Network, names: Path | None, result: ExportResult) -> None:
    """Print what the file holds and how it was checked. names: the .names file, None without one."""
    kind = f", opset {args.opset}" if args.out.suffix == ".onnx" else ""
    print(f"{args.out}: layout {result.layout.name}, {args.precision}{kind}, {result.bytes / 2**20:.1f} MiB")
    other = "stretched" if network.heads else "the center, its smaller side as long as the input is wide"
    place = "letterboxed" if args.letterbox or network.letterboxed else other
    color = "RGB, " if network.input.channels == 3 else ""
    images = (args.batch, network.input.channels, network.input.height, network.input.width)
    shape = _shape(images, args.batch, args.layout)
    print(f"  input   images {shape} float32: {color}0..1, {place}")
    for name, shape, content in zip(result.layout.output_names, result.shapes, result.layout.contents, strict=True):
        print(f"  output  {name} {_shape(shape, args.batch, args.layout)}: {content}")
    numbers = f"0 to {network.classes - 1}: no --names, and no .names file beside the model"
    print(f"  names   {names or numbers}")
    height, width = network.input.height, network.input.width
    if result.layout.name == "frigate" and height != width:
        print(f"  note    Frigate sends square images, which an input of {width}x{height} distorts: "
              "train and export with width equal to height")  # fmt: skip
    reference = "the int8 file that was scored" if args.precision == INT8 else "PyTorch"
    print(
        f"checked on {counted(result.images, 'image')}: the largest difference from {reference} is "
        f"{result.difference:.1e} of the largest value (limit {result.limit:.0e})"
    )


def _shape(shape: tuple[int | None, ...], batch: int | None, layout: str | None) -> str:
    """Return a shape as text, with a word for a length that may vary."""
    first: int | str | None = shape[0]
    if batch is None:
        first = "batch"
    if layout == "nms" and len(shape) == 2:
        first = "detections"
    return f"[{', '.join(map(str, (first, *shape[1:])))}]"


def _batch(text: str) -> int | None:
    """A type for argparse: a batch size, or None for "dynamic"."""
    if text == DYNAMIC:
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 1 to 9999, or {DYNAMIC}")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    _add_file_options(parser)
    _add_number_options(parser)
    add_recheck_option(parser)
    add_dialect_option(parser, "layers, placement of the image (pjreddie: --letterbox)")
    add_set_option(parser)
    args = parser.parse_args()
    if args.precision == INT8 and args.calibrate is None:
        parser.error("argument --calibrate: expected a list of images to calibrate with, for --precision int8")
    if args.precision != INT8 and args.calibrate is not None:
        parser.error("argument --calibrate: expected --precision int8")
    if args.precision == "float32" and args.data is not None:
        parser.error("argument --data: expected --precision fp16 or int8; evaluate scores the network itself")
    return args


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the network, the file that is written and how exact its numbers are."""
    add = parser.add_argument
    add_cfg_option(parser)
    add_weights_option(parser)
    add_names_option(parser)
    add("--out", type=new_file, required=True, metavar="FILE", help="F.onnx, F.xml, F.pt2 or F.torchscript")
    add(
        "--for", dest="layout", choices=(*LAYOUT_NAMES, CLASSIFIER_LAYOUT),
        help=f"program that reads the file; default {DEFAULT_LAYOUT}, of a classifier {CLASSIFIER_LAYOUT}",
    )  # fmt: skip
    add("--precision", choices=PRECISIONS, default="float32", help="of the weights in the file; default float32")
    add(
        "--calibrate", type=Path, metavar="LIST",
        help="for --precision int8: a list or folder of 30 to 300 typical images",
    )  # fmt: skip
    add(
        "--data", "--score", type=Path, metavar="DATA",
        help="--precision fp16, int8: score before and after on a .data file's valid list, or on a list",
    )  # fmt: skip
    add(
        "--max-drop", type=fraction, default=MAX_DROP, metavar="AP",
        help=f"--data: keep no file that loses more of COCO's AP, 0 to 1; default {MAX_DROP:g}",
    )  # fmt: skip


def _add_number_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the content of the file: batch size, operators, placement, thresholds."""
    add = parser.add_argument
    add(
        "--batch", type=_batch, default=1, metavar=f"N|{DYNAMIC}",
        help=f"images at a time; {DYNAMIC}: any number; default 1",
    )  # fmt: skip
    add(
        "--opset", type=int, choices=OPSETS, default=DEFAULT_OPSET, metavar="N",
        help=f"version of ONNX's operators, {OPSETS[0]} to {OPSETS[-1]}; default {DEFAULT_OPSET}",
    )  # fmt: skip
    add("--letterbox", action="store_true", help="note in the file that images keep their aspect ratio")
    add(
        "--thresh", type=fraction, default=SCORE_THRESH, metavar="T",
        help=f"--for nms: lowest score of a detection; default {SCORE_THRESH:g}",
    )  # fmt: skip
    add(
        "--nms", type=fraction, default=NMS_THRESH, metavar="T",
        help=f"--for nms: highest IoU of two boxes of a class; default {NMS_THRESH:g}",
    )  # fmt: skip
