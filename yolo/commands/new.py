"""Make a detector from a folder of images: convert, split, make a cfg, train, score, draw.

DIR holds images with VOC XML, COCO JSON or label files, in any layout that the converters read. If DIR is not
divided into train and valid, a fifth of the images is used for scoring. The command writes the lists and NAME.cfg to
OUT, and prints the commands that train, score and draw; with --go it runs them. OUT then has run/ (weights, chart.png),
report/ (index.html) and pictures/ (the images for scoring with boxes). After an interruption, run it again to continue.
If DIR has changed before the training began, the command converts it again; later it prints a remark and continues.

On a GPU the network is yolov4-tiny, trained as long as Darknet advises. On a CPU it is a small one, `shapes`, at about
320 pixels, trained on 24,000 images; some minutes to half an hour. --base, --width, --height and --epochs change this.

example:
  yolo-darknet new photos --go
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from yolo.cfg import read_cfg
from yolo.commands.convert_voc import data_set_name, split_fraction
from yolo.console.command_line import command_parser
from yolo.console.option_types import cfg_file, new_folder, positive, weights_file, whole_number
from yolo.console.options import add_device_option
from yolo.console.run import stop
from yolo.data.convert.folder_state import change_since, note_state
from yolo.data_file import DataFile, read_data
from yolo.errors import DatasetError, OutputError
from yolo.files.folders import folder_if_used
from yolo.files.lock import locked
from yolo.files.writing import write_text
from yolo.named_files import given_or_shipped
from yolo.names_file import read_names

if TYPE_CHECKING:
    from yolo.data.convert.recognize import AnnotationKind

LOCK = ".new.lock"
OPTIONS_FILE = "new.json"  # the options of the first start
FILES_FILE = "new-files.json"  # what DIR held when it was converted
WRITTEN = ("data", "run", "report", "pictures", "detections.json")  # in OUT, beside NAME.cfg
GPU_BASE, CPU_BASE = "yolov4-tiny", "shapes"
SCORED_FRACTION = 0.2  # of the images, if the folder has no lists of its own
CPU_SIDE = 320  # pixels of the longer side of the network input
CPU_IMAGES = 24_000  # to train on, with repetitions: those of the demo
CPU_LEAST_EPOCHS = 10.0
ADVISING = ("convert_voc", "convert_coco", "split", "make_cfg")  # print the next commands last; `new` prints its own
# Steps in which the rate rises. Of 304 images of blood cells the network for CPUs diverges after 15 (two of two seeds)
# and learns after 60 (docs/log.md); a run of fewer than 100 steps only tries things
LEAST_BURN_IN, MOST_OF_RUN, FEWEST_TO_LEARN = 60, 4, 100
STRIDE = 32  # of the coarsest map of most networks; a multiple of it fits all of them
MEASURED_IMAGES = 50  # of which the size is read


@dataclass(frozen=True)
class Step:
    """A command of the guided start. result: the file that it writes last."""

    title: str
    command: str
    options: tuple[str, ...]
    result: Path

    def line(self) -> str:
        """Return the command as it is typed into a shell."""
        return shlex.join(["yolo-darknet", self.command, *self.options])


def main() -> None:
    args = _arguments()
    if not args.folder.is_dir():
        stop(f"{args.folder}: found no such folder, expected one with images and annotations")
    if (args.width is None) != (args.height is None):
        stop("found one of --width and --height, expected both or none")
    name = args.name or re.sub(r"\s+", "_", args.folder.resolve().name)
    out = args.out or Path(f"{name}-detector")
    cfg = out / f"{name}.cfg"
    try:
        with _at_work(out):
            _check_options(out, args, name)
            again = _look_for_changes(args.folder, out, cfg)
            data_file = _converted(args, out, name, again)
            note_state(out / FILES_FILE, args.folder, out)
            data = read_data(data_file)
            steps = _work(args, data_file, data, cfg)
    except KeyboardInterrupt:
        print(f"to continue: {shlex.join(['yolo-darknet', 'new', *sys.argv[1:]])}", file=sys.stderr)
        raise
    _say_end(steps, cfg, data, args.go)


def _look_for_changes(folder: Path, out: Path, cfg: Path) -> bool:
    """Return whether a folder has changed and is to be converted again, or print that the training does not use it."""
    change = change_since(out / FILES_FILE, folder, out)
    if change is None:
        return False
    if (out / "run").exists():
        print(f"{folder}: {change} since the conversion, and the training does not use the change; "
              f"to start again with it, remove {out} or choose another --out", file=sys.stderr)  # fmt: skip
        return False
    print(f"{folder}: {change} since the conversion, which is repeated", flush=True)
    if cfg.exists():  # a person may have edited it
        cfg.replace(cfg.with_suffix(".cfg.before"))
        print(f"the cfg until now: {cfg.with_suffix('.cfg.before')}")
    for path in (*(out / "data").glob("*.data"), cfg.with_suffix(".names"), out / FILES_FILE):
        path.unlink(missing_ok=True)
    return True


def _work(args: argparse.Namespace, data_file: Path, data: DataFile, cfg: Path) -> list[Step]:
    """Make the cfg; return the steps after it, which `--go` runs."""
    _run(_cfg_step(args, data_file, data, cfg))
    if not cfg.with_suffix(".names").exists():  # beside the cfg, under its name
        write_text(cfg.with_suffix(".names"), "".join(f"{each}\n" for each in read_names(data.names)))
    steps = _last_steps(args, data_file, data, cfg)
    if args.go:
        for step in steps:
            _run(step)
    return steps


@contextmanager
def _at_work(out: Path) -> Iterator[None]:
    """Create OUT if it is new, and hold it. A new folder is removed if no file was converted, for wrong inputs."""
    with folder_if_used(out), locked(out / LOCK):
        try:
            yield
        finally:
            if not (out / "data").exists():
                (out / OPTIONS_FILE).unlink(missing_ok=True)


def _say_end(steps: list[Step], cfg: Path, data: DataFile, done: bool) -> None:
    left = [] if done else [now for step in steps if (now := _left_to_do(step)) is not None]
    if left:
        print("\nnext, or `--go` for all of them:")
        for step in left:
            print(f"  {step.line()}")
        return
    weights = _best_weights(cfg, data)
    print(f"\nnetwork: {cfg}, {weights}")
    for step in steps[1:]:
        place = step.result.parent / "index.html" if step.command == "evaluate" else _option(step, "--out")
        print(f"{step.title}: {place}")
    names = shlex.quote(str(cfg.with_suffix(".names")))
    print(f"next: yolo-darknet detect --cfg {shlex.quote(str(cfg))} --weights {shlex.quote(str(weights))} "
          f"--names {names} IMAGE --out out")  # fmt: skip


def _option(step: Step, name: str) -> str:
    return step.options[step.options.index(name) + 1]


# ------------------------------------------------------------------------------------------------------------ the steps


def _converted(args: argparse.Namespace, out: Path, name: str, again: bool) -> Path:
    """Convert the annotations unless that is done, and return the .data file.

    again: replace the labels and lists of the first conversion.
    """
    folder = out / "data"
    existing = sorted(folder.glob("*.data"))
    if not existing:
        step = _convert_step(args, folder, name)
        _run(replace(step, options=(*step.options, "--overwrite")) if again else step)
        existing = sorted(folder.glob("*.data"))
    else:
        _say_done("labels and lists", existing[0])
    return existing[0]


def _convert_step(args: argparse.Namespace, out: Path, name: str) -> Step:
    from yolo.data.convert.recognize import AnnotationKind, annotations_of

    kind = annotations_of(args.folder)
    common = ("--name", name, "--out", str(out))
    seed = ("--seed", str(args.seed))
    split = ("--split", f"{args.split or SCORED_FRACTION:g}", *seed)
    if kind is AnnotationKind.LABELS:  # `split` takes the folder's own division, or the same fraction
        command, made, options = "split", name, (split if args.split is not None else seed)
    else:
        command, made = ("convert_voc", "voc") if kind is AnnotationKind.VOC else ("convert_coco", "coco")
        divided = args.split is None and _is_divided(args.folder.resolve(), kind)
        options = (*(() if divided else split), *_left_out(args.on_problem))
    options = (str(args.folder), *options, *common)
    return Step(f"labels and lists from {kind.value}", command, options, out / f"{made}.data")


def _left_out(on_problem: str | None) -> tuple[str, ...]:
    """Return the option of the converters and of training for broken images and labels."""
    return () if on_problem is None else ("--on-problem", on_problem)


def _is_divided(folder: Path, kind: AnnotationKind) -> bool:
    """Whether a folder of VOC XML or COCO JSON has its own list of images for scoring."""
    from yolo.data.convert.coco_layout import read_coco_folder
    from yolo.data.convert.recognize import AnnotationKind
    from yolo.data.convert.voc_layout import read_folder

    read = read_folder if kind is AnnotationKind.VOC else read_coco_folder
    return bool(read(folder, whole=False).valid)


def _cfg_step(args: argparse.Namespace, data_file: Path, data: DataFile, cfg: Path) -> Step:
    from yolo.formats.label_files import read_list

    on_cpu = args.device == "cpu"
    base = args.base or (CPU_BASE if on_cpu else GPU_BASE)
    size, epochs = (args.width, args.height), args.epochs
    images = read_list(data.train)
    if on_cpu and epochs is None:
        epochs = max(CPU_LEAST_EPOCHS, round(CPU_IMAGES / max(1, len(images))))
    if on_cpu and args.base is None and args.width is None:
        size = _cpu_size(images)
    options = ["--base", str(base), "--data", str(data_file), "--out", str(cfg), "--device", args.device]
    if size[0] is not None:
        options += ["--width", str(size[0]), "--height", str(size[1])]
    if epochs is not None:
        options += ["--epochs", f"{epochs:g}", *_burn_in(base, len(images), epochs)]
    return Step("a cfg for these classes and boxes", "make_cfg", tuple(options), cfg)


def _burn_in(base: Path | str, images: int, epochs: float) -> list[str]:
    """Return the option of make_cfg for a short run: burn_in in proportion to its steps would be too short.

    base: a cfg, or the name of one in the package.
    """
    from yolo.train.setup.fitted_cfg import schedule_values

    net = read_cfg(given_or_shipped(str(base), ".cfg"))[0]
    schedule = schedule_values(net, 1, images, epochs)
    steps, usual = int(schedule["max_batches"]), net.integer("burn_in", 0)
    least = min(LEAST_BURN_IN, steps // MOST_OF_RUN, usual)
    is_short = steps >= FEWEST_TO_LEARN and int(schedule.get("burn_in") or 0) < least
    return ["--burn-in", str(least)] if is_short else []


def _cpu_size(images: list[Path]) -> tuple[int, int]:
    """Return (width, height) of a fast network input for a CPU: the images' shape, at most CPU_SIDE long."""
    from yolo.data.image_header import read_header

    headers = [read_header(path) for path in images[:MEASURED_IMAGES]]
    sizes = [header.size for header in headers if header is not None]
    if not sizes:
        return CPU_SIDE, CPU_SIDE
    height, width = (median(sides) for sides in zip(*sizes, strict=True))
    scale = min(1.0, CPU_SIDE / max(height, width))
    width, height = (max(STRIDE, round(scale * side / STRIDE) * STRIDE) for side in (width, height))
    return width, height


