"""The fraction of images with wrong labels that `top-losses` puts first: a table of rankings, and two bounds.

Some labels of the train list are made wrong, the network is trained on them, as by a user who is not aware of them, and
the train list is ranked. A wrong label is moved to where it overlaps its object by less than
MOVED_IOU, renamed, or removed, in turn. Two ways of being wrong:

- careless: FRACTION of all labels are wrong, and they are in few images, half of the labels of each, as those of one
  careless annotator. (Spread evenly over 205 images of BCCD they would be in half of the images, and no order of all
  images could put them first.)
- slips: FRACTION of the images have one wrong label each. The others are the labels as they were, with what is
  wrong with these.

One draw of wrong labels is few images. So the same network also ranks the list with other draws, of which it has seen
the correct labels: more images, and the figures of each kind of mistake.

Images whose labels are wrong from the start compete with those that are made wrong: --leave-out leaves them out of the
ranking, though not of the training.

The bounds: images in a random order find 15 % in the first 15 %; a ranking by the wrong labels themselves finds all.

example, half an hour on a core:
  yolo-darknet convert_voc --train BCCD:train --valid BCCD:test --out bccd
  python benchmarks/label_errors.py --data bccd/voc.data --base yolo-fastest-1.1.cfg --out label-errors \\
      --weights yolo-fastest-1.1.weights --draws 20
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import numpy as np
from terminaltables import AsciiTable

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.cfg import read_cfg
from yolo.console.option_types import cfg_file, fraction, weights_file, whole_number
from yolo.console.options import add_device_option, add_workers_option
from yolo.console.run import run
from yolo.data.check import check_list
from yolo.data.labeled_images import LabeledImage
from yolo.data_file import read_data
from yolo.defaults import LOSS_PARTS, SCORE_THRESH
from yolo.detect.detector import Detector
from yolo.explain.loss.ranking import RawBatch, losses_of, raw_batches
from yolo.files.writing import write_text
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.names_file import read_names
from yolo.records import LabeledBoxes
from yolo.train.losses.detection import DetectionLoss

FRACTION = 0.05  # of the labels (careless), or of the images (slips)
CARELESS_FRACTION = 0.5  # of the labels of a careless image
MOVED_IOU = 0.3  # a moved box overlaps its object by less
KINDS = ("moved", "renamed", "removed")
SCENES = ("careless", "slips")
BURN_IN, DROPS = 0.1, (0.8, 0.9)  # parts of the steps
BATCH = 8
RATE = 0.0005  # with .001, yolo-fastest's, a run with a short burn_in diverges
BOX_LOSS = {"iou_loss": "mse", "iou_normalizer": "0.75"}
CHANNELS = 3
FIRST = 0.15  # of the images
SIZE = 256  # of the network input, width and height


def chosen_labels(counts: Sequence[int], scene: str, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Return which labels become wrong: image → positions among its labels.

    counts: the number of labels of each image; scene: one of SCENES.
    """
    order = [int(image) for image in rng.permutation(len(counts)) if counts[image]]
    if scene == "slips":
        return {image: rng.integers(counts[image], size=1) for image in order[: round(FRACTION * len(counts))]}
    left, chosen = round(FRACTION * sum(counts)), {}
    for image in order:
        many = min(left, int(np.ceil(CARELESS_FRACTION * counts[image])))
        if many:
            chosen[image] = rng.permutation(counts[image])[:many]
        left -= many
    return chosen


def corrupted(boxes: LabeledBoxes, wrong: dict[int, str], classes: int, rng: np.random.Generator) -> LabeledBoxes:
    """Return the labels of an image with some of them wrong. wrong: position → kind of the fault."""
    labels, places = boxes.labels.copy(), boxes.boxes.copy()
    kept = np.ones(len(labels), bool)
    for position, kind in wrong.items():
        if kind == "renamed":
            labels[position] = (labels[position] + rng.integers(1, classes)) % classes
        elif kind == "moved":
            places[position, :2] = moved_center(places[position], rng)
        else:
            kept[position] = False
    return LabeledBoxes(labels[kept], places[kept])


