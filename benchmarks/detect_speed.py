"""`--engine auto` beside plain sessions of other libraries: the network alone, and files to boxes.

Peers are plain programs of their libraries: ONNX Runtime's InferenceSession, OpenVINO's compiled model with the same
precision, OpenCV's readNetFromONNX, each on the ONNX file that this project exports, and Ultralytics' own yolov3-tiny
(its architecture, random weights) if that package is installed. All have the same number of threads and the same
images, and take turns; times are medians over the rounds.

  network alone   a batch of images in, raw maps out; per precision. Goal: at most 1.00 of the fastest peer's time.
  files to boxes  image files in, boxes after NMS out, float32. Ours is the pipeline of `yolo-darknet detect`; a peer's
                  loop reads with cv2.imread, resizes with cv2.resize, runs a file with decoded boxes, selects with
                  NumPy and cv2.dnn.NMSBoxesBatched. Goal: at least 1.2 times the images per second of the best peer.

Exit code 1 where a goal is missed.

  python benchmarks/detect_speed.py --cfg yolo-fastest-1.1.cfg yolov3-tiny yolov4-tiny yolov3 --images photos/*.jpg
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from yolo.console.option_types import cfg_file, positive, whole_number
from yolo.console.run import run
from yolo.defaults import NMS_THRESH, SCORE_THRESH
from yolo.detect.detector import Detector
from yolo.detect.overlapped import detect_items, flights_for
from yolo.detect.sources.kinds import MediaKind, MediaSource
from yolo.detect.sources.reader import Selection, read_sources
from yolo.detect.sources.streams import Patience
from yolo.detect.views import ViewPlan
from yolo.engines.build import build_engine
from yolo.engines.cache import CACHE_VARIABLE, RawMaps
from yolo.engines.choose import interleaved_seconds
from yolo.engines.fold import folded
from yolo.engines.onnx_file import open_onnx, write_onnx
from yolo.engines.open_vino import openvino_core
from yolo.model.network import Network

GOAL_ALONE, GOAL_FILES = 1.0, 1.2
ROUNDING = 0.005  # ratios are printed with two digits
LEAST_ROUNDS, MOST_ROUNDS = 3, 30
LEAST_FILES, MOST_FILES = 8, 96
QUIET = -8.0  # raw objectness; its sigmoid is .0003
HINTS = {"float32": "f32", "bf16": "bf16"}


class Decoded(nn.Module):
    """A network with decoded boxes as peers' users export it: `[B, P, 5 + C]`, cxcywh 0..1, objectness, classes."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        boxes, objectness, class_probs = self.network.decode(self.network(images))
        return torch.cat((boxes, objectness[..., None], class_probs), dim=-1)


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder  # `auto` measures in this run
        for cfg in args.cfg:
            size = {"width": str(args.size), "height": str(args.size)}
            network = Network.from_cfg(cfg, overrides=size).eval()
            predict_nothing(network)
            for batch in args.batch:
                for precision in args.precision:
                    name = f"{cfg.stem} {batch} x {args.size} {precision}"
                    missed += compare_alone(name, network, batch, precision, Path(folder), args)
            missed += compare_files(f"{cfg.stem} {args.size}", network, Path(folder), args)
    print("missed: " + "; ".join(missed) if missed else "all goals are reached")
    sys.exit(bool(missed))


@torch.no_grad()
def predict_nothing(network: Network) -> None:
    """Make objectness small, as in trained networks: random weights would find thousands of boxes."""
    for head in network.heads:
        bias = network.layers[network.sources[head][0]].conv.bias
        bias.view(len(network.layers[head].anchor_ids), -1)[:, 4] = QUIET


def compare_alone(
    name: str, network: Network, batch: int, precision: str, folder: Path, args: argparse.Namespace
) -> list[str]:
    """Print the times of a batch and return the missed goals."""
    images = torch.rand(batch, network.input.channels, args.size, args.size)
    path = folder / f"raw-{batch}.onnx"
    outputs = [f"map{index}" for index in range(len(network.outputs))]
    write_onnx(RawMaps(folded(network)), images, path, output_names=outputs)
    auto = build_engine(network, "auto", precision)
    calls = {"auto": partial(auto, images)}
    calls |= {peer: partial(call, images.numpy()) for peer, call in peers(path, precision, args.threads).items()}
    if precision == "float32" and name.startswith("yolov3-tiny") and importlib.util.find_spec("ultralytics"):
        calls["ultralytics"] = partial(ultralytics_tiny(), images)
    times = {key: 1000 * value for key, value in medians(calls, args.seconds).items()}
    best = min((each for each in times if each != "auto"), key=times.__getitem__)
    ratio = times["auto"] / times[best]
    chosen = next(iter(auto.chosen.values()))
    rows = ", ".join(f"{key} {value:.1f} ms" for key, value in times.items())
    print(f"{name}: {rows}; auto ({chosen}) / {best} = {ratio:.2f}, goal {GOAL_ALONE:.2f}", flush=True)
    return [f"{name} {ratio:.2f}"] if ratio > GOAL_ALONE + ROUNDING else []