def _last_steps(args: argparse.Namespace, data_file: Path, data: DataFile, cfg: Path) -> list[Step]:
    """Return the steps after the cfg: train, score, draw."""
    out, weights = cfg.parent, _best_weights(cfg, data)
    device = ("--device", args.device)
    broken = _left_out(args.on_problem)
    start = ("--weights", str(args.weights), "--cutoff", "auto") if args.weights else ()
    network = ("--cfg", str(cfg))
    steps = [
        Step(
            "training", "train",
            (*network, "--data", str(data_file), *start, "--out", str(out / "run"), *device, *broken),
            out / "run" / f"{cfg.stem}_last.weights",
        )
    ]  # fmt: skip
    network = (*network, "--weights", str(weights))
    if data.valid is not None:
        report = out / "report"
        steps.append(
            Step(
                "report", "evaluate", (*network, "--data", str(data_file), "--report", str(report), *device),
                report / "report.json",
            )
        )  # fmt: skip
    found = out / "detections.json"
    steps.append(
        Step(
            "images with boxes", "detect",
            (*network, "--names", str(cfg.with_suffix(".names")), str(data.valid or data.train),
             "--out", str(out / "pictures"), "--json", str(found), *device),
            found,
        )
    )  # fmt: skip
    return steps


def _best_weights(cfg: Path, data: DataFile) -> Path:
    return cfg.parent / "run" / f"{cfg.stem}_{'last' if data.valid is None else 'best'}.weights"


