"""Classify images: print the most probable classes of each as Darknet does, or write them as JSON (--json).

--model runs a file of `yolo-darknet export`, which contains the class names and how images are resized.

example, as pjreddie's `darknet classifier predict imagenet1k.data darknet19.cfg darknet19.weights dog.jpg`:
  yolo-darknet classify --cfg darknet19 --weights weights/darknet19.weights \\
      --names imagenet.shortnames.list --dialect pjreddie dog.jpg
an exported one:
  yolo-darknet classify --model darknet19.onnx dog.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser, files_first
from yolo.console.option_types import new_file, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_max_pixels_option,
    add_names_option,
    add_set_option,
    add_weights_option,
    check_one_network,
)
from yolo.console.progress import progress
from yolo.defaults import DIALECT_NAMES, TOP_CLASSES
from yolo.errors import CfgError, DatasetError, counted
from yolo.files.outputs import refuse_texts_over
from yolo.files.text import one_line
from yolo.files.writing import write_text
from yolo.named_files import find_names
from yolo.names_file import read_names

if TYPE_CHECKING:
    from yolo.detect.classifier import Classifier, Ranking


def main() -> None:
    args = _arguments()

    from yolo.detect.classifier import rankings_json

    for path in args.picture:
        if not path.exists():
            raise DatasetError(f"{path}: no such file")
    given = [path for path in (args.cfg, args.weights, args.names, args.model) if path is not None]
    refuse_texts_over([args.json], [*given, *args.picture])
    classifier = _classifier(args) if args.model is None else _exported_classifier(args)
    classified, rankings, faults = [], [], []
    for path in progress(args.picture, "classifying", len(args.picture)):
        try:
            ranking = _ranking(path, classifier)
        except DatasetError as error:
            faults.append(str(error))
            continue
        except OSError as error:  # not allowed, a folder
            faults.append(f"{path}: {error.strerror}")
            continue
        classified.append(str(path))
        rankings.append(ranking)
        _print(path, ranking, classifier)
    if args.json:
        write_text(args.json, rankings_json(classified, rankings, classifier.names))
        print(f"json: {args.json}")
    if faults:
        raise DatasetError(
            f"{len(faults)} of {len(args.picture)} images could not be classified: {'; '.join(faults[:3])}"
        )


def _classifier(args: argparse.Namespace) -> Classifier:
    from yolo.detect.classifier import Classifier, check_classifies
    from yolo.model.network import Network
    from yolo.model.weights import load_weights

    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if network.heads:
        raise CfgError(f"{args.cfg}: found a detection head, expected a classifier; use yolo-darknet detect")
    load_weights(network, args.weights)
    path = args.names
    if path is None:
        path = find_names(args.cfg, args.weights, network.classes)
        print(f"names: {path}", file=sys.stderr)
    names = read_names(path)
    check_classifies(network, args.cfg)
    if len(names) < network.classes:
        expected = f"{network.classes} as in {args.cfg}"
        raise DatasetError(f"{path}: found {counted(len(names), 'name')}, expected {expected}")
    names = names[: network.classes]  # Darknet's list for ImageNet continues with names of 22k
    letterbox = args.letterbox or (args.dialect == "pjreddie" and not args.crop)
    return Classifier(network.to(args.device), names, args.top, letterbox)


def _exported_classifier(args: argparse.Namespace) -> Classifier:
    """Return the classifier of a file of `yolo-darknet export`: its names and its input are in the file."""
    from yolo.deploy.exported import open_classifier
    from yolo.detect.classifier import Classifier

    network = open_classifier(args.model)
    names = network.description.names if args.names is None else read_names(args.names)
    if len(names) < network.classes:
        expected = f"{network.classes} as in {args.model}"
        raise DatasetError(f"{args.names}: found {counted(len(names), 'name')}, expected {expected}")
    letterbox = args.letterbox or (network.description.letterbox and not args.crop)
    return Classifier(network, names[: network.classes], args.top, letterbox)


def _ranking(path: Path, classifier: Classifier) -> Ranking:
    """The classes of an image file. Raises DatasetError, OSError."""
    from yolo.data.images import read_image

    image = read_image(path, classifier.network.input.channels)
    try:
        ranking = classifier(image)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    if not ranking.probabilities.isfinite().all():
        raise DatasetError(
            f"{path}: found probabilities that are not finite, expected numbers; is the weights file damaged?"
        )
    return ranking


def _print(path: Path, ranking: Ranking, classifier: Classifier) -> None:
    """Print the image's name and a line for each class, as both Darknets do (classifier.c predict_classifier)."""
    print(f"{one_line(str(path))}:")
    for label, probability in zip(ranking.labels.tolist(), ranking.probabilities.tolist(), strict=True):
        name = classifier.names[label]
        if classifier.network.dialect == "pjreddie":
            print(f"{100 * probability:5.2f}%: {name}")
        elif classifier.tree is None:
            print(f"{name}: {probability:.6f}")
        else:
            parent = int(classifier.tree.parent[label])
            above = classifier.names[parent] if parent >= 0 else "Root"
            print(f"{label}, {name}: {probability:.6f}, parent: {above}")


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("picture", nargs="+", type=Path, metavar="IMAGE", help="image files")
    add_cfg_option(parser, required=False)
    add_weights_option(parser, required=False)
    add(
        "--model", type=Path, metavar="FILE",
        help="a file of `yolo-darknet export`, instead of --cfg and --weights; a .pt2 or .torchscript can run any "
        "code, so only use ones that you trust",
    )  # fmt: skip
    add_names_option(parser)
    add(
        "--top", type=whole_number(1), default=TOP_CLASSES, metavar="N",
        help=f"number of classes to print; default {TOP_CLASSES}",
    )  # fmt: skip
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--crop", action="store_true", help="use the center of the image")
    view.add_argument("--letterbox", action="store_true", help="use the whole image, with its aspect ratio")
    add("--json", type=new_file, metavar="FILE", help="write file names, classes, probabilities")
    add_dialect_option(
        parser,
        "layers, placement of the image (alexeyab: --crop, pjreddie: --letterbox), printed lines",
    )
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_device_option(parser)
    args = parser.parse_args(files_first(sys.argv[1:]))
    check_one_network(parser, args, {"--dialect": args.dialect != DIALECT_NAMES[0]})
    return args
