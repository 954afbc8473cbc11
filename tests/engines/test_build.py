"""yolo.engines: every engine gives the raw maps of PyTorch and leaves the network as it is."""

import copy
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import openvino
import pytest
import torch

from tests.helpers.golden import make_weights, network_of, read_json
from tests.model.test_network import CLASSIFIERS, DETECTORS
from yolo.defaults import ENGINES
from yolo.detect.detector import Detector
from yolo.engines.build import build_engine
from yolo.engines.open_vino import openvino_core
from yolo.engines.precision import ENGINE_PRECISIONS
from yolo.errors import CfgError, MissingPackageError
from yolo.model.network import Network
from yolo.model.weights import load_weights

TOLERANCE = 1e-4  # of the largest value, float32
HALF_TOLERANCE = {"bf16": 0.02, "fp16": 0.002}  # some units of the last place of each, 2^-8 and 2^-11
QUICK = ("torch", "onnxruntime", "openvino", "opencv")  # torch.compile takes half a minute
ZOO = (*DETECTORS, *CLASSIFIERS)

CFG = """[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=2
stride=1
[convolutional]
batch_normalize=1
filters=8
groups=8
size=3
pad=1
activation=mish
[route]
layers=-1,-3
[convolutional]
filters=14
size=1
activation=linear
[yolo]
classes=2
num=2
anchors=8,8, 16,16
[route]
layers=-3
[upsample]
stride=2
[convolutional]
filters=14
size=1
activation=linear
[yolo]
classes=2
num=2
anchors=8,8, 16,16
"""


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = network_of(CFG)
    with torch.no_grad():
        for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.1, 1.0)
    return network.eval()


def largest_difference(found, expected):
    """Of all maps, relative to the largest value of each."""
    assert [each.shape for each in found] == [each.shape for each in expected]
    assert all(each.dtype == torch.float32 for each in found)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


def expected_maps(network, images):
    with torch.inference_mode():
        return network(images)


@pytest.mark.parametrize("engine", QUICK)
def test_raw_maps_are_those_of_the_network_for_batches_and_sizes_of_any_kind(network, engine):
    run = build_engine(network, engine)
    for shape in ((1, 3, 32, 32), (3, 3, 32, 32), (2, 3, 64, 32), (1, 3, 32, 32)):
        images = torch.rand(shape)
        assert largest_difference(run(images), expected_maps(network, images)) <= TOLERANCE


@pytest.mark.slow
def test_compiled_maps_are_those_of_the_network(network, caplog):
    caplog.set_level("INFO")
    run = build_engine(network, "compile")
    for batch in (4, 3, 1):  # 3 images are computed as 4, 1 image is compiled again
        images = torch.rand(batch, 3, 32, 32)
        assert largest_difference(run(images), expected_maps(network, images)) <= TOLERANCE
    said = [record.message for record in caplog.records if record.message.startswith("compiling the network")]
    assert [text.split("images of ")[1].split(",")[0] for text in said] == ["4x3x32x32", "1x3x32x32"]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_and_is_another_result(network, engine, precision):
    images = torch.rand(1, 3, 32, 32)
    try:
        run = build_engine(network, engine, precision)
    except CfgError as error:  # OpenVINO on a CPU without the instructions
        assert "this CPU computes" in str(error)
        return
    difference = largest_difference(run(images), expected_maps(network, images))
    assert 1e-6 < difference < HALF_TOLERANCE[precision]


@pytest.mark.parametrize("engine", QUICK)
def test_the_network_is_not_changed_and_later_changes_of_it_do_not_matter(network, engine):
    images = torch.rand(1, 3, 32, 32)
    expected = expected_maps(network, images)
    before = copy.deepcopy(network.state_dict())
    run = build_engine(network.train(), engine)
    run(images)
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        network.layers[0].conv.weight.zero_()
    assert largest_difference(run(images), expected) <= TOLERANCE


@pytest.mark.parametrize("engine", QUICK)
def test_the_maps_of_an_image_stay_when_the_next_one_is_computed(network, engine):
    run = build_engine(network, engine)
    first = run(torch.rand(1, 3, 32, 32))
    kept = [each.clone() for each in first]
    run(torch.zeros(1, 3, 32, 32))
    assert all(map(torch.equal, first, kept))


def test_a_precision_that_an_engine_does_not_have_is_refused(network):
    with pytest.raises(CfgError, match="found precision bf16 with engine onnxruntime, expected float32"):
        build_engine(network, "onnxruntime", "bf16")
    with pytest.raises(CfgError, match="found precision int8, expected an engine of yolo.quantize.int8_engine"):
        build_engine(network, "torch", "int8")
    with pytest.raises(CfgError, match="found precision int8, expected an engine of yolo.quantize.int8_engine"):
        build_engine(network, "openvino", "int8")
    with pytest.raises(CfgError, match="found precision int8, expected an engine of yolo.quantize.int8_engine"):
        build_engine(network, "auto", "int8")
    with pytest.raises(CfgError, match="found engine 'tensorrt', expected one of torch, compile"):
        build_engine(network, "tensorrt")
    assert set(ENGINE_PRECISIONS) == set(ENGINES)


