"""yolo.engines.choose and cache: the fastest engine is measured once, files are made once."""

import errno
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.engines.test_build import CFG
from tests.helpers.golden import network_of
from yolo.detect.detector import Detector
from yolo.engines.build import build_engine
from yolo.engines.cache import CACHE_VARIABLE, _graph_text, cache_folder, graph_key, network_key, open_cached
from yolo.engines.choose import CANDIDATES, FastestMaps, contest, fastest, interleaved_seconds
from yolo.engines.fold import folded
from yolo.errors import CfgError, MissingPackageError


@pytest.fixture
def network():
    return folded(network_of(CFG))


def engines_that_take(seconds, built):
    """Build an engine that sleeps; without an entry it is not installed."""

    def build(name):
        if name not in seconds:
            raise MissingPackageError(f"{name} is not installed")
        built.append(name)

        def run(images):
            time.sleep(seconds[name])
            return [torch.tensor(float(CANDIDATES.index(name)))]

        return run

    return build


def test_the_fastest_engine_computes_and_the_choice_is_kept(network, cache):
    built, images = [], torch.zeros(1, 3, 32, 32)
    build = engines_that_take({"torch": 0.02, "onnxruntime": 0.002, "opencv": 0.03}, built)
    maps = FastestMaps(network, "float32", build)
    assert maps(images)[0] == CANDIDATES.index("onnxruntime")
    assert sorted(built) == ["onnxruntime", "opencv", "torch"]  # openvino is not installed
    assert list(json.loads((cache / "choices.json").read_text()).values()) == ["onnxruntime"]

    built.clear()
    again = FastestMaps(network, "float32", build)
    assert again(images)[0] == CANDIDATES.index("onnxruntime") and built == ["onnxruntime"]
    again(torch.zeros(4, 3, 32, 32))  # more than one image: measured on its own
    assert len(json.loads((cache / "choices.json").read_text())) == 2
    built.clear()
    again(torch.zeros(3, 3, 32, 32))
    assert built == []


def test_a_kept_engine_that_is_gone_is_measured_again(network, cache):
    images = torch.zeros(1, 3, 32, 32)
    FastestMaps(network, "float32", engines_that_take({"torch": 0.02, "openvino": 0.001}, []))(images)
    maps = FastestMaps(network, "float32", engines_that_take({"torch": 0.001}, []))
    assert maps(images)[0] == CANDIDATES.index("torch")


def test_a_broken_or_unwritable_cache_costs_a_measurement_only(network, cache):
    cache.mkdir()
    (cache / "choices.json").write_text('{"half')
    maps = FastestMaps(network, "float32", engines_that_take({"torch": 0.001}, []))
    assert maps(torch.zeros(1, 3, 32, 32))[0] == CANDIDATES.index("torch")
    assert list(json.loads((cache / "choices.json").read_text()).values()) == ["torch"]


def test_torch_wins_a_tie():
    assert fastest({"torch": 10.0, "openvino": 9.8}) == "torch"
    assert fastest({"torch": 10.0, "openvino": 9.0, "opencv": 9.5}) == "openvino"


def test_calls_are_measured_in_turn_until_it_is_enough():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in ("a", "b")}
    assert {name: len(each) for name, each in interleaved_seconds(calls, 2, 5, 0).items()} == {"a": 2, "b": 2}
    assert order == ["a", "b", "b", "a"]  # another one begins each round
    assert len(interleaved_seconds(calls, 2, 5, 60)["b"]) == 5


