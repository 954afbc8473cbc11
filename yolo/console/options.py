"""Common options of commands, and checks of options that depend on each other."""

import os
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Mapping, Sequence
from pathlib import Path

from yolo.console.option_types import cfg_file, key_value, names_file, usable_device, weights_file, whole_number
from yolo.console.run import stop
from yolo.defaults import (
    AUTO,
    DEFAULT_ENGINE,
    DEFAULT_PRECISION,
    DIALECT_NAMES,
    ENGINES,
    INT8,
    INT8_ENGINES,
    MAX_PIXELS_VARIABLE,
    MOST_PIXELS,
    PRECISIONS,
)

OptionGroup = ArgumentParser | _ArgumentGroup  # argparse has no public name for both
LOADING_WORKERS = 2  # enough to keep a network on two cores busy


def add_cfg_option(parser: OptionGroup, required: bool = True) -> None:
    """Add `--cfg`: the network."""
    parser.add_argument(
        "--cfg",
        type=cfg_file,
        required=required,
        metavar="FILE",
        help="a Darknet .cfg, or the name of one that comes with the package, such as yolov3-tiny",
    )


def add_weights_option(parser: OptionGroup, required: bool = True) -> None:
    """Add `--weights`: the weights of a network."""
    parser.add_argument(
        "--weights",
        type=weights_file,
        required=required,
        metavar="FILE",
        help=".weights or .safetensors, or the name of a published model, which is downloaded once",
    )


def add_names_option(parser: OptionGroup) -> None:
    """Add `--names`: the names of a network's classes. Without it, `find_names` looks for them."""
    parser.add_argument(
        "--names",
        type=names_file,
        metavar="FILE",
        help="the class names, one on each line, or the name of a list in the package, such as coco; "
        "default: from a .data or .names file beside the model",
    )


def add_max_pixels_option(parser: OptionGroup) -> None:
    """Add `--max-pixels`: the limit of an image's size, which worker processes get by the environment."""
    parser.add_argument(
        "--max-pixels",
        type=_max_pixels,
        metavar="N",
        help=f"refuse images of more pixels; default {MOST_PIXELS:,} (or {MAX_PIXELS_VARIABLE} of the environment)",
    )


def _max_pixels(text: str) -> int:
    os.environ[MAX_PIXELS_VARIABLE] = str(whole_number(1)(text))
    return int(text)


def add_set_option(parser: OptionGroup) -> None:
    """Add `--set KEY=VALUE ...`: other values of a cfg, for `Network.from_cfg(overrides=dict(...))`."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the cfg: values of [net], such as width=320 height=320; of all sections of a kind, such as "
        "yolo.iou_loss=ciou; of one layer by its number in `yolo-darknet summary`, such as yolo:16.ignore_thresh=.5",
    )


def add_dialect_option(parser: OptionGroup, what: str) -> None:
    """Add `--dialect`: which Darknet to follow where they differ. what: in which respects, for the help."""
    parser.add_argument(
        "--dialect",
        choices=DIALECT_NAMES,
        default="alexeyab",
        help=f"which Darknet to follow: {what}; default alexeyab",
    )


def add_workers_option(parser: OptionGroup) -> None:
    """Add `--workers`: how many processes load images beside the network."""
    parser.add_argument(
        "--workers",
        type=whole_number(0),
        default=LOADING_WORKERS,
        metavar="N",
        help=f"processes that load images; default {LOADING_WORKERS}",
    )


def add_recheck_option(parser: OptionGroup) -> None:
    """Add `--recheck`: whether the check of a list uses the results of an earlier one."""
    parser.add_argument(
        "--recheck",
        action="store_true",
        help="check every image and label file again, even those that have not changed since the last check",
    )


def add_device_option(parser: OptionGroup) -> None:
    """Add `--device`: where the network computes."""
    parser.add_argument(
        "--device",
        type=usable_device,
        default="auto",
        metavar="D",
        help="cpu, cuda, cuda:1 ...; default: the GPU if there is one, else the CPU",
    )


def add_engine_options(parser: OptionGroup) -> None:
    """Add `--engine`, `--precision` and `--calibrate`: what computes the network, and in which numbers."""
    parser.add_argument(
        "--engine",
        choices=(*ENGINES, AUTO),
        default=DEFAULT_ENGINE,
        help=f"the library that computes the network; {AUTO}: the fastest one installed, measured once; "
        f"default {DEFAULT_ENGINE}",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=DEFAULT_PRECISION,
        help=f"number format of the computation; default {DEFAULT_PRECISION}",
    )
    add_calibrate_option(parser)


def add_calibrate_option(parser: OptionGroup) -> None:
    """Add `--calibrate`: the images that int8 needs."""
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="LIST",
        help="for --precision int8: a list or folder of 30 to 300 typical images",
    )


def check_engine_options(parser: ArgumentParser, args: Namespace) -> None:
    """Stop if --precision int8, --engine and --calibrate do not go together."""
    if (args.precision == INT8) != (args.calibrate is not None):
        expected = "images to calibrate with, for --precision int8" if args.calibrate is None else "--precision int8"
        parser.error(f"argument --calibrate: expected {expected}")
    if args.precision == INT8 and args.engine not in (*INT8_ENGINES, AUTO):
        expected = f"--engine {', '.join(INT8_ENGINES)} or {AUTO}"
        parser.error(f"argument --precision: found int8 with --engine {args.engine}, expected {expected}")


def check_ending(option: str, path: Path | None, endings: Sequence[str]) -> None:
    """End the command if the name of an option's file has none of the endings, which are in small letters."""
    if path is not None and path.suffix.lower() not in endings:
        stop(f"{option} {path}: expected a name ending in {', '.join(endings)}")


def check_one_network(parser: ArgumentParser, args: Namespace, others: Mapping[str, bool]) -> None:
    """Stop unless there is one network: --cfg and --weights, or --model.

    others: more options that do not go with --model, and whether each is given.
    """
    network = {"--cfg": args.cfg, "--weights": args.weights}
    if args.model is None:
        if missing := [option for option, value in network.items() if value is None]:
            parser.error(f"the following arguments are required: {', '.join(missing)} (or --model)")
        return
    wrong = {option: value is not None for option, value in network.items()} | {"--set": bool(args.overrides), **others}
    if given := [option for option, is_given in wrong.items() if is_given]:
        parser.error(f"argument --model: expected no {' or '.join(given)}: the file is a whole network")
