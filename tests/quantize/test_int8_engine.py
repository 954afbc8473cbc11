"""yolo.quantize.int8_engine: int8 as an engine, calibrated once and kept in the cache."""

import pytest
import torch

from tests.helpers.fragile_network import fragile_network
from yolo.engines.benchmark.measure import combinations_of
from yolo.engines.cache import CACHE_VARIABLE
from yolo.errors import CfgError
from yolo.quantize import int8_engine as module
from yolo.quantize.int8_engine import int8_engine


@pytest.fixture
def images():
    torch.manual_seed(0)
    return [torch.rand(1, 3, 32, 48) for _ in range(8)]


@pytest.fixture
def network():
    return fragile_network().eval()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def fitting(network, images):
    return [torch.nn.functional.interpolate(each, (network.input.height, network.input.width)) for each in images]


def error_of(maps, expected):
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(maps, expected, strict=True))


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)])
def test_maps_are_near_those_of_float32_and_are_int8(network, images, cache, engine):
    images = fitting(network, images)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run = int8_engine(network, engine, images)
    batch = torch.cat(images[:3])
    with torch.inference_mode():
        expected = network(batch)
    maps = run(batch)
    assert [each.shape for each in maps] == [each.shape for each in expected]
    assert 1e-3 < error_of(maps, expected) < 1  # the fragile layer loses much; no layer is kept in float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_file_is_made_once_for_the_same_network_and_images(network, images, cache, monkeypatch):
    images = fitting(network, images)
    maps = int8_engine(network, "onnxruntime", images)(images[0])
    (file,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", None)
        again = int8_engine(network, "onnxruntime", images)(images[0])
    assert all(map(torch.equal, maps, again))
    int8_engine(network, "onnxruntime", images[1:])
    assert len(list(cache.iterdir())) == 2
    file.write_bytes(b"damaged")
    assert all(map(torch.equal, maps, int8_engine(network, "onnxruntime", images)(images[0])))


def test_other_engines_are_refused(network, images):
    with pytest.raises(CfgError, match="found precision int8 with engine torch, expected onnxruntime or openvino"):
        int8_engine(network, "torch", images)


def test_the_benchmark_pairs_int8_with_the_engines_that_have_it():
    pairs = combinations_of(("torch", "onnxruntime", "openvino"), ("float32", "int8"))
    assert [pair for pair in pairs if pair[1] == "int8"] == [("onnxruntime", "int8"), ("openvino", "int8")]
