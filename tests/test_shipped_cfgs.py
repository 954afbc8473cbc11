"""The cfgs in cfg/: each builds with every key read, and its .weights has the published size."""

import logging

import pytest
import torch

from yolo.cfg import read_cfg, read_data, read_names
from yolo.model.network import Network
from yolo.model.weights import save_weights, weights_bytes

# layers as Darknet counts them, bytes of the published file (yolov3-voc has none: recorded by compiled Darknet's own
# layer sizes, ../shared), classes, strides of the heads
SHIPPED = {
    "yolov3.cfg": (107, 248007048, 80, (32, 16, 8)),
    "yolov3-tiny.cfg": (24, 35434956, 80, (32, 16)),
    "yolov3-spp.cfg": (114, 252209544, 80, (32, 16, 8)),
    "yolov3-voc.cfg": (107, 246714648, 20, (32, 16, 8)),
    "shapes.cfg": (19, None, 3, (16, 8)),  # ours, for the demo
}
BACKBONE_BYTES = 162482580  # darknet53.conv.74, as published: the layers below 75
ANCHORS_A_HEAD = 3


@pytest.fixture(params=SHIPPED)
def shipped(request, project, caplog):
    """(network, layers, bytes, classes, strides) of one cfg, with nothing left unread."""
    with caplog.at_level(logging.WARNING):
        network = Network.from_cfg(project / "cfg" / request.param)
    assert caplog.messages == []
    return network, *SHIPPED[request.param]


def test_the_table_names_every_shipped_cfg(project):
    assert {path.name for path in (project / "cfg").glob("*.cfg")} == set(SHIPPED)


def test_layers_heads_strides_and_bytes_are_the_published_ones(shipped):
    network, layers, size, classes, strides = shipped
    assert len(network.layers) == layers
    assert tuple(network.layers[head].stride for head in network.heads) == tuple(
        (s, s) for s in strides
    )
    for head, stride in zip(network.heads, strides, strict=True):
        channels = ANCHORS_A_HEAD * (5 + classes)
        expected = channels, network.input.height // stride, network.input.width // stride
        assert network.shapes[head] == expected
    if size is not None:
        assert weights_bytes(network) == size
    stored = sum(p.numel() for p in network.parameters())
    stored += sum(
        b.numel()
        for name, b in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    )
    assert weights_bytes(network) == 20 + 4 * stored  # nothing is left out of the file


def test_a_small_picture_goes_through(shipped):
    network, _, _, classes, strides = shipped
    with torch.inference_mode():
        raw = network.eval()(torch.rand(1, 3, 64, 96))
        predictions = network.decode(raw)
    assert [map_.shape[2:] for map_ in raw] == [(64 // s, 96 // s) for s in strides]
    assert predictions.class_probs.shape[2] == classes
    assert all(part.isfinite().all() for part in predictions)


def test_trainable_parameters_of_yolov3_are_the_known_count(project):
    # 61,949,149: what every PyTorch port of the published cfg counts
    network = Network.from_cfg(project / "cfg" / "yolov3.cfg")
    assert sum(parameter.numel() for parameter in network.parameters()) == 61949149


@pytest.mark.parametrize("cfg", ["yolov3.cfg", "yolov3-spp.cfg", "yolov3-voc.cfg"])
def test_the_published_backbone_is_the_layers_below_75(project, tmp_path, cfg):
    path = tmp_path / "darknet53.conv.74"
    save_weights(Network.from_cfg(project / "cfg" / cfg), path, cutoff=75)
    assert path.stat().st_size == BACKBONE_BYTES
    path.unlink()


@pytest.mark.parametrize("name", ["coco", "voc"])
def test_a_shipped_data_file_agrees_with_its_names(project, name, monkeypatch):
    monkeypatch.chdir(project)
    data = read_data(f"cfg/{name}.data")
    names = read_names(data.names)
    assert len(names) == data.classes == {"coco": 80, "voc": 20}[name]
    assert len(set(names)) == len(names)


def test_every_shipped_cfg_begins_with_net(project):
    for path in (project / "cfg").glob("*.cfg"):
        assert read_cfg(path)[0].kind == "net"