# --------------------------------------------------------------------------------------------------------- running them


def _run(step: Step) -> None:
    """Run a step unless its result exists; an interrupted training continues.

    Raises KeyboardInterrupt if a training ends by Ctrl-C, after it has saved.
    """
    left = _left_to_do(step)
    if left is None:
        _say_done(step.title, step.result)
        return
    options = left.options
    print(f"\n== {step.title}\n$ {left.line()}", flush=True)
    before = sys.argv
    sys.argv = [f"yolo-darknet {step.command}", *options]  # argparse shows the first as the program
    output = StringIO() if step.command in ADVISING else sys.stdout
    try:
        with redirect_stdout(output):
            command = import_module(f"yolo.commands.{step.command}")
            if step.command == "train" and command.trained().interrupted:  # its own hint is for users of `train`
                raise KeyboardInterrupt
            if step.command != "train":
                command.main()
    finally:
        sys.argv = before
        if isinstance(output, StringIO):
            print(output.getvalue().partition("\nnext:")[0].rstrip(), flush=True)


def _left_to_do(step: Step) -> Step | None:
    """Return a step as it starts now, a training with the options that continue it; None if its result is there."""
    if step.command == "train":
        options = _train_options(step)
        return None if options is None else replace(step, options=options)
    is_done = step.result.exists() and step.result.stat().st_mtime >= _newest_input(step)
    return None if is_done else step


