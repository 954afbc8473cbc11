"""How long decoding, threshold and NMS take, beside the forward pass of yolov3-tiny at 416; NMS beside torchvision.

Random weights detect either nothing or everything, so the raw maps are those of a trained network, yolo-fastest with
COCO's 80 classes: at 416 it makes as many predictions, 2535, as yolov3-tiny does. Its maps of each image become
detections again and again, of score above --thresh (.25 as in detect; .005 as in an evaluation), NMS .45 a class; so
does yolov3-tiny's forward pass with the engine `torch`, one image at a time, in turn. Times are of the processor, which
other programs hardly change. The bound is 5 % of the forward pass, for the mean image. Exit code 1 where it is missed.

Then NMS of 100, 1,000 and 10,000 random boxes in 1, 20 and 80 classes, beside torchvision's, class by class; and of
100,000 boxes of one class, dense, sparse and as an untrained network gives them. The bound is a second of processor
time for each; --nms-alone measures only this.

  python benchmarks/postprocess_speed.py --cfg yolo-fastest-1.1.cfg --weights yolo-fastest-1.1.weights images/*.png
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from yolo.console.option_types import fraction, whole_number
from yolo.console.run import run, stop
from yolo.data.images import read_image
from yolo.defaults import SCORE_THRESH
from yolo.detect.detector import Detector
from yolo.detect.nms import nms
from yolo.engines.build import build_engine
from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH
from yolo.letterbox import batch_of
from yolo.model.network import Network
from yolo.model.weights import load_weights

TINY = Path(__file__).resolve().parent.parent / "cfg" / "yolov3-tiny.cfg"
SIDE = {"width": "416", "height": "416"}
BOUND = 0.05
MANY, COMPARED, MOST_SECONDS = 100_000, 20_000, 1.0
YOLOV3_ANCHORS = {  # by stride
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    if args.nms_alone:
        sys.exit(0 if compare_large_nms() else 1)
    if not (args.cfg and args.weights and args.images):
        stop("found no network or no image, expected --cfg, --weights and IMAGES, or --nms-alone")
    trained = Network.from_cfg(args.cfg, overrides=SIDE)
    load_weights(trained, args.weights)
    names = tuple(map(str, range(trained.classes)))
    detector = Detector(trained, names, args.thresh, MAP_NMS_THRESH)
    tiny = build_engine(Network.from_cfg(TINY, overrides=SIDE), "torch")
    forward, post = [], []
    for path in args.images:
        image, placement = detector.prepare(read_image(path))
        images = batch_of([image])  # channels last, as in detect
        raw = detector.engine(images)
        forward.append(seconds(partial(tiny, images), args.repeats))
        post.append(seconds(partial(detector.detections, raw, [placement]), args.repeats))
        print(
            f"{path.name:16} forward {1000 * forward[-1]:6.1f} ms, post-processing {1000 * post[-1]:5.2f} ms: "
            f"{len(detector.detections(raw, [placement])[0])} objects above {args.thresh:g}"
        )
    ratio = statistics.mean(post) / statistics.mean(forward)
    print(f"post-processing / forward = {ratio:.3f}, bound {BOUND}, {args.threads} threads")
    compare_nms(args.repeats)
    fast = compare_large_nms()
    sys.exit(0 if ratio <= BOUND and fast else 1)


def compare_nms(repeats: int) -> None:
    """Print the time of our NMS and of torchvision's for random boxes, with sides of .02 to .12 of the image."""
    for count in (100, 1_000, 10_000):
        for classes in (1, 20, 80):
            generator = torch.Generator().manual_seed(count + classes)
            center = torch.rand(count, 2, generator=generator)
            half = 0.05 * (0.2 + torch.rand(count, 2, generator=generator))
            boxes = torch.cat((center - half, center + half), dim=1)
            scores = torch.rand(count, generator=generator)
            labels = torch.randint(classes, (count,), generator=generator)
            arguments = boxes, scores, labels, MAP_NMS_THRESH
            assert torch.equal(nms(*arguments), torchvision_nms(*arguments))
            ours = seconds(lambda arguments=arguments: nms(*arguments), repeats)
            theirs = seconds(lambda arguments=arguments: torchvision_nms(*arguments), repeats)
            print(
                f"NMS of {count} boxes in {classes} classes: {1000 * ours:.2f} ms, "
                f"torchvision {1000 * theirs:.2f} ms, ratio {ours / theirs:.2f}"
            )


