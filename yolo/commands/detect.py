"""Detect objects in images: boxes drawn into copies in --out, numbers printed, Darknet's json with --json.

SOURCE is an image or a folder of images.

example, as Darknet's `detector test coco.data yolov3.cfg yolov3.weights dog.jpg`:
  python tools/detect.py --cfg cfg/yolov3.cfg --weights weights/yolov3.weights --names data/coco.names dog.jpg --out out
"""

import argparse
from collections import Counter
from pathlib import Path

import cv2

from yolo.cfg import read_names
from yolo.console import add_device_option, add_dialect_option, add_set_option, new_file, share
from yolo.data.images import IMAGE_ENDINGS, read_image
from yolo.detect.detector import NMS_THRESH, SCORE_THRESH, Detector
from yolo.detect.draw import draw_detections
from yolo.errors import CfgError, DatasetError
from yolo.files import replacing, write_text
from yolo.formats.darknet_json import Frame, darknet_json
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.model.weights import load_weights
from yolo.progress import progress
from yolo.records import Detections


def main() -> None:
    args = _arguments()
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
        except OSError as error:  # not allowed, or gone since the folder was listed
            faults.append(f"{path}: {error.strerror}")
            continue
        found = detector(image)
        frames.append(Frame(str(path), image.shape[:2], found))
        _print(path, found, detector.names)
        if args.out:
            shown = image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
            boxes, scores, labels = (
                part.numpy() for part in (found.boxes, found.scores, found.labels)
            )
            _write(
                drawings[path],
                draw_detections(shown, boxes, scores, labels, detector.names),
            )
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
    network = Network.from_cfg(args.cfg, overrides=dict(args.overrides), dialect=args.dialect)
    if not network.heads:
        raise CfgError(
            f"{args.cfg}: found a classifier, expected a detection head; use tools/classify.py"
        )
    load_weights(network, args.weights)
    names = read_names(args.names)
    if len(names) != network.classes:
        expected = f"{network.classes} as in {args.cfg}"
        raise DatasetError(f"{args.names}: found {len(names)} names, expected {expected}")
    letterbox = args.letterbox or network.letterboxed
    return Detector(network.to(args.device), names, args.thresh, args.nms, letterbox=letterbox)


def _images(sources: list[Path]) -> list[Path]:
    """The files given, and those in the folders given whose ending is an image's, sorted."""
    found = []
    for source in sources:
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if _is_image(p))
            if not inside:
                raise DatasetError(f"{source}: found no image in this folder")
            found += inside
        elif source.exists():
            found.append(source)
        else:
            raise DatasetError(f"{source}: no such file or folder")
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_ENDINGS and path.is_file()


def _print(path: Path, found: Detections, names: tuple[str, ...]) -> None:
    print(f"{path}: {len(found)} objects" if len(found) != 1 else f"{path}: 1 object")
    for box, score, label in zip(
        found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
    ):
        corners = " ".join(f"{value:.0f}" for value in box)
        print(f"  {names[label]} {100 * score:.0f}%  {corners}")


def _drawings(out: Path, images: list[Path]) -> dict[Path, Path]:
    """Where each image's copy with boxes goes: PNG, which loses nothing.

    The folder's name and the old ending come in where two images would share a name, a number where that is not
    enough. Raises DatasetError where a copy would replace one of the images.
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
            raise DatasetError(
                f"{drawing}: found an image to look at, expected an --out without them"
            )
        drawings[path] = drawing
    return drawings


def _write(path: Path, image) -> None:
    _, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with replacing(path) as file:
        file.write(content.tobytes())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", nargs="+", type=Path, metavar="SOURCE", help="images, or folders of them")
    add("--cfg", type=Path, required=True, metavar="FILE")
    add("--weights", type=Path, required=True, metavar="FILE")
    add("--names", type=Path, required=True, metavar="FILE")
    add("--thresh", type=share, default=SCORE_THRESH, metavar="T", help="least score; default .25")
    add("--nms", type=share, default=NMS_THRESH, metavar="T", help="largest overlap; default .45")
    add("--letterbox", action="store_true", help="keep the images' aspect, as pjreddie's Darknet")
    add("--out", type=Path, metavar="DIR", help="write the images with boxes there")
    add("--json", type=new_file, metavar="FILE", help="write Darknet's json")
    add_dialect_option(parser, WEIGHTS_VERSIONS, "layers, view (pjreddie: --letterbox)")
    add_set_option(parser)
    add_device_option(parser)
    return parser.parse_args()
