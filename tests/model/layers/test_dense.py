"""yolo.model.layers.dense and build_dense: cfg text → layer, against compiled Darknet's outputs and loops.

golden/dense.npz: pjreddie's Darknet (2018-09-14, CPU build with batch norm's epsilon inside the root) read CFG and the
`weights` (in file order), looked at two random `images`, and gave `output_K`, of layer K. Its workspace, of which
[local] asks for a quarter of what it writes, was made large enough.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import PROJECT
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.building import MAX_STORED_VALUES, BuildContext
from yolo.model.layers.dense import Connected, Local, build_connected, build_local
from yolo.settings import read_input

BUILDERS = {"local": build_local, "connected": build_connected}
CFG = """
[net]
batch=2
height=5
width=8
channels=3

[local]
filters=4
size=3
stride=2
pad=1
activation=leaky

[local]
filters=2
size=2

[connected]
output=6
batch_normalize=1
activation=relu

[connected]
output=5
"""
SHAPES = [(4, 3, 4), (2, 2, 3), (6, 1, 1), (5, 1, 1)]


def layers_of(text):
    """What the builders make of a cfg's sections, each on top of the other."""
    net, *sections = parse_cfg(text, "test.cfg")
    built = []
    for section in sections:
        context = BuildContext(read_input(net, None), "pjreddie", built, 0)
        built.append(BUILDERS[section.kind](section, context))
        assert not section.unread()
    return built


def layer_of(lines, height=4, width=5, channels=3):
    return layers_of(f"[net]\nheight={height}\nwidth={width}\nchannels={channels}\n{lines}")[0]


def fill(built, weights):
    """Copy numbers in file order into the layers; all must be used."""
    start = 0
    for layer in built:
        for _, tensor in layer.module.darknet_tensors():
            end = start + tensor.numel()
            tensor.data.copy_(torch.from_numpy(weights[start:end]).view(tensor.shape))
            start = end
    assert start == len(weights)


def test_every_output_is_compiled_darknets():
    recorded = np.load(PROJECT / "tests" / "golden" / "dense.npz")
    built = layers_of(CFG)
    fill(built, recorded["weights"])
    features = torch.from_numpy(recorded["pictures"])
    assert [layer.shape for layer in built] == SHAPES
    assert [layer.sources for layer in built] == [(-1,), (0,), (1,), (2,)]
    for index, layer in enumerate(built):
        features = layer.module.eval()(features)
        expected = torch.from_numpy(recorded[f"output_{index}"])
        assert features.shape == (2, *SHAPES[index])
        assert torch.allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_a_connected_layer_is_the_sum_over_channels_rows_and_columns():
    layer = Connected(inputs=24, outputs=5, batch_normalize=False, activation=nn.ReLU())
    with torch.no_grad():
        layer.linear.bias.uniform_(-1, 1)
    features = torch.randn(3, 2, 3, 4)
    found = layer(features)
    assert found.shape == (3, 5, 1, 1)
    for image, output in np.ndindex(3, 5):
        total = layer.linear.bias[output].item()
        for place, (channel, row, column) in enumerate(np.ndindex(2, 3, 4)):
            weight = layer.linear.weight[output, place].item()
            total += weight * features[image, channel, row, column].item()
        assert found[image, output, 0, 0].item() == pytest.approx(max(total, 0.0), abs=1e-5)


def test_a_local_layer_has_different_weights_at_each_place():
    layer = Local(in_channels=2, filters=3, size=3, stride=2, padding=1, out=(2, 3), activation=nn.Identity())
    with torch.no_grad():
        layer.weights.uniform_(-1, 1)
        layer.biases.uniform_(-1, 1)
        features = torch.randn(2, 2, 4, 5)
        found = layer(features)
    assert found.shape == (2, 3, 2, 3)
    for image, filter_, row, column in np.ndindex(2, 3, 2, 3):
        place = row * 3 + column
        total = layer.biases[filter_ * 6 + place].item()
        for index, (channel, down, right) in enumerate(np.ndindex(2, 3, 3)):
            y, x = row * 2 + down - 1, column * 2 + right - 1
            if 0 <= y < 4 and 0 <= x < 5:
                weight = layer.weights[place, filter_, index].item()
                total += weight * features[image, channel, y, x].item()
        assert found[image, filter_, row, column].item() == pytest.approx(total, abs=1e-5)


