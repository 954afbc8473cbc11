"""yolo.model.weights: .weights files in and out, every byte accounted for."""

import hashlib
import logging
import os
import struct

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.helpers import stored_networks, tiny_data
from tests.helpers.golden import network_of
from tests.helpers.stored_networks import (
    ALEXEYAB,
    ALL_CFG,
    ALL_LAYERS,
    BOTH_CFG,
    BOTH_LAYERS,
    NORM,
    PJREDDIE,
    tensors_of,
)
from yolo.errors import WeightsError
from yolo.model.building import stored_tensors
from yolo.model.weights import check_rest, load_weights, save_weights, weights_bytes

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
    assert network.layers[0].norm.bias[0] == 0.125  # not shifted by four bytes
    save_weights(network, tmp_path / "out.weights", seen=32013312)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


def test_seen_beyond_32_bits_survives(tmp_path):
    many = 2**32 + 5
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "old.weights", header=struct.pack("<3iI", 0, 1, 0, 7)))
    save_weights(network, tmp_path / "new.weights", seen=many)
    assert load_weights(network_of(CFG), tmp_path / "new.weights") == (0, 2, 5, many)


def test_a_new_networks_file_has_version_0_2_5(tmp_path):
    network = network_of(CFG)
    save_weights(network, tmp_path / "a.weights", seen=64)
    assert load_weights(network_of(CFG), tmp_path / "a.weights") == (0, 2, 5, 64)
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
    expected = f"{path}: layer {layer} [convolutional] {NAMES[tensor]} at byte {BOUNDARIES[tensor]}: "
    expected += f"found {left} byte{'s' * (left != 1)} left, expected {wanted}"
    if tensor == 5 and missing == 0:  # the end of a backbone: the message says how to load it
        expected += "; a file that ends before layer 2 loads with cutoff=2"
    assert str(caught.value) == expected
    assert same(state(network), before)


@pytest.mark.parametrize("size", [0, 11, 12, 16, 19])
def test_a_file_too_short_for_a_header_is_named(tmp_path, size):
    path = tmp_path / "tiny.weights"
    path.write_bytes(HEADER[:size])
    with pytest.raises(WeightsError, match=f"found {size} bytes, expected a header of 16 or 20 bytes first"):
        load_weights(network_of(CFG), path)


@pytest.mark.parametrize("extra", [1, 4, 400])
def test_bytes_after_the_last_layer_are_an_error_and_change_nothing(tmp_path, extra):
    path = write(tmp_path / "long.weights", body=ramp_bytes() + b"\0" * extra)
    network = network_of(CFG)
    before, version = state(network), network.weights_format.version
    with pytest.raises(WeightsError, match=f"found {extra} bytes? left after the last of 4 layers at byte 796"):
        load_weights(network, path)
    assert same(state(network), before) and network.weights_format.version == version


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
    assert network.weights_format.version == (0, 2, 5)


def test_a_backbone_file_that_is_too_short_for_its_cutoff_is_an_error(tmp_path):
    backbone = write(tmp_path / "backbone.weights", body=ramp_bytes(sum(COUNTS[:5]) - 1))
    with pytest.raises(WeightsError, match=r"layer 0 \[convolutional\] weights at byte 84: found 428 bytes left"):
        load_weights(network_of(CFG), backbone, cutoff=2)


def test_saving_with_a_cutoff_writes_the_layers_below_it(tmp_path):
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "whole.weights"))
    save_weights(network, tmp_path / "part.weights", cutoff=2)
    expected = struct.pack("<3iQ", 0, 2, 5, 0) + ramp_bytes(sum(COUNTS[:5]))
    assert (tmp_path / "part.weights").read_bytes() == expected


def test_saving_writes_float32_from_any_dtype(tmp_path):
    network = network_of(CFG)
    load_weights(network, write(tmp_path / "in.weights"))
    save_weights(network.double(), tmp_path / "out.weights", seen=640)
    assert (tmp_path / "out.weights").read_bytes() == (tmp_path / "in.weights").read_bytes()


