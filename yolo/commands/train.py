"""Train a Darknet cfg on a Darknet data set, with Darknet's own arithmetic.

The cfg defines the network and its training, the .data file names the lists and the classes. A cfg with detection
heads trains on label files, a classifier on one folder for each class or on a list. Training writes NAME_last and
NAME_best to --out: .weights files for every Darknet, and .pt checkpoints for --resume. Beside them it writes
TensorBoard files, scalars.csv and chart.png. Ctrl-C saves before it stops. If --out has an earlier run, the command
stops, unless --resume continues that run or --overwrite replaces it.

example, from a backbone (layers 0 to 73), as Darknet's `detector train voc.data yolov3-voc.cfg darknet53.conv.74`:
  yolo-darknet train --cfg yolov3-voc --data voc/voc.data --weights weights/darknet53.conv.74 --cutoff 74

example, continuing after an interruption:
  yolo-darknet train --cfg yolov3-voc --data voc/voc.data --resume voc/backup/yolov3-voc_last.pt

example, four GPUs of one machine; the cfg's `batch` is the number of images on all of them together:
  torchrun --nproc-per-node 4 -m yolo train --cfg yolov4 --data coco.data --amp --sync-bn
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import cutoff_or_auto, fraction, positive, weights_file, whole_number
from yolo.console.options import (
    OptionGroup,
    add_cfg_option,
    add_device_option,
    add_max_pixels_option,
    add_recheck_option,
    add_set_option,
    add_workers_option,
)
from yolo.console.run import EXIT_INTERRUPTED, stop
from yolo.defaults import (
    AUTO,
    BOX_GRADIENTS,
    DIALECT_NAMES,
    EMA_DECAY,
    IOU_LOSS_NAMES,
    LOGS,
    MEMORY_FORMATS,
    OTHER_POLICIES,
)
from yolo.errors import counted
from yolo.named_files import chosen_cutoff

AMP = {AUTO: None, "on": True, "off": False}  # --amp → yolo.train.setup.options.Machine.amp

if TYPE_CHECKING:
    from yolo.distributed import Processes
    from yolo.train.multiscale import Stage
    from yolo.train.setup.options import Learning, Machine, Options, Output, StartPoint
    from yolo.train.trainer import Run


def main() -> None:
    training = trained()
    if training.interrupted:
        checkpoint = training.folder / f"{training.name}_last.pt"
        print(f"interrupted; to continue: --resume {checkpoint} instead of --weights")
        raise SystemExit(EXIT_INTERRUPTED)


def trained() -> Run:
    """Train with the options of this process, print where the results are, and return the finished run."""
    options = _options()

    from yolo.data_file import read_data
    from yolo.distributed import device_of, process_group, processes_of
    from yolo.train.setup.run_folder import claimed, run_folder

    processes = processes_of(os.environ)
    if processes.rank > 0:
        logging.disable(logging.WARNING)  # rank 0 logs
    output, resume = options.output, options.start.resume
    folder = run_folder(output, read_data(options.data).backup, resume)
    options = replace(options, output=replace(output, out=folder))
    with process_group(processes, device_of(processes, options.machine.device)):
        if processes.rank > 0:  # rank 0 writes
            training = _train(options, processes)
        else:
            with claimed(folder, options.cfg.stem, resume, output.overwrite):
                training = _train(options, processes)
            _report(training)
    return training


def _train(options: Options, processes: Processes) -> Run:
    """Train, and return the finished run."""
    from yolo.train.setup.run import start
    from yolo.train.setup.run_folder import remove_old_run
    from yolo.train.trainer import train

    training = start(options, processes)
    try:
        if options.output.overwrite and processes.rank == 0:
            remove_old_run(training.folder, training.name, options.start.weights)
        settings = training.network.training_settings
        first = training.progress.step + 1
        training.logger.message(
            f"training on {training.device}: steps {first} to {training.last_step}, batch {training.batch} "
            f"in {counted(settings.subdivisions, 'part')}, {training.precision.name}; "
            f"curves: tensorboard --logdir {training.folder / 'tensorboard'}"
        )
        train(training)
    finally:
        training.logger.close()
    return training


def _report(training: Run) -> None:
    best, step = training.progress.best_map, training.progress.step
    path = training.folder / training.name
    print(f"step {step}: {path}_last.weights, {path}_last.pt")
    if Path(f"{path}_best.weights").exists() and best >= 0:
        metric = "mAP voc07" if training.network.heads else "top-1"
        print(f"best {metric} {best:.4f}: {path}_best.weights, {path}_best.pt")


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_cfg_option(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    _add_weights_options(parser.add_argument_group("initial weights"))
    _add_arithmetic_options(parser.add_argument_group("what is computed"))
    _add_machine_options(parser.add_argument_group("where and how fast"))
    _add_output_options(parser.add_argument_group("checks, scores and logs"))
    return parser.parse_args()


def _stages(text: str) -> tuple[Stage, ...]:
    """A type for argparse: input sizes and their first steps, such as 224@0,320@500."""
    from yolo.train.multiscale import parse_stages  # not at the top, as it imports torch

    return parse_stages(text)


def _add_weights_options(group: OptionGroup) -> None:
    """Add the options for the weights that a run starts with, and which of them it trains."""
    add = group.add_argument
    add(
        "--weights", type=weights_file, metavar="FILE",
        help="start from these weights: a file, or the name of a published model or backbone",
    )  # fmt: skip
    add(
        "--cutoff", type=cutoff_or_auto, metavar="N",
        help="load only the layers below N, and start at step 0; auto: as many as the file has, also if its classes "
        "differ; default: N of a file NAME.conv.N",
    )  # fmt: skip
    add(
        "--clear",
        action="store_true",
        help="ignore the number of images seen in the weights: start at step 0",
    )
    add(
        "--resume",
        type=Path,
        metavar="FILE",
        help="continue exactly from a checkpoint, NAME_last.pt",
    )
    add(
        "--freeze", type=whole_number(0), default=0, metavar="N",
        help="do not train the layers below N",
    )  # fmt: skip
    add(
        "--backbone-lr", type=positive, default=1.0, metavar="FACTOR",
        help="factor of the learning rate for the layers below --cutoff",
    )  # fmt: skip
    add(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="of all random numbers; default 0",
    )


def _add_arithmetic_options(group: OptionGroup) -> None:
    """Add the options for loss, learning rate, input size and EMA."""
    add = group.add_argument
    add(
        "--dialect",
        choices=DIALECT_NAMES,
        default="alexeyab",
        help="which Darknet to follow; default alexeyab",
    )
    box_loss = group.add_mutually_exclusive_group()
    box_loss.add_argument("--giou", action="store_true", help="short for --iou-loss giou")
    box_loss.add_argument("--iou-loss", choices=IOU_LOSS_NAMES, help="box loss of all heads, instead of the cfg's")
    add(
        "--box-gradient", choices=BOX_GRADIENTS, default="darknet",
        help="for iou, giou, diou, ciou: Darknet's own formula (default), or the true gradient",
    )  # fmt: skip
    add(
        "--policy",
        choices=OTHER_POLICIES,
        help="learning rate policy, instead of the cfg's policy and burn_in",
    )
    add(
        "--sizes", type=_stages, default=(), metavar="S@STEP,...",
        help="input size from a step on, such as 224@0,320@500,416@1500, instead of the cfg's `random`",
    )  # fmt: skip
    add(
        "--ema", type=fraction, nargs="?", const=EMA_DECAY, default=0.0, metavar="DECAY",
        help=f"score and save an exponential moving average of the weights; without DECAY: {EMA_DECAY}",
    )  # fmt: skip
    add(
        "--max-batches", type=whole_number(1), metavar="N", help="total number of steps, instead of the cfg's"
    )  # fmt: skip
    add_max_pixels_option(group)
    add_set_option(group)


def _add_machine_options(group: OptionGroup) -> None:
    """Add the options for device, precision and processes."""
    add_device_option(group)
    add_workers_option(group)
    add = group.add_argument
    add(
        "--amp", choices=tuple(AMP), nargs="?", const="on", default=AUTO,
        help="automatic mixed precision, losses stay float32: bfloat16 if the device supports it, else float16; "
        "auto (default): on a CPU if a measurement at the start finds it faster, on a GPU off; without a value: on",
    )  # fmt: skip
    add(
        "--memory-format", choices=(AUTO, *MEMORY_FORMATS), default=AUTO,
        help="order of the values of images and weights; auto (default): channels_last, on a CPU the faster one",
    )  # fmt: skip
    add("--ignore-memory", action="store_true", help="start even if the free memory seems too small")
    add("--compile", action="store_true", help="torch.compile: a slow start, then faster steps")
    add(
        "--sync-bn", action="store_true",
        help="under torchrun: batch normalization over the images of all processes",
    )  # fmt: skip


def _add_output_options(group: OptionGroup) -> None:
    """Add the options for the checks before training, for scores, logs and the folder of all files."""
    add = group.add_argument
    add(
        "--out", metavar="DIR",
        help="folder for all files; auto: a new one with a number; default: `backup` of the .data file, or the folder "
        "of --resume",
    )  # fmt: skip
    add("--overwrite", action="store_true", help="replace the earlier run in --out")
    add(
        "--map-every", type=whole_number(1), metavar="N",
        help="steps between two scores; default: 4 epochs, at least 100",
    )  # fmt: skip
    add(
        "--log",
        choices=LOGS,
        default=LOGS[0],
        help="lines to print: progress (default), or Darknet's own",
    )
    add(
        "--histograms", type=whole_number(1), default=0, metavar="N",
        help="log weights and gradients to TensorBoard every N steps",
    )  # fmt: skip
    add(
        "--watch", type=Path, nargs="+", default=(), metavar="IMAGE",
        help="draw a film strip in watch/index.html: what is detected in these images at each evaluation and save",
    )  # fmt: skip
    add(
        "--on-problem", choices=("stop", "skip"), default="stop",
        help="for broken images, wrong labels and missing files: stop before training (default), or leave them out",
    )  # fmt: skip
    add_recheck_option(group)


def _options() -> Options:
    args = _arguments()
    cutoff = chosen_cutoff(args.cutoff, args.weights)
    _check_together(args, cutoff)

    from yolo.train.setup.options import Options

    overrides = list(args.overrides)
    if args.max_batches is not None:
        overrides.append(("max_batches", str(args.max_batches)))
    return Options(
        cfg=args.cfg,
        data=args.data,
        dialect=args.dialect,
        overrides=tuple(overrides),
        skip_problems=args.on_problem == "skip",
        recheck=args.recheck,
        start=_start_point(args, cutoff),
        learning=_learning(args),
        machine=_machine(args),
        output=_output(args),
    )


def _check_together(args: argparse.Namespace, cutoff: int | str | None) -> None:
    """Stop for options that do not go together."""
    if args.resume and (args.weights or args.clear):
        stop("found --resume with --weights or --clear, expected one: a checkpoint has its own weights and step")
    if args.resume and args.overwrite:
        stop("found --resume with --overwrite, expected one: a resumed run continues in its folder")
    if not (args.weights or args.resume) and (args.clear or cutoff is not None):
        stop("found --clear or --cutoff without --weights FILE, expected both")
    if args.backbone_lr != 1 and cutoff is None:
        stop("found --backbone-lr without --cutoff N, expected both: the backbone is the layers below N")


def _start_point(args: argparse.Namespace, cutoff: int | str | None) -> StartPoint:
    from yolo.train.setup.options import StartPoint

    return StartPoint(
        weights=args.weights,
        cutoff=None if cutoff == AUTO else cutoff,
        find_cutoff=cutoff == AUTO,
        named_cutoff=cutoff != args.cutoff,
        clear=args.clear,
        resume=args.resume,
        seed=args.seed,
    )


def _learning(args: argparse.Namespace) -> Learning:
    from yolo.train.setup.options import Learning

    return Learning(
        iou_loss="giou" if args.giou else args.iou_loss,
        box_gradient=args.box_gradient,
        policy=args.policy,
        sizes=args.sizes,
        freeze=args.freeze,
        backbone_lr=args.backbone_lr,
        ema=args.ema,
    )


def _machine(args: argparse.Namespace) -> Machine:
    from yolo.train.setup.options import Machine

    return Machine(
        device=args.device,
        workers=args.workers,
        amp=AMP[args.amp],
        compiled=args.compile,
        sync_bn=args.sync_bn,
        ignore_memory=args.ignore_memory,
        memory_format=None if args.memory_format == AUTO else args.memory_format,
    )


def _output(args: argparse.Namespace) -> Output:
    from yolo.train.setup.options import Output

    return Output(
        out=None if args.out in (None, AUTO) else Path(args.out),
        numbered=args.out == AUTO,
        overwrite=args.overwrite,
        map_every=args.map_every,
        log=args.log,
        histograms_every=args.histograms,
        watch=tuple(args.watch),
    )
