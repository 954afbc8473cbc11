"""yolo.model.weights: .weights files in and out, every byte accounted for."""

import os
import struct

import numpy as np
import pytest
import torch
from recorded import network_of

from yolo.errors import WeightsError
from yolo.model.weights import load_weights, read_header, save_weights, weights_bytes

# layer 0: 4 biases, 4 scales, 4 means, 4 variances, 4*3*3*3 weights; layer 2: 14 biases, 14*4 weights
CFG = """[net]
width=12
height=8
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=14
activation=linear
[yolo]
classes=2
num=2
anchors=1,2, 3,4
"""
COUNTS = (4, 4, 4, 4, 108, 14, 56)
TOTAL = sum(COUNTS)
NAMES = ("biases", "scales", "rolling mean", "rolling variance", "weights", "biases", "weights")
HEADER = struct.pack("<3iQ", 0, 2, 5, 640)
BOUNDARIES = [20 + 4 * sum(COUNTS[:index]) for index in range(len(COUNTS) + 1)]


def ramp_bytes(count=TOTAL):
    """Numbers that are all different, in file order."""
    return (np.arange(count) / 8 + 0.125).astype("<f4").tobytes()


def write(path, header=HEADER, body=None):
    path.write_bytes(header + (ramp_bytes() if body is None else body))
    return path


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_tensors_are_filled_in_file_order(tmp_path):
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "a.weights"))
    first, last = network.layers[0], network.layers[2]
    in_order = (
        first.norm.bias,
        first.norm.weight,
        first.norm.running_mean,
        first.norm.running_var,
        first.conv.weight,
        last.conv.bias,
        last.conv.weight,
    )
    found = torch.cat([tensor.detach().flatten() for tensor in in_order])
    assert torch.equal(found, torch.arange(194) / 8 + 0.125)
    assert first.conv.weight.shape == (4, 3, 3, 3)
    corner = first.conv.weight[0, 0, 0]
    assert corner[1] - corner[0] == 0.125  # columns run fastest


def test_save_after_load_gives_the_same_bytes(tmp_path):
    network = network_of(CFG)
    given = write(tmp_path / "in.weights")
    header = load_weights(network, given)
    save_weights(network, tmp_path / "out.weights", seen=header.seen)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


@pytest.mark.parametrize(
    ("version", "layout"),
    [
        ((0, 1, 0), "<3iI"),  # 32-bit before version 0.2
        ((0, 2, 0), "<3iQ"),  # what pjreddie writes
        ((0, 2, 5), "<3iQ"),  # what AlexeyAB writes
        ((1, 0, 0), "<3iQ"),
        ((0, 2000, 0), "<3iI"),  # pjreddie's transposed files
        ((1001, 2, 0), "<3iI"),
    ],
)
def test_seen_has_64_bits_from_version_0_2_on_except_in_transposed_files(tmp_path, version, layout):
    given = write(tmp_path / "in.weights", header=struct.pack(layout, *version, 32013312))
    network = network_of(CFG)
    assert load_weights(network, given) == (*version, 32013312)
    assert read_header(given) == (*version, 32013312)
    assert network.layers[0].norm.bias[0] == 0.125  # not shifted by four bytes
    save_weights(network, tmp_path / "out.weights", seen=32013312)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


def test_seen_beyond_32_bits_survives(tmp_path):
    many = 2**32 + 5
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "old.weights", header=struct.pack("<3iI", 0, 1, 0, 7)))
    save_weights(network, tmp_path / "new.weights", seen=many)
    assert read_header(tmp_path / "new.weights") == (0, 2, 5, many)
    assert load_weights(network_of(CFG), tmp_path / "new.weights").seen == many