def compare_files(name: str, network: Network, folder: Path, args: argparse.Namespace) -> list[str]:
    """Print the images per second from files to boxes and return the missed goals."""
    path = folder / "decoded.onnx"
    images = torch.rand(1, network.input.channels, args.size, args.size)
    write_onnx(Decoded(folded(network)), images, path, output_names=["predictions"])
    sessions = peers(path, "float32", args.threads)
    with torch.inference_mode():
        once = medians({"torch": partial(network, images)}, 0)["torch"]
    count = max(LEAST_FILES, min(MOST_FILES, int(args.seconds / once)))
    files = list(islice(cycle(args.images), count))
    detector = Detector(network, tuple(map(str, range(network.classes))), engine="auto")
    calls: dict[str, Callable[[], object]] = {"auto": partial(our_pipeline, detector, files)}
    calls |= {peer: partial(peer_loop, call, files, args.size) for peer, call in sessions.items()}
    rates = {key: count / value for key, value in medians(calls, 3 * args.seconds).items()}
    best = max((each for each in rates if each != "auto"), key=rates.__getitem__)
    ratio = rates["auto"] / rates[best]
    rows = ", ".join(f"{key} {value:.1f}" for key, value in rates.items())
    print(f"{name} files to boxes, images/s: {rows}; auto / {best} = {ratio:.2f}, goal {GOAL_FILES}", flush=True)
    return [f"{name} files {ratio:.2f}"] if ratio < GOAL_FILES - ROUNDING else []


def medians(calls: dict[str, Callable[[], object]], enough: float) -> dict[str, float]:
    """Return the median seconds of each call, after one that does not count."""
    for call in calls.values():
        call()
    seconds = interleaved_seconds(calls, LEAST_ROUNDS, MOST_ROUNDS, enough)
    return {name: statistics.median(each) for name, each in seconds.items()}


def peers(path: Path, precision: str, threads: int) -> dict[str, Callable[[np.ndarray], list[np.ndarray]]]:
    """Return plain sessions on an ONNX file that compute in the precision: images → outputs."""
    found = {"openvino": plain_openvino(path, precision, threads)}
    if precision == "float32":
        session = open_onnx(path, threads)
        found["onnxruntime"] = lambda images: session.run(None, {"images": images})
        net = cv2.dnn.readNetFromONNX(str(path))
        names = net.getUnconnectedOutLayersNames()

        def opencv(images: np.ndarray) -> list[np.ndarray]:
            net.setInput(images)
            return net.forward(names)

        found["opencv"] = opencv
    return found


def plain_openvino(path: Path, precision: str, threads: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    options = {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": threads}
    compiled = openvino_core().compile_model(str(path), "CPU", options)
    return lambda images: list(compiled([images]).values())


def ultralytics_tiny() -> nn.Module:
    from ultralytics.nn.tasks import DetectionModel

    return torch.inference_mode()(DetectionModel("yolov3-tiny.yaml", verbose=False).eval().fuse())


def our_pipeline(detector: Detector, files: Sequence[Path]) -> int:
    """Detect in the files as the command does; return the number of results."""
    sources, stop = [MediaSource(MediaKind.IMAGE, str(path)) for path in files], Event()
    frames = read_sources(sources, detector.network.input.channels, Selection(), Patience(), stop)
    flights = flights_for(detector, len(files), live=False)
    return sum(1 for _ in detect_items(detector, frames, ViewPlan(), 1, stop, flights))


def peer_loop(session: Callable[[np.ndarray], list[np.ndarray]], files: Sequence[Path], side: int) -> int:
    """Detect in the files one after the other; return the number of boxes."""
    boxes = 0
    for path in files:
        image = cv2.imread(str(path))
        pixels = cv2.dnn.blobFromImage(image, 1 / 255, (side, side), swapRB=True)
        (predictions,) = session(pixels)
        boxes += len(peer_boxes(np.asarray(predictions)[0], image.shape[:2]))
    return boxes


def peer_boxes(predictions: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return indices of the kept boxes of `[P, 5 + C]`."""
    scores = predictions[:, 4:5] * predictions[:, 5:]
    labels = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), labels]
    likely = best > SCORE_THRESH
    boxes = predictions[likely, :4] * (size[1], size[0], size[1], size[0])
    boxes[:, :2] -= boxes[:, 2:] / 2
    if not len(boxes):
        return boxes
    return cv2.dnn.NMSBoxesBatched(boxes, best[likely], labels[likely].astype(np.int32), SCORE_THRESH, NMS_THRESH)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cfg", type=cfg_file, nargs="+", required=True)
    add("--images", type=Path, nargs="+", required=True)
    add("--size", type=whole_number(32), default=416)
    add("--batch", type=whole_number(1), nargs="+", default=(1, 8))
    add("--precision", choices=tuple(HINTS), nargs="+", default=tuple(HINTS))
    add("--threads", type=whole_number(1), default=2)
    add("--seconds", type=positive, default=3.0, help="of rounds for each comparison, at least three rounds")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
