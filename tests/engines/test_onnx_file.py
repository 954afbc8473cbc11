"""yolo.engines.onnx_file: what a written file contains, and that ONNX Runtime computes from it what torch does."""

import onnx
import pytest
import torch
from torch import nn

from tests.helpers.golden import network_of
from yolo.deploy.file_kinds import open_file
from yolo.engines.onnx_file import (
    NEWEST_OPSET,
    OLDEST_OPSET,
    onnx_metadata,
    open_onnx,
    run_onnx,
    with_exportable_pools,
    write_onnx,
)
from yolo.errors import ExportError, WeightsError
from yolo.model.layers.pooling import MaxPool

# every kind of layer whose export once failed or differed, on a 13 x 11 image: odd pools, reorg, groups, a depth pool
LAYERS = """
[net]
width=22
height=26
channels=3
[convolutional]
filters=8
size=3
pad=1
batch_normalize=1
activation=mish
[maxpool]
size=2
stride=2
[maxpool]
size=2
stride=1
[maxpool]
size=4
stride=2
[upsample]
stride=2
[reorg3d]
stride=2
[route]
layers=-1
groups=2
group_id=1
[maxpool]
maxpool_depth=1
out_channels=8
[convolutional]
filters=14
size=1
activation=linear
[yolo]
classes=2
num=2
mask=0,1
anchors=1,2, 3,4
"""


class Raw(nn.Module):
    """A network's raw maps as a tuple."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return tuple(self.network(images))


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST_OPSET + 1))
def test_a_file_of_every_opset_has_that_opset_and_any_batch_size(tmp_path, opset):
    module = Raw(network_of(LAYERS).eval())
    path = tmp_path / "a.onnx"
    write_onnx(module, torch.rand(2, 3, 26, 22), path, output_names=["map"], opset=opset, dynamic_batch=True)
    assert [each.version for each in onnx.load(path).opset_import] == [opset]
    session = open_onnx(path, threads=1)
    for batch in (1, 3, 8):
        images = torch.rand(batch, 3, 26, 22)
        (found,) = run_onnx(session, images)
        with torch.no_grad():
            (expected,) = module(images)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_uneven_pools_are_one_node_each_and_the_module_keeps_its_own(tmp_path):
    module = Raw(network_of(LAYERS).eval())
    write_onnx(module, torch.rand(1, 3, 26, 22), tmp_path / "a.onnx", output_names=["map"])
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    assert "Pad" not in {node.op_type for node in nodes}
    pads = [list(onnx.helper.get_node_attr_value(node, "pads")) for node in nodes if node.op_type == "MaxPool"]
    # top, left, bottom, right of 26x22 with 2/2; 13x11 with 2/1; 13x11 with 4/2, whose last window needs 2 more rows
    assert pads == [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 2, 2]]
    assert any(isinstance(layer, MaxPool) for layer in module.modules())


def test_the_copy_for_export_has_the_same_parameters():
    module = nn.Sequential(nn.Conv2d(1, 1, 1), MaxPool(size=2, stride=(1, 1), padding=1))
    copied = with_exportable_pools(module)
    assert copied[0].weight is module[0].weight
    images = torch.rand(1, 1, 4, 5)
    assert torch.equal(copied(images), module(images))


def test_a_batch_of_one_has_no_computed_shapes(tmp_path):
    """Old converters and NPUs cannot read Shape, Gather and the like."""

    class Boxes(Raw):
        def forward(self, images):
            return self.network.decode(self.network(images)).boxes

    write_onnx(Boxes(network_of(LAYERS).eval()), torch.rand(1, 3, 26, 22), tmp_path / "a.onnx", output_names=["boxes"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}
    assert not kinds & {"Shape", "Gather", "Range", "Expand", "Loop", "If"}


def test_a_file_holds_its_metadata_and_no_paths(tmp_path):
    path = tmp_path / "a.onnx"
    module = Raw(network_of(LAYERS).eval())
    write_onnx(module, torch.rand(1, 3, 26, 22), path, output_names=["map"], metadata={"names": "a\nb", "ü": "ü"})
    assert onnx_metadata(open_onnx(path, 1)) == {"names": "a\nb", "ü": "ü"}
    assert b".py" not in path.read_bytes()


@pytest.mark.parametrize("old, new", [(b"Relu", b"Re\xff\x95"), (b"value", b"val\xff\x95")])
def test_damaged_texts_in_a_file_are_one_line(tmp_path, capsys, old, new):
    path = tmp_path / "a.onnx"
    write_onnx(nn.ReLU(), torch.rand(1, 1, 2, 2), path, output_names=["a"], metadata={"key": "value"})
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(WeightsError, match="a.onnx: found (no model|metadata that is not UTF-8)") as error:
        open_file(path)
    assert "\n" not in str(error.value) and capsys.readouterr().out == ""


@pytest.mark.parametrize("opset", [OLDEST_OPSET - 1, NEWEST_OPSET + 1])
def test_another_opset_is_refused(tmp_path, opset):
    with pytest.raises(ValueError, match=f"found opset {opset}, expected 12 to 18"):
        write_onnx(nn.ReLU(), torch.rand(1, 1, 2, 2), tmp_path / "a.onnx", output_names=["a"], opset=opset)
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")

    class Complex(nn.Module):
        def forward(self, images):
            return torch.fft.fft2(images).abs()

    with pytest.raises(ExportError, match="a.onnx: found a network that ONNX opset 12 cannot express: .*fft") as error:
        write_onnx(Complex(), torch.rand(1, 1, 2, 2), path, output_names=["a"], opset=12)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"text", bytes(100)])
def test_what_is_no_model_is_an_error_of_one_line(tmp_path, content):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="a.onnx: found no model") as error:
        open_onnx(tmp_path / "a.onnx")
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        open_onnx(tmp_path / "b.onnx")


def test_what_onnx_runtime_cannot_compute_is_an_error_that_engines_expect(tmp_path):
    module = Raw(network_of(LAYERS).eval())
    write_onnx(module, torch.rand(1, 3, 26, 22), tmp_path / "a.onnx", output_names=["map"])
    with pytest.raises(RuntimeError, match="invalid dimensions"):
        run_onnx(open_onnx(tmp_path / "a.onnx", threads=1), torch.rand(2, 3, 26, 22))
