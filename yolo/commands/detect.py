"""Detect objects in images: print them, draw their boxes into copies (--out), write Darknet's json (--json).

SOURCE is an image or a folder of images.

example, as Darknet's `detector test coco.data yolov3.cfg yolov3.weights dog.jpg`:
  yolo-darknet detect --cfg yolov3 --weights weights/yolov3.weights --names coco dog.jpg --out out
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.cfg import read_names
from yolo.console import (
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_names_option,
    add_set_option,
    command_parser,
    fraction,
    new_file,
    progress,
)
from yolo.defaults import NMS_THRESH, SCORE_THRESH
from yolo.errors import CfgError, DatasetError
from yolo.files import replacing, write_text

if TYPE_CHECKING:
    import numpy as np

    from yolo.detect.detector import Detector
    from yolo.records import Detections


def main() -> None:
    args = _arguments()

    from yolo.data.images import read_image
    from yolo.formats.darknet_json import darknet_frame, darknet_json

    images = _images(args.source)
    detector = _detector(args)
    drawings = _drawings(args.out, images) if args.out else {}
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    frames, faults = [], []
    for path in progress(images, "detecting", len(images)):
        try:
            image = read_image(path, detector.network.input.channels)
        except DatasetError as error:
            faults.append(str(error))
            continue
        except OSError as error:  # not allowed, or deleted since the folder was listed
            faults.append(f"{path}: {error.strerror}")
            continue
        detections = detector(image)
        frames.append(darknet_frame(str(path), image.shape[:2], detections))
        _print(path, detections, detector.names)
        if args.out:
            _draw(drawings[path], image, detections, detector.names)
    if args.json:
        write_text(args.json, darknet_json(frames, detector.names))
        print(f"json: {args.json}")
    if args.out:
        print(f"images with boxes: {args.out} ({len(frames)})")
    if faults:
        raise DatasetError(
            f"{len(faults)} of {len(images)} images could not be read: {'; '.join(faults[:3])}"
        )


def _detector(args: argparse.Namespace) -> Detector:
    from yolo.detect.detector import Detector
    from yolo.model.network import Network
    from yolo.model.weights import load_weights

    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if not network.heads:
        raise CfgError(
            f"{args.cfg}: found a classifier, expected a detection head; use yolo-darknet classify"
        )
    load_weights(network, args.weights)
    names = read_names(args.names)
    if len(names) != network.classes:
        expected = f"{network.classes} as in {args.cfg}"
        raise DatasetError(f"{args.names}: found {len(names)} names, expected {expected}")
    letterbox = args.letterbox or network.letterboxed
    return Detector(network.to(args.device), names, args.thresh, args.nms, letterbox=letterbox)


def _images(sources: list[Path]) -> list[Path]:
    """The given files, and the image files of the given folders in sorted order."""
    from yolo.data.images import IMAGE_ENDINGS

    images = []
    for source in sources:
        if source.is_dir():
            inside = sorted(
                path
                for path in source.iterdir()
                if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()
            )
            if not inside:
                raise DatasetError(f"{source}: found no image in this folder")
            images += inside
        elif source.exists():
            images.append(source)
        else:
            raise DatasetError(f"{source}: no such file or folder")
    return images


def _print(path: Path, detections: Detections, names: tuple[str, ...]) -> None:
    count = len(detections)
    print(f"{path}: {count} objects" if count != 1 else f"{path}: 1 object")
    for box, score, label in zip(
        detections.boxes.tolist(),
        detections.scores.tolist(),
        detections.labels.tolist(),
        strict=True,
    ):
        corners = " ".join(f"{value:.0f}" for value in box)
        print(f"  {names[label]} {100 * score:.0f}%  {corners}")


def _drawings(out: Path, images: list[Path]) -> dict[Path, Path]:
    """Image → its copy with boxes in `out`, a PNG because that is lossless.

    Images of the same name get the folder's name and the old ending into their copies' names, and a number if that
    is not enough. Raises DatasetError if a copy would replace one of the images.
    """
    stems = Counter(path.stem for path in set(images))
    sources = {path.resolve() for path in images}
    drawings: dict[Path, Path] = {}
    for path in dict.fromkeys(images):
        name = path.stem if stems[path.stem] == 1 else f"{path.parent.name}_{path.name}"
        drawing, number = out / f"{name}.png", 1
        while drawing in drawings.values():
            number += 1
            drawing = out / f"{name}-{number}.png"
        if drawing.resolve() in sources:
            raise DatasetError(f"{drawing}: found an input image, expected an --out without them")
        drawings[path] = drawing
    return drawings


def _draw(path: Path, image: np.ndarray, detections: Detections, names: tuple[str, ...]) -> None:
    """Write the image with its boxes to `path`."""
    import cv2

    from yolo.detect.draw import draw_detections

    shown = image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    boxes, scores, labels = (
        part.numpy() for part in (detections.boxes, detections.scores, detections.labels)
    )
    drawn = draw_detections(shown, boxes, scores, labels, names)
    _, content = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    with replacing(path) as file:
        file.write(content.tobytes())


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("source", nargs="+", type=Path, metavar="SOURCE", help="images, or folders of images")
    add_cfg_option(parser)
    add("--weights", type=Path, required=True, metavar="FILE")
    add_names_option(parser)
    add(
        "--thresh", type=fraction, default=SCORE_THRESH, metavar="T",
        help=f"lowest score of a detection; default {SCORE_THRESH:g}",
    )  # fmt: skip
    add(
        "--nms", type=fraction, default=NMS_THRESH, metavar="T",
        help=f"NMS: highest IoU of two boxes of a class; default {NMS_THRESH:g}",
    )  # fmt: skip
    add("--letterbox", action="store_true", help="keep the aspect ratio, as pjreddie's Darknet")
    add("--out", type=Path, metavar="DIR", help="write copies of the images with boxes there")
    add("--json", type=new_file, metavar="FILE", help="write the detections as Darknet's json")
    add_dialect_option(parser, "layers, placement of the image (pjreddie: --letterbox)")
    add_set_option(parser)
    add_device_option(parser)
    return parser.parse_args()
