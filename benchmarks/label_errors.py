"""How many images with wrong labels `top-losses` puts first: a table of ways to rank, and two bounds of the same run.

Some labels of the train list are made wrong, the network is trained on them as a user would have it, who does not
know of them, and the train list is ranked by its loss. A wrong label is moved to where it overlaps its object by less
than MOVED_IOU, renamed, or removed, in turn. Two ways of being wrong:

- careless: FRACTION of all labels are wrong, and they lie in few images, half of the labels of each, as where one
  annotator was careless. (Spread evenly over 205 images of BCCD they would lie in half of the images, and no order of
  all images could put them first.)
- slips: FRACTION of the images have one wrong label each. The others are the labels as they were, with whatever is
  wrong with these.

The bounds: images in a random order find 15 % in the first 15 %; a ranking by the wrong labels themselves finds all.

example, half an hour on a core:
  yolo-darknet convert_voc --train BCCD:train --valid BCCD:test --out bccd
  python benchmarks/label_errors.py --data bccd/voc.data --base yolo-fastest-1.1.cfg --out label-errors \\
      --weights yolo-fastest-1.1.weights
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
from terminaltables import AsciiTable

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.cfg import parse_cfg, read_data, read_names
from yolo.console import add_device_option, add_workers_option, cfg_file, run, weights_file, whole_number
from yolo.data.check import check_list
from yolo.data.labeled_images import LabeledImage
from yolo.defaults import LOSS_PARTS
from yolo.files import write_text
from yolo.records import LabeledBoxes

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
SCORE_THRESH = 0.05  # a detection with a lower score does not speak against the labels
FIRST = 0.15  # of the images
SIZE = (256, 256)  # of the network input


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


def write_wrong_data(
    images: Sequence[LabeledImage], names: Sequence[str], valid: Path, scene: str, seed: int, out: Path
) -> dict[str, dict[str, str]]:
    """Write a data set with wrong labels to `out`: links to the images, label files, lists, `wrong.data`.

    Returns:
        The wrong labels: image's name → position among its labels → kind.
    """
    rng = np.random.default_rng(seed)
    chosen = chosen_labels([len(image.ground_truth.labels) for image in images], scene, rng)
    kinds, record = cycle(KINDS), {}
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        wrong = {int(position): next(kinds) for position in chosen.get(index, ())}
        if wrong:
            record[image.path.name] = {str(position): kind for position, kind in wrong.items()}
        found = corrupted(image.ground_truth, wrong, len(names), rng)
        rows = zip(found.labels.tolist(), found.boxes.tolist(), strict=True)
        lines = [f"{label} {' '.join(f'{value:.6f}' for value in box)}\n" for label, box in rows]
        write_text(out / "labels" / f"{image.path.stem}.txt", "".join(lines))
        link = out / "images" / image.path.name
        link.unlink(missing_ok=True)
        link.symlink_to(image.path.resolve())
    write_text(out / "train.txt", "".join(f"{(out / 'images' / image.path.name).absolute()}\n" for image in images))
    write_text(out / "names.txt", "".join(f"{name}\n" for name in names))
    values = {
        "classes": len(names), "train": (out / "train.txt").absolute(), "valid": valid.absolute(),
        "names": (out / "names.txt").absolute(), "backup": (out / "run").absolute(),
    }  # fmt: skip
    write_text(out / "wrong.data", "".join(f"{key} = {value}\n" for key, value in values.items()))
    write_text(out / "wrong.json", json.dumps(record, indent=1) + "\n")
    return record


def train_on(out: Path, base: Path, weights: Path | None, steps: int, device: str, workers: int) -> None:
    """Train a cfg fitted to `out/wrong.data`, and write `out/network.cfg` and `out/run/network_last.weights`."""
    from yolo.train.setup.fitted_cfg import FitOptions, fitted_cfg
    from yolo.train.setup.options import Machine, Options, Output, StartPoint
    from yolo.train.setup.run import start
    from yolo.train.trainer import train

    data, cfg = out / "wrong.data", out / "network.cfg"
    text = fitted_cfg(str(base), read_data(data), FitOptions(size=SIZE, epochs=1)).text
    write_text(cfg, text)
    heads = {section.kind for section in parse_cfg(text, "cfg") if section.kind in ("yolo", "Gaussian_yolo")}
    boxes = {f"{head}.{key}": value for head in heads for key, value in BOX_LOSS.items()}
    overrides = {
        "batch": str(BATCH), "subdivisions": "1", "max_batches": str(steps), "burn_in": str(round(BURN_IN * steps)),
        "policy": "steps", "steps": ",".join(str(round(part * steps)) for part in DROPS), "scales": ".1,.1",
        "learning_rate": str(RATE),
        **boxes,
    }  # fmt: skip
    options = Options(
        cfg=cfg,
        data=data,
        overrides=tuple(overrides.items()),
        skip_problems=True,
        start=StartPoint(weights, find_cutoff=True),
        machine=Machine(device, workers),
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
    images = check_list(data.train, len(names), CHANNELS).images
    for scene in args.scenes:
        out = args.out / scene
        if not (out / "run" / "network_last.weights").exists():
            write_wrong_data(images, names, Path(data.valid), scene, args.seed, out)
            train_on(out, args.base, args.weights, args.steps, args.device, args.workers)
        print(ranking_table(scene, out, args.workers))


def ranking_table(scene: str, out: Path, workers: int) -> str:
    """Return how many of the images with wrong labels are in the first FIRST of each ranking of the train list."""
    from yolo.detect.detector import Detector
    from yolo.explain.loss.ranking import image_losses
    from yolo.model.heads.yolo import YoloSettings, with_iou_loss
    from yolo.model.network import Network
    from yolo.model.weights import load_weights
    from yolo.train.losses.detection import DetectionLoss

    network = Network.from_cfg(out / "network.cfg")
    seen = load_weights(network, out / "run" / "network_last.weights").seen
    images = check_list(out / "train.txt", network.classes, CHANNELS).images
    record = json.loads((out / "wrong.json").read_text())
    is_wrong = np.array([image.path.name in record for image in images])
    settings = [
        replace(with_iou_loss(each, BOX_LOSS["iou_loss"]), iou_normalizer=float(BOX_LOSS["iou_normalizer"]))
        if isinstance(each, YoloSettings) else each for each in network.head_settings
    ]  # fmt: skip
    detector = Detector(network, read_names(out / "names.txt"), SCORE_THRESH)
    loss = DetectionLoss(network, head_settings=settings)
    losses = image_losses(detector, loss, images, seen=seen, batch=BATCH, workers=workers)
    first = round(FIRST * len(images))
    rows = [_row(part, is_wrong[losses.ranked(part)], first) for part in LOSS_PARTS]
    bounds = (
        ("a random order", round(is_wrong.sum() * FIRST, 1), f"{FIRST:.2f}", "0.80"),
        ("the wrong labels", is_wrong.sum(), "1.00", f"{0.8 * is_wrong.mean():.2f}"),
    )
    faults = sum(len(each) for each in record.values())
    objects = sum(len(image.ground_truth.labels) for image in images)
    header = (f"{scene}: by", f"in the first {FIRST:.0%}", "fraction", "80 % in the first")
    title = f"{faults} wrong labels of {objects} in {is_wrong.sum()} of {len(images)} images"
    return f"{title}\n{AsciiTable([header, *rows, *bounds]).table}"


def _row(part: str, ranked: np.ndarray, first: int) -> tuple[str, str, str, str]:
    """ranked: bool `[I]`, whether each image has a wrong label, in the order of the ranking."""
    found, needed = int(ranked[:first].sum()), int(np.ceil(0.8 * ranked.sum()))
    place = int(np.flatnonzero(ranked)[needed - 1]) + 1
    return part, f"{found} of {ranked.sum()}", f"{found / ranked.sum():.2f}", f"{place / len(ranked):.2f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file, with correct labels")
    add("--base", type=cfg_file, required=True, metavar="CFG", help="the cfg to fit to the data")
    add("--weights", type=weights_file, metavar="FILE", help="of a backbone or a detector of other classes")
    add("--steps", type=whole_number(1), default=450, metavar="N", help="of 8 images; default 450")
    add("--seed", type=whole_number(0), default=0, metavar="N", help="of the wrong labels; default 0")
    add("--scenes", nargs="+", choices=SCENES, default=SCENES, metavar="SCENE", help="default: careless slips")
    add("--out", type=Path, required=True, metavar="DIR", help="data and runs; a run that is there is used again")
    add_device_option(parser)
    add_workers_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