def compare_large_nms() -> bool:
    """Print the processor time of NMS of 100,000 boxes of one class; return whether it is below MOST_SECONDS."""
    kinds = {"dense": random_boxes(1000), "sparse": random_boxes(4000), "untrained": anchor_boxes()}
    largest = 0.0
    for kind, boxes in kinds.items():
        generator = torch.Generator().manual_seed(1)
        scores, labels = torch.rand(len(boxes), generator=generator), torch.zeros(len(boxes), dtype=torch.int64)
        found, ours = processor_time(nms, boxes, scores, labels)
        best = torch.argsort(scores, descending=True)[:COMPARED]
        some, ours_of_some = processor_time(nms, boxes[best], scores[best], labels[best])
        expected, theirs = processor_time(torchvision_nms, boxes[best], scores[best], labels[best])
        assert torch.equal(some, expected)
        print(
            f"NMS of {len(boxes)} boxes of one class, {kind}: {ours:.2f} s, {len(found)} kept; of the {COMPARED} best "
            f"{ours_of_some:.2f} s, torchvision {theirs:.2f} s, ratio {ours_of_some / theirs:.2f}"
        )
        largest = max(largest, ours)
    return largest < MOST_SECONDS


def processor_time(function: Callable, *boxes: Tensor) -> tuple[Tensor, float]:
    """What a NMS keeps, and the processor time that it takes."""
    start = time.process_time()
    kept = function(*boxes, MAP_NMS_THRESH)
    return kept, time.process_time() - start


def random_boxes(side: int) -> Tensor:
    """100,000 boxes with sides of 2 to 32 pixels anywhere in a square of `side` pixels."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(MANY, 2, generator=generator) * side
    return torch.cat((corner, corner + 2 + 30 * torch.rand(MANY, 2, generator=generator)), dim=1)


def anchor_boxes() -> Tensor:
    """The boxes of an untrained yolov3 in an image of 1280 pixels: near their cells, of about their anchors' size."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for stride, anchors in YOLOV3_ANCHORS.items():
        count = 1280 // stride
        cells = torch.cartesian_prod(torch.arange(count), torch.arange(count)) * stride
        for anchor in anchors:
            center = cells + stride * torch.rand(cells.shape, generator=generator)
            half = torch.tensor(anchor) / 2 * torch.exp(0.3 * torch.randn(cells.shape, generator=generator))
            parts.append(torch.cat((center - half, center + half), dim=1))
    return torch.cat(parts)


def torchvision_nms(boxes: Tensor, scores: Tensor, labels: Tensor, thresh: float) -> Tensor:
    """torchvision's NMS, class by class, highest score first."""
    kept = []
    for label in labels.unique():
        members = torch.nonzero(labels == label)[:, 0]
        kept.append(members[torchvision.ops.nms(boxes[members], scores[members], thresh)])
    keep = torch.cat(kept)
    return keep[torch.argsort(scores[keep], descending=True, stable=True)]


def seconds(function: Callable, repeats: int) -> float:
    """The median processor time of a call, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", type=Path, help="of a trained network")
    parser.add_argument("--weights", type=Path, help="its weights")
    parser.add_argument("--nms-alone", action="store_true", help="measure only NMS of 100,000 boxes")
    parser.add_argument("--thresh", type=fraction, default=SCORE_THRESH, help=f"default {SCORE_THRESH:g}")
    parser.add_argument("--repeats", type=whole_number(1), default=9, help="default 9")
    parser.add_argument("--threads", type=whole_number(1), default=1, help="torch's; default 1")
    parser.add_argument("images", type=Path, nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
