"""classify as its users run it: Darknet's lines, and bad input as one line and exit code 2."""

import json
import re
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from tests.helpers.command_calls import bad_option, one_line
from yolo.model.network import Network
from yolo.model.weights import save_weights

CFG = """[net]
width=8
height=8
channels=3
[convolutional]
filters=2
size=1
activation=linear
[avgpool]
[softmax]
"""
MODEL = ("--cfg", "m.cfg", "--weights", "m.weights", "--names", "m.names", "--device", "cpu")

# By hand, of the network that compares how red an image is on average with 0: softmax(1, 0) and softmax(0.625, 0).
# The middle of a red image is red; letterboxed, its 8x24 pixels are two rows of 8, and six are gray, 0.5.
RED_MIDDLE = "red: 0.731059\nother: 0.268941\n"
RED_WHOLE = "red: 0.651355\nother: 0.348645\n"


@pytest.fixture
def call(load_tool, call_tool):
    """call("a.png", ...) → exit code, stdout, stderr, as the command gives them."""
    return partial(call_tool, load_tool("classify"))


@pytest.fixture
def case(tmp_path, monkeypatch):
    """A folder with a classifier of red images and one image; the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.cfg").write_text(CFG)
    (tmp_path / "m.names").write_text("red\nother\n")
    network = Network.from_cfg("m.cfg")
    with torch.no_grad():
        network.layers[0].conv.weight.zero_()
        network.layers[0].conv.weight[0, 0] = 1
        network.layers[0].conv.bias.zero_()
    save_weights(network, "m.weights")
    write("red.png")
    return tmp_path


def write(path, size=(8, 24)):
    cv2.imwrite(path, np.full((*size, 3), (0, 0, 255), np.uint8))


def test_help_shows_a_real_example(call):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert re.search(r"\n  yolo-darknet classify --cfg darknet19 --weights \S+", out)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), RED_MIDDLE),
        (("--letterbox",), RED_WHOLE),
        (("--dialect", "pjreddie"), "65.14%: red\n34.86%: other\n"),
        (("--dialect", "pjreddie", "--crop"), "73.11%: red\n26.89%: other\n"),
        (("--top", 1), "red: 0.731059\n"),
        (("--set", "width=24", "--letterbox"), RED_MIDDLE),  # the input is the image
    ],
)
def test_lines_and_views_are_the_dialects(call, case, options, expected):
    assert call(*MODEL, "red.png", *options) == (0, f"red.png:\n{expected}", "")


def test_a_class_below_ten_percent_is_padded_as_darknet_does(call, case):
    network = Network.from_cfg("m.cfg")
    with torch.no_grad():
        network.layers[0].conv.weight.zero_()
        network.layers[0].conv.bias.copy_(torch.tensor([0.95, 0.05]).log())
    save_weights(network, "m.weights")
    code, out, _ = call(*MODEL, "red.png", "--dialect", "pjreddie")
    assert (code, out) == (0, "red.png:\n95.00%: red\n 5.00%: other\n")


def test_with_a_tree_alexeyabs_lines_name_the_parent(call, case):
    (case / "m.cfg").write_text(CFG + "tree=m.tree\n")
    (case / "m.tree").write_text("n1 -1\nn2 0\n")  # groups of one class: each is certain
    code, out, _ = call(*MODEL, "red.png")
    assert code == 0
    assert out == "red.png:\n0, red: 1.000000, parent: Root\n1, other: 1.000000, parent: red\n"
    code, out, _ = call(*MODEL, "red.png", "--dialect", "pjreddie")
    assert (code, out) == (0, "red.png:\n100.00%: other\n 0.00%: red\n")


def test_several_images_and_json(call, case):
    write("square.png", (5, 5))
    code, out, err = call(*MODEL, "red.png", "square.png", "--letterbox", "--json", "out/found.json")
    assert (code, err) == (0, "")
    assert out == f"red.png:\n{RED_WHOLE}square.png:\n{RED_MIDDLE}json: out/found.json\n"
    found = json.loads((case / "out/found.json").read_text())
    assert [each["filename"] for each in found] == ["red.png", "square.png"]
    assert found[0]["classes"] == [
        {"class_id": 0, "name": "red", "confidence": 0.651355},
        {"class_id": 1, "name": "other", "confidence": 0.348645},
    ]


def test_a_bad_image_among_good_ones_costs_only_itself(call, case):
    (case / "broken.png").write_bytes((case / "red.png").read_bytes()[:60])
    write("line.png", (1, 300))
    (case / "folder.png").mkdir()
    images = ("broken.png", "red.png", "line.png", "folder.png")
    code, out, err = call(*MODEL, *images, "--json", "found.json")
    one_line((code, out, err), "3 of 4 images could not be classified: broken.png: found .*")
    assert "line.png: found an image of 300x1 pixels, expected one side at most 256" in err
    assert "folder.png: Is a directory" in err
    assert out == f"red.png:\n{RED_MIDDLE}json: found.json\n"
    assert len(json.loads((case / "found.json").read_text())) == 1


def test_what_cannot_be_stops_in_one_line(call, case):
    one_line(call(*MODEL, "red.png", "away.png"), "away.png: no such file")
    one_line(call(*MODEL, "red.png", "--cfg", "away.cfg"), "away.cfg: No such file")
    one_line(call(*MODEL, "red.png", "--weights", "m.cfg"), "m.cfg: ")
    one_line(call(*MODEL, "red.png", "--set", "x=1"), r"found x=1 for \[net\], expected a key")
    (case / "m.names").write_text("red\n")
    one_line(call(*MODEL, "red.png"), "m.names: found 1 name, expected 2 as in m.cfg")
    bad_option(call(*MODEL, "red.png", "--top", "0"), "found '0', expected a whole number from 1")
    bad_option(call(*MODEL, "red.png", "--crop", "--letterbox"), "not allowed with argument")
    bad_option(call(*MODEL, "red.png", "--dialect", "klingon"), "invalid choice")
    bad_option(call(*MODEL, "red.png", "--json", "."), "found the folder '.', expected a file")


def test_a_detection_network_is_sent_to_the_other_tool(call, case):
    head = "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=6\n[yolo]\nclasses=1\nanchors=1,1\n"
    (case / "m.cfg").write_text(head)
    expected = "m.cfg: found a detection head, expected a classifier; use yolo-darknet detect"
    one_line(call(*MODEL, "red.png"), expected)


def test_names_beyond_the_classes_do_not_count(case, call):
    (case / "m.names").write_text("red\nother\nnever\n")  # as Darknet's list of 21,842 for 1,000 classes
    code, out, _ = call(*MODEL, "red.png")
    assert code == 0 and "never" not in out


def test_probabilities_that_are_no_numbers_are_an_error(case, call):
    network = Network.from_cfg("m.cfg")
    with torch.no_grad():
        network.layers[0].conv.weight.fill_(float("nan"))
    save_weights(network, "m.weights")
    code, _, err = call(*MODEL, "red.png")
    assert code == 2 and "red.png: found probabilities that are not finite" in err.splitlines()[-1]


def test_names_are_found_beside_the_model_and_inputs_are_kept(call, case):
    code, out, err = call(*MODEL[:4], "--device", "cpu", "red.png")
    assert (code, out, err) == (0, "red.png:\n" + RED_MIDDLE, f"names: {case / 'm.names'}\n")
    for name in ("m.cfg", "m.weights", "m.names", "red.png"):
        before = (case / name).read_bytes()
        one_line(call(*MODEL, "red.png", "--json", name), f"{name}: found ")
        assert (case / name).read_bytes() == before


@pytest.mark.parametrize(("options", "expected"), [((), RED_MIDDLE), (("--letterbox",), RED_WHOLE)])
def test_an_exported_classifier_runs_alone(call, call_tool, load_tool, case, options, expected):
    code, out, _ = call_tool(load_tool("export"), *MODEL[:-2], *options, "--out", "m.onnx")
    assert code == 0 and "m.onnx: layout probs" in out and "probabilities [1, 2]: class probabilities" in out
    for file in ("m.cfg", "m.weights", "m.names"):
        (case / file).unlink()
    assert call("--model", "m.onnx", "red.png") == (0, f"red.png:\n{expected}", "")
    if options:
        assert call("--model", "m.onnx", "red.png", "--crop") == (0, f"red.png:\n{RED_MIDDLE}", "")


def test_a_model_takes_no_cfg_and_no_dialect(call, case):
    bad_option(call("--model", "m.onnx", "--cfg", "m.cfg", "red.png"), "--model: expected no --cfg")
    bad_option(call("--model", "m.onnx", "--dialect", "pjreddie", "red.png"), "--model: expected no --dialect")
    _, _, err = call("red.png")
    assert "required: --cfg, --weights (or --model)" in err
    (case / "m.onnx").write_bytes(b"nothing")
    one_line(call("--model", "m.onnx", "red.png"), "m.onnx")