def test_an_engine_that_is_not_installed_is_one_line(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # what makes `import openvino` fail
    with pytest.raises(
        MissingPackageError, match=r"engine openvino needs .*openvino.*: pip install 'yolo-darknet\[openvino\]'"
    ):
        build_engine(network, "openvino")


@pytest.mark.slow
def test_the_default_engine_imports_no_other_engines_library():
    code = (
        "import sys, yolo.detect.detector, yolo.engines.build\n"
        "print(sorted({'onnx', 'onnxruntime', 'openvino', 'torch._inductor'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("engine", QUICK)
def test_detections_are_the_same_with_every_engine(network, engine):
    images = [(torch.rand(40, 60, 3) * 255).byte().numpy() for _ in range(2)]
    expected = Detector(network, ["cat", "dog"], 0.2)(images)
    found = Detector(network, ["cat", "dog"], 0.2, engine=engine)(images)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) > 5
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------- the whole recorded zoo


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_raw_maps_of_the_recorded_zoo_are_those_of_pytorch(shared, name, tmp_path):
    network, images = recorded_network(shared, name, tmp_path)
    expected = expected_maps(network, images)
    for engine in QUICK:  # in one test: they share the weights and the exported file, which take most of the time
        assert largest_difference(build_engine(network, engine)(images), expected) <= TOLERANCE, engine


def recorded_network(shared, name, folder):
    """(network with the recorded weights, images) of a golden case."""
    home = shared / "darknet_golden/forward" / name
    case = read_json(home / "case.json")
    generator = make_weights(shared)
    generator.write_weights(case, folder / "case.weights")
    images = torch.from_numpy(generator.network_input(case))
    network = Network.from_cfg(home / case["cfg"], size=tuple(images.shape[2:]))
    load_weights(network, folder / "case.weights")
    return network.eval(), images


def test_all_engines_share_one_openvino_core_that_stays(network, monkeypatch):
    """A freed Core leaves the main thread a signal stack in freed memory: the next Ctrl-C would be a crash."""
    made = []
    core = openvino.Core
    monkeypatch.setattr(openvino, "Core", lambda: made.append(core()) or made[-1])
    openvino_core.cache_clear()
    for _ in range(2):
        build_engine(network, "openvino", "float32")(torch.rand(1, 3, 32, 32))
    assert len(made) == 1 and openvino_core() is made[0]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not report a thread's cores")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_bind_no_thread_to_cores(network, engine):
    """Runners of one thread each would be bound to the same core while they compute, and leave the others idle."""
    maps = build_engine(network, engine)
    images = torch.rand(1, 3, 256, 256)
    workers = []

    def compute() -> None:
        torch.set_num_threads(1)
        maps(images)
        workers.append(threading.get_native_id())
        for _ in range(50):
            maps(images)

    with ThreadPoolExecutor(1) as pool:
        computed = pool.submit(compute)
        found = []
        while not computed.done():
            found += map(os.sched_getaffinity, workers)
            time.sleep(0.001)
    computed.result()
    assert len(found) > 5 and all(cores == os.sched_getaffinity(0) for cores in found)


def test_recorded_calls_give_the_same_maps_to_the_last_bit_in_every_thread(network, monkeypatch):
    monkeypatch.setattr("yolo.engines.pytorch.TRACED_AFTER", 3)
    maps = build_engine(network, "torch")
    batches = [torch.rand(1, 3, 32, 32), torch.rand(2, 3, 64, 32)]
    expected = [maps(batch) for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        for batch, raw in [*zip(batches, expected, strict=True)] * 4:
            for found in pool.map(maps, [batch, batch]):
                assert all(torch.equal(*pair) for pair in zip(found, raw, strict=True))
    assert set(maps._traced) == {tuple(batch.shape) for batch in batches}


def test_calls_are_recorded_when_asked_and_later_batches_use_them(network, monkeypatch):
    maps = build_engine(network, "torch")
    batch = torch.rand(2, 3, 32, 32)
    expected = maps(batch)
    for found in (maps.recorded(batch), maps(batch)):
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    (recorded,) = maps._traced.values()
    maps.recorded(batch)
    assert [*maps._traced.values()] == [recorded]  # once for each shape


@pytest.mark.parametrize("engine", QUICK)
def test_several_threads_may_be_the_first_with_different_shapes(network, engine, monkeypatch):
    """torch records graphs, for ONNX and torch.jit, in state of the whole process."""
    monkeypatch.setattr("yolo.engines.pytorch.TRACED_AFTER", 1)
    maps = build_engine(network, engine)
    batches = [torch.rand(count, 3, side, 32) for count in (1, 2) for side in (32, 64)]
    together = threading.Barrier(len(batches))

    def compute(images: torch.Tensor) -> list[torch.Tensor]:
        together.wait(5)
        return maps(images)

    with ThreadPoolExecutor(len(batches)) as pool:
        for images, raw in zip(batches, pool.map(compute, batches), strict=True):
            for found, expected in zip(raw, network(images), strict=True):
                assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
