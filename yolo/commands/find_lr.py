"""Find a learning rate for a cfg and a data set: train with a rising rate and record the loss.

Every step has a higher learning rate than the one before, until the loss explodes. The command writes the curve to
lr.png in --out; it saves no weights. The suggested value is for learning_rate in the cfg's [net], with its batch.

example, a minute or two on a GPU:
  yolo-darknet find_lr --cfg yolov3-voc --data voc/voc.data --weights weights/darknet53.conv.74 --cutoff 74
"""

import argparse
from pathlib import Path

from yolo.console.command_line import command_parser
from yolo.console.option_types import cutoff_or_auto, new_folder, positive, weights_file, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_max_pixels_option,
    add_recheck_option,
    add_set_option,
    add_workers_option,
)
from yolo.console.run import stop
from yolo.defaults import AUTO
from yolo.named_files import chosen_cutoff


def main() -> None:
    args = _arguments()
    cutoff = chosen_cutoff(args.cutoff, args.weights)
    if cutoff is not None and not args.weights:
        stop("found --cutoff without --weights FILE, expected both")
    if args.first >= args.last:
        stop(f"found --from {args.first:g} --to {args.last:g}, expected a rate that rises")

    from yolo.files.chart_file import write_figure
    from yolo.train.lr_finder import draw_sweep, rising_rates, suggest, sweep_rates, sweep_table
    from yolo.train.setup.options import Machine, Options, StartPoint

    options = Options(
        cfg=args.cfg,
        data=args.data,
        dialect=args.dialect,
        overrides=tuple(args.overrides),
        skip_problems=args.on_problem == "skip",
        recheck=args.recheck,
        start=StartPoint(
            weights=args.weights,
            cutoff=None if cutoff == AUTO else cutoff,
            find_cutoff=cutoff == AUTO,
            named_cutoff=cutoff != args.cutoff,
            clear=True,
            seed=args.seed,
        ),
        machine=Machine(args.device, args.workers, ignore_memory=args.ignore_memory),
        output=None,
    )
    sweep = sweep_rates(options, rising_rates(args.first, args.last, args.steps))
    suggestion = suggest(sweep)
    path = args.out / "lr.png"
    write_figure(path, draw_sweep(sweep, suggestion))
    print(sweep_table(sweep))
    if sweep.exploded:
        print(f"the loss exploded after {len(sweep.rates)} of {args.steps} steps")
    found = "none" if suggestion.rate is None else f"{suggestion.rate:g}"
    print(f"image: {path}\nsuggested learning_rate: {found}: {suggestion.reason}")


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add_cfg_option(parser)
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add(
        "--weights", type=weights_file, metavar="FILE",
        help="start from these weights: a file, or the name of a published model or backbone",
    )  # fmt: skip
    add(
        "--cutoff", type=cutoff_or_auto, metavar="N",
        help="load layers below N only; auto: as many as the file has; default: N of a file NAME.conv.N",
    )  # fmt: skip
    add("--steps", type=whole_number(2), default=100, metavar="N", help="steps; default 100")
    add("--from", type=positive, default=1e-6, metavar="RATE", dest="first",
        help="the first rate; default 1e-6")  # fmt: skip
    add("--to", type=positive, default=1.0, metavar="RATE", dest="last",
        help="the last rate; default 1")  # fmt: skip
    add_dialect_option(parser, "loss and augmentation")
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_device_option(parser)
    add_workers_option(parser)
    add("--ignore-memory", action="store_true", help="start even if the free memory seems too small")
    add("--seed", type=whole_number(0), default=0, metavar="N",
        help="of all random numbers; default 0")  # fmt: skip
    add("--out", type=new_folder, default=Path(), metavar="DIR",
        help="folder for lr.png; default: the current folder")  # fmt: skip
    add("--on-problem", choices=("stop", "skip"), default="stop",
        help="for broken images and labels: stop (default), or leave them out")  # fmt: skip
    add_recheck_option(parser)
    return parser.parse_args()
