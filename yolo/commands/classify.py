"""Classify images: the likeliest classes of each, printed as Darknet does, written as json with --json.

example, as pjreddie's `darknet classifier predict imagenet1k.data darknet19.cfg darknet19.weights dog.jpg`:
  python tools/classify.py --cfg cfg/darknet19.cfg --weights weights/darknet19.weights \\
      --names imagenet.shortnames.list --dialect pjreddie dog.jpg
"""

import argparse
from pathlib import Path

from yolo.cfg import read_names
from yolo.console import (
    add_device_option,
    add_dialect_option,
    add_set_option,
    new_file,
    whole_number,
)
from yolo.data.images import read_image
from yolo.detect.classifier import TOP, Classifier, Ranking, rankings_json
from yolo.errors import CfgError, DatasetError
from yolo.files import write_text
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.model.weights import load_weights
from yolo.progress import progress


def main() -> None:
    args = _arguments()
    for path in args.picture:
        if not path.exists():
            raise DatasetError(f"{path}: no such file")
    classifier = _classifier(args)
    seen, rankings, faults = [], [], []
    for path in progress(args.picture, "classifying", len(args.picture)):
        try:
            found = _look(path, classifier)
        except DatasetError as error:
            faults.append(str(error))
            continue
        except OSError as error:  # not allowed, a folder
            faults.append(f"{path}: {error.strerror}")
            continue
        seen.append(str(path))
        rankings.append(found)
        _print(path, found, classifier)
    if args.json:
        write_text(args.json, rankings_json(seen, rankings, classifier.names))
        print(f"json: {args.json}")
    if faults:
        raise DatasetError(
            f"{len(faults)} of {len(args.picture)} images could not be classified: {'; '.join(faults[:3])}"
        )


def _classifier(args: argparse.Namespace) -> Classifier:
    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if network.heads:
        raise CfgError(
            f"{args.cfg}: found a detection head, expected a classifier; use tools/detect.py"
        )
    load_weights(network, args.weights)
    names = read_names(args.names)
    shape = network.shapes[-1]
    if shape[1:] != (1, 1):
        found = f"an output of {shape[0]}x{shape[1]}x{shape[2]}"
        raise CfgError(f"{args.cfg}: found {found}, expected a classifier's, of one pixel")
    if len(names) < network.classes:
        expected = f"{network.classes} as in {args.cfg}"
        raise DatasetError(f"{args.names}: found {len(names)} names, expected {expected}")
    names = names[: network.classes]  # Darknet's list for ImageNet goes on with names of 22k
    letterbox = args.letterbox or (args.dialect == "pjreddie" and not args.crop)
    return Classifier(network.to(args.device), names, args.top, letterbox)


def _look(path: Path, classifier: Classifier) -> Ranking:
    image = read_image(path, classifier.network.input.channels)
    try:
        found = classifier(image)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    if not found.probabilities.isfinite().all():
        raise DatasetError(
            f"{path}: found probabilities that are no numbers; are the weights whole?"
        )
    return found


def _print(path: Path, found: Ranking, classifier: Classifier) -> None:
    """The image's name, and a line a class as both Darknets write it (classifier.c predict_classifier)."""
    print(f"{path}:")
    for label, probability in zip(found.labels.tolist(), found.probabilities.tolist(), strict=True):
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("picture", nargs="+", type=Path, metavar="PICTURE", help="image files")
    add("--cfg", type=Path, required=True, metavar="FILE")
    add("--weights", type=Path, required=True, metavar="FILE")
    add("--names", type=Path, required=True, metavar="FILE", help="a name a class, one a line")
    add("--top", type=whole_number(1), default=TOP, metavar="N", help=f"classes; default {TOP}")
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--crop", action="store_true", help="show the network the image's middle")
    view.add_argument("--letterbox", action="store_true", help="show it the whole image")
    add("--json", type=new_file, metavar="FILE", help="write file names, classes, confidences")
    what = "layers, view (alexeyab: --crop, pjreddie: --letterbox), printed lines"
    add_dialect_option(parser, WEIGHTS_VERSIONS, what)
    add_set_option(parser)
    add_device_option(parser)
    return parser.parse_args()