def test_an_error_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    network = network_of(CFG)
    path = write(tmp_path / "a.weights")
    monkeypatch.setattr(type(network.layers[2]), "darknet_tensors", lambda layer: [("weights", "no tensor")])
    with pytest.raises(AttributeError):
        save_weights(network, path)
    assert path.read_bytes() == HEADER + ramp_bytes()
    assert os.listdir(tmp_path) == ["a.weights"]


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_weights(network_of(CFG), tmp_path / "none.weights")


# ------------------------------------------------------------------- every kind of layer, both orders
# (stored_networks.py)

CASES = ((ALL_CFG, ALL_LAYERS, ALEXEYAB), (ALL_CFG, ALL_LAYERS, PJREDDIE))
TRANSPOSED = struct.pack("<3iI", 0, 2000, 0, 640)


def in_file_order(network, order):
    """All stored numbers, by hand: the layers that have any, with the names of their parameters."""
    layers = network.layers
    biases = () if order == PJREDDIE else ("norm.bias",)
    norm = ("norm.weight", "norm.running_mean", "norm.running_var")
    convolution = ("norm.bias", *norm, "conv.weight")
    rows = (
        (0, convolution), (1, ("weights",)), (2, [f"plain.{name}" for name in convolution]),
        (3, convolution), (5, (*biases, *norm)), (6, ("plain.conv.bias", "plain.conv.weight")),
        (7, ("weights",)), (8, ("biases", "weights")), (9, (*biases, *norm)),
        (10, ("norm.bias", "linear.weight", *norm)), (11, ("linear.bias", "linear.weight")),
    )  # fmt: skip
    found = [layers[index].state_dict()[name].flatten() for index, names in rows for name in names]
    return torch.cat(found).numpy()


@pytest.mark.parametrize(("text", "layers", "order"), CASES)
def test_every_kind_of_layer_takes_its_numbers_in_file_order(tmp_path, text, layers, order):
    network = network_of(text)
    given = stored_networks.write(tmp_path / "in.weights", layers, order)
    load_weights(network, given)
    stored = in_file_order(network, order)
    np.testing.assert_array_equal(stored, stored_networks.ramp(len(stored)))
    assert given.stat().st_size == 20 + 4 * len(stored) == weights_bytes(network)
    save_weights(network, tmp_path / "out.weights", seen=640)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


@pytest.mark.parametrize(("text", "layers", "order"), CASES)
def test_a_file_cut_anywhere_names_layer_and_byte_and_changes_nothing(tmp_path, text, layers, order):
    """At the beginning of every tensor, and one byte before and after it."""
    whole = stored_networks.file_bytes(layers, order)
    network = network_of(text)
    before = stored_networks.state(network), network.weights_format.version
    position, starts = 20, []
    for layer, kind, name, count in tensors_of(layers, order):
        starts.append((position, f"layer {layer} [{kind}] {name}", 4 * count))
        position += 4 * count
    assert position == len(whole)
    sizes = {start + shift for start, _, _ in starts for shift in (-1, 0, 1)} | {len(whole) - 1}
    for size in sorted(sizes - {19}):
        path = tmp_path / f"{size}.weights"
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError) as caught:
            load_weights(network, path)
        start, place, wanted = [entry for entry in starts if entry[0] <= size][-1]
        left = f"{size - start} byte{'s' * (size - start != 1)} left"
        expected = f"{path}: {place} at byte {start}: found {left}, expected {wanted}"
        assert str(caught.value).partition(";")[0] == expected
        assert (stored_networks.state(network), network.weights_format.version) == before
    assert network.weights_format.order == network.dialect


@pytest.mark.parametrize(("text", "layers", "order"), CASES)
def test_one_byte_too_many_is_an_error_and_changes_nothing(tmp_path, text, layers, order):
    network = network_of(text)
    before = stored_networks.state(network)
    path = tmp_path / "long.weights"
    path.write_bytes(stored_networks.file_bytes(layers, order) + b"\0")
    with pytest.raises(WeightsError, match="found 1 byte left after the last of 12 layers"):
        load_weights(network, path)
    assert stored_networks.state(network) == before