@pytest.fixture
def measured(monkeypatch):
    """Measure calls that take given seconds by a clock of their own: {name: (usual, {number of the call: seconds})}."""
    clock, counts = [0.0], {}
    monkeypatch.setattr("yolo.engines.choose.time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def measure(seconds):
        def run(name):
            counts[name] = counts.get(name, 0) + 1
            usual, disturbed = seconds[name]
            clock[0] += disturbed.get(counts[name], usual)

        return contest({name: partial(run, name) for name in seconds}), counts

    return measure


def test_the_fastest_engine_is_found_on_a_busy_machine(measured):
    """Two of its first three rounds are disturbed; an engine that is far behind is measured no further."""
    seconds = {"torch": (0.5, {2: 3.0}), "openvino": (0.4, {1: 3.0, 2: 3.0, 5: 3.0}), "opencv": (2.0, {})}
    found, counts = measured(seconds)
    assert counts == {"torch": 10, "openvino": 10, "opencv": 3}
    assert found == pytest.approx({"torch": 0.5, "openvino": 0.4, "opencv": 2.0})
    assert fastest(found) == "openvino"


def test_a_slow_network_is_measured_in_fewer_rounds(measured):
    _, counts = measured({"torch": (5.0, {}), "openvino": (5.0, {})})
    assert counts == {"torch": 6, "openvino": 6}  # three rounds, and three that take 30 s


def test_auto_detects_as_torch_does(network, cache, monkeypatch):
    monkeypatch.setattr("yolo.engines.choose.MEASURED_SECONDS", 0)
    image = (torch.rand(40, 60, 3) * 255).byte().numpy()
    expected = Detector(network, ["cat", "dog"], 0.2)(image)
    found = Detector(network, ["cat", "dog"], 0.2, engine="auto")(image)
    assert len(found) == len(expected) > 5
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-5)


def cached_onnx(network, size):
    """The path of the file in the cache."""
    return open_cached(network, size, lambda path: path)


def test_the_exported_file_is_made_once_for_each_content_and_size(network, cache):
    path = cached_onnx(network, (32, 32))
    assert path.parent == cache
    written = path.stat().st_ino
    os.utime(path, (1, 1))
    assert cached_onnx(network, (32, 32)) == path and path.stat().st_ino == written
    assert path.stat().st_mtime > 1  # as used, for making room
    assert cached_onnx(network, (32, 64)) != path
    with torch.no_grad():
        network.layers[0].conv.bias[0] += 1
    assert cached_onnx(network, (32, 32)) != path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "opencv"])
def test_a_damaged_file_in_the_cache_is_made_again(network, cache, engine):
    images = torch.rand(1, 3, 32, 32)
    path = cached_onnx(network, (32, 32))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = build_engine(network, engine)(images)
    assert path.read_bytes() == content
    for one, other in zip(found, network(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_file_that_an_engine_cannot_open_is_one_line(network, cache):
    def refuse(path):
        raise RuntimeError("\nunknown layer\nmore")

    with pytest.raises(CfgError, match=r"v1.onnx: found a network that this engine cannot read: unknown layer$"):
        open_cached(network, (32, 32), refuse)


def test_a_cache_without_room_costs_a_line_and_no_detection(network, cache, monkeypatch, caplog):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device", str(cache / "a.onnx"))

    monkeypatch.setattr("yolo.engines.cache.make_room", full)  # the last step that writes there
    path = cached_onnx(network, (32, 32))
    assert path.exists() and path.parent != cache
    assert caplog.messages == [f"{cache}/a.onnx: No space left on device; the engine's file is made for this run only"]


def test_keys_are_the_same_in_every_process(network):
    """Settings of a head hold functions, whose text has an address."""
    assert "0x" in repr(network.head_settings)
    text = _graph_text(network)
    assert "function paired_iou" in text and "0x" not in text


def test_keys_differ_for_other_graphs_and_weights():
    torch.manual_seed(0)
    first = network_of(CFG)
    torch.manual_seed(0)
    same = network_of(CFG)
    other_weights = network_of(CFG)
    assert network_key(first) == network_key(same) != network_key(other_weights)
    assert graph_key(first) == graph_key(other_weights)
    for change in (("activation=mish", "activation=swish"), ("size=2\nstride=1", "size=4\nstride=1")):
        assert graph_key(network_of(CFG.replace(*change, 1))) != graph_key(first), change


def test_old_files_make_room(network, cache, monkeypatch):
    monkeypatch.setattr("yolo.engines.cache.MOST_BYTES", 1)
    old = cached_onnx(network, (32, 32))
    new = cached_onnx(network, (64, 64))
    assert new.exists() and not old.exists()


def test_the_cache_is_the_folder_that_is_named_or_the_users_or_a_temporary_one(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "named")
    assert cache_folder() == Path("named")
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache/yolo-darknet"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/yolo-darknet"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made in it
    assert cache_folder() == Path(tempfile.gettempdir()) / f"yolo-darknet-{os.getuid()}"