def _say_done(title: str, result: Path) -> None:
    print(f"\n== {title}: done before, {result}", flush=True)


def _newest_input(step: Step) -> float:
    """Return when the weights that a step uses were written; 0 for a step without weights."""
    if "--weights" not in step.options:
        return 0.0
    weights = Path(_option(step, "--weights"))
    return weights.stat().st_mtime if weights.exists() else float("inf")


def _train_options(step: Step) -> tuple[str, ...] | None:
    """Return the options with which a training starts or continues; None if it is complete."""
    from yolo.train.checkpoint import checkpoint_step

    checkpoint = step.result.with_suffix(".pt")
    if not checkpoint.exists():
        interrupted = step.result.parent.exists()  # before the first save: there are only logs
        return (*step.options, *(("--overwrite",) if interrupted else ()))
    if checkpoint_step(checkpoint) >= read_cfg(_option(step, "--cfg"))[0].integer("max_batches", 0):
        return None
    options = list(step.options)
    for name in ("--weights", "--cutoff"):
        if name in options:
            place = options.index(name)
            del options[place : place + 2]
    return (*options, "--resume", str(checkpoint))


def _check_options(out: Path, args: argparse.Namespace, cfg_name: str) -> None:
    """Note the options at the first start. Raise OutputError for other options at a later one."""
    wanted = ("folder", "base", "weights", "width", "height", "epochs", "split", "seed", "name")
    given = {name: value if isinstance(value, (int, float)) else value and str(value)
             for name, value in ((name, getattr(args, name)) for name in wanted)}  # fmt: skip
    given["folder"] = str(args.folder.resolve())
    path = out / OPTIONS_FILE
    if not path.exists():
        others = [out / name for name in (*WRITTEN, f"{cfg_name}.cfg") if (out / name).exists()]
        if others:
            raise OutputError(f"{others[0]}: found what `new` did not write, expected --out without it")
        write_text(path, json.dumps(given, indent=1) + "\n")
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        raise DatasetError(f"{path}: found no JSON, expected what `new` writes; delete the file") from None
    different = [name for name in given if given[name] != before.get(name)]
    if different:
        name = different[0]
        earlier, now = (_option_text(name, options.get(name)) for options in (before, given))
        raise OutputError(
            f"{out}: found a start with {earlier}, expected {now}; --out takes another folder for other options"
        )


def _option_text(name: str, value: object) -> str:
    if name == "folder":
        return f"DIR {value}"
    option = f"--{name.replace('_', '-')}"
    if value is None:
        return f"no {option}"
    return f"{option} {value:g}" if isinstance(value, float) else f"{option} {value}"


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="images and their annotations")
    add("--go", action="store_true", help="also train, score and draw, or continue after an interruption")
    add("--out", type=new_folder, metavar="OUT", help="output folder; default: NAME-detector")
    add("--name", type=data_set_name, metavar="NAME", help="of the cfg and the weights; default: the folder's name")
    add("--base", type=cfg_file, metavar="CFG", help="the network: a cfg, or the name of one in the package")
    add(
        "--weights", type=weights_file, metavar="FILE",
        help="start from these weights, with as many layers as fit: a file, or the name of a published model",
    )  # fmt: skip
    add("--width", type=whole_number(1), metavar="W", help="of the network input")
    add("--height", type=whole_number(1), metavar="H")
    add("--epochs", type=positive, metavar="N", help="passes over the training images")
    add("--split", type=split_fraction, metavar="F",
        help=f"fraction of the images to score on; default: DIR's own division, else {SCORED_FRACTION:g}")  # fmt: skip
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of --split; default 0")
    add(
        "--on-problem", choices=("stop", "skip"),
        help="for broken annotations and images: stop (default), or leave them out and list them",
    )  # fmt: skip
    add_device_option(parser)
    return parser.parse_args()
