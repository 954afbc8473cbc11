"""yolo.train.setup.cutoff: the layers that a weights file fills, found from its size."""

import pytest

from tests.helpers.tiny_data import cfg_text, network_of, with_classes
from yolo.cfg import parse_cfg
from yolo.model.weights import save_weights
from yolo.train.setup.cutoff import Cutoff, find_cutoff


def found_in(text, path):
    return find_cutoff(network_of(text), parse_cfg(text, "x"), path)


def head_convs(network):
    return [network.sources[head][0] for head in network.heads]


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("ending", [".weights", ".safetensors"])
@pytest.mark.parametrize("classes", [1, 3, 80])
def test_the_same_network_with_other_classes_is_recognized(tmp_path, classes, ending, norm):
    text = cfg_text(norm=norm)
    other = network_of(with_classes(text, classes))
    assert {other.layers[head].classes for head in other.heads} == {classes}
    path = tmp_path / f"other{ending}"
    save_weights(other, path)
    found = found_in(text, path)
    assert found.layer == min(head_convs(other))
    if ending == ".weights":
        assert found.found == f"this network with {'1 class' if classes == 1 else f'{classes} classes'}"


def test_a_backbone_and_a_whole_file_are_recognized_and_others_are_not(tmp_path):
    network, path = network_of(cfg_text()), tmp_path / "some.weights"
    save_weights(network, path, cutoff=3)
    assert found_in(cfg_text(), path) == Cutoff(3, "the first 3 layers of this network")
    save_weights(network, path)
    assert found_in(cfg_text(), path) == Cutoff(len(network.layers), "the whole network")
    path.write_bytes(path.read_bytes() + bytes(4))
    assert found_in(cfg_text(), path) is None


def test_two_heads_of_a_published_model(project, tmp_path):
    """yolov3-tiny: 255 filters before both heads, 1024 and 512 + 256 channels enter them; 3 x 8 for three classes."""
    text = (project / "cfg" / "yolov3-tiny.cfg").read_text()
    network = network_of(text)
    # by hand: each filter of layer 15 has 512 weights and a bias, of layer 22 256
    path = tmp_path / "three.weights"
    eighty = 4 * (255 * 513 + 255 * 257)
    three = 4 * (24 * 513 + 24 * 257)
    save_weights(network, path)
    size = path.stat().st_size - eighty + three
    with path.open("r+b") as file:
        file.truncate(size)
    assert find_cutoff(network, parse_cfg(text, "x"), path) == Cutoff(15, "this network with 3 classes")
