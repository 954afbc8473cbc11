"""Images a second of the trainer against the plainest possible loop: same network, one batch in memory.

The plain loop has no loading, no augmentation, no assignment and no files: forward, mean of squares, backward, SGD. It
is the bound of the machine for this network, before and after the trainer runs. The trainer
reads and augments images, Darknet's loss, EMA, TensorBoard, CSV. The bound is 0.9 of the plain loop.

example:
  python benchmarks/train_speed.py --cfg bccd.cfg cfg/yolov3-tiny.cfg --data bccd/voc.data --set batch=16 subdivisions=1

With --kinds, no data set is needed: the plain loop runs in float32 and in 16 bits, contiguous and with channels last,
in turn. Seconds are processor time of all threads, so that other work on the machine matters little; the ratio is to
float32, contiguous, which PyTorch takes by itself. Then follows what training chooses (yolo/train/setup/step_kind.py),
and how long it measures for that.

example, the kinds at 320 pixels with 8 images:
  python benchmarks/train_speed.py --kinds --cfg cfg/yolov3-tiny.cfg --set batch=8 subdivisions=1 width=320 height=320
"""

import argparse
import copy
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from yolo.console.options import add_set_option
from yolo.console.run import run, stop
from yolo.model.network import Network
from yolo.train.amp import precision_of
from yolo.train.setup.options import Machine, Options, Output
from yolo.train.setup.run import start
from yolo.train.setup.step_kind import FORMATS, StepKind, choose_step
from yolo.train.trainer import Run, train

WARM_UP = 8  # steps that are not counted: workers start, memory is touched for the first time
BOUND = 0.9


def main() -> None:
    args = _arguments()
    for cfg in args.cfg if args.kinds else ():
        kinds_report(cfg, dict(args.overrides), torch.device(args.device), args.steps)
    for cfg in () if args.kinds else args.cfg:
        with tempfile.TemporaryDirectory() as folder:
            steps = WARM_UP + args.steps
            options = Options(
                cfg=cfg,
                data=args.data,
                machine=Machine(args.device, args.workers, args.amp),
                output=Output(Path(folder)),
                overrides=(*args.overrides, ("max_batches", str(steps)), ("policy", "constant")),
            )
            training = replace(start(options), validation=None, save_every=10**9)
            before = plain_seconds(training, args.steps)
            ours = trainer_seconds(training)
            after = plain_seconds(training, args.steps)
        report(cfg, training, before, ours, after)


def report(cfg: Path, training: Run, before: list[float], ours: list[float], after: list[float]) -> None:
    """Images a second of both, and their ratio, from the medians of the steps."""
    plain, own = statistics.median(before + after), statistics.median(ours)
    images = training.batch
    shape = training.network.input
    print(f"{cfg.name} at {shape.width}x{shape.height}, batch {images}, {training.device}")
    for name, seconds in (("plain, before", before), ("trainer", ours), ("plain, after", after)):
        median = statistics.median(seconds)
        print(f"  {name:14} {1000 * median:7.0f} ms a step, {images / median:7.1f} images/s")
    print(f"  ratio of medians {plain / own:.3f} (bound {BOUND})")


def kinds_report(cfg: Path, overrides: dict[str, str], device: torch.device, steps: int) -> None:
    """Measure the plain loop in all kinds of steps, and print what training would choose."""
    network = Network.from_cfg(cfg, overrides=overrides)
    settings, shape = network.training_settings, network.input
    images = settings.batch // settings.subdivisions
    kinds = [StepKind(mixed, each) for mixed in (False, True) for each in ("contiguous", "channels_last")]
    seconds: dict[StepKind, list[float]] = {kind: [] for kind in kinds}
    copied = copy.deepcopy(network).to(device).train()
    optimizer = torch.optim.SGD(copied.parameters(), lr=0.0, momentum=0.9)
    pixels = torch.rand(images, shape.channels, shape.height, shape.width, device=device)
    for _ in range(1 + steps):
        for kind in kinds:
            seconds[kind].append(step_seconds(copied, optimizer, pixels, kind))
    medians = {kind: statistics.median(each[1:]) for kind, each in seconds.items()}  # the first round warms up
    print(f"{cfg.name} at {shape.width}x{shape.height}, {images} images, {device}, {torch.get_num_threads()} threads")
    for kind, median in medians.items():
        ratio = medians[kinds[0]] / median
        print(f"  {kind!s:24} {1000 * median:7.0f} ms of processor time a step, {ratio:5.2f} x the speed of the first")
    if device.type == "cpu":
        begin = time.perf_counter()
        chosen = choose_step(network, Machine(amp=None, memory_format=None), device, images, None)
        print(f"  training chooses {chosen}, in {time.perf_counter() - begin:.1f} s")


def step_seconds(network: Network, optimizer: torch.optim.Optimizer, pixels: torch.Tensor, kind: StepKind) -> float:
    """Return the processor seconds of one step of the plain loop; on a GPU wall seconds."""
    memory_format, device = FORMATS[kind.memory_format], pixels.device
    network.to(memory_format=memory_format)
    pixels = pixels.contiguous(memory_format=memory_format)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    begin = clock()
    with precision_of(device, kind.mixed).autocast():
        raw = network(pixels)
    sum(map_.float().square().mean() for map_ in raw).backward()
    optimizer.step()
    optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - begin


def plain_seconds(training: Run, steps: int) -> list[float]:
    """Wall seconds of each counted step of the plain loop, on a fresh optimizer."""
    network, device = training.network, training.device
    shape = network.input
    size = (training.batch // training.subdivisions, shape.channels, shape.height, shape.width)
    images = torch.rand(size, device=device).contiguous(memory_format=torch.channels_last)
    # a rate of 0 does all the work and leaves the weights as they are
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)
    network.train()
    seconds = []
    for _ in range(WARM_UP // 2 + steps // 2):
        begin = time.perf_counter()
        for _ in range(training.subdivisions):
            with training.precision.autocast():
                raw = network(images)
            sum(map_.float().square().mean() for map_ in raw).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return seconds[WARM_UP // 2 :]


def trainer_seconds(training: Run) -> list[float]:
    """Wall seconds of each counted step of the trainer."""
    ends: list[float] = []
    note = training.logger.step

    def step(*args: object) -> None:
        note(*args)
        ends.append(time.perf_counter())

    training.logger.step = step
    train(training)
    training.logger.close()
    return [after - before for before, after in zip(ends[WARM_UP - 1 :], ends[WARM_UP:], strict=False)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cfg", type=Path, required=True, nargs="+", metavar="FILE")
    add("--data", type=Path, metavar="FILE", help="Darknet's .data file; not needed with --kinds")
    add("--kinds", action="store_true", help="compare float32, 16 bits and memory formats instead")
    add("--steps", type=int, default=40, metavar="N", help="steps that count; default 40")
    add("--workers", type=int, default=2, metavar="N")
    add("--device", default="cpu", metavar="D")
    add("--amp", action="store_true", help="both loops in mixed precision")
    add_set_option(parser)
    args = parser.parse_args()
    if args.data is None and not args.kinds:
        stop("found neither --data nor --kinds, expected one of them")
    return args


if __name__ == "__main__":
    run(main)
