"""yolo.model.safetensors_file: .safetensors files in and out."""

import hashlib
import json
import os
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers import stored_networks
from tests.helpers.golden import network_of
from tests.helpers.stored_networks import ALEXEYAB, ALL_CFG, ALL_LAYERS, PJREDDIE
from yolo.errors import WeightsError
from yolo.model.safetensors_file import load_state, save_state
from yolo.model.weights import load_weights, save_weights

METADATA = {"format": "darknet", "version": "0.2.5", "seen": "640", "order": "alexeyab"}


@pytest.fixture
def network(tmp_path):
    """A network of ramp numbers, of a file in AlexeyAB's order."""
    network = network_of(ALL_CFG)
    load_weights(network, stored_networks.write(tmp_path / "ramp.weights", ALL_LAYERS, ALEXEYAB))
    return network


def saved(network, path, change=lambda tensors: None, metadata=METADATA):
    """A file of the network's own tensors, changed."""
    save_state(network, path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata)
    return path


def refused(network, path, match):
    before = stored_networks.state(network)
    with pytest.raises(WeightsError, match=match) as caught:
        load_state(network, path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert stored_networks.state(network) == before


def test_the_file_is_what_safetensors_reads_each_tensor_once(tmp_path, network):
    cfg = tmp_path / "net.cfg"
    cfg.write_text(ALL_CFG)
    save_state(network, tmp_path / "a.safetensors", seen=640, cfg=cfg)
    tensors = load_file(tmp_path / "a.safetensors")
    everything = network.state_dict()
    second = {name for name in everything if ".owner." in name}  # layer 4 shares those of layer 3
    assert len(second) == 6 and tensors.keys() == everything.keys() - second
    assert all(torch.equal(tensors[name], everything[name]) for name in tensors)
    content = (tmp_path / "a.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    digest = hashlib.sha256(ALL_CFG.encode()).hexdigest()
    assert json.loads(content[8 : 8 + length])["__metadata__"] == {
        **METADATA,
        "cfg": "net.cfg",
        "cfg_sha256": digest,
    }


@pytest.mark.parametrize(
    ("order", "header"),
    [
        (ALEXEYAB, struct.pack("<3iQ", 0, 2, 5, 2**40)),
        (PJREDDIE, struct.pack("<3iQ", 0, 2, 0, 640)),
        (ALEXEYAB, struct.pack("<3iQ", 0, 2, 0, 640)),
        (PJREDDIE, struct.pack("<3iI", 0, 1, 0, 640)),
        (PJREDDIE, struct.pack("<3iI", 0, 2000, 0, 640)),
        (PJREDDIE, struct.pack("<3iI", 9999, 9999, 9999, 2**32 - 1)),
    ],
)
def test_from_weights_and_back_gives_the_same_bytes(tmp_path, order, header):
    given = stored_networks.write(tmp_path / "in.weights", ALL_LAYERS, order, header)
    first, second = network_of(ALL_CFG), network_of(ALL_CFG)
    seen = load_weights(first, given).seen
    save_state(first, tmp_path / "a.safetensors", seen)
    loaded, _ = load_state(second, tmp_path / "a.safetensors")
    assert stored_networks.state(first) == stored_networks.state(second)
    save_weights(second, tmp_path / "out.weights", loaded.seen)
    assert (tmp_path / "out.weights").read_bytes() == given.read_bytes()


def test_a_backbone_holds_the_layers_below_the_cutoff_and_loads_with_it(tmp_path, network):
    save_state(network, tmp_path / "a.safetensors", cutoff=3)
    names = load_file(tmp_path / "a.safetensors")
    assert {name.split(".")[1] for name in names} == {"0", "1", "2"}
    other = network_of(ALL_CFG)
    refused(other, tmp_path / "a.safetensors", "found no layers.3.conv.weight, expected one of shape")
    before = stored_networks.state(other)
    load_state(other, tmp_path / "a.safetensors", cutoff=3)
    mixed = {name: (stored_networks.state(network) if name in names else before)[name] for name in before}
    assert stored_networks.state(other) == mixed
    assert other.weights_format.order == other.dialect  # as with .weights: the rest of it is new


def test_half_precision_is_loaded_as_the_networks_own(tmp_path, network):
    def halve(tensors):
        for name, tensor in tensors.items():
            tensors[name] = tensor.half() if tensor.is_floating_point() else tensor

    path = saved(network, tmp_path / "a.safetensors", halve)
    other = network_of(ALL_CFG)
    load_state(other, path)
    assert torch.equal(other.layers[11].linear.bias, network.layers[11].linear.bias.half().float())


def rename(tensors):
    tensors["layers.1.weight"] = tensors.pop("layers.1.weights")


def add(tensors):
    tensors["layers.12.conv.weight"] = torch.zeros(2)


def turn(tensors):
    tensors["layers.11.linear.weight"] = tensors["layers.11.linear.weight"].T.contiguous()


def quantize(tensors):
    tensors["layers.11.linear.weight"] = tensors["layers.11.linear.weight"].to(torch.int8)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (rename, r"found no layers\.1\.weights, expected one of shape \[2, 4\] float32"),
        (add, r"found layers\.12\.conv\.weight of shape \[2\] float32, expected no tensor of that"),
        (
            turn,
            r"found layers\.11\.linear\.weight of shape \[6, 5\] float32, expected shape \[5, 6\]",
        ),
        (quantize, r"found layers\.11\.linear\.weight of shape \[5, 6\] int8, expected .* float32"),
    ],
)
def test_names_shapes_and_kinds_of_number_must_match(tmp_path, network, change, match):
    refused(network, saved(network, tmp_path / "a.safetensors", change), match)


