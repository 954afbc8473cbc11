"""The layout `opencv`, read by OpenCV itself: Python's, and Debian's with the C++ program of docs/opencv.md."""

import io
import re
import subprocess
from contextlib import redirect_stdout

import cv2
import numpy as np
import onnx
import pytest
import torch

from tests.helpers.golden import make_weights, network_of, read_json
from tests.helpers.tiny_heads import CLASSIFIERS, CONV, HEADS
from tests.model.test_network import CLASSIFIERS as ZOO_CLASSIFIERS
from tests.model.test_network import DETECTORS
from yolo.deploy.check import check_batches, largest_difference
from yolo.deploy.export import ExportOptions, export_network
from yolo.deploy.layouts import choose_layout
from yolo.engines.fold import folded
from yolo.model.network import Network
from yolo.model.weights import load_weights


def write(network, path, batch=1, opset=13):
    names = [str(index) for index in range(network.classes)]
    options = ExportOptions("opencv", "float32", batch, opset, False, score_thresh=0.25, nms_thresh=0.45)
    return export_network(network, names, path, options, {})


def compare(network, path):
    """Run the file in OpenCV on the images of the check, and return the largest difference from torch."""
    network = folded(network)
    layout = choose_layout("opencv", network, one_image=True, score_thresh=0.25, nms_thresh=0.45)
    net = cv2.dnn.readNetFromONNX(str(path))
    assert set(net.getUnconnectedOutLayersNames()) == set(layout.output_names)
    worst = 0.0
    for images in check_batches(network, 1):
        net.setInput(images.numpy())
        found = [torch.from_numpy(each.copy()) for each in net.forward(list(layout.output_names))]
        worst = max(worst, largest_difference(layout, network, images, found))
    return worst


@pytest.mark.parametrize("head", HEADS)
def test_opencv_reads_every_head(tmp_path, head):
    network = network_of(HEADS[head])
    write(network, tmp_path / "a.onnx")
    assert compare(network, tmp_path / "a.onnx") <= 1e-5
    graph = onnx.load(tmp_path / "a.onnx").graph
    read = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    assert all(node.output[0] in read for node in graph.node)  # ONNX Runtime warns of what nothing reads


def test_equal_tensors_are_read_without_an_identity_which_opencv_4_refuses(tmp_path):
    network = network_of(HEADS["yolo"].replace("[yolo]", CONV.format(14, "linear") + "[yolo]"))
    for name, tensor in network.named_parameters():
        if name.endswith("bias"):
            tensor.data.zero_()
    write(network, tmp_path / "a.onnx")
    assert compare(network, tmp_path / "a.onnx") <= 1e-5
    graph = onnx.load(tmp_path / "a.onnx").graph
    stored = {each.name for each in graph.initializer}
    assert not [node for node in graph.node if node.op_type == "Identity" and node.input[0] in stored]


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_opencv_reads_classifiers(tmp_path, kind):
    network = network_of(CLASSIFIERS[kind])
    write(network, tmp_path / "a.onnx")
    assert compare(network, tmp_path / "a.onnx") <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DETECTORS, *ZOO_CLASSIFIERS])
def test_opencv_reads_the_zoo(shared, tmp_path, name):
    network = zoo_network(shared, name, tmp_path)
    write(network, tmp_path / "a.onnx")
    assert compare(network, tmp_path / "a.onnx") <= 1e-4


def zoo_network(shared, name, folder):
    home = shared / "darknet_golden/forward" / name
    make_weights(shared).write_weights(read_json(home / "case.json"), folder / "a.weights")
    network = Network.from_cfg(home / f"{name}.cfg")
    load_weights(network, folder / "a.weights")
    return network


def block(project, language):
    """The first code block of a language in docs/opencv.md."""
    return re.search(rf"```{language}\n(.*?)```", (project / "docs/opencv.md").read_text(), re.DOTALL)[1]


def python_sample(project, onnx, image, size):
    code = block(project, "python")
    for old, new in (
        ('"yolov4-tiny.onnx"', repr(str(onnx))),
        ('"dog.jpg"', repr(str(image))),
        ("(416, 416)", repr(size)),
    ):
        assert old in code
        code = code.replace(old, new)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "docs/opencv.md", "exec"), {})
    return printed.getvalue()


@pytest.fixture
def fastest(shared, tmp_path):
    """(the exported yolo-fastest, an image)."""
    model = shared / "models/yolo-fastest-1.1/yolo-fastest-1.1"
    network = Network.from_cfg(model.with_suffix(".1.cfg"))
    load_weights(network, model.with_suffix(".1.weights"))
    write(network, tmp_path / "a.onnx", opset=12)
    return tmp_path / "a.onnx", shared / "images/dog.png"


def test_the_python_sample_finds_the_dog(project, fastest):
    printed = python_sample(project, *fastest, (320, 320))
    labels = {line.split()[0] for line in printed.splitlines()}
    assert {"16", "1", "2"} <= labels  # dog, bicycle, car


@pytest.mark.slow
def test_the_cpp_sample_prints_what_the_python_sample_prints(project, fastest, tmp_path, require_tool):
    compiler, config = require_tool("g++", package="g++"), require_tool("pkg-config", package="pkg-config")
    flags = subprocess.run([config, "--cflags", "--libs", "opencv4"], capture_output=True, text=True)
    if flags.returncode:
        pytest.skip("OpenCV's headers are not installed (Debian: apt-get install libopencv-dev)")
    (tmp_path / "detect.cpp").write_text(block(project, "cpp"))
    program = tmp_path / "detect"
    subprocess.run([compiler, "-O1", tmp_path / "detect.cpp", "-o", program, *flags.stdout.split()], check=True)
    done = subprocess.run([program, *fastest, "320", "320"], capture_output=True, text=True, check=True)
    mine = [line.split() for line in done.stdout.splitlines()]
    theirs = [line.split() for line in python_sample(project, *fastest, (320, 320)).splitlines()]
    assert len(mine) == len(theirs) > 3
    for one, other in zip(sorted(mine), sorted(theirs), strict=True):
        assert one[0] == other[0]
        assert np.array(one[1:], float) == pytest.approx(np.array(other[1:], float), abs=1.01)  # pixels are cut to int


def test_the_tensorrt_sample_adds_the_plugin(project, tmp_path, monkeypatch):
    network = network_of(HEADS["yolo"])
    options = ExportOptions("tensorrt", "float32", 1, 13, False, score_thresh=0.25, nms_thresh=0.45)
    monkeypatch.chdir(tmp_path)
    export_network(network, ["a", "b"], tmp_path / "my.onnx", options, {})
    text = (project / "docs/deploy.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "EfficientNMS" in each)
    exec(compile(code, "docs/deploy.md", "exec"), {})
    model = onnx.load(tmp_path / "my_nms.onnx")
    assert list(model.graph.node[-1].input) == ["boxes", "scores"]
    assert [each.name for each in model.graph.output] == ["num_dets", "det_boxes", "det_scores", "det_classes"]
