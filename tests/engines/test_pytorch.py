"""yolo.engines.pytorch: which kernels the engine `torch` takes on a CPU."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.engines.pytorch import MANY_PIXELS, PointwiseConvolution, TorchMaps
from yolo.model.network import Network

ONEDNN = "aten::mkldnn_convolution"
SIDE = 128  # of an image; after the layer with stride 2, maps have fewer than MANY_PIXELS
CFG = f"""[net]
width={SIDE}
height={SIDE}
channels=3
[convolutional]
filters=3
size=1
stride=1
activation=leaky
[convolutional]
filters=3
size=3
stride=2
pad=1
activation=leaky
[convolutional]
share_index=0
filters=3
size=1
stride=1
activation=leaky
[convolutional]
filters=6
size=1
stride=1
activation=linear
"""

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of PyTorch has no oneDNN")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def kernels(compute, images: Tensor) -> list[str]:
    """Return the names of the kernels that `compute(images)` calls, in their order."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        compute(images)
    return [event.name for event in profile.events()]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 100, 101, 240])
def test_a_pointwise_convolution_is_a_convolution(side, stride, batch, one_thread):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 1, stride)
    images = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
    expected = F.conv2d(images.double(), conv.weight.double(), conv.bias.double(), stride)
    with torch.inference_mode():
        found = PointwiseConvolution(conv)(images)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("side", "onednn"), [(100, False), (101, True)])
def test_one_thread_takes_onednn_for_many_pixels(side, onednn, one_thread):
    assert (side * side > MANY_PIXELS) == onednn
    images = torch.randn(1, 3, side, side).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert (ONEDNN in kernels(PointwiseConvolution(nn.Conv2d(3, 5, 1)), images)) == onednn


@pytest.fixture
def network(tmp_path):
    cfg = tmp_path / "pointwise.cfg"
    cfg.write_text(CFG)
    network = Network.from_cfg(cfg).eval()
    for layer in network.layers:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return network


def test_the_engine_takes_onednn_in_1x1_layers_and_leaves_the_network_as_it_is(network, one_thread):
    images = torch.rand(1, 3, SIDE, SIDE)
    maps = TorchMaps(network)
    with torch.inference_mode():
        expected = network(images)
    for found in (maps(images), maps.recorded(images), maps(images)):  # the last one by torch.jit
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert kernels(maps, images).count(ONEDNN) == 2  # layers 0 and 1, whose maps have many pixels
    assert all(type(layer.conv) is nn.Conv2d for layer in network.layers if hasattr(layer, "conv"))


def test_onednn_is_not_taken_where_it_is_switched_off(network, one_thread, monkeypatch):
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        expected = network(images)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    maps = TorchMaps(network)
    torch.testing.assert_close(maps(images), expected, rtol=1e-5, atol=1e-6)
    assert ONEDNN not in kernels(maps, images)