def test_a_new_networks_file_says_version_0_2_5(tmp_path):
    network = network_of(CFG)
    save_weights(network, tmp_path / "a.weights", seen=64)
    assert read_header(tmp_path / "a.weights") == (0, 2, 5, 64)
    assert os.path.getsize(tmp_path / "a.weights") == weights_bytes(network) == BOUNDARIES[-1]


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("tensor", range(len(COUNTS)))
def test_a_file_that_ends_too_early_is_named_with_layer_tensor_and_bytes(tmp_path, tensor, missing):
    # cut at the boundary before `tensor`, or one byte before the boundary after it
    size = BOUNDARIES[tensor] if missing == 0 else BOUNDARIES[tensor + 1] - 1
    path = tmp_path / "short.weights"
    path.write_bytes((HEADER + ramp_bytes())[:size])
    network = network_of(CFG)
    before = state(network)
    with pytest.raises(WeightsError) as caught:
        load_weights(network, path)
    wanted, left = 4 * COUNTS[tensor], size - BOUNDARIES[tensor]
    layer = 0 if tensor < 5 else 2
    expected = (
        f"{path}: layer {layer} [convolutional] {NAMES[tensor]} at byte {BOUNDARIES[tensor]}: "
    )
    expected += f"found {left} bytes left, expected {wanted}"
    if tensor == 5 and missing == 0:  # the end of a backbone: the message says how to load it
        expected += "; a file that ends before layer 2 loads with cutoff=2"
    assert str(caught.value) == expected
    assert same(state(network), before)


@pytest.mark.parametrize("size", [0, 11, 12, 16, 19])
def test_a_file_too_short_for_a_header_is_named(tmp_path, size):
    path = tmp_path / "tiny.weights"
    path.write_bytes(HEADER[:size])
    with pytest.raises(
        WeightsError, match=f"found {size} bytes, expected a header of 16 or 20 bytes first"
    ):
        load_weights(network_of(CFG), path)


@pytest.mark.parametrize("extra", [1, 4, 400])
def test_bytes_after_the_last_layer_are_an_error_and_change_nothing(tmp_path, extra):
    path = write(tmp_path / "long.weights", body=ramp_bytes() + b"\0" * extra)
    network = network_of(CFG)
    before, version = state(network), network.weights_version
    with pytest.raises(
        WeightsError, match=f"found {extra} bytes left after the last of 4 layers at byte 796"
    ):
        load_weights(network, path)
    assert same(state(network), before) and network.weights_version == version


def test_with_a_cutoff_only_the_layers_below_it_are_loaded(tmp_path):
    network = network_of(CFG)
    before = state(network)
    backbone = write(tmp_path / "backbone.weights", body=ramp_bytes(sum(COUNTS[:5])))
    assert load_weights(network, backbone, cutoff=2).seen == 640
    assert network.layers[0].norm.bias[0] == 0.125
    assert torch.equal(network.layers[2].conv.weight, before["layers.2.conv.weight"])


def test_with_a_cutoff_the_beginning_of_a_whole_file_is_enough(tmp_path):
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "whole.weights"), cutoff=1)
    assert network.layers[0].norm.bias[0] == 0.125
    assert (network.layers[2].conv.bias == 0).all()


def test_a_cutoff_leaves_the_version_of_a_new_network(tmp_path):
    network = network_of(CFG)
    old = write(tmp_path / "old.weights", header=struct.pack("<3iI", 0, 1, 0, 7))
    load_weights(network, old, cutoff=2)
    assert network.weights_version == (0, 2, 5)


def test_a_backbone_file_that_is_too_short_for_its_cutoff_is_an_error(tmp_path):
    backbone = write(tmp_path / "backbone.weights", body=ramp_bytes(sum(COUNTS[:5]) - 1))
    with pytest.raises(
        WeightsError, match=r"layer 0 \[convolutional\] weights at byte 84: found 428 bytes left"
    ):
        load_weights(network_of(CFG), backbone, cutoff=2)


def test_saving_with_a_cutoff_writes_the_layers_below_it(tmp_path):
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "whole.weights"))
    save_weights(network, tmp_path / "part.weights", cutoff=2)
    expected = struct.pack("<3iQ", 0, 2, 5, 0) + ramp_bytes(sum(COUNTS[:5]))
    assert (tmp_path / "part.weights").read_bytes() == expected


def test_saving_writes_float32_whatever_the_network_computes_in(tmp_path):
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "in.weights"))
    save_weights(network.double(), tmp_path / "out.weights", seen=640)
    assert (tmp_path / "out.weights").read_bytes() == (tmp_path / "in.weights").read_bytes()


def test_an_error_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    network = network_of(CFG)
    path = write(tmp_path / "a.weights")
    monkeypatch.setattr(
        type(network.layers[2]), "darknet_tensors", lambda layer: [("weights", "no tensor")]
    )
    with pytest.raises(AttributeError):
        save_weights(network, path)
    assert path.read_bytes() == HEADER + ramp_bytes()
    assert os.listdir(tmp_path) == ["a.weights"]


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_weights(network_of(CFG), tmp_path / "none.weights")
