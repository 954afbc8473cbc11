"""The gain of AP by --tta and --tile, and their cost in passes of the network, on a folder of labeled images.

IMAGES holds images; their YOLO labels are in the folder `labels` beside it (an image without a file has no object).
Prints COCO's AP, AP50 and AP of small, medium and large objects, the mean number of passes an image, and the time.

  python benchmarks/views_gain.py --cfg yolo-fastest-1.1.cfg --weights yolo-fastest-1.1.weights coco96/images
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from yolo.boxes import cxcywh_to_xyxy
from yolo.console.option_types import whole_number
from yolo.console.run import run
from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.detect.views import ViewPlan, detect_views, tta_sizes
from yolo.evaluate.metrics.coco import coco_score
from yolo.formats.label_files import label_files, labeled_boxes, read_rows
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.records import Evaluation, GroundTruth, ScoredBoxes

SCORE_THRESH = 0.005  # as Darknet's `detector valid`


def main() -> None:
    args = _arguments()
    network = Network.from_cfg(args.cfg)
    load_weights(network, args.weights)
    names = tuple(map(str, range(network.classes)))
    detector = Detector(network.eval(), names, SCORE_THRESH)
    paths = sorted(args.images.glob("*.jpg"))[: args.most]
    images = [read_image(path) for path in paths]
    sizes = np.array([image.shape[:2] for image in images])
    ground_truth = _ground_truth(paths, sizes, network.classes)
    sizes = tta_sizes(network)
    plans = {
        "plain": ViewPlan(),
        "--tta": ViewPlan(mirrored=True, sizes=sizes),
        f"--tile {args.tile}": ViewPlan(tile=args.tile),
        f"--tile {args.tile} --tta": ViewPlan(tile=args.tile, mirrored=True, sizes=sizes),
    }
    input_size = (network.input.height, network.input.width)
    for name, plan in plans.items():
        begun = time.process_time()
        found = [detect_views(detector, image, plan) for image in images]
        seconds = time.process_time() - begun
        passes = np.mean([len(plan.views(image.shape[:2], input_size)) for image in images])
        ids = tuple(path.stem for path in paths)
        score = coco_score(Evaluation(names, ids, sizes, ground_truth, _detections(found)))
        parts = (score.ap, score.ap50, score.ap_small, score.ap_medium, score.ap_large)
        values = " ".join("-" if part is None else f"{100 * part:.1f}" for part in parts)
        print(
            f"{name:16} AP, AP50, small, medium, large: {values}; {passes:.1f} passes, "
            f"{1000 * seconds / len(images):.0f} ms of processor time an image"
        )


def _ground_truth(paths: list[Path], sizes: np.ndarray, classes: int) -> GroundTruth:
    index, labels, boxes = [], [], []
    for at, (path, (height, width)) in enumerate(zip(paths, sizes, strict=True)):
        for file in list(label_files(path))[:1]:
            found = labeled_boxes(read_rows(file, classes)[0])
            index.append(np.full(len(found.labels), at))
            labels.append(found.labels)
            corners = cxcywh_to_xyxy(torch.from_numpy(found.boxes)).numpy()
            boxes.append(corners * (width, height, width, height))
    count = sum(map(len, labels))
    parts = (np.concatenate(each) for each in (index, labels, boxes))
    return GroundTruth(*parts, np.zeros(count, bool))


def _detections(found: list) -> ScoredBoxes:
    index = np.repeat(np.arange(len(found)), [len(each) for each in found])
    labels, scores, boxes = (
        torch.cat([getattr(each, name) for each in found]).numpy() for name in ("labels", "scores", "boxes")
    )
    return ScoredBoxes(index, labels, scores.astype(float), boxes.astype(float))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--cfg", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--tile", type=whole_number(32), default=320)
    parser.add_argument("--most", type=whole_number(1), default=10**6, help="images; default all")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
