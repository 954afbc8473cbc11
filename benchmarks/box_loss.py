"""Average precision by box loss and box gradient: a table of data sets, each the mean and range of some seeds.

The variants are mse, and giou and ciou with Darknet's own gradient and with the true one (`--box-gradient autograd`),
each with a suitable `iou_normalizer`: cfgs with an iou_loss have 0.07, tuned for Darknet's gradient, which is too small
for the true one. For each data set the cfg is made from --base (classes, anchors). A run has a burn_in of
a tenth of its steps and drops the rate at 80 % and 90 %; the network after the last step is scored.

Finished runs are kept in --results, so that a second start runs only the rest. --jobs trains several at a time.

example, some minutes on a CPU:
  python -m yolo make_shapes --out shapes --size 96x96 && python -m yolo convert_voc shapes --out shapes-data
  python benchmarks/box_loss.py --data shapes-data/*.data --base shapes --size 96x96 --steps 300 --seeds 1 --device cpu

example, on a GPU:
  python benchmarks/box_loss.py --data bccd/bccd.data coco/coco.data shapes/shapes.data --base yolov4-tiny \\
      --weights yolov4-tiny.weights --steps 1000 --seeds 3 --jobs 4 --device cuda --results box_loss.json
"""

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from terminaltables import AsciiTable

from yolo.cfg import parse_cfg
from yolo.console.option_types import cfg_file, pixel_size, positive, weights_file, whole_number
from yolo.console.options import add_device_option, add_workers_option
from yolo.console.run import run
from yolo.data_file import read_data
from yolo.errors import DivergedError
from yolo.files.writing import write_text
from yolo.names_file import read_names

BURN_IN, DROPS = 0.1, (0.8, 0.9)  # parts of the steps
METRICS = ("voc07", "area", "coco")
BATCH = 8  # images at a time when scoring


@dataclass(frozen=True)
class Variant:
    """A box loss, the gradient of its overlap, and the factor of the loss."""

    iou_loss: str
    gradient: str
    normalizer: float

    @property
    def name(self) -> str:
        gradient = "" if self.iou_loss == "mse" else f", {self.gradient}"
        return f"{self.iou_loss}{gradient}, normalizer {self.normalizer:g}"


@dataclass(frozen=True)
class Job:
    """The settings of one run. size: (height, width) or None for the base's."""

    data: str
    base: str
    size: tuple[int, int] | None
    weights: str | None
    variant: Variant
    seed: int
    steps: int
    device: str
    workers: int

    @property
    def key(self) -> str:
        """Return the name of the run in the file of results."""
        size = "x".join(map(str, self.size)) if self.size else "base"
        parts = (
            self.data,
            self.base,
            size,
            self.weights,
            self.variant.name,
            f"seed {self.seed}",
            f"{self.steps} steps",
        )
        return " | ".join(map(str, parts))


def main() -> None:
    args = _arguments()
    variants = [
        Variant("mse", "darknet", args.mse_normalizer),
        *(Variant(loss, "darknet", args.darknet_normalizer) for loss in ("giou", "ciou")),
        *(Variant(loss, "autograd", args.autograd_normalizer) for loss in ("giou", "ciou")),
    ]
    variants = [variant for variant in variants if variant.iou_loss in args.losses]
    jobs = [
        Job(
            str(data), str(args.base), args.size, str(args.weights) if args.weights else None, variant, seed,
            args.steps, args.device, args.workers,
        )
        for data in args.data for seed in range(args.seeds) for variant in variants
    ]  # fmt: skip
    done = json.loads(args.results.read_text()) if args.results.exists() else {}
    left = [job for job in jobs if job.key not in done]
    print(f"{len(jobs)} runs, {len(left)} of them to do", flush=True)
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        for future in as_completed({pool.submit(scores_of, job): job for job in left}):
            key, scores = future.result()
            done[key] = scores
            write_text(args.results, json.dumps(done, indent=1) + "\n")
            print(f"{len(done)}: {key}: {scores}", flush=True)
    for data in args.data:
        print(f"{data}\n{table([job for job in jobs if job.data == str(data)], done)}")


