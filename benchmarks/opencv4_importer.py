"""The layout `opencv` against OpenCV 4's own Darknet importer, network by network: names, shapes, values, time.

OpenCV 5 has no importer, so OpenCV 4 runs in an environment of its own:
  python -m venv /tmp/cv4 && /tmp/cv4/bin/pip install 'opencv-python-headless<5'
  python benchmarks/opencv4_importer.py --opencv4 /tmp/cv4/bin/python CFG:WEIGHTS ...
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from yolo.deploy.export import ExportOptions, export_network
from yolo.model.network import Network
from yolo.model.weights import load_weights

ROUNDS = 10
OPENCV4 = """
import sys, time, cv2, numpy as np
cfg, weights, images, out = sys.argv[1:]
cv2.setNumThreads(1)
net = cv2.dnn.readNetFromDarknet(cfg, weights)
names = net.getUnconnectedOutLayersNames()
images = np.load(images)
net.setInput(images)
outputs = net.forward(names)
times = []
for _ in range({rounds}):
    start = time.process_time()
    net.setInput(images)
    net.forward(names)
    times.append(time.process_time() - start)
np.savez(out, seconds=np.median(times), **dict(zip(names, outputs)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencv4", type=Path, required=True, help="a Python with OpenCV 4")
    parser.add_argument("models", nargs="+", metavar="CFG:WEIGHTS")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'network':32} {'difference':>10}  {'OpenCV 4':>9} {'OpenCV 5':>9} {'ratio':>6}")
    for model in args.models:
        cfg, weights = map(Path, model.split(":"))
        with tempfile.TemporaryDirectory() as folder:
            difference, before, now = compare(args.opencv4, cfg, weights, Path(folder))
        print(f"{cfg.stem:32} {difference:10.1e}  {before * 1e3:6.1f} ms {now * 1e3:6.1f} ms {before / now:6.2f}")


def compare(python: Path, cfg: Path, weights: Path, folder: Path) -> tuple[float, float, float]:
    """Return the largest difference / largest value of an output, and the seconds of OpenCV 4 and of OpenCV 5."""
    network = Network.from_cfg(cfg)
    load_weights(network, weights)
    names = [str(index) for index in range(network.classes)]
    options = ExportOptions("opencv", "float32", 1, 13, False, score_thresh=0.25, nms_thresh=0.45)
    export_network(network, names, folder / "a.onnx", options, {})
    shape = 1, network.input.channels, network.input.height, network.input.width
    images = np.random.default_rng(0).random(shape, np.float32)
    np.save(folder / "images.npy", images)
    script = OPENCV4.format(rounds=ROUNDS)
    files = (cfg, weights, folder / "images.npy", folder / "out.npz")
    subprocess.run([python, "-c", script, *map(str, files)], check=True)
    expected = dict(np.load(folder / "out.npz"))
    before = float(expected.pop("seconds"))
    found, now = opencv5_outputs(folder / "a.onnx", images)
    if {name: each.shape for name, each in found.items()} != {name: each.shape for name, each in expected.items()}:
        raise SystemExit(f"{cfg}: names or shapes differ")
    return max(relative(found[name], expected[name]) for name in expected), before, now


def opencv5_outputs(path: Path, images: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """Return the outputs of an ONNX file by name, and the median of the seconds."""

    net = cv2.dnn.readNetFromONNX(str(path))
    names = net.getUnconnectedOutLayersNames()
    net.setInput(images)
    outputs = dict(zip(names, (each.copy() for each in net.forward(names)), strict=True))
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        net.setInput(images)
        net.forward(names)
        times.append(time.process_time() - start)
    return outputs, float(np.median(times))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the larger relative difference of boxes and of scores; a score beside OpenCV's threshold may be 0."""
    if found.ndim > 2:
        return float(np.abs(found - expected).max() / np.abs(expected).max())
    boxes = np.abs(found[:, :4] - expected[:, :4]).max() / np.abs(expected[:, :4]).max()
    scores = np.where((found == 0) | (expected == 0), 0, np.abs(found - expected))[:, 4:].max()
    zeros = ((found == 0) != (expected == 0)).mean()
    return float(max(boxes, scores, 0 if zeros < 1e-3 else 1))


if __name__ == "__main__":
    main()
