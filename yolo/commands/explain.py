"""Explain detections in images: a page with each box's cell, anchor and numbers, and the places that raise its score.

The page, DIR/index.html, follows each image through the network: the input, objectness and classes of each cell, the
boxes before and after NMS with the reason why each one is kept or removed, a detection decoded step by step, LayerCAM
maps, the receptive field, and feature maps. For an image with labels it also shows the loss of each object, the cells
that are responsible for it and why, and the reason for a false negative. DIR/explain.json has the numbers. For a
classifier the page has the classes, LayerCAM maps for each, and feature maps.

example:
  yolo-darknet explain --cfg shapes-small --weights weights/shapes-small.weights --names shapes data/shapes.png \\
      --report explained

example of layers by their numbers in `yolo-darknet summary`, of one layer for LayerCAM, and of one class:
  yolo-darknet explain --cfg yolov3 --weights yolov3 --names coco dog.jpg --report explained --layers 36 61 \\
      --cam-layer 61 --class dog
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo.console.command_line import command_line, command_parser, files_first
from yolo.console.option_types import fraction, new_file, new_folder, whole_number
from yolo.console.options import (
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_max_pixels_option,
    add_names_option,
    add_set_option,
    add_weights_option,
)
from yolo.console.progress import progress
from yolo.data_file import read_data
from yolo.defaults import NMS_THRESH, SCORE_THRESH
from yolo.errors import CfgError, DatasetError, counted
from yolo.files.outputs import refuse_over_inputs, refuse_texts_over
from yolo.files.text import one_line
from yolo.files.writing import write_text
from yolo.named_files import find_names, model_names

if TYPE_CHECKING:
    from yolo.detect.detector import Detector
    from yolo.explain.image.page import ImagePart
    from yolo.explain.loss.compared_image import ComparedImage
    from yolo.model.network import Network
    from yolo.train.losses.detection import DetectionLoss

DETECTIONS, IMAGES = 3, 8


def main() -> None:
    args = _arguments()

    from yolo.explain.image.page import EXPLANATION_FILE, AboutNetwork, explained_text, write_explained
    from yolo.pages.page import PAGE_FILE, check_page_folder

    check_page_folder(args.report, EXPLANATION_FILE)
    images, left_out = _images(args.image, args.images)
    files = [args.cfg, args.weights, args.names, *images]
    refuse_texts_over([args.json], files)
    refuse_over_inputs([args.report / PAGE_FILE, args.report / EXPLANATION_FILE], files)
    network, seen = _network(args)
    names = _names(args, network)
    if network.heads:
        explained = _explain_detected(args, network, seen, names, images)
    else:
        explained = _explain_classified(args, network, names, images)
    parts, numbers = [], []
    for part, values in explained:
        print(one_line(f"{part.name}: {part.summary}"))
        parts.append(part)
        numbers.append(values)
    remark = f"{counted(left_out, 'more image')} left out: --images N shows more." if left_out else ""
    about = AboutNetwork(args.weights.stem, command_line(), str(args.cfg), str(args.weights), remark)
    if args.json:
        write_text(args.json, explained_text(about, numbers))
        print(f"numbers: {args.json}")
    print(f"report: {write_explained(args.report, about, parts, numbers)}")
    if remark:
        print(remark, file=sys.stderr)


def _explain_detected(
    args: argparse.Namespace, network: Network, seen: int, names: tuple[str, ...], images: list[Path]
) -> Iterator[tuple[ImagePart, dict]]:
    """Yield the part of the page and the numbers of each image. seen: images that the weights were trained on."""
    from yolo.data.images import read_image
    from yolo.detect.detector import Detector
    from yolo.explain.image.explanation import explain_image
    from yolo.explain.image.page import explanation_numbers, image_part
    from yolo.explain.image.views import Rules
    from yolo.explain.loss.compared_image import compare_with_labels, image_labels
    from yolo.train.losses.detection import DetectionLoss

    data = read_data(args.data) if args.data else None
    loss = DetectionLoss(network, args.dialect)
    letterbox = args.letterbox or network.letterboxed
    detector = Detector(network, names, args.thresh, args.nms, letterbox=letterbox, engine=network)
    label = _label(args.class_name, names)
    rules = Rules(args.thresh, args.nms, detector.diou_exponent, network.head_settings[-1].nms_kind)
    for number, path in enumerate(progress(images, "explaining")):
        pixels = read_image(path, network.input.channels)
        options = {
            "causes": args.detections, "layers": args.layers, "cam_layers": args.cam_layer, "label": label,
        }  # fmt: skip
        explanation = explain_image(detector, str(path), pixels, **options)
        part = image_part(explanation, names, rules, number, label)
        values = explanation_numbers(explanation, names, rules)
        labels = image_labels(path, network.classes, data)
        if labels is None and data is not None:
            print(f"{path}: found in no list of {args.data} and without a label file: not compared", file=sys.stderr)
        if labels is not None:
            compared = compare_with_labels(detector, loss, pixels, labels, seen)
            part, values = _with_ground_truth(part, values, compared, loss, detector)
        yield part, values


def _with_ground_truth(
    part: ImagePart, values: dict[str, Any], compared: ComparedImage, loss: DetectionLoss, detector: Detector
) -> tuple[ImagePart, dict[str, Any]]:
    """Return the part of an image with the section of its ground truth, and its numbers with those of the section."""
    from yolo.explain.loss.object_fates import DETECTED
    from yolo.explain.loss.section import ground_truth_numbers, ground_truth_section

    section = ground_truth_section(
        compared.loss,
        compared.fates,
        detector.names,
        compared.placement,
        f"{part.identity}-photo",
        loss.settings[-1],
        loss.dialect,
    )
    numbers = ground_truth_numbers(compared.loss, compared.fates, detector.names)
    detected = sum(each.kind == DETECTED for each in compared.fates), len(compared.fates)
    counts = (*part.counts, (detected[0], f"of {counted(detected[1], 'labeled object')} detected"))
    return replace(part, counts=counts, sections=(*part.sections, section)), {**values, "ground_truth": numbers}


def _explain_classified(
    args: argparse.Namespace, network: Network, names: tuple[str, ...], images: list[Path]
) -> Iterator[tuple[ImagePart, dict]]:
    """Yield the part of the page and the numbers of each image."""
    from yolo.data.images import read_image
    from yolo.detect.classifier import Classifier
    from yolo.explain.image.classified import classified_numbers, explain_classified
    from yolo.explain.image.classified_page import classified_part

    if args.data:
        raise CfgError(f"{args.cfg}: found a classifier with --data, expected a detection head")
    classifier = Classifier(network, names, letterbox=args.letterbox or network.dialect == "pjreddie")
    label = _label(args.class_name, names)
    for number, path in enumerate(progress(images, "explaining")):
        pixels = read_image(path, network.input.channels)
        options = {
            "causes": args.detections, "layers": args.layers, "cam_layers": args.cam_layer, "label": label,
        }  # fmt: skip
        try:
            explanation = explain_classified(classifier, str(path), pixels, **options)
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error
        yield classified_part(explanation, names, number), classified_numbers(explanation, names)


def _images(arguments: list[str], most: int) -> tuple[list[Path], int]:
    """Return the first images of the arguments, and the number of the others."""
    from yolo.detect.sources.kinds import MediaKind, expand

    sources = expand(arguments)
    if other := [each for each in sources if each.kind is not MediaKind.IMAGE]:
        raise DatasetError(f"{other[0].name}: found a {other[0].kind.value}, expected an image")
    return [Path(each.name) for each in sources[:most]], max(len(sources) - most, 0)


def _network(args: argparse.Namespace) -> tuple[Network, int]:
    """Return the network with its weights, in evaluation mode, and the number of images that these were trained on."""
    from yolo.detect.classifier import check_classifies
    from yolo.model.network import Network
    from yolo.model.weights import load_weights

    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if not network.heads:
        check_classifies(network, args.cfg)
    for option, layers in (("--layers", args.layers), ("--cam-layer", args.cam_layer)):
        if wrong := [layer for layer in layers if layer >= len(network.layers)]:
            raise CfgError(f"{args.cfg}: found {option} {wrong[0]}, expected layers 0 to {len(network.layers) - 1}")
    _check_cam_layers(args.cam_layer, network, args.cfg)
    seen = load_weights(network, args.weights).seen
    return network.to(args.device).eval(), seen


def _check_cam_layers(layers: Sequence[int], network: Network, cfg: Path) -> None:
    """Raise CfgError for a layer of --cam-layer that no head is computed from."""
    from yolo.explain.graph_layers import layers_before

    useful = {layer for head in network.heads for layer in layers_before(network, head)}
    if wrong := [layer for layer in layers if network.heads and layer not in useful]:
        raise CfgError(f"{cfg}: found --cam-layer {wrong[0]}, expected a layer that a head is computed from")


def _names(args: argparse.Namespace, network: Network) -> tuple[str, ...]:
    path = args.names
    if path is None:
        path = find_names(args.cfg, args.weights, network.classes)
        print(f"names: {path}", file=sys.stderr)
    if not network.heads:
        from yolo.data.class_folders import read_class_names
        from yolo.explain.classifier.report import unique_names

        return tuple(unique_names(read_class_names(path, network.classes)))
    return model_names(path, network.classes, args.cfg)


def _label(name: str | None, names: tuple[str, ...]) -> int | None:
    """Return the class of a name."""
    if name is None:
        return None
    if name not in names:
        from difflib import get_close_matches

        close = get_close_matches(name, names, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise DatasetError(f"--class: found {name!r}, expected one of the {counted(len(names), 'class')}{hint}")
    return names.index(name)


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("image", nargs="+", metavar="IMAGE", help="images, folders, patterns or lists of images")
    add_cfg_option(parser)
    add_weights_option(parser)
    add_names_option(parser)
    add("--report", type=new_folder, required=True, metavar="DIR", help="write index.html and explain.json there")
    add("--json", type=new_file, metavar="FILE", help="write the numbers to another file, too")
    add(
        "--thresh", type=fraction, default=SCORE_THRESH, metavar="T",
        help=f"scores of detections are above it; default {SCORE_THRESH:g}",
    )  # fmt: skip
    add(
        "--nms", type=fraction, default=NMS_THRESH, metavar="T",
        help=f"NMS: highest IoU of two boxes of a class; default {NMS_THRESH:g}",
    )  # fmt: skip
    add(
        "--data", type=Path, metavar="FILE",
        help="a .data file whose lists have the images: their labels are compared; default: label files beside images",
    )  # fmt: skip
    add("--letterbox", action="store_true", help="keep the aspect ratio of images, as in pjreddie's Darknet")
    add("--class", dest="class_name", metavar="NAME", help="show its map first, and explain its detections first")
    add(
        "--detections", type=whole_number(0), default=DETECTIONS, metavar="N",
        help=f"make LayerCAM maps for the N best detections or classes of an image; default {DETECTIONS}",
    )  # fmt: skip
    add(
        "--layers", type=whole_number(0), nargs="+", default=(), metavar="N",
        help="show feature maps and LayerCAM of these layers; default: the one that feeds the head, two earlier ones",
    )  # fmt: skip
    add(
        "--cam-layer", type=whole_number(0), nargs="+", default=(), metavar="N",
        help="LayerCAM of these layers alone; default: those of --layers",
    )  # fmt: skip
    add(
        "--images", type=whole_number(1), default=IMAGES, metavar="N",
        help=f"explain the first N images only, for the page's size; default {IMAGES}",
    )  # fmt: skip
    add_dialect_option(parser, "layers, placement of the image (pjreddie: --letterbox)")
    add_max_pixels_option(parser)
    add_set_option(parser)
    add_device_option(parser)
    return parser.parse_args(files_first(sys.argv[1:]))
