"""Make a cfg for a data set from a base cfg.

Sets the classes and the filters before every head, fits the anchors to the training boxes, sets max_batches, steps and
burn_in by Darknet's advice, and chooses subdivisions that fit the memory. Comments and all other lines stay. Prints
every changed line and the commands that come next.

example:
  yolo-darknet make_cfg --base yolov4-tiny --data voc/voc.data --out my.cfg
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from yolo.console.command_line import command_parser
from yolo.console.option_types import cfg_file, new_file, positive, whole_number
from yolo.console.options import add_device_option, add_recheck_option
from yolo.console.run import stop
from yolo.data_file import DataFile, read_data
from yolo.errors import counted
from yolo.files.outputs import refuse_texts_over
from yolo.files.writing import write_text

DEFAULT_BACKUP = "backup"  # where train writes if neither --out nor the .data file sets a folder


def main() -> None:
    args = _arguments()
    if (args.width is None) != (args.height is None):
        stop("found one of --width and --height, expected both or none")
    if args.out.resolve() == args.base.resolve():
        stop(f"{args.out}: found the base itself, expected a new file")
    refuse_texts_over([args.out], [args.data])
    if args.out.exists() and not args.overwrite:
        stop(f"{args.out}: found this file, expected a new one; --overwrite replaces it")

    import torch

    from yolo.train.setup.fitted_cfg import FitOptions, fitted_cfg
    from yolo.train.setup.free_memory import free_bytes

    data = read_data(args.data)
    options = FitOptions(
        size=None if args.width is None else (args.height, args.width),
        epochs=args.epochs,
        keep_anchors=args.keep_anchors,
        seed=args.seed,
        free=free_bytes(torch.device(args.device)),
        recheck=args.recheck,
        burn_in=args.burn_in,
    )
    made = fitted_cfg(args.base, data, options)
    write_text(args.out, made.text)
    print(f"{args.out}: {args.base} with {counted(len(made.changes), 'change')}")
    for change in made.changes:
        print(f"  {change}")
    for note in made.notes:
        print(note)
    print("next:")
    for line in next_commands(args.out, args.data, data, made.classifies):
        print(f"  {line}")


def next_commands(cfg: Path, path: Path, data: DataFile, classifies: bool) -> list[str]:
    """Return the commands that train, score and use the network of a cfg, as a user would type them.

    Args:
        cfg: the new cfg.
        path: of the .data file.
        data: what the file holds.
        classifies: whether the network is a classifier.
    """
    kept = "last" if data.valid is None else "best"
    best = (data.backup or Path(DEFAULT_BACKUP)) / f"{cfg.stem}_{kept}.weights"
    of_cfg, of_data, weights = (shlex.quote(str(each)) for each in (cfg, path, best))
    commands = [f"yolo-darknet train --cfg {of_cfg} --data {of_data}"]
    if data.valid is not None:
        commands.append(f"yolo-darknet evaluate --cfg {of_cfg} --weights {weights} --data {of_data} --report report")
    if data.names is not None:
        names = shlex.quote(str(data.names))
        use, out = ("classify", "") if classifies else ("detect", " --out out")
        commands.append(f"yolo-darknet {use} --cfg {of_cfg} --weights {weights} --names {names} IMAGE{out}")
    return commands


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add(
        "--base", type=cfg_file, required=True, metavar="CFG",
        help="a cfg, or the name of one that comes with the package, such as yolov4-tiny",
    )  # fmt: skip
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add("--out", type=new_file, required=True, metavar="FILE", help="the new cfg")
    add("--width", type=whole_number(1), metavar="W", help="of the input; default: the base's")
    add("--height", type=whole_number(1), metavar="H")
    add("--epochs", type=positive, metavar="N", help="instead of 2000 steps a class, at least 6000")
    add("--burn-in", type=whole_number(0), metavar="N",
        help="steps in which the rate rises; default: the base's, in proportion to the steps")  # fmt: skip
    add("--keep-anchors", action="store_true", help="leave the base's anchors as they are")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of k-means; default 0")
    add("--overwrite", action="store_true", help="replace --out if it exists")
    add_device_option(parser)
    add_recheck_option(parser)
    return parser.parse_args()