@pytest.mark.parametrize("order", [ALEXEYAB, PJREDDIE])
def test_the_size_of_a_whole_file_gives_its_order_for_any_version(tmp_path, order):
    other = stored_networks.HEADERS[PJREDDIE if order == ALEXEYAB else ALEXEYAB]
    network = network_of(ALL_CFG)
    with torch.no_grad():
        network.layers[5].norm.bias.fill_(7)  # what was there before does not stay
    given = stored_networks.write(tmp_path / "in.weights", ALL_LAYERS, order, header=other)
    load_weights(network, given)
    assert network.weights_format.order == order
    biases = network.layers[5].norm.bias
    assert (biases == 0).all() if order == PJREDDIE else (biases != 0).all()
    save_weights(network, tmp_path / "out.weights", seen=640)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


@pytest.mark.parametrize("order", [ALEXEYAB, PJREDDIE])
def test_with_a_cutoff_the_end_of_the_file_or_else_the_revision_gives_its_order(tmp_path, order):
    whole = stored_networks.file_bytes(ALL_LAYERS, order)
    part = stored_networks.file_bytes([row for row in ALL_LAYERS if row[0] < 9], order)
    other = stored_networks.HEADERS[PJREDDIE if order == ALEXEYAB else ALEXEYAB]
    longer = whole[: len(part) + 4]  # ends with no layer: the revision decides
    for content in (whole, part, other + whole[20:], other + part[20:], longer):
        path = tmp_path / "in.weights"
        path.write_bytes(content)
        network = network_of(ALL_CFG)
        load_weights(network, path, cutoff=9)
        numbers = len(part[20:]) // 4
        assert network.layers[8].weights[-1, -1, -1] == numbers / 8  # the last below the cutoff
        assert network.weights_format.order == network.dialect


@pytest.mark.parametrize("order", [ALEXEYAB, PJREDDIE])
def test_a_new_network_is_saved_in_the_order_of_its_dialect(tmp_path, order):
    network = network_of(BOTH_CFG, order)
    save_weights(network, tmp_path / "a.weights", seen=640)
    content = (tmp_path / "a.weights").read_bytes()
    assert content[:20] == stored_networks.HEADERS[order]
    assert len(content) == len(stored_networks.file_bytes(BOTH_LAYERS, order)) == weights_bytes(network)