def moved_center(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return another center for a box cxcywh in 0..1, inside the image, with an IoU below MOVED_IOU."""
    import torch

    half = box[2:] / 2
    while True:
        center = rng.uniform(np.minimum(half, 0.5), np.maximum(1 - half, 0.5))
        pair = torch.from_numpy(np.stack((box, np.concatenate((center, box[2:])))))
        # A box of nearly the size of the image has no such place: it goes anywhere
        if paired_iou(*cxcywh_to_xyxy(pair)) < MOVED_IOU or (box[2:] > 1 - MOVED_IOU).all():
            return center


def with_wrong_labels(
    images: Sequence[LabeledImage], classes: int, scene: str, seed: int
) -> tuple[list[LabeledImage], list[dict[int, str]]]:
    """Return the images with wrong labels, and what is wrong with each: position among its labels → kind.

    Args:
        images: with correct labels.
        classes: how many.
        scene: one of SCENES.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    chosen = chosen_labels([len(image.ground_truth.labels) for image in images], scene, rng)
    kinds = cycle(KINDS)
    wrong = [{int(position): next(kinds) for position in chosen.get(index, ())} for index in range(len(images))]
    found = [
        replace(image, ground_truth=corrupted(image.ground_truth, faults, classes, rng))
        for image, faults in zip(images, wrong, strict=True)
    ]
    return found, wrong


def write_wrong_data(
    images: Sequence[LabeledImage], names: Sequence[str], valid: Path, scene: str, seed: int, out: Path
) -> None:
    """Write a data set with wrong labels to `out`: links to images, label files, lists, what is wrong, `wrong.data`.

    Args:
        images: with correct labels.
        names: of the classes.
        valid: the list of images to score.
        scene: one of SCENES.
        seed: of the wrong labels.
        out: the folder.
    """
    found, wrong = with_wrong_labels(images, len(names), scene, seed)
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for image in found:
        rows = zip(image.ground_truth.labels.tolist(), image.ground_truth.boxes.tolist(), strict=True)
        lines = [f"{label} {' '.join(f'{value:.6f}' for value in box)}\n" for label, box in rows]
        write_text(out / "labels" / f"{image.path.stem}.txt", "".join(lines))
        link = out / "images" / image.path.name
        link.unlink(missing_ok=True)
        link.symlink_to(image.path.resolve())
    record = {
        image.path.name: {str(position): kind for position, kind in faults.items()}
        for image, faults in zip(images, wrong, strict=True) if faults
    }  # fmt: skip
    write_text(out / "train.txt", "".join(f"{(out / 'images' / image.path.name).absolute()}\n" for image in images))
    write_text(out / "names.txt", "".join(f"{name}\n" for name in names))
    values = {
        "classes": len(names), "train": (out / "train.txt").absolute(), "valid": valid.absolute(),
        "names": (out / "names.txt").absolute(), "backup": (out / "run").absolute(),
    }  # fmt: skip
    write_text(out / "wrong.data", "".join(f"{key} = {value}\n" for key, value in values.items()))
    write_text(out / "wrong.json", json.dumps(record, indent=1) + "\n")


def box_loss_overrides(cfg: Path) -> dict[str, str]:
    """Return overrides of a cfg that give its heads the box loss BOX_LOSS."""
    heads = {section.kind for section in read_cfg(cfg) if section.kind in ("yolo", "Gaussian_yolo")}
    return {f"{head}.{key}": value for head in heads for key, value in BOX_LOSS.items()}


def train_on(out: Path, args: argparse.Namespace) -> None:
    """Train a cfg fitted to `out/wrong.data`, and write `out/network.cfg` and `out/run/network_last.weights`."""
    from yolo.train.setup.fitted_cfg import FitOptions, fitted_cfg
    from yolo.train.setup.options import Machine, Options, Output, StartPoint
    from yolo.train.setup.run import start
    from yolo.train.trainer import train

    data, cfg = out / "wrong.data", out / "network.cfg"
    text = fitted_cfg(str(args.base), read_data(data), FitOptions(size=(args.size, args.size), epochs=1)).text
    write_text(cfg, text)
    overrides = {
        "batch": str(BATCH), "subdivisions": "1", "max_batches": str(args.steps),
        "burn_in": str(round(BURN_IN * args.steps)),
        "policy": "steps", "steps": ",".join(str(round(part * args.steps)) for part in DROPS), "scales": ".1,.1",
        "learning_rate": str(RATE),
        **box_loss_overrides(cfg),
    }  # fmt: skip
    options = Options(
        cfg=cfg,
        data=data,
        overrides=tuple(overrides.items()),
        skip_problems=True,
        start=StartPoint(args.weights, find_cutoff=True),
        machine=Machine(args.device, args.workers),
        output=Output(out=out / "run", map_every=10**9, overwrite=True),
    )
    training = start(options)
    try:
        train(training)
    finally:
        training.logger.close()


def main() -> None:
    args = _arguments()
    data = read_data(args.data)
    names = read_names(data.names)
    everything = check_list(data.train, len(names), CHANNELS).images
    left_out = set(args.leave_out.read_text().split()) if args.leave_out else set()
    images = [image for image in everything if image.path.name not in left_out]
    for scene in args.scenes:
        out = args.out / scene
        if not (out / "run" / "network_last.weights").exists():
            write_wrong_data(everything, names, Path(data.valid), scene, args.seed, out)
            train_on(out, args)
        ranker = Ranker.of(out, images, args.threshold, args.workers)
        wrong = json.loads((out / "wrong.json").read_text())
        chosen = {image.path.name for image in images}
        listed = check_list(out / "train.txt", len(names), CHANNELS).images
        seen = [image for image in listed if image.path.name in chosen]
        print(f"{scene}, trained on the wrong labels")
        print(table_of([ranker.found(seen, [wrong.get(image.path.name, {}) for image in seen])]), flush=True)
        seeds = range(args.seed + 1, args.seed + 1 + args.draws)
        draws = (with_wrong_labels(images, len(names), scene, seed) for seed in seeds)
        if found := [ranker.found(*draw) for draw in draws]:
            print(f"{scene}, {args.draws} other draws of wrong labels")
            print(table_of(found))


@dataclass(frozen=True)
class Found:
    """What one ranking of one draw has in its first FIRST. kinds: of each wrong image, its kinds of mistakes.

    is_first: whether it is there; needed: the fraction of the ranking that holds 80 % of them.
    """

    kinds: tuple[frozenset[str], ...]
    is_first: tuple[bool, ...]
    needed: float


@dataclass(frozen=True)
class Ranker:
    """A trained network, and its results for a list of images."""

    detector: Detector
    loss: DetectionLoss
    batches: list[RawBatch]
    trained_on: int

    @classmethod
    def of(cls, out: Path, images: Sequence[LabeledImage], threshold: float, workers: int) -> "Ranker":
        """Load the network of a folder, and let it compute images."""
        cfg = out / "network.cfg"
        network = Network.from_cfg(cfg, overrides=box_loss_overrides(cfg))
        seen = load_weights(network, out / "run" / "network_last.weights").seen
        detector = Detector(network, read_names(out / "names.txt"), threshold)
        batches = list(raw_batches(detector, images, BATCH, workers))
        return cls(detector, DetectionLoss(network), batches, seen)

    def found(self, images: Sequence[LabeledImage], wrong: Sequence[Mapping]) -> dict[str, Found]:
        """Rank images. wrong: the mistakes of each. Returns: ranking → result."""
        losses = losses_of(self.batches, self.detector, self.loss, images, self.trained_on)
        first = round(FIRST * len(images))
        results = {}
        for part in LOSS_PARTS:
            order = losses.ranked(part).tolist()
            places = [place for place, image in enumerate(order) if wrong[image]]
            needed = places[int(np.ceil(0.8 * len(places))) - 1] + 1
            results[part] = Found(
                tuple(frozenset(wrong[order[place]].values()) for place in places),
                tuple(place < first for place in places),
                needed / len(images),
            )
        return results


def table_of(draws: Sequence[dict[str, Found]]) -> str:
    """Return the part of the images with wrong labels that is in the first FIRST of each ranking.

    draws: the results of each draw. Of several: the mean and the standard deviation over the draws. Of each kind: the
    part of the images of all draws that have this one kind of mistake.
    """
    rows = []
    for part in draws[0]:
        parts = np.array([np.mean(draw[part].is_first) for draw in draws])
        every = [pair for draw in draws for pair in zip(draw[part].kinds, draw[part].is_first, strict=True)]
        alone = [[first for kinds, first in every if kinds == {kind}] for kind in KINDS]
        spread = f" ± {parts.std(ddof=1):.2f}" if len(draws) > 1 else ""
        rows.append((
            part,
            f"{sum(first for _, first in every)} of {len(every)}",
            f"{parts.mean():.2f}{spread}",
            *(f"{np.mean(each):.2f}" if each else "-" for each in alone),
            f"{np.median([draw[part].needed for draw in draws]):.2f}",
        ))  # fmt: skip
    bounds = ("a random order", "", f"{FIRST:.2f}", *[f"{FIRST:.2f}"] * len(KINDS), "0.80")
    header = ("by", f"in the first {FIRST:.0%}", "fraction", *KINDS, "80 % in the first")
    return AsciiTable([header, *rows, bounds]).table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file, with correct labels")
    add("--base", type=cfg_file, required=True, metavar="CFG", help="the cfg to fit to the data")
    add("--weights", type=weights_file, metavar="FILE", help="of a backbone or a detector of other classes")
    add("--steps", type=whole_number(1), default=450, metavar="N", help="of 8 images; default 450")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of the wrong labels; default 0")
    add("--draws", type=whole_number(0), default=0, metavar="N", help="other draws of wrong labels; default none")
    add(
        "--leave-out", type=Path, metavar="FILE",
        help="names of images that are not ranked, such as those with mistakes of their own",
    )  # fmt: skip
    add("--size", type=whole_number(32), default=SIZE, metavar="PIXELS", help=f"of the network; default {SIZE}")
    add(
        "--threshold", type=fraction, default=SCORE_THRESH, metavar="SCORE",
        help=f"lowest score of the detections; default {SCORE_THRESH:g}",
    )  # fmt: skip
    add("--scenes", nargs="+", choices=SCENES, default=SCENES, metavar="SCENE", help="default: careless slips")
    add("--out", type=Path, required=True, metavar="DIR", help="data and runs; a run that is there is used again")
    add_device_option(parser)
    add_workers_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
