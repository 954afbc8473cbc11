"""A tiny network of which one layer cannot bear int8, and labels that are its own detections."""

import torch

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.detect.detector import Detector

FRAGILE = 2  # number of the layer
LABELED = 4  # detections of an image that become labels


def fragile_network():
    """Return it: layer 2 has large weights for a channel that is always 0, so its scales round the others to 0."""
    network = network_of(cfg_text(norm=False, dropout=False), seed=1).eval()
    with torch.no_grad():
        first, fragile, last = (network.layers[index].conv for index in (0, FRAGILE, 3))
        first.weight[0], first.bias[0] = 0, 0
        fragile.weight[:, 0] = 100 * fragile.weight.abs().max()
        last.weight *= 8
    return network


def label_own_detections(network, data):
    """Write the best detections of a network as the labels of a DrawnSet: its AP is then high."""
    detector = Detector(network, ("red", "green"), 0.005)
    for path in data.images:
        found = detector(path)
        rows = []
        for (x1, y1, x2, y2), label in zip(found.boxes[:LABELED].tolist(), found.labels.tolist(), strict=False):
            box = ((x1 + x2) / 128, (y1 + y2) / 96, (x2 - x1) / 64, (y2 - y1) / 48)
            rows.append(" ".join(map(str, (label, *box))))
        (data.folder / "labels" / f"{path.stem}.txt").write_text("\n".join(rows) + "\n")