@pytest.mark.parametrize(
    "other",
    [
        {"format": "pt"},
        {"version": "0.2"},
        {"version": "0.2.99999999999"},
        {"version": "0.2.2147483648"},
        {"seen": "many"},
        {"seen": str(2**64)},
        {"order": "mine"},
    ],
)
def test_metadata_that_are_not_ours_are_named(tmp_path, network, other):
    path = saved(network, tmp_path / "a.safetensors", metadata={**METADATA, **other})
    ((key, value),) = other.items()
    refused(network, path, f"found metadata .*{key}={value}.*, expected format=darknet")


def test_a_file_without_metadata_is_named(tmp_path, network):
    path = saved(network, tmp_path / "a.safetensors", metadata=None)
    refused(network, path, "found metadata format=None, version=None, seen=None, order=None")


def test_a_file_cut_or_lengthened_anywhere_is_an_error_and_changes_nothing(tmp_path, network):
    save_state(network, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    path = tmp_path / "broken.safetensors"
    for size in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 4, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(network, path, "found a broken file")
    path.write_bytes(whole + b"\0")
    refused(network, path, "found a broken file")
    path.write_bytes(stored_networks.file_bytes(ALL_LAYERS, ALEXEYAB))  # a .weights file of another name
    refused(network, path, "found a broken file")


def test_a_missing_file_and_a_folder_are_the_systems_errors_with_their_name(tmp_path, network):
    for path, kind in (
        (tmp_path / "no.safetensors", FileNotFoundError),
        (tmp_path, IsADirectoryError),
    ):
        with pytest.raises(kind) as caught:
            load_state(network, path)
        assert str(caught.value.filename) == str(path)


def test_nan_is_loaded_with_a_warning_that_names_the_tensor(tmp_path, network, caplog):
    with torch.no_grad():
        network.layers[8].biases[3] = np.nan
    save_state(network, tmp_path / "a.safetensors")
    load_weights(network_of(ALL_CFG), tmp_path / "a.safetensors")
    (record,) = caplog.records
    assert "layers.8.biases: found 1 of 24 numbers that are NaN" in record.getMessage()


def test_an_error_while_writing_leaves_the_old_file(tmp_path, network, monkeypatch):
    path = tmp_path / "new" / "a.safetensors"
    save_state(network, path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(network, path, seen=7)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["a.safetensors"]
