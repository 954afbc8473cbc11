"""The fraction of the gradient of the raw maps that comes from easy background, with and without a focal loss.

Images of a list are labeled batches without augmentation. The network is measured as given, and with weights as drawn
at the start of a training, where objectness is about a half. Each row is a fraction of |d loss / d raw value|. The
bound of the same run is the fraction of the cells: with equal weights of all cells, the fraction of the gradient is the
same.

example:
  python benchmarks/easy_negatives.py --cfg my.cfg --weights voc/backup/my_best.weights --data voc/voc.data
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from terminaltables import AsciiTable

from yolo.console.option_types import whole_number
from yolo.console.options import add_cfg_option, add_weights_option
from yolo.console.run import run
from yolo.data.check import check_list
from yolo.data.dataset import EvaluationImages, evaluation_loader
from yolo.data_file import read_data
from yolo.explain.loss.gradient import EASY, GradientFractions, gradient_fractions
from yolo.explain.loss.placed import placed_targets
from yolo.letterbox import stretched
from yolo.model.heads.yolo import YoloSettings
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.train.losses.detection import DetectionLoss

BATCH = 8


def main() -> None:
    args = _arguments()
    data = read_data(args.data)
    fresh, trained = Network.from_cfg(args.cfg), Network.from_cfg(args.cfg)
    torch.manual_seed(0)
    fresh.draw_weights()
    load_weights(trained, args.weights)
    images = check_list(data.train, trained.classes, trained.input.channels).images
    size = trained.input.height, trained.input.width
    dataset = EvaluationImages(images[: args.images], size, trained.input.channels, stretched)
    rows = []
    for name, network, focal in (
        ("as drawn", fresh, False), ("trained", trained, False), ("trained, focal_loss=1", trained, True),
    ):  # fmt: skip
        settings = [
            replace(each, focal_loss=focal) if isinstance(each, YoloSettings) else each
            for each in network.head_settings
        ]
        loss = DetectionLoss(network, head_settings=settings)
        found = [
            measured(network.train() if network is fresh else network.eval(), loss, images, start, part)
            for start, part in _batches(dataset)
        ]
        rows.append([name, *_fractions(found)])
    header = ["network", "box", "classes", "objects", "hard background", f"easy (< {EASY:g})", "easy of objectness",
              "easy, focused", "easy cells"]  # fmt: skip
    print(AsciiTable([header, *rows]).table)


def measured(network: Network, loss: DetectionLoss, images, start: int, part) -> GradientFractions:
    """Return the fractions of one batch. part: inputs and placements."""
    inputs, placements = part
    targets = placed_targets([images[start + at].ground_truth for at in range(len(inputs))], placements)
    with torch.no_grad():
        raw = network(inputs)
    return gradient_fractions(loss, raw, targets, seen=10**6)


def _batches(dataset: EvaluationImages):
    start = 0
    for part in evaluation_loader(dataset, BATCH, 0):
        yield start, part
        start += len(part[0])


def _fractions(found: list[GradientFractions]) -> list[str]:
    total = sum(each.total for each in found)
    objectness = sum(each.objectness for each in found)
    focused = [sum(each.focused[group] for each in found) for group in range(4)]
    easy = sum(each.easy for each in found)
    parts = [sum(getattr(each, name) for each in found) for name in ("box", "classes", "responsible", "hard", "easy")]
    cells = sum(each.cells for each in found) / sum(each.all_cells for each in found)
    return [
        *(f"{part / total:.1%}" for part in parts),
        f"{easy / objectness:.1%}",
        f"{focused[3] / sum(focused):.2%}",
        f"{cells:.1%}",
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_cfg_option(parser)
    add_weights_option(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="Darknet's .data file")
    parser.add_argument("--images", type=whole_number(1), default=64, metavar="N", help="of the train list; default 64")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
