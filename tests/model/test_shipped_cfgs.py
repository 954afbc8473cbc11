"""The cfgs in cfg/: each builds with every key read, is Darknet's model, and its .weights has the published size."""

from typing import NamedTuple

import pytest
import torch

from tests.helpers.golden import read_json
from yolo.cfg import read_cfg
from yolo.data_file import read_data
from yolo.model.network import Network, build
from yolo.model.weights import save_weights, weights_bytes
from yolo.names_file import read_names


class Shipped(NamedTuple):
    """layers as Darknet counts them; size (height, width); strides and anchors of the heads, none in a classifier;
    bytes of the published .weights and of its header, 16 in files older than version 0.2.

    bytes is None where no published size is known to us: there, as for the others, the size is compared with the
    layers of compiled Darknet. yolov3-voc has no published file: its size is that of those layers.
    unread: keys that Darknet reads and we do not, which is reported when the cfg is read.
    """

    layers: int
    size: tuple[int, int]
    classes: int
    strides: tuple[int, ...]
    bytes: int | None
    header: int = 20
    anchors: int = 3
    unread: tuple[str, ...] = ()


SHIPPED = {
    "darknet19.cfg": Shipped(26, (256, 256), 1000, (), None),
    "darknet53.cfg": Shipped(78, (256, 256), 1000, (), None),
    "yolov2.cfg": Shipped(32, (608, 608), 80, (32,), 203934260, header=16, anchors=5),
    "yolov2-tiny.cfg": Shipped(16, (416, 416), 80, (32,), 44948600, anchors=5),
    "yolov2-voc.cfg": Shipped(32, (416, 416), 20, (32,), 202704264, anchors=5),
    "yolov3.cfg": Shipped(107, (416, 416), 80, (32, 16, 8), 248007048),
    "yolov3-tiny.cfg": Shipped(24, (416, 416), 80, (32, 16), 35434956),
    "yolov3-spp.cfg": Shipped(114, (608, 608), 80, (32, 16, 8), 252209544),
    "yolov3-voc.cfg": Shipped(107, (416, 416), 20, (32, 16, 8), 246714648),
    "yolov4.cfg": Shipped(162, (608, 608), 80, (8, 16, 32), 257717640),
    "yolov4-csp.cfg": Shipped(175, (512, 512), 80, (8, 16, 32), None),
    "yolov4-tiny.cfg": Shipped(38, (416, 416), 80, (32, 16), 24251276),
    "yolov7-tiny.cfg": Shipped(99, (416, 416), 80, (8, 16, 32), None),
    "shapes.cfg": Shipped(19, (128, 160), 3, (16, 8), None),  # ours, for the demo
    "shapes-small.cfg": Shipped(19, (128, 160), 3, (16, 8), 286132),  # ours, with weights in the repository
}
RECORDED = [name for name in SHIPPED if not name.startswith("shapes")]
HEADER_64 = 20  # bytes of the header that weights_bytes counts
SMALL = (64, 96)  # (height, width) of the smallest image that all strides divide, not square
BACKBONE_BYTES = 162482580  # darknet53.conv.74, as published: the layers below 75
# what was changed for the recordings: a small input, one image
RECORDED_ELSEWISE = {"width", "height", "batch", "subdivisions"}


@pytest.fixture(params=SHIPPED)
def shipped(request, project):
    """(network, what the table says of it), with nothing left unread that the table does not name."""
    expected = SHIPPED[request.param]
    network, unread = build(read_cfg(project / "cfg" / request.param))
    assert [entry.partition("=")[0] for entry in unread] == list(expected.unread)
    return network, expected


def test_the_table_names_every_shipped_cfg(project):
    assert {path.name for path in (project / "cfg").glob("*.cfg")} == set(SHIPPED)


