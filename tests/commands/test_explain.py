"""explain: the page and its numbers, options, and wrong input as one line and exit code 2."""

import json

import numpy as np
import pytest

from tests.helpers.command_calls import one_line
from tests.helpers.tiny_data import network_of, write_image
from tests.helpers.tiny_heads import CLASSIFIERS
from yolo.model.weights import save_weights

NETWORK = ("--cfg", "tiny.cfg", "--weights", "tiny.weights", "--names", "four/tiny.names")


def test_explain_writes_a_page_for_its_images(call, case):
    images = ("four/images/p0.png", "four/images/p1.png")
    code, out, err = call("explain", *NETWORK, *images, "--report", "r", "--thresh", ".01", "--json", "n.json")
    assert (code, err) == (0, "")
    assert "four/images/p1.png: " in out and "report: r/index.html" in out
    content = json.loads((case / "r" / "explain.json").read_text())
    assert content == json.loads((case / "n.json").read_text())
    assert [each["image"] for each in content["images"]] == list(images)
    code, out, _ = call("detect", *NETWORK, images[0], "--thresh", ".01", "--json", "d.json")
    found = json.loads((case / "d.json").read_text())[0]["objects"]
    kept = [each for each in content["images"][0]["boxes"] if each["fate"] == "kept"]
    assert [each["name"] for each in kept] == [each["name"] for each in found] and kept
    assert [each["score"] for each in kept] == pytest.approx([each["confidence"] for each in found], abs=1e-6)
    code, out, _ = call("explain", *NETWORK, images[0], "--report", "r", "--layers", "0", "2", "--class", "green",
                        "--thresh", ".01", "--detections", "1", "--letterbox")  # fmt: skip
    page = (case / "r" / "index.html").read_text()
    assert code == 0 and "Layer 0 [convolutional]" in page and "LayerCAM at layer 0" in page


def test_more_images_than_the_limit_are_named(call, case):
    code, out, err = call("explain", *NETWORK, "four/images", "--report", "r", "--images", "1")
    assert code == 0 and out.count(".png: ") == 1 and "3 more images left out" in err
    assert len(json.loads((case / "r" / "explain.json").read_text())["images"]) == 1


def test_explain_stops_in_one_line(call, case):
    rest = (*NETWORK, "four/images/p0.png", "--report", "r")
    one_line(call("explain", *rest, "--layers", "99"), "found --layers 99, expected layers 0 to")
    one_line(call("explain", *rest, "--class", "gren"), "--class: found 'gren', expected .*; did you mean green")
    one_line(call("explain", *NETWORK, "away.png", "--report", "r"), "away.png: no such file")
    (case / "empty.png").write_bytes(b"")
    one_line(call("explain", *NETWORK, "empty.png", "--report", "r"), "empty.png")
    assert not (case / "r" / "index.html").exists()
    (case / "film.mp4").write_bytes(b"x")
    one_line(call("explain", *NETWORK, "film.mp4", "--report", "r"), "film.mp4: found a video, expected an image")
    (case / "mine").mkdir()
    (case / "mine" / "index.html").write_text("mine")
    one_line(call("explain", *rest[:-1], "mine"), "expected another folder")
    one_line(call("explain", *rest, "--json", "tiny.cfg"), "tiny.cfg")


def test_a_classifier_is_explained(call, case):
    text = CLASSIFIERS["softmax"]
    (case / "classes.cfg").write_text(text)
    save_weights(network_of(text, seed=1), case / "classes.weights")
    (case / "five.names").write_text("ant\nbee\ncat\ndog\nelk\n")
    options = ("--cfg", "classes.cfg", "--weights", "classes.weights", "--names", "five.names")
    code, out, err = call("explain", *options, "four/images/p0.png", "--report", "r", "--class", "dog")
    assert (code, err) == (0, "")
    (image,) = json.loads((case / "r" / "explain.json").read_text())["images"]
    assert image["causes"][0]["class"] == 3 and len(image["classes"]) == 5
    options_of_imagenet = (*options[:-1], "longer.names")  # has two cranes, and 22,000 names for 1,000 classes
    (case / "longer.names").write_text("crane\nbee\ncrane\ndog\nelk\nfox\n")
    code, _, err = call("explain", *options_of_imagenet, "four/images/p0.png", "--report", "r")
    assert (code, err) == (0, "") and "crane (2)" in (case / "r" / "index.html").read_text()
    long = write_image(case / "long.png", np.zeros((1, 300, 3), np.uint8))
    one_line(call("explain", *options, long, "--report", "r"), "long.png: found an image of 300x1 pixels")
    one_line(call("explain", *options, "four/images/p0.png", "--report", "r", "--data", "four/tiny.data"),
             "classes.cfg: found a classifier with --data")  # fmt: skip
    code, out, _ = call("classify", *options, "four/images/p0.png")
    best = image["classes"][0]
    assert best["name"] in out.splitlines()[0] + out.splitlines()[1]


def test_a_network_without_a_head_that_ends_in_a_map_is_no_classifier(call, case):
    text = CLASSIFIERS["softmax"].split("[avgpool]")[0]
    (case / "map.cfg").write_text(text)
    save_weights(network_of(text), case / "map.weights")
    (case / "five.names").write_text("ant\nbee\ncat\ndog\nelk\n")
    (case / "five.data").write_text("classes=5\nvalid=four/list.txt\nnames=five.names\n")
    network = ("--cfg", "map.cfg", "--weights", "map.weights")
    expected = r"map.cfg: found an output of 5x\d+x\d+, expected a classifier's, of one pixel"
    names = ("--names", "five.names", "four/images/p0.png")
    one_line(call("explain", *network, *names, "--report", "r"), expected)
    one_line(call("classify", *network, *names), expected)
    one_line(call("evaluate", *network, "--data", "five.data"), expected)


def test_files_may_follow_the_layers_and_the_layer_of_layer_cam_is_chosen(call, case):
    network = ("--cfg", "tiny.cfg", "--weights", "tiny.weights", "--names", "four/tiny.names", "--thresh", ".01")
    code, _, err = call("explain", "--layers", "0", "2", "four/images/p0.png", *network, "--report", "r")
    assert (code, err) == (0, "")
    image = json.loads((case / "r" / "explain.json").read_text())["images"][0]
    assert image["image"] == "four/images/p0.png"
    code, _, err = call("explain", *network, "--cam-layer", "0", "four/images/p0.png", "--report", "r")
    assert (code, err) == (0, "")
    detections = json.loads((case / "r" / "explain.json").read_text())["images"][0]["detections"]
    assert detections[0]["layer_cam"] == [0]
    rest = (*network, "four/images/p0.png", "--report", "r")
    one_line(call("explain", *rest, "--cam-layer", "99"), "found --cam-layer 99, expected layers 0 to")
    head = image["heads"][0]["layer"]
    one_line(call("explain", *rest, "--cam-layer", str(head)), f"found --cam-layer {head}, expected a layer that a")
