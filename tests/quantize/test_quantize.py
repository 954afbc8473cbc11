"""yolo.quantize: rounding by hand, the ONNX file beside the simulation in PyTorch, sensitivity, biases."""

import numpy as np
import onnx
import pytest
import torch

from tests.helpers.fragile_network import FRAGILE, fragile_network
from tests.helpers.golden import network_of
from yolo.deploy.export import ExportOptions, export_network
from yolo.engines.fold import folded
from yolo.engines.onnx_file import open_onnx, run_onnx
from yolo.errors import DatasetError
from yolo.letterbox import stretched
from yolo.quantize.calibration import batches_of, read_calibration
from yolo.quantize.equalization import equalized
from yolo.quantize.qdq import write_qdq
from yolo.quantize.sensitivity import layer_errors, prediction_error
from yolo.quantize.simulation import (
    Range,
    activation_ranges,
    in_int8,
    int8_weights,
    layer_convolutions,
    with_corrected_biases,
)
from yolo.records import Predictions

RAW = ExportOptions("raw", "float32", 1, 13, letterbox=False, score_thresh=0.2, nms_thresh=0.4)


@pytest.fixture
def network():
    return folded(fragile_network())


@pytest.fixture
def images():
    return [torch.rand(1, 3, 48, 64) for _ in range(3)]


def test_values_are_rounded_to_255_or_256_levels():
    values = torch.tensor([-3.0, -0.26, 0.0, 0.26, 0.74, 254.6, 300.0])
    assert Range(127.0, True).rounded(values).tolist() == [-3, 0, 0, 0, 1, 127, 127]
    assert Range(255.0, False).rounded(values).tolist() == [0, 0, 0, 0, 1, 255, 255]
    assert Range(12.7, True).rounded(torch.tensor([0.26])).item() == pytest.approx(0.3)


def test_each_filter_has_its_own_scale():
    weights = torch.tensor([[127.0, 1.4], [1.27, 0.014]]).view(2, 2, 1, 1)
    expected = torch.tensor([[127.0, 1.0], [1.27, 0.01]]).view(2, 2, 1, 1)
    assert torch.allclose(int8_weights(weights), expected)
    assert int8_weights(torch.zeros(1, 2, 1, 1)).abs().max() == 0


def test_the_range_is_a_percentile_of_the_image_with_the_largest_values(network):
    images = [torch.full((1, 3, 48, 64), 0.5), torch.full((1, 3, 48, 64), 0.25)]
    images[0].view(-1)[:1] = 100  # of 9,216 values: the one above the percentile
    images[0].view(-1)[1] = 7
    ranges = activation_ranges(network, images)
    assert ranges["layers.0.conv"] == Range(100.0, False)
    images[0].view(-1)[:1] = -0.1
    many = [each.repeat(1, 1, 8, 8) for each in images]  # 589,824 values, of which 58 are above it
    assert activation_ranges(network, many)["layers.0.conv"] == Range(7.0, True)


def test_onnx_computes_what_the_simulation_does(tmp_path, network, images):
    ranges = activation_ranges(network, images)
    export_network(network, ("a", "b"), tmp_path / "a.onnx", RAW, {})
    write_qdq(tmp_path / "a.onnx", tmp_path / "b.onnx", ranges, (3,), {"x": "y"}, signed=False)
    session = open_onnx(tmp_path / "b.onnx", 1)
    convs = layer_convolutions(network)
    with in_int8({**convs[0], **convs[2]}, ranges), torch.inference_mode():
        for image in images:
            for found, expected in zip(run_onnx(session, image), network(image), strict=True):
                assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
    model = onnx.load(tmp_path / "b.onnx")
    assert session.get_modelmeta().custom_metadata_map == {"x": "y"}
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    rounded = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert [arrays[node.input[2]].dtype for node in rounded] == [np.uint8, np.int8]  # an image has no negative values
    weights = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in arrays]
    assert [arrays[node.input[1]].shape for node in weights] == [(6,), (12,)]  # a scale for each filter
    assert all(not arrays[node.input[2]].any() for node in (*rounded, *weights))  # no zero point