def test_layers_heads_strides_and_bytes_are_the_published_ones(shipped):
    network, expected = shipped
    height, width = expected.size
    assert len(network.layers) == expected.layers
    assert (network.input.height, network.input.width) == expected.size
    for head, stride in zip(network.heads, expected.strides, strict=True):
        channels = expected.anchors * (5 + expected.classes)
        assert network.shapes[head] == (channels, height // stride, width // stride)
        if network.kinds[head] == "yolo":  # a [region] has its anchors in cells and needs no stride
            assert network.layers[head].stride == (stride, stride)
    if expected.bytes is not None:
        assert weights_bytes(network) - HEADER_64 + expected.header == expected.bytes
    stored = sum(p.numel() for p in network.parameters())
    stored += sum(b.numel() for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var")))
    assert weights_bytes(network) == HEADER_64 + 4 * stored  # nothing is left out of the file


def test_a_small_image_passes_through(shipped):
    network, expected = shipped
    height, width = SMALL
    with torch.inference_mode():
        raw = network.eval()(torch.rand(1, 3, height, width))
    assert all(map_.isfinite().all() for map_ in raw)
    if not expected.strides:
        assert [map_.shape for map_ in raw] == [(1, expected.classes, 1, 1)]
        return
    assert [map_.shape[2:] for map_ in raw] == [(height // s, width // s) for s in expected.strides]
    with torch.inference_mode():
        predictions = network.decode(raw)
    assert predictions.class_probs.shape[2] == expected.classes
    assert all(part.isfinite().all() for part in predictions)


# ---------------------------------------------------------------------------------- against what Darknet was given


@pytest.mark.parametrize("name", RECORDED)
def test_the_layers_are_those_of_the_cfg_that_darknet_ran(shared, project, name):
    # [cost] ends AlexeyAB's darknet19.cfg, not pjreddie's, which we follow; it changes nothing in inference.
    ours, theirs = (
        [(section.kind, values(section)) for section in read_cfg(path)[1:]]
        for path in (project / "cfg" / name, golden(shared, name) / name)
    )
    assert ours == [section for section in theirs if section[0] != "cost"]


# AlexeyAB's darknet19.cfg trains otherwise than pjreddie's, which we follow.
@pytest.mark.parametrize("name", [name for name in RECORDED if name != "darknet19.cfg"])
def test_the_settings_are_those_of_the_cfg_that_darknet_ran(shared, project, name):
    ours, theirs = (values(read_cfg(path)[0]) for path in (project / "cfg" / name, golden(shared, name) / name))
    assert ours.keys() == theirs.keys()
    assert {key for key in ours if ours[key] != theirs[key]} <= RECORDED_ELSEWISE


@pytest.mark.parametrize("name", RECORDED)
def test_the_weights_file_has_the_size_of_darknets_layers(shared, project, name):
    case = read_json(golden(shared, name) / "case.json")
    numbers = sum(count for _, count, _ in case["weights"]["tensors"])
    network, _ = build(read_cfg(project / "cfg" / name))
    assert weights_bytes(network) == HEADER_64 + 4 * numbers


def golden(shared, name):
    """The folder of the case that compiled Darknet recorded of a cfg."""
    return shared / "darknet_golden/forward" / name.removesuffix(".cfg")


def values(section):
    """Key → value, numbers as numbers: `.10, 2` and `0.1,2` say the same. The first of equal keys counts."""
    return {entry.key: value_of(entry.value) for entry in reversed(section.entries)}


def value_of(text):
    try:
        return [float(item) for item in text.split(",")]
    except ValueError:
        return text


# ----------------------------------------------------------------------------------------------------------- others


def test_trainable_parameters_of_yolov3_are_the_known_count(project):
    # 61,949,149: what every PyTorch port of the published cfg counts
    network = Network.from_cfg(project / "cfg" / "yolov3.cfg")
    assert sum(parameter.numel() for parameter in network.parameters()) == 61949149


@pytest.mark.parametrize("cfg", ["yolov3.cfg", "yolov3-spp.cfg", "yolov3-voc.cfg", "darknet53.cfg"])
def test_the_published_backbone_holds_the_layers_below_75(project, tmp_path, cfg):
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
