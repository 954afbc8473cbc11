"""Time of a whole page of `yolo-darknet explain` for one image against one forward and one backward pass.

The backward pass goes from the score of a box to the input. The page needs one for each of the CAUSES detections that
get LayerCAM maps, so the smallest ratio that it can have is above 1. The network is yolov3 at 416 with random weights:
times do not depend on them. Its threshold is chosen so that about DETECTIONS boxes are above it, as in a photo.

example:
  python benchmarks/explain_speed.py --cfg yolov3
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from yolo.console.options import add_cfg_option
from yolo.detect.detector import Detector
from yolo.explain.image.explanation import explain_image
from yolo.explain.image.page import AboutNetwork, explanation_numbers, image_part, write_explained
from yolo.explain.image.views import Rules
from yolo.model.network import Network
from yolo.pages.page import PAGE_FILE

CAUSES = 3  # LayerCAM maps, as the command makes by default
DETECTIONS = 40
BOUND = 5.0


def passes(network: Network, image: torch.Tensor) -> float:
    """Process seconds of a forward pass and a backward pass to the input."""
    start = time.process_time()
    image = image.clone().requires_grad_()
    raw = network(image[None])
    predictions = network.decode(raw)
    score = predictions.objectness[0, 0] * predictions.class_probs[0, 0, 0]
    torch.autograd.grad(score, image)
    return time.process_time() - start


def page(detector: Detector, pixels: np.ndarray, folder: str) -> float:
    """Process seconds from the decoded image to the written page."""
    start = time.process_time()
    explanation = explain_image(detector, "image", pixels, causes=CAUSES)
    rules = Rules(detector.score_thresh, detector.nms_thresh, detector.diou_exponent, "default")
    part = image_part(explanation, detector.names, rules)
    about = AboutNetwork("network", "", "", "")
    write_explained(folder, about, [part], [explanation_numbers(explanation, detector.names, rules)])
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_cfg_option(parser)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    network = Network.from_cfg(args.cfg, size=(args.size, args.size)).eval()
    pixels = np.random.default_rng(0).integers(0, 255, (576, 768, 3), np.uint8)
    names = [f"class {each}" for each in range(network.classes)]
    detector = Detector(network, names, engine=network)
    image, _ = detector.prepare(pixels)
    with torch.inference_mode():
        predictions = network.decode(network(image[None]))
        scores = (predictions.objectness[..., None] * predictions.class_probs).flatten()
    detector.score_thresh = float(scores.topk(DETECTIONS).values[-1])
    needed, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        page(detector, pixels, folder)
        size = (Path(folder) / PAGE_FILE).stat().st_size
        for _ in range(args.repeats):
            needed.append(passes(network, image))
            whole.append(page(detector, pixels, folder))
    ratio = statistics.median(whole) / statistics.median(needed)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"passes {statistics.median(needed):.2f} s, page {statistics.median(whole):.2f} s of process time")
    print(f"ratio {ratio:.2f}, bound {BOUND:g}; page {size / 1e6:.2f} MB; most memory {memory:,.0f} MB")
    print(json.dumps({"ratio": round(ratio, 3), "bound": BOUND}))


if __name__ == "__main__":
    main()
