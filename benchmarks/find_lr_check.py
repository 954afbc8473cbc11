"""Check the rate that `find_lr` suggests: short runs with it and with the cfg's rate, from three kinds of weights.

nothing   random weights
backbone  the layers of --weights that the network can take (`--cutoff auto`)
detector  the network that the run from the backbone (without --weights: from nothing) ended with, trained again

Each run has a burn_in of a tenth of its steps and drops the rate at 80 % and 90 %, as `make_cfg` writes it. The cfg is
made from --base for the data set. A good suggestion reaches about the mAP of the cfg's rate, or more: the ratio of
both is the last column, and the bound is 0.9.

example, some minutes on a CPU:
  python -m yolo make_shapes --out shapes --size 96x96 && python -m yolo convert_voc shapes --out shapes-data
  python benchmarks/find_lr_check.py --data shapes-data/*.data --base shapes --size 96x96 --steps 300 --device cpu

example, on a GPU:
  python benchmarks/find_lr_check.py --data bccd/bccd.data --base yolov4-tiny --weights yolov4-tiny.weights \\
      --steps 600 --device cuda
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from terminaltables import AsciiTable

from yolo.cfg import read_cfg
from yolo.console.option_types import cfg_file, pixel_size, weights_file, whole_number
from yolo.console.options import add_device_option, add_workers_option
from yolo.console.run import run
from yolo.data_file import read_data
from yolo.errors import DivergedError
from yolo.files.writing import write_text
from yolo.train.lr_finder import Suggestion, rising_rates, suggest, sweep_rates, sweep_table
from yolo.train.setup.fitted_cfg import FitOptions, fitted_cfg
from yolo.train.setup.options import Machine, Options, Output, StartPoint
from yolo.train.setup.run import start
from yolo.train.trainer import train

BOUND = 0.9
BURN_IN, DROPS = 0.1, (0.8, 0.9)  # parts of the steps


@dataclass(frozen=True)
class Result:
    """A set-up: the suggested rate, None without one, the cfg's, and the mAP that each reached."""

    name: str
    suggested: float | None
    usual: float
    with_suggested: float
    with_usual: float


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        print(table(list(check(args, Path(folder)))))


def check(args: argparse.Namespace, folder: Path) -> Iterator[Result]:
    """Yield the result of each set-up."""
    cfg = folder / "network.cfg"
    data = read_data(args.data)
    write_text(cfg, fitted_cfg(args.base, data, FitOptions(size=args.size, epochs=1)).text)
    usual = read_cfg(cfg)[0].number("learning_rate", 0.001)
    options = Options(cfg=cfg, data=args.data, machine=Machine(args.device, args.workers))
    last = folder / "nothing-usual" / "network_last.weights"
    starts = {"nothing": StartPoint(seed=args.seed)}
    if args.weights:
        starts["backbone"] = StartPoint(args.weights, find_cutoff=True, seed=args.seed)
        last = folder / "backbone-usual" / "network_last.weights"
    starts["detector"] = StartPoint(last, clear=True, seed=args.seed + 1)
    for name, start_point in starts.items():
        set_up = replace(options, start=start_point)
        suggestion = found_rate(set_up, args.sweep_steps)
        print(f"{name}: {suggestion.rate}: {suggestion.reason}", flush=True)
        rates = {"usual": usual, "suggested": suggestion.rate}
        reached = {
            which: trained(set_up, rate, args.steps, folder / f"{name}-{which}") if rate else 0.0
            for which, rate in rates.items()
        }
        print(
            f"{name}: mAP {reached['suggested']:.3f} with {suggestion.rate}, {reached['usual']:.3f} with {usual}",
            flush=True,
        )
        yield Result(name, suggestion.rate, usual, reached["suggested"], reached["usual"])


def found_rate(options: Options, steps: int) -> Suggestion:
    """Return what `find_lr` suggests, and print its table."""
    swept = sweep_rates(replace(options, overrides=(("max_batches", str(steps)),)), rising_rates(1e-6, 1.0, steps))
    print(sweep_table(swept))
    return suggest(swept)


def trained(options: Options, rate: float, steps: int, folder: Path) -> float:
    """Train with a rate, and return the mAP (voc07) after the last step; 0 for a run that diverges."""
    schedule = {
        "learning_rate": f"{rate:g}", "max_batches": str(steps), "burn_in": str(round(BURN_IN * steps)),
        "policy": "steps", "steps": ",".join(str(round(part * steps)) for part in DROPS), "scales": ".1,.1",
    }  # fmt: skip
    output = Output(out=folder, map_every=10**9)  # scored once, after the last step
    training = start(replace(options, overrides=tuple(schedule.items()), output=output))
    try:
        train(training)
    except DivergedError as error:
        print(error)
        return 0.0
    finally:
        training.logger.close()
    return max(0.0, training.progress.best_map)


def table(results: list[Result]) -> str:
    rows = [
        (each.name, f"{each.suggested or 0:g}", f"{each.usual:g}", f"{each.with_suggested:.3f}",
         f"{each.with_usual:.3f}",
         f"{each.with_suggested / each.with_usual:.2f}" if each.with_usual else "-")
        for each in results
    ]  # fmt: skip
    titles = ("from", "suggested", "the cfg's", "mAP with it", "mAP with the cfg's", f"ratio (bound {BOUND})")
    return AsciiTable([titles, *rows]).table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file, with a valid list")
    add("--base", type=cfg_file, required=True, metavar="CFG", help="the cfg to fit to the data set")
    add("--size", type=pixel_size, metavar="WxH", help="of the network input; default: the base's")
    add("--weights", type=weights_file, metavar="FILE", help="of a backbone or a detector of other classes")
    add("--steps", type=whole_number(1), default=300, metavar="N", help="of each run; default 300")
    add("--sweep-steps", type=whole_number(2), default=100, metavar="N", help="of find_lr; default 100")
    add("--seed", type=whole_number(0), default=0, metavar="N")
    add_device_option(parser)
    add_workers_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