def test_tensors_are_in_the_order_of_a_weights_file():
    plain, normed = (layer_of(f"[connected]\noutput=7\nbatch_normalize={flag}").module for flag in (0, 1))
    named = dict(normed.darknet_tensors())
    order = ["biases", "weights", "scales", "rolling mean", "rolling variance"]
    assert list(named) == order
    assert named["weights"].shape == (7, 60)
    assert named["biases"] is normed.norm.bias and named["scales"] is normed.norm.weight
    assert [name for name, _ in plain.darknet_tensors()] == ["biases", "weights"]
    local = layer_of("[local]\nfilters=2\nsize=2").module
    assert [(name, tuple(tensor.shape)) for name, tensor in local.darknet_tensors()] == [
        ("biases", (24,)),
        ("weights", (12, 2, 12)),
    ]


def test_only_weights_have_more_than_one_axis():
    text = "[connected]\nbatch_normalize=1\n[local]\n[connected]"
    modules = [layer.module for layer in layers_of(f"[net]\nheight=1\nwidth=1\n{text}")]
    named = [name for module in modules for name, p in module.named_parameters() if p.ndim > 1]
    assert named == ["linear.weight", "weights", "linear.weight"]


def test_initial_weights_are_within_darknets_bound():
    connected = layer_of("[connected]\noutput=50").module
    assert not connected.linear.weight.any()
    connected.reset_parameters()
    assert 0.95 * math.sqrt(2 / 60) < connected.linear.weight.abs().max() <= math.sqrt(2 / 60)
    assert connected.linear.weight.min() < 0 and not connected.linear.bias.any()
    local = layer_of("[local]\nfilters=20\nsize=3").module
    local.reset_parameters()
    assert 0.95 * math.sqrt(2 / 27) < local.weights[0].abs().max() <= math.sqrt(2 / 27)
    assert not local.weights[1:].any() and not local.biases.any()  # as make_local_layer leaves them


def test_keys_have_darknets_defaults():
    connected = layer_of("[connected]")
    assert connected.shape == (1, 1, 1) and isinstance(connected.module.activation, nn.Sigmoid)
    assert connected.module.norm is None
    local = layer_of("[local]")
    assert local.shape == (1, 4, 5) and isinstance(local.module.activation, nn.Sigmoid)


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_shape_of_a_local_layer_is_that_of_its_output(pad, stride):
    layer = layer_of(f"[local]\nfilters=2\nsize=3\npad={pad}\nstride={stride}", height=7, width=10)
    assert layer.module(torch.zeros(2, 3, 7, 10)).shape == (2, *layer.shape)


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        (
            "[connected]\noutput=0",
            6,
            "[connected] output: found '0', expected a whole number of at least 1",
        ),
        ("[local]\nfilters=-2", 6, "filters: found '-2', expected a whole number of at least 1"),
        ("[local]\nsize=5", 6, "size: found '5', expected a window that fits the input of 4x5"),
        ("[local]\nstride=0", 6, "stride: found '0', expected a whole number of at least 1"),
        ("[connected]\nactivation=sigmoid", 6, "[connected] activation: found 'sigmoid', expected"),
        (
            "[connected]\noutput=2000000000",
            6,
            f"found 122,000,000,000 stored values up to this layer, expected at most {MAX_STORED_VALUES:,}",
        ),
        (
            "[local]\nfilters=2000000000",
            6,
            f"found 160,000,000,000 stored values up to this layer, expected at most {MAX_STORED_VALUES:,}",
        ),
    ],
)
def test_a_section_that_cannot_be_built_is_named_with_its_line(section, line, message):
    with pytest.raises(CfgError) as caught:
        layer_of(section)
    assert str(caught.value).startswith(f"test.cfg:{line}: [") and message in str(caught.value)


@pytest.mark.parametrize(("size", "fitting"), [(5, "0 or 2"), (2, "0"), (1, "0")])
def test_a_local_layers_padding_must_fill_the_windows_that_darknet_stores(size, fitting):
    with pytest.raises(CfgError) as caught:
        layer_of(f"[local]\nsize={size}\npad=1")
    found = f"found 1 with size={size}, expected {fitting}"
    assert str(caught.value) == f"test.cfg:7: [local] pad: {found}"


@pytest.mark.parametrize("section", ["[connected]\noutput=3", "[local]\nsize=3"])
def test_a_map_of_another_size_is_a_value_error(section):
    with pytest.raises(ValueError, match=r"found a map of shape \[1, 3, 6, 7\], expected .* input size"):
        layer_of(section).module(torch.zeros(1, 3, 6, 7))