def test_the_fragile_layer_is_the_most_sensitive_one_and_the_network_stays_as_it_is(network, images):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    errors = layer_errors(network, images, activation_ranges(network, images))
    assert errors[0].layer == FRAGILE and errors[0].error > 10 * errors[1].error > 0
    assert [each.layer for each in errors[1:]] in ([0, 3], [3, 0])
    assert errors[0].text == "3x3, 6 to 12 channels"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_error_of_predictions_by_hand():
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.4, 0.4]]])
    expected = Predictions(boxes, torch.tensor([[0.5, 1.0]]), torch.tensor([[[0.8, 0.2], [0.1, 0.6]]]))
    assert prediction_error(expected, expected) == 0
    half = boxes * torch.tensor([1, 1, 0.5, 1])  # IoU .5
    scored = Predictions(half, torch.tensor([[0.5, 1.0]]), torch.tensor([[[0.8, 0.2], [0.1, 0.5]]]))
    assert prediction_error(scored, expected) == pytest.approx((0.5 * 0.4 + 0.5 * 0.6 + 0.1) / (0.4 + 0.6))


def test_corrected_biases_restore_the_mean_of_each_channel(network, images):
    ranges = activation_ranges(network, images)
    (conv,) = layer_convolutions(network)[0].values()
    exact = torch.cat([conv(image) for image in images]).mean(dim=(0, 2, 3))
    corrected = with_corrected_biases(network, images, ranges, (2, 3))
    convs = layer_convolutions(corrected)[0]
    (rounded,) = convs.values()
    with in_int8(convs, ranges):
        found = torch.cat([rounded(image) for image in images]).mean(dim=(0, 2, 3))
    assert torch.allclose(found, exact, atol=1e-6) and not torch.equal(rounded.bias, conv.bias)
    assert torch.equal(corrected.layers[2].conv.bias, network.layers[2].conv.bias)


def test_calibration_images_come_from_a_list_or_a_folder(four, tmp_path):
    (four.folder / "images" / "._p0.png").write_bytes(b"\0\5\x16\7")  # macOS's
    (four.folder / "images" / "notes.txt").write_text("not an image")
    images = read_calibration(four.folder / "list.txt", 3, (48, 64), stretched)
    again = read_calibration(four.folder / "images", 3, (48, 64), stretched)
    assert len(images) == 4 and all(map(torch.equal, images, again))
    batches = batches_of(images, 3)
    assert [len(each) for each in batches] == [3, 3] and torch.equal(batches[1][1:], torch.cat(images[:2]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: found no image in this folder"):
        read_calibration(tmp_path / "empty", 3, (48, 64), stretched)
    (tmp_path / "bad.txt").write_text("nowhere.png\n")
    with pytest.raises((DatasetError, OSError), match="nowhere.png"):
        read_calibration(tmp_path / "bad.txt", 3, (48, 64), stretched)


MOBILE = """[net]
width=16
height=16
[convolutional]
filters=4
size=3
pad=1
activation=leaky
[convolutional]
filters=8
groups=4
size=3
pad=1
activation=relu
[convolutional]
filters=5
size=1
activation=linear
[convolutional]
filters=5
size=1
activation=logistic
[convolutional]
filters=5
size=1
activation=linear
[shortcut]
from=-3
[convolutional]
filters=6
size=1
activation=linear
"""


def test_equalized_channels_compute_the_same():
    network = folded(network_of(MOBILE))
    with torch.no_grad():
        network.layers[0].conv.weight *= torch.tensor([1.0, 0.1, 10.0, 0.0]).view(-1, 1, 1, 1)
        network.layers[0].conv.bias[3] = 0  # a dead channel
    images = [torch.rand(1, 3, 16, 16) for _ in range(3)]
    changed = equalized(network, images)
    for image in images:
        assert torch.allclose(changed(image)[0], network(image)[0], rtol=1e-4, atol=1e-6)
    tops = torch.stack([changed.layers[0](image).abs().amax(dim=(0, 2, 3)) for image in images]).amax(dim=0)
    assert torch.allclose(tops[:3], tops[:1].expand(3), rtol=1e-4) and tops[3] == 0
    # the weights of layer 2 have one scale: its inputs have ranges in proportion to the weights that read them
    inputs = [changed.layers[1](changed.layers[0](image)) for image in images]
    tops = torch.stack([each.abs().amax(dim=(0, 2, 3)) for each in inputs]).amax(dim=0)
    ratios = (tops / changed.layers[2].conv.weight.abs().amax(dim=(0, 2, 3)))[tops > 0]
    assert len(ratios) >= 3 and torch.allclose(ratios, ratios[:1].expand_as(ratios), rtol=1e-4)
    same = [torch.equal(changed.layers[i].conv.weight, network.layers[i].conv.weight) for i in (0, 1, 2, 3, 4, 6)]
    # layer 2 has two readers, layer 3 a curved activation, and a sum lies between layers 4 and 6
    assert same == [False, False, False, True, True, True]
