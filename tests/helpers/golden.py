"""Read what compiled Darknet recorded: golden cases, their weights and inputs (../shared/darknet_golden)."""

import importlib.util
import json

import numpy as np
import torch

from yolo.cfg import parse_cfg
from yolo.model.network import Network, build
from yolo.records import Targets


def network_of(text: str, dialect: str = "alexeyab") -> Network:
    """Return the network of a cfg's text."""
    return build(parse_cfg(text, "test.cfg"), dialect=dialect)[0]


def make_weights(shared):
    """Return the recording's own generator of weights and inputs, as a module."""
    path = shared / "darknet_golden" / "make_weights.py"
    spec = importlib.util.spec_from_file_location("make_weights", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_json(path):
    return json.loads(path.read_text())


def targets_of(rows) -> Targets:
    """Rows (image, class, cx, cy, w, h) → Targets."""
    rows = torch.as_tensor(np.asarray(rows, np.float32).reshape(-1, 6))
    return Targets(rows[:, 0].long(), rows[:, 1].long(), rows[:, 2:])