def test_biases_that_pjreddies_files_would_lose_are_an_error(tmp_path):
    network = network_of(BOTH_CFG, PJREDDIE)
    path = tmp_path / "a.weights"
    path.write_text("old")
    with torch.no_grad():
        network.layers[4].norm.bias[1] = 0.5
    with pytest.raises(WeightsError, match=r"layer 4 \[batchnorm\] biases: found 1 of 2 that are not 0"):
        save_weights(network, path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.weights"]
    save_weights(network, path, cutoff=4)  # the layers below have none


def test_transposed_files_have_connected_weights_as_inputs_by_outputs(tmp_path):
    network = network_of(BOTH_CFG)
    given = stored_networks.write(tmp_path / "in.weights", BOTH_LAYERS, PJREDDIE, header=TRANSPOSED)
    load_weights(network, given)
    counts = [count for *_, count in tensors_of(BOTH_LAYERS, PJREDDIE)]
    last = stored_networks.ramp(sum(counts))[-30:]
    np.testing.assert_array_equal(network.layers[6].linear.weight.detach(), last.reshape(6, 5).T)
    save_weights(network, tmp_path / "out.weights", seen=640)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


@pytest.mark.parametrize("version", [(1000, 2, 0), (0, 1000, 0)])
def test_at_version_1000_seen_has_32_bits_but_nothing_is_transposed(tmp_path, version):
    """pjreddie's load_weights_upto compares once with < and once with >."""
    network = network_of(BOTH_CFG)
    header = struct.pack("<3iI", *version, 640)
    load_weights(network, stored_networks.write(tmp_path / "a.weights", BOTH_LAYERS, PJREDDIE, header))
    assert network.layers[6].linear.weight[0, 1] - network.layers[6].linear.weight[0, 0] == 0.125


# SHA-256 of what compiled pjreddie's Darknet (libdarknet.so, load_network and save_weights_upto) made of the ramp file
# of BOTH_CFG, given with the header of version 0.1.0 or 0.2.0, or 0.2000.0: whole with seen 640, and the layers below
# 2 and 6 with seen 0, as its `partial` does.
RECORDED = {
    ("plain", None): "199b2e7012cb5f82f994621c7811fe9da4bb42279fe143b4c7165ce838933867",
    ("plain", 2): "a8746ffb3b8216dd395d73bc42e5a8030fa196f6f97c5ee5c94b06ae45f35523",
    ("plain", 6): "e7f40477258230029cc593bef9ee66a4cab5ef9c575c021228800c60104cdfcb",
    ("transposed", None): "bed5b2be12238652abb360cf9a2dda68c61ba6c0171fa35e3ddff8545d0e01e0",
    ("transposed", 2): "a8746ffb3b8216dd395d73bc42e5a8030fa196f6f97c5ee5c94b06ae45f35523",
    ("transposed", 6): "99c766309f3617c6489cf721564e5b0c32e18ba3ed0b4a61ed9cb09f888c973a",
}
GIVEN = {
    "plain": struct.pack("<3iI", 0, 1, 0, 640),
    "transposed": TRANSPOSED,
}


@pytest.mark.parametrize(("kind", "cutoff"), RECORDED)
def test_files_are_read_and_written_as_compiled_darknet_does(tmp_path, kind, cutoff):
    network = network_of(BOTH_CFG, PJREDDIE)
    given = stored_networks.write(tmp_path / "in.weights", BOTH_LAYERS, PJREDDIE, GIVEN[kind])
    load_weights(network, given)
    network.weights_format = network.weights_format._replace(version=(0, 2, 0))
    save_weights(network, tmp_path / "out.weights", 640 if cutoff is None else 0, cutoff)
    content = (tmp_path / "out.weights").read_bytes()
    assert hashlib.sha256(content).hexdigest() == RECORDED[kind, cutoff]


@pytest.mark.parametrize("order", [ALEXEYAB, PJREDDIE])
def test_a_file_must_end_with_the_cutoff_or_with_the_network(tmp_path, order):
    network = network_of(ALL_CFG)
    whole = stored_networks.file_bytes(ALL_LAYERS, order)
    part = stored_networks.file_bytes([row for row in ALL_LAYERS if row[0] < 9], order)
    path = tmp_path / "a.weights"
    for content in (whole, part):
        path.write_bytes(content)
        check_rest(network, path, cutoff=9)
    path.write_bytes(part + b"\0" * 12)
    expected = f"found 12 bytes after the layers below 9, expected none or {len(whole) - len(part)} of"
    with pytest.raises(WeightsError, match=expected):
        check_rest(network, path, cutoff=9)


# ------------------------------------------------------------------------------------------- dontload, dontloadscales

# BOTH_CFG with these keys; what is left of BOTH_LAYERS in the file. A [batchnorm] reads its scales nonetheless.
UNLOADED = {0: "dontloadscales=1", 2: "dontload=1", 4: "dontloadscales=1", 5: "dontloadscales=1"}
LEFT = tuple(
    (index, kind, tensors if kind == "batchnorm" else [t for t in tensors if t[0] not in NORM])
    for index, kind, tensors in BOTH_LAYERS
    if index != 2
)
# SHA-256 of the tensors that compiled pjreddie's Darknet then had from a ramp file of LEFT, in file order, header 0.2.0
RECORDED_LEFT = "a3e2b9986f3475e4328622dbe91025668f260c306c75ad886838413e3028cb63"


def unloading(dialect=PJREDDIE, keys=UNLOADED):
    """The network of BOTH_CFG, `keys` in its layers' sections."""
    net, *sections = BOTH_CFG.split("\n[")
    lines = [f"{each}\n{keys.get(index, '')}" for index, each in enumerate(sections)]
    return network_of("\n[".join((net, *lines)) + "\n", dialect)


def tensors_by_place(network):
    """(layer, name in the file) → numbers."""
    return {
        (index, name): tensor.detach().numpy().copy().ravel()
        for index, layer in enumerate(network.layers)
        for name, tensor in stored_tensors(layer)
    }


def test_what_is_not_loaded_takes_no_bytes_of_the_file_and_keeps_its_start(tmp_path):
    network = unloading()
    before = tensors_by_place(network)
    load_weights(network, stored_networks.write(tmp_path / "in.weights", LEFT, PJREDDIE))
    after = tensors_by_place(network)
    places = [(layer, name) for layer, _, name, _ in tensors_of(LEFT, PJREDDIE)]
    loaded = np.concatenate([after[place] for place in places]).astype("<f4")
    assert hashlib.sha256(loaded.tobytes()).hexdigest() == RECORDED_LEFT
    kept = set(before) - set(places) - {(1, "biases"), (4, "biases")}
    assert kept == {(2, "biases"), (2, "weights"), *((layer, name) for layer in (0, 5) for name in NORM)}  # fmt: skip
    for place in kept:
        np.testing.assert_array_equal(after[place], before[place])


def test_what_is_not_loaded_is_saved(tmp_path):
    network = unloading()
    save_weights(network, tmp_path / "whole.weights")
    assert (tmp_path / "whole.weights").stat().st_size == weights_bytes(network)
    assert weights_bytes(network) == len(stored_networks.file_bytes(BOTH_LAYERS, PJREDDIE))
    plain = network_of(BOTH_CFG, PJREDDIE)
    load_weights(plain, tmp_path / "whole.weights")
    assert stored_networks.state(plain) == stored_networks.state(network)


@pytest.mark.parametrize("dialect", [ALEXEYAB, PJREDDIE])
def test_a_file_with_more_than_is_loaded_is_an_error(tmp_path, dialect):
    network = unloading(dialect)
    before = stored_networks.state(network)
    whole = stored_networks.write(tmp_path / "whole.weights", BOTH_LAYERS, dialect)
    more = 4 * (3 + 108 + 3 * 4 + 3 * 6)  # layer 2, the scales and statistics of 0 and 5
    with pytest.raises(WeightsError) as caught:
        load_weights(network, whole)
    assert f": found {more} bytes left after the last of 7 layers" in str(caught.value)
    assert str(caught.value).endswith("dontload and dontloadscales of the cfg mean that it does not hold those tensors")
    assert stored_networks.state(network) == before


@pytest.mark.parametrize("order", [ALEXEYAB, PJREDDIE])
def test_the_size_without_what_is_not_loaded_gives_the_order_of_a_file(tmp_path, order):
    network = unloading(PJREDDIE if order == ALEXEYAB else ALEXEYAB)
    other = stored_networks.HEADERS[PJREDDIE if order == ALEXEYAB else ALEXEYAB]
    load_weights(network, stored_networks.write(tmp_path / "in.weights", LEFT, order, other))
    assert network.weights_format.order == order
    count = sum(count for *_, count in tensors_of(LEFT, order))
    assert network.layers[6].linear.weight[-1, -1] == count / 8


def test_with_a_cutoff_what_is_not_loaded_takes_no_bytes_either(tmp_path):
    below = [row for row in LEFT if row[0] < 4]
    network = unloading()
    part = stored_networks.write(tmp_path / "part.weights", below, PJREDDIE)
    load_weights(network, part, cutoff=4)
    assert network.layers[3].weights[-1, -1, -1] == sum(n for *_, n in tensors_of(below, PJREDDIE)) / 8  # fmt: skip
    check_rest(network, part, cutoff=4)


def test_a_safetensors_file_is_held_to_the_same(tmp_path):
    keys = {**UNLOADED, 3: "dontload=1"}
    network, given = unloading(keys=keys), network_of(BOTH_CFG, PJREDDIE)
    save_weights(given, tmp_path / "whole.safetensors")
    before = stored_networks.state(network)
    with pytest.raises(WeightsError) as caught:
        load_weights(network, tmp_path / "whole.safetensors")
    assert "found layers.0.norm.num_batches_tracked " in str(caught.value)
    assert str(caught.value).endswith("dontload or dontloadscales of the cfg means that the file does not hold it")
    assert stored_networks.state(network) == before
    with safe_open(tmp_path / "whole.safetensors", "pt") as file:
        scales = tuple(f"layers.{layer}.norm." for layer in (0, 5))
        left = {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118, it is no dictionary
            if not name.startswith(("layers.2.", "layers.3."))
            and (not name.startswith(scales) or name.endswith("bias"))
        }
        save_file(left, tmp_path / "left.safetensors", file.metadata())
    load_weights(network, tmp_path / "left.safetensors")
    after, expected = stored_networks.state(network), stored_networks.state(given)
    assert all(after[name] == (expected if name in left else before)[name] for name in after)
    assert "layers.4.norm.weight" in left


# ------------------------------------------------------------------------------------------------ numbers, suffixes


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_loaded_with_a_warning(tmp_path, caplog, number):
    values = np.frombuffer(ramp_bytes(), "<f4").copy()
    values[[17, 20, 190]] = number  # two in the weights of layer 0, one in those of layer 2
    given = write(tmp_path / "a.weights", body=values.tobytes())
    network = network_of(CFG)
    with caplog.at_level(logging.WARNING):
        load_weights(network, given)
    assert [record.getMessage() for record in caplog.records] == [
        f"{given}: layer 0 [convolutional] weights: found 2 of 108 numbers that are NaN or infinite, and such in 1 "
        "more tensors; has its training diverged?"
    ]
    save_weights(network, tmp_path / "out.weights", seen=640)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


def test_large_numbers_whose_sum_overflows_are_not_called_infinite(tmp_path, caplog):
    values = np.full(TOTAL, 3e38, "<f4")
    load_weights(network_of(CFG), write(tmp_path / "a.weights", body=values.tobytes()))
    assert "above 1e+18" in caplog.text and "infinite" not in caplog.text


def test_a_safetensors_file_is_known_by_its_suffix(tmp_path):
    network, other = network_of(CFG), network_of(CFG)
    load_weights(network, write(tmp_path / "a.weights"))
    save_weights(network, tmp_path / "a.safetensors", seen=640)
    assert (tmp_path / "a.safetensors").read_bytes()[8:9] == b"{"  # its header is JSON
    assert load_weights(other, tmp_path / "a.safetensors") == (0, 2, 5, 640)
    assert same(state(network), state(other))
    backbone = network_of(CFG)
    before = state(backbone)
    load_weights(backbone, tmp_path / "a.safetensors", cutoff=2)
    assert backbone.layers[0].norm.bias[0] == 0.125
    assert torch.equal(backbone.layers[2].conv.weight, before["layers.2.conv.weight"])


@pytest.mark.parametrize("cutoff", [None, 1])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><title>moved</title>" * 90, "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n" * 60, "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(9000), "a zip archive, as .pt"),
        (b"[net]\nwidth=416\n" * 90, "text"),
        (struct.pack("<4i", 1 << 20, 0, 0, 0) + bytes(9000), r"version 1048576.0.0"),
        (struct.pack("<4i", 0, -2, 5, 0) + bytes(9000), r"version 0.-2.5"),
    ],
)
def test_another_kind_of_file_is_named_with_and_without_a_cutoff(tmp_path, content, found, cutoff):
    path = tmp_path / "a.weights"
    path.write_bytes(content)
    network = network_of(CFG)
    before = state(network)
    with pytest.raises(WeightsError, match=f"a.weights: found {found}"):
        load_weights(network, path, cutoff)
    assert same(state(network), before)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("rolling variance", -1.0, "6 of 6 numbers below 0, which no variance is"),
        ("scales", 3e38, "6 of 6 numbers above 1e+18"),
    ],
)
@pytest.mark.parametrize("ending", [".weights", ".safetensors"])
def test_numbers_with_which_nothing_is_found_are_warned_of(tmp_path, caplog, name, value, found, ending):
    network = tiny_data.network_of(tiny_data.cfg_text())
    dict(network.layers[0].darknet_tensors())[name].data.fill_(value)
    save_weights(network, tmp_path / f"a{ending}")
    with caplog.at_level("WARNING"):
        load_weights(tiny_data.network_of(tiny_data.cfg_text()), tmp_path / f"a{ending}")
    assert f"found {found}; has its training diverged?" in caplog.text
