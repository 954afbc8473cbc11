"""Train a Darknet cfg on a Darknet data set, with Darknet's own arithmetic.

The cfg says what the network is and how it learns, the .data file where lists and names are. A cfg with detection
heads trains on label files, a classifier's on a folder a class, or on a list. NAME_last and NAME_best are kept in
--out, as .weights for every Darknet and as .pt to go on from; beside them TensorBoard files, scalars.csv and chart.png.
Ctrl-C saves first.

example, from a backbone (layers 0 to 73), as Darknet's `detector train voc.data yolov3-voc.cfg darknet53.conv.74`:
  python tools/train.py --cfg cfg/yolov3-voc.cfg --data voc/voc.data --weights weights/darknet53.conv.74 --cutoff 74

example, going on after an interruption:
  python tools/train.py --cfg cfg/yolov3-voc.cfg --data voc/voc.data --resume voc/backup/yolov3-voc_last.pt

example, four GPUs of one machine; `batch` of the cfg is what all of them see together:
  torchrun --nproc-per-node 4 tools/train.py --cfg cfg/yolov4.cfg --data coco.data --amp --sync-bn
"""

import argparse
import logging
import os
from pathlib import Path

from yolo.console import (
    EXIT_INTERRUPTED,
    add_device_option,
    add_set_option,
    add_workers_option,
    positive,
    share,
    stop,
    whole_number,
)
from yolo.distributed import device_of, joined, processes_of
from yolo.model.heads.yolo import IOU_LOSSES
from yolo.schedule import OTHER_POLICIES
from yolo.train.ema import USUAL_DECAY
from yolo.train.losses.assign import DIALECTS
from yolo.train.losses.head_loss import BOX_GRADIENTS
from yolo.train.multiscale import parse_stages
from yolo.train.setup.options import LOGS, Options
from yolo.train.setup.run import start
from yolo.train.trainer import Run, train


def main() -> None:
    options = _options()
    processes = processes_of(os.environ)
    if processes.rank > 0:
        logging.disable(logging.WARNING)  # the first one says it
    with joined(processes, device_of(processes, options.device)):
        training = start(options, processes)
        settings = training.network.training_settings
        first = training.progress.step + 1
        training.journal.message(
            f"training on {training.device}: steps {first} to {training.last_step}, batch {training.batch} "
            f"in {settings.subdivisions} parts, {training.precision.words}; "
            f"curves: tensorboard --logdir {training.folder / 'tensorboard'}"
        )
        try:
            train(training)
        finally:
            training.journal.close()
    if processes.rank == 0:
        _report(training)
    if training.interrupted:
        raise SystemExit(EXIT_INTERRUPTED)


def _report(training: Run) -> None:
    best, step = training.progress.best_map, training.progress.step
    path = training.folder / training.name
    print(f"step {step}: {path}_last.weights, {path}_last.pt")
    if Path(f"{path}_best.weights").exists() and best >= 0:
        what = "mAP voc07" if training.network.heads else "top-1"
        print(f"best {what} {best:.4f}: {path}_best.weights, {path}_best.pt")
    if training.interrupted:
        print(f"interrupted; --resume {path}_last.pt, in place of --weights, goes on")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cfg", type=Path, required=True, metavar="FILE")
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    _add_beginning(parser)
    _add_arithmetic(parser)
    _add_machine(parser)
    _add_watching(parser)
    return parser.parse_args()


def _add_beginning(parser: argparse.ArgumentParser) -> None:
    """Which weights a run begins with, and which of them it changes."""
    add = parser.add_argument_group("where it begins").add_argument
    add("--weights", type=Path, metavar="FILE", help="start from these .weights")
    add(
        "--cutoff", type=whole_number(1), metavar="N",
        help="load layers below N only, and start at step 0",
    )  # fmt: skip
    add("--clear", action="store_true", help="forget the weights' `seen`: start at step 0")
    add("--resume", type=Path, metavar="FILE", help="go on exactly from a checkpoint, NAME_last.pt")
    add(
        "--freeze", type=whole_number(0), default=0, metavar="N",
        help="keep the layers below N as they are",
    )  # fmt: skip
    add(
        "--backbone-lr", type=positive, default=1.0, metavar="FACTOR",
        help="learning rate of the layers below --cutoff, as a factor of the others'",
    )  # fmt: skip
    add(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="of every random choice; default 0",
    )