def scores_of(job: Job) -> tuple[str, dict[str, float]]:
    """Train, and return the key of the run and its scores, 0 for a run that diverges."""
    from yolo.train.setup.fitted_cfg import FitOptions, fitted_cfg
    from yolo.train.setup.options import Learning, Machine, Options, Output, StartPoint
    from yolo.train.setup.run import start
    from yolo.train.trainer import train

    with tempfile.TemporaryDirectory() as folder:
        cfg = Path(folder) / "network.cfg"
        text = fitted_cfg(job.base, read_data(job.data), FitOptions(size=job.size, epochs=1)).text
        write_text(cfg, text)
        options = Options(
            cfg=cfg,
            data=Path(job.data),
            overrides=tuple(_overrides(text, job).items()),
            skip_problems=True,
            start=StartPoint(Path(job.weights) if job.weights else None, find_cutoff=True, seed=job.seed),
            learning=Learning(box_gradient=job.variant.gradient),
            machine=Machine(job.device, job.workers),
            output=Output(out=Path(folder), map_every=10**9),
        )
        training = start(options)
        try:
            train(training)
        except DivergedError as error:
            print(f"{job.key}: {error}", flush=True)
            return job.key, dict.fromkeys(METRICS, 0.0)
        finally:
            training.logger.close()
        return job.key, _scores(training.network, job)


def _overrides(text: str, job: Job) -> dict[str, str]:
    """Return the values that replace those of the cfg."""
    heads = {section.kind for section in parse_cfg(text, "cfg") if section.kind in ("yolo", "Gaussian_yolo")}
    values = {
        "max_batches": str(job.steps), "burn_in": str(round(BURN_IN * job.steps)), "policy": "steps",
        "steps": ",".join(str(round(part * job.steps)) for part in DROPS), "scales": ".1,.1",
    }  # fmt: skip
    for head in heads:
        values[f"{head}.iou_loss"] = job.variant.iou_loss
        values[f"{head}.iou_normalizer"] = f"{job.variant.normalizer:g}"
    return values


def _scores(network, job: Job) -> dict[str, float]:
    from yolo.data.check import check_list
    from yolo.detect.detector import Detector
    from yolo.evaluate.evaluator import detections_of, evaluation_of
    from yolo.evaluate.metrics.coco import coco_score
    from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH, MAP_SCORE_THRESH
    from yolo.evaluate.metrics.voc import mean_ap, voc_scores

    data = read_data(job.data)
    names = read_names(data.names)
    images = check_list(data.valid, network.classes, network.input.channels, data.difficult).images
    detector = Detector(network.eval(), names, MAP_SCORE_THRESH, MAP_NMS_THRESH, letterbox=network.letterboxed)
    evaluation = evaluation_of(names, images, detections_of(detector, images, BATCH, job.workers))
    scores = voc_scores(evaluation)
    values = (
        mean_ap(score.voc07_ap for score in scores), mean_ap(score.area_ap for score in scores),
        coco_score(evaluation).ap,
    )  # fmt: skip
    return {name: round(value or 0.0, 4) for name, value in zip(METRICS, values, strict=True)}


def table(jobs: Sequence[Job], done: dict[str, dict[str, float]]) -> str:
    """Return a table of a data set: a row for each variant, the mean of the seeds and their range."""
    rows = []
    for variant in dict.fromkeys(job.variant for job in jobs):
        found = [done[job.key] for job in jobs if job.variant == variant]
        rows.append([variant.name, *(_summary([scores[metric] for scores in found]) for metric in METRICS)])
    return AsciiTable([["box loss, gradient", *(f"AP {metric}" for metric in METRICS)], *rows]).table


def _summary(values: Sequence[float]) -> str:
    text = f"{mean(values):.3f}"
    return text if len(values) == 1 else f"{text} ({min(values):.3f} to {max(values):.3f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="FILE", help="Darknet's .data files, with valid lists")
    add("--base", type=cfg_file, required=True, metavar="CFG", help="the cfg to fit to each data set")
    add("--size", type=pixel_size, metavar="WxH", help="of the network input; default: the base's")
    add("--weights", type=weights_file, metavar="FILE", help="of a backbone or a detector of other classes")
    add("--steps", type=whole_number(1), default=1000, metavar="N", help="of each run; default 1000")
    add("--seeds", type=whole_number(1), default=3, metavar="N", help="runs of each variant; default 3")
    losses = ("mse", "giou", "ciou")
    add("--losses", nargs="+", choices=losses, default=losses, metavar="LOSS", help="default: mse giou ciou")
    add("--jobs", type=whole_number(1), default=1, metavar="N", help="runs at a time; default 1")
    add("--results", type=Path, default=Path("box_loss.json"), metavar="FILE", help="finished runs; continued")
    normalizers = (("mse", 0.75), ("darknet", 0.07), ("autograd", 0.75))  # Darknet's default; yolov4.cfg; measured
    for name, default in normalizers:
        add(f"--{name}-normalizer", type=positive, default=default, metavar="F", help=f"default {default}")
    add_device_option(parser)
    add_workers_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
