"""evaluate with a classifier: table, numbers, page, and options that only detectors have."""

import json

import numpy as np
import pytest

from tests.helpers.command_calls import one_line
from tests.helpers.tiny_data import network_of, write_image
from yolo.data.images import read_image
from yolo.detect.classifier import Classifier
from yolo.model.weights import save_weights

NAMES = ("red", "green")
CFG = """[net]
width=12
height=8
[convolutional]
filters=4
size=3
pad=1
activation=leaky
[convolutional]
filters=2
size=1
activation=linear
[avgpool]
[softmax]
"""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """The current folder: small.cfg, small.weights, small.data with a folder of three images for each class."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in NAMES:
        for at in range(3):
            write_image(tmp_path / "valid" / name / f"{at}.png", rng.integers(0, 256, (9, 15, 3), dtype=np.uint8))
    (tmp_path / "small.names").write_text("".join(f"{name}\n" for name in NAMES))
    (tmp_path / "small.data").write_text("classes=2\nvalid=valid\nnames=small.names\ntop=1\n")
    (tmp_path / "small.cfg").write_text(CFG)
    save_weights(network_of(CFG), tmp_path / "small.weights")
    return tmp_path


EVALUATE = ("evaluate", "--cfg", "small.cfg", "--weights", "small.weights", "--data", "small.data", "--workers", 0,
            "--device", "cpu")  # fmt: skip


def test_a_classifier_gets_a_table_numbers_and_a_page(call, case):
    code, out, _ = call(*EVALUATE, "--json", "numbers.json", "--report", "page")
    assert code == 0 and "| all       |      6 |" in out.replace("| all   |", "| all       |")
    classifier = Classifier(network_of(CFG), NAMES)
    right = sum(
        classifier(read_image(path)).labels[0] == label
        for label, name in enumerate(NAMES)
        for path in (case / "valid" / name).iterdir()
    )
    assert 0 < right < 6  # or it would prove little
    numbers = json.loads((case / "numbers.json").read_text())
    assert numbers["top_1"] == right / 6 and f"{right / 6:.4f}" in out
    assert (case / "page" / "index.html").read_text().count("data:image/jpeg") > 6
    assert json.loads((case / "page" / "classifier.json").read_text()) == numbers


def test_what_fits_no_classifier_is_one_line(call, case):
    one_line(
        call(*EVALUATE, "--metric", "coco"), "small.cfg: found a classifier, expected a detection head for --metric"
    )
    one_line(call(*EVALUATE, "--engine", "onnxruntime"), "a detection head for --engine")
    one_line(call(*EVALUATE, "--json", "small.weights"), "small.weights")
    (case / "other").mkdir()
    (case / "other" / "index.html").write_text("mine")
    one_line(call(*EVALUATE, "--report", "other"), "other/index.html: found a page without classifier.json")
    (case / "small.data").write_text("classes=3\nvalid=valid\nnames=small.names\n")
    one_line(call(*EVALUATE), "small.data: found classes=3, expected 2 as in small.cfg")
    (case / "small.data").write_text("classes=2\nnames=small.names\n")
    one_line(call(*EVALUATE), "small.data: expected the keys valid and names")