def _add_arithmetic(parser: argparse.ArgumentParser) -> None:
    """What is computed."""
    group = parser.add_argument_group("what is computed")
    add = group.add_argument
    add(
        "--dialect", choices=DIALECTS, default="alexeyab", help="whose arithmetic; default alexeyab"
    )
    box_loss = group.add_mutually_exclusive_group()
    box_loss.add_argument("--giou", action="store_true", help="short for --iou-loss giou")
    box_loss.add_argument(
        "--iou-loss", choices=IOU_LOSSES, help="box loss of all heads, instead of the cfg's"
    )
    add(
        "--box-gradient", choices=BOX_GRADIENTS, default="darknet",
        help="of iou_loss iou, giou, diou, ciou: Darknet's own formula (default), or the true gradient",
    )  # fmt: skip
    add(
        "--policy",
        choices=OTHER_POLICIES,
        help="how the learning rate changes, instead of the cfg's policy and burn_in",
    )
    add(
        "--sizes", type=parse_stages, default=(), metavar="S@STEP,...",
        help="input size from a step on, such as 224@0,320@500,416@1500, instead of the cfg's `random`",
    )  # fmt: skip
    add(
        "--ema", type=share, nargs="?", const=USUAL_DECAY, default=0.0, metavar="DECAY",
        help=f"score and keep an average of the weights; DECAY without a number: {USUAL_DECAY}",
    )  # fmt: skip
    add(
        "--max-batches", type=whole_number(1), metavar="N", help="steps in all, instead of the cfg's"
    )  # fmt: skip
    add_set_option(parser)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    """Where and how quickly."""
    add_device_option(parser)
    add_workers_option(parser)
    add = parser.add_argument
    add(
        "--amp", action="store_true",
        help="forward in 16 bits: bfloat16 where the device computes in it, else float16; losses stay float32",
    )  # fmt: skip
    add("--compile", action="store_true", help="torch.compile: a slow start, then quicker steps")
    add(
        "--sync-bn", action="store_true",
        help="under torchrun: batch norm over the images of all processes",
    )  # fmt: skip


def _add_watching(parser: argparse.ArgumentParser) -> None:
    """What is told and kept."""
    add = parser.add_argument
    add("--out", type=Path, metavar="DIR", help="default: the .data's backup")
    add(
        "--map-every", type=whole_number(1), metavar="N",
        help="steps between scores; default: 4 epochs, at least 100",
    )  # fmt: skip
    add("--log", choices=LOGS, default=LOGS[0], help="darknet: Darknet's own lines")
    add(
        "--histograms", type=whole_number(1), default=0, metavar="N",
        help="weights and gradients in TensorBoard every N steps",
    )  # fmt: skip
    add(
        "--on-problem", choices=("stop", "skip"), default="stop",
        help="broken images, labels out of range, missing files: stop before training (default), or leave out",
    )  # fmt: skip


def _options() -> Options:
    args = _arguments()
    if args.resume and (args.weights or args.clear):
        stop(
            "found --resume with --weights or --clear, expected one: a checkpoint has its own weights and step"
        )
    if not (args.weights or args.resume) and (args.clear or args.cutoff is not None):
        stop(
            "found --clear or --cutoff without --weights FILE, expected the weights that they speak of"
        )
    if args.backbone_lr != 1 and args.cutoff is None:
        stop(
            "found --backbone-lr without --cutoff N, expected it: the backbone are the layers below N"
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
        box_gradient=args.box_gradient,
        dialect=args.dialect,
        policy=args.policy,
        sizes=args.sizes,
        freeze=args.freeze,
        backbone_lr=args.backbone_lr,
        ema=args.ema,
        mixed=args.amp,
        compiled=args.compile,
        synced_norm=args.sync_bn,
        overrides=tuple(overrides),
        device=args.device,
        workers=args.workers,
        seed=args.seed,
        out=args.out,
        map_every=args.map_every,
        log=args.log,
        histograms_every=args.histograms,
        skip_problems=args.on_problem == "skip",
    )
