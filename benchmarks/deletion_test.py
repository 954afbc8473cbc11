"""Deletion test of LayerCAM: hiding what a map highlights lowers the score of its detection more than hiding elsewhere.

For the best detections of each image, the FRACTION of the network input with the highest values of the map is filled
with the mean color of the image, and the score of the same box is computed again. The controls hide the same shape at
random places: anywhere, and with its center inside the detection's box, which is harder to beat. Another control is the
map of a network with random weights. Each number has its 95 % interval: images drawn again with replacement, because
the detections of one image are similar.

example, two minutes on a core:
  python benchmarks/deletion_test.py ../shared/models/yolo-fastest-1.1 ../shared/images ../shared/datasets/coco96
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from terminaltables import AsciiTable
from torch import Tensor

from yolo.data.images import ignore_remark, read_image
from yolo.defaults import IMAGE_ENDINGS
from yolo.detect.detector import Detector
from yolo.explain.image.explanation import Explanation, detection_score, explain_image
from yolo.explain.layer_cam import TracedPass, layer_cam, score_gradients, traced_pass
from yolo.model.network import Network
from yolo.model.weights import load_weights

FRACTION = 0.05  # of the network input that is hidden
DRAWS = 3  # random places for each control
DETECTIONS = 3  # of an image
TOGETHER = 8  # masks
RESAMPLED = 2000  # times, for an interval
PRINTED_EVERY = 25  # images
KINDS = ("highlighted", "elsewhere", "elsewhere in the box", "random weights")
Rows = dict[str, list[tuple[int, dict[str, float]]]]  # layer → (number of the image, loss of the score by kind)


def highlighted(cam: Tensor, size: tuple[int, int]) -> Tensor:
    """Return bool `[H, W]`: the FRACTION of a network input where the map is largest."""
    large = F.interpolate(cam[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    count = round(FRACTION * large.numel())
    mask = torch.zeros(large.numel(), dtype=torch.bool)
    mask[large.flatten().topk(count).indices] = True
    return mask.view(size)


def moved(mask: Tensor, center: tuple[float, float]) -> Tensor:
    """Return the mask with the middle of its pixels at `center` (row, column); it wraps around at the border."""
    rows, columns = torch.nonzero(mask).unbind(dim=1)
    shift = round(center[0] - rows.double().mean().item()), round(center[1] - columns.double().mean().item())
    return mask.roll(shift, (0, 1))


def controls(mask: Tensor, box: tuple[float, ...], draw: np.random.Generator) -> Iterator[tuple[str, Tensor]]:
    """Yield the mask at random places: anywhere, and inside a box, xyxy in 0..1 of the input."""
    height, width = mask.shape
    x1, y1, x2, y2 = (min(max(each, 0.0), 1.0) for each in box)
    for _ in range(DRAWS):
        yield "elsewhere", moved(mask, (draw.uniform(0, height), draw.uniform(0, width)))
        yield "elsewhere in the box", moved(mask, (draw.uniform(y1, y2) * height, draw.uniform(x1, x2) * width))


def maps_of(network: Network, traced: TracedPass, prediction: int, label: int, layers: Sequence[int]) -> list[Tensor]:
    """Return the maps of a box from another network's pass, one a layer.

    Args:
        network: the other network.
        traced: its pass, which has kept the layers.
        prediction: number of the box.
        label: its class.
        layers: Darknet's numbers.
    """
    score = detection_score(network.decode(traced.raw), prediction, label, network.tree is not None)
    gradients = score_gradients(traced, score, layers)
    return [layer_cam(traced.features[layer], gradients[layer])[0] for layer in layers]


@torch.inference_mode()
def drops(detector: Detector, explanation: Explanation, detection: int, masks: list[Tensor]) -> list[float]:
    """Return the fraction of its value that the score of a detection loses when each of the masks is hidden."""
    fate = explanation.detections[detection].fate
    image = explanation.network_input
    fill = image.mean(dim=(1, 2))[:, None, None]
    found = []
    for start in range(0, len(masks), TOGETHER):
        hidden = torch.stack([torch.where(mask, fill, image) for mask in masks[start : start + TOGETHER]])
        predictions = detector.network.decode(detector.engine(hidden))
        scores = predictions.objectness[:, fate.prediction] * predictions.class_probs[:, fate.prediction, fate.label]
        found += (1 - scores / fate.score).tolist()
    return found


def image_files(places: list[Path]) -> list[Path]:
    """Return the image files of folders, in a random order, so that those of a shortened run are a sample of all."""
    paths = [
        path
        for place in places
        for path in (sorted(place.rglob("*")) if place.is_dir() else [place])
        if path.suffix.lower() in IMAGE_ENDINGS
    ]
    return [paths[at] for at in np.random.default_rng(0).permutation(len(paths))]


def with_interval(values: Sequence[float], owners: Sequence[int]) -> str:
    """Return the mean of values and its 95 % interval. owners: the image of each value."""
    _, image = np.unique(owners, return_inverse=True)
    sums, counts = np.bincount(image, values), np.bincount(image)
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLED, len(sums)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), (2.5, 97.5))
    return f"{sums.sum() / counts.sum():.3f} ({low:.3f} to {high:.3f})"


def table(rows: Rows) -> str:
    """Return a line for each layer and kind: the mean loss, the difference from the highlighted part, how often."""
    lines = [("layer", "detections", "images", "hidden", "loss of the score", "highlighted: more by", "in how many")]
    for name, found in rows.items():
        for kind in KINDS:
            both = [(image, row["highlighted"], row[kind]) for image, row in found if kind in row]
            if not both:
                continue
            owners, ours, theirs = (np.array(column) for column in zip(*both, strict=True))
            more = ("", "") if kind == KINDS[0] else (with_interval(ours - theirs, owners),
                                                      with_interval(ours > theirs, owners))  # fmt: skip
            lines.append((name, len(both), len(set(owners)), kind, with_interval(theirs, owners), *more))
    return AsciiTable(lines).table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder of NAME.cfg and NAME.weights, called NAME")
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--most", type=int, default=10**6, metavar="N", help="images; default all")
    parser.add_argument("--minutes", type=float, default=1e9, metavar="N", help="of processor time; then it ends early")
    args = parser.parse_args()
    cfg = args.model / f"{args.model.name}.cfg"
    network = Network.from_cfg(cfg)
    load_weights(network, args.model / f"{args.model.name}.weights")
    torch.manual_seed(0)
    random = Network.from_cfg(cfg).eval()
    detector = Detector(network, [str(each) for each in range(network.classes)])
    draw = np.random.default_rng(0)
    found: Rows = {}
    paths = image_files(args.images)[: args.most]
    for number, path in enumerate(paths):
        if time.process_time() > 60 * args.minutes:
            print(f"ended after {number} of {len(paths)} images")
            break
        add_image(found, number, path, detector, random, draw)
        if number % PRINTED_EVERY == PRINTED_EVERY - 1:
            print(f"after {number + 1} of {len(paths)} images\n{table(found)}", flush=True)
    print(f"{args.model.name}: {FRACTION:.0%} of the input hidden\n{table(found)}")


def add_image(
    found: Rows, number: int, path: Path, detector: Detector, random: Network, draw: np.random.Generator
) -> None:
    """Measure the best detections of an image, and add a row for each of their maps to `found`.

    Args:
        found: rows so far.
        number: of the image.
        path: of the image.
        detector: with the network.
        random: the same network with random weights.
        draw: for the random places.
    """
    network = detector.network
    size = network.input.height, network.input.width
    pixels = read_image(path, network.input.channels, ignore_remark)
    explanation = explain_image(detector, path.name, pixels, causes=DETECTIONS)
    layers = {layer for cause in explanation.causes for layer in cause.cams}
    traced = traced_pass(random, explanation.network_input[None], layers)
    for cause in explanation.causes:
        fate = explanation.detections[cause.detection].fate
        others = maps_of(random, traced, fate.prediction, fate.label, list(cause.cams))
        kinds: list[tuple[str, str, Tensor]] = []  # name of the layer, kind, mask
        for place, ((layer, cam), other) in enumerate(zip(cause.cams.items(), others, strict=True)):
            if not cam.any():
                continue
            name = "feeds the head" if layer == cause.feeding else f"earlier {place + 1}"
            mask = highlighted(cam, size)
            kinds.append((name, KINDS[0], mask))
            kinds += [(name, kind, each) for kind, each in controls(mask, fate.box, draw)]
            if other.any():
                kinds.append((name, KINDS[-1], highlighted(other, size)))
        values = drops(detector, explanation, cause.detection, [mask for _, _, mask in kinds]) if kinds else []
        rows: dict[str, dict[str, list[float]]] = {}
        for (name, kind, _), value in zip(kinds, values, strict=True):
            rows.setdefault(name, {}).setdefault(kind, []).append(value)
        for name, row in rows.items():
            found.setdefault(name, []).append((number, {kind: float(np.mean(each)) for kind, each in row.items()}))


if __name__ == "__main__":
    main()
