"""train with a classifier: trained on folders, used by classify.py, interrupted, and used as a backbone."""

import csv
from functools import partial

import numpy as np
import pytest
import torch

from tests.helpers.tiny_data import cfg_text, write_image
from tests.helpers.training_options import changed, finish, training_options
from yolo.model.network import Network
from yolo.model.weights import load_weights

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core

COLORS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
STEPS = 40
# the first two layers are those of the tiny detector
CFG = """[net]
batch=6
subdivisions=2
width=64
height=48
channels=3
min_crop=48
max_crop=64
learning_rate=0.05
policy=poly
power=4
max_batches={steps}
hue=.02
saturation=1.1
exposure=1.1
angle=7
aspect=.75

[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=3
size=1
stride=1
pad=1
activation=linear

[avgpool]

[softmax]
groups=1
"""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """A folder with colors.data, whose sets are folders of noisy images of one color; the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for kind, count in (("train", 4), ("valid", 2)):
        for name, color in COLORS.items():
            for number in range(count):
                pixels = rng.normal(color, 12, (60, 80, 3)).clip(0, 255).astype(np.uint8)
                write_image(tmp_path / kind / name / f"{number}.png", pixels)
    (tmp_path / "colors.names").write_text("".join(f"{name}\n" for name in COLORS))
    (tmp_path / "colors.data").write_text(
        "classes=3\ntrain=train\nvalid=valid\nlabels=colors.names\nnames=colors.names\nbackup=backup\ntop=2\n"
    )
    (tmp_path / "colors.cfg").write_text(CFG.format(steps=STEPS))
    return tmp_path


TRAIN = ("--cfg", "colors.cfg", "--data", "colors.data", "--device", "cpu", "--workers", "0")


@pytest.fixture
def call(load_tool, call_tool):
    """call("train", ...) → exit code, stdout, stderr, as the command gives them."""
    return lambda tool, *arguments: partial(call_tool, load_tool(tool))(*arguments)


def test_a_classifier_is_trained_scored_used_cut_and_begun_with(case, call, four, caplog):
    caplog.set_level("INFO")
    code, out, err = call("train", *TRAIN)
    assert code == 0, err
    assert "train: 12 images of 3 classes, 4 to 4 a class" in caplog.text
    assert "best top-1 1.0000: backup/colors_best.weights, backup/colors_best.pt" in out
    with open("backup/scores.csv", newline="") as file:
        *_, scores = csv.DictReader(file)
    assert float(scores["top1"]) == float(scores["top2"]) == 1
    assert (case / "backup/chart.png").stat().st_size > 0

    for name in COLORS:
        code, out, err = call(
            "classify", "--cfg", "colors.cfg", "--weights", "backup/colors_last.weights",
            "--names", "colors.names", "--device", "cpu", f"valid/{name}/1.png",
        )  # fmt: skip
        assert code == 0, err
        assert out.splitlines()[1].startswith(f"{name}: "), out  # the first is the image

    code, _, err = call(
        "convert_weights", "--cfg", "colors.cfg", "--cutoff", "2",
        "backup/colors_last.weights", "backbone.conv.2",
    )  # fmt: skip
    assert code == 0, err
    (case / "detector.cfg").write_text(cfg_text())
    code, _, err = call(
        "train", "--cfg", "detector.cfg", "--data", four.data, "--weights", "backbone.conv.2",
        "--cutoff", "2", "--freeze", "2", "--max-batches", "2", "--device", "cpu", "--workers", "0",
        "--out", "detector",
    )  # fmt: skip
    assert code == 0, err
    classifier, detector = Network.from_cfg("colors.cfg"), Network.from_cfg("detector.cfg")
    load_weights(classifier, "backup/colors_last.weights")
    load_weights(detector, "detector/detector_last.weights")
    first = [dict(network.layers[0].named_parameters()) for network in (classifier, detector)]
    assert all(torch.equal(first[0][name], value) for name, value in first[1].items())


def test_a_classifier_goes_on_exactly(case):
    # with poly, the rate of the first steps would depend on max_batches
    constant = CFG.format(steps=STEPS).replace("policy=poly\npower=4", "policy=constant")
    (case / "colors.cfg").write_text(constant)
    options = training_options(case / "colors.cfg", case / "colors.data", ema=0.9)
    whole = finish(changed(options, out=case / "whole"))
    part = changed(options, out=case / "part", overrides=(("max_batches", "17"),))
    finish(part)
    rest = finish(changed(part, overrides=(), resume=case / "part/colors_last.pt"))
    assert rest.progress == whole.progress
    first, second = rest.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_a_cfg_without_a_loss_and_classes_that_differ_are_one_line(case, call):
    text = CFG.format(steps=STEPS)
    (case / "colors.cfg").write_text(text.replace("\n[softmax]\ngroups=1\n", ""))
    code, out, err = call("train", *TRAIN)
    assert code == 2 and err.count("error: ") == 1 and "[softmax]" in err, err
    (case / "colors.cfg").write_text(text.replace("filters=3", "filters=5"))
    code, out, err = call("train", *TRAIN)
    assert code == 2 and "colors.data: found classes=3, expected 5 as in colors.cfg" in err, err
    assert not (case / "backup").exists()


def test_a_broken_image_stops_or_is_left_out(case, call, caplog):
    caplog.set_level("INFO")
    (case / "train/red/2.png").write_bytes(b"no image")
    code, _, err = call("train", *TRAIN)
    assert code == 2 and "train/red/2.png" in err.splitlines()[-1], err
    code, _, err = call("train", *TRAIN, "--max-batches", "1", "--on-problem", "skip")
    assert code == 0, err
    assert "11 images of 3 classes, 3 to 4 a class" in caplog.text
