"""Train a Darknet cfg on a Darknet data set, with Darknet's own arithmetic.

The cfg says what the network is and how it learns, the .data file where lists and names are. NAME_last and
NAME_best are kept in --out, as .weights for every Darknet and as .pt to go on from; TensorBoard files beside them.
Ctrl-C saves first.

example, from a backbone (layers 0 to 73), as Darknet's `detector train voc.data yolov3-voc.cfg darknet53.conv.74`:
  python tools/train.py --cfg cfg/yolov3-voc.cfg --data voc/voc.data --weights weights/darknet53.conv.74 --cutoff 74

example, going on after an interruption:
  python tools/train.py --cfg cfg/yolov3-voc.cfg --data voc/voc.data --resume voc/backup/yolov3-voc_last.pt
"""

import argparse
from pathlib import Path

from yolo.console import (
    EXIT_INTERRUPTED,
    add_set_option,
    add_workers_option,
    run,
    stop,
    whole_number,
)
from yolo.device import add_device_option
from yolo.settings import IOU_LOSSES
from yolo.train.assign import DIALECTS
from yolo.train.start import Options, start
from yolo.train.trainer import train


def main() -> None:
    options = _options()
    training = start(options)
    settings = training.network.training_settings
    first = training.progress.step + 1
    training.journal.say(
        f"training on {training.device}: steps {first} to {training.last_step}, batch {training.batch} "
        f"in {settings.subdivisions} parts; curves: tensorboard --logdir {training.folder / 'tensorboard'}"
    )
    try:
        train(training)
    finally:
        training.journal.close()
    best, step = training.progress.best_map, training.progress.step
    path = training.folder / training.name
    print(f"step {step}: {path}_last.weights, {path}_last.pt")
    if Path(f"{path}_best.weights").exists() and best >= 0:
        print(f"best mAP voc07 {best:.4f}: {path}_best.weights, {path}_best.pt")
    if training.interrupted:
        print(f"interrupted; --resume {path}_last.pt, in place of --weights, goes on")
        raise SystemExit(EXIT_INTERRUPTED)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cfg", type=Path, required=True, metavar="FILE")
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    add("--weights", type=Path, metavar="FILE", help="start from these .weights")
    add(
        "--cutoff",
        type=whole_number(1),
        metavar="N",
        help="load layers below N only, and start at step 0",
    )
    add("--clear", action="store_true", help="forget the weights' `seen`: start at step 0")
    add("--resume", type=Path, metavar="FILE", help="go on exactly from a checkpoint, NAME_last.pt")
    box_loss = parser.add_mutually_exclusive_group()
    box_loss.add_argument("--giou", action="store_true", help="short for --iou-loss giou")
    box_loss.add_argument(
        "--iou-loss", choices=IOU_LOSSES, help="box loss of all heads, instead of the cfg's"
    )
    add("--dialect", choices=DIALECTS, default="alexeyab", help="whose loss; default alexeyab")
    add(
        "--max-batches",
        type=whole_number(1),
        metavar="N",
        help="steps in all, instead of the cfg's",
    )
    add_set_option(parser)
    add_device_option(parser)
    add_workers_option(parser)
    add(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="of every random choice; default 0",
    )
    add("--out", type=Path, metavar="DIR", help="default: the .data's backup")
    add(
        "--map-every",
        type=whole_number(1),
        metavar="N",
        help="steps between mAPs; default: 4 epochs, at least 100",
    )
    add(
        "--on-problem", choices=("stop", "skip"), default="stop",
        help="broken pictures, labels out of range, missing files: stop before training (default), or leave out",
    )  # fmt: skip
    return parser.parse_args()


def _options() -> Options:
    args = _arguments()
    if args.resume and (args.weights or args.clear):
        stop(
            "found --resume with --weights or --clear, expected one: a checkpoint has its own weights and step"
        )
    if not args.weights and (args.clear or args.cutoff is not None):
        stop(
            "found --clear or --cutoff without --weights FILE, expected the weights that they speak of"
        )
    overrides = list(args.overrides)
    if args.max_batches is not None:
        overrides.append(("max_batches", str(args.max_batches)))
    return Options(
        cfg=args.cfg,
        data=args.data,
        weights=args.weights,
        cutoff=args.cutoff,
        clear=args.clear,
        resume=args.resume,
        iou_loss="giou" if args.giou else args.iou_loss,
        dialect=args.dialect,
        overrides=tuple(overrides),
        device=args.device,
        workers=args.workers,
        seed=args.seed,
        out=args.out,
        map_every=args.map_every,
        skip_problems=args.on_problem == "skip",
    )


if __name__ == "__main__":
    run(main)
