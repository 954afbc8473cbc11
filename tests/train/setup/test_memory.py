"""yolo.train.setup.preflight: bytes by hand, and against what autograd really keeps when the network really runs."""

from functools import partial

import pytest
import torch

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.model.layers.sync_batchnorm import convert_sync_batchnorm
from yolo.train.setup.free_memory import free_bytes
from yolo.train.setup.preflight import estimate_memory

HEIGHT, WIDTH = 48, 64

TWO_LAYERS = f"""[net]
height={HEIGHT}
width={WIDTH}
channels=3
[convolutional]
filters=4
size=3
pad=1
activation=linear
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=0,1
anchors=12,12, 24,20
classes=2
num=2
"""


def really_kept(network, images):
    """Bytes that the graph of a real forward pass holds beside the weights: each memory address once."""
    own = {value.untyped_storage().data_ptr() for value in network.state_dict().values()}
    sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        raw = network(images)
    kept = sum(size for address, size in sizes.items() if address not in own)
    assert raw[0].requires_grad
    return kept


def test_bytes_of_two_layers_by_hand():
    memory = estimate_memory(network_of(TWO_LAYERS), images=2, size=(HEIGHT, WIDTH), copies=2)
    weights = (4 * 3 * 9 + 4) + (14 * 4 + 14)
    assert memory.gradients == 4 * weights and memory.optimizer == 2 * 4 * weights
    assert memory.parameters >= 4 * weights  # and the head's anchors
    # a linear convolution keeps what enters it: the image and 4 maps
    pixels = HEIGHT * WIDTH
    assert memory.activations == 2 * 4 * (3 + 4) * pixels
    # twice the largest of these, and four times the 14 raw maps
    assert memory.working == 2 * 4 * (2 * 4 + 4 * 14) * pixels
    assert memory.total == memory.parameters + memory.to_come
    parts = memory.gradients + memory.optimizer + memory.activations + memory.working
    assert memory.to_come == parts


@pytest.mark.parametrize("norm", [True, False])
def test_activations_are_what_autograd_really_keeps(norm):
    network = network_of(cfg_text(norm=norm))
    network.train()
    size = (HEIGHT * 2, WIDTH)
    memory = estimate_memory(network, 3, size)
    assert memory.activations == really_kept(network, torch.rand(3, 3, *size))


def test_activations_grow_with_images_and_area_and_halve_with_the_precision():
    network = network_of(cfg_text(dropout=False, norm=False))
    one = estimate_memory(network, 1, (HEIGHT, WIDTH))
    many = estimate_memory(network, 6, (2 * HEIGHT, WIDTH))
    assert many.activations == 12 * one.activations
    assert many.parameters == one.parameters
    half = estimate_memory(network, 1, (HEIGHT, WIDTH), dtype=torch.bfloat16)
    # the maximum's places stay whole numbers of 8 bytes, the rest is halved
    assert 0.5 * one.activations < half.activations < 0.8 * one.activations
    assert half.parameters == one.parameters


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_synchronized_batch_norm_is_estimated_without_other_processes(monkeypatch, dtype):
    """As --sync-bn prepares the network, with and without --amp, before the first step."""

    def refuse(*_):
        raise AssertionError("the other processes are asked")

    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", refuse)
    expected = estimate_memory(network_of(cfg_text()), 2, (HEIGHT, WIDTH), dtype=dtype)
    found = estimate_memory(convert_sync_batchnorm(network_of(cfg_text())), 2, (HEIGHT, WIDTH), dtype=dtype)
    assert expected.activations <= found.activations <= 2 * expected.activations  # the maps of the norm are float32


def test_frozen_layers_have_no_gradients():
    network = network_of(TWO_LAYERS)
    network.layers[0].requires_grad_(False)
    memory = estimate_memory(network, 1, (HEIGHT, WIDTH))
    assert memory.gradients == memory.optimizer == 4 * (14 * 4 + 14)
    assert memory.activations == 4 * 4 * HEIGHT * WIDTH  # the image is kept no more


def test_neither_the_network_nor_the_random_numbers_change():
    crop = "[net]\nheight=48\nwidth=64\nchannels=3\n[crop]\ncrop_height=32\ncrop_width=32\nflip=1\n"
    for text in (cfg_text(), crop + TWO_LAYERS[TWO_LAYERS.index("[conv") :]):
        network = network_of(text).eval()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        random = torch.get_rng_state()
        estimate_memory(network, 2, (HEIGHT, WIDTH))
        assert torch.equal(torch.get_rng_state(), random)
        assert not network.training
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())


def test_a_size_that_no_machine_has_is_estimated_in_a_moment():
    memory = estimate_memory(network_of(TWO_LAYERS), 64, (20000, 20000))
    assert memory.activations == 64 * 4 * 7 * 20000**2


# ------------------------------------------------------------------------------------------------- what is free


def free_of(tmp_path, meminfo, maximum=None, used="0"):
    (tmp_path / "meminfo").write_text(meminfo)
    if maximum is not None:
        (tmp_path / "memory.max").write_text(maximum)
        (tmp_path / "memory.current").write_text(used)
    return free_bytes(torch.device("cpu"), tmp_path / "meminfo", tmp_path)


def test_a_cpus_free_memory_is_that_of_the_system_or_the_container(tmp_path):
    text = "MemTotal:       24000000 kB\nMemFree:  100 kB\nMemAvailable:   2000 kB\nHugePages_Total:    0\n"
    assert free_of(tmp_path, text) == 2000 * 1024
    assert free_of(tmp_path, text, "max\n") == 2000 * 1024
    assert free_of(tmp_path, text, "500000\n", "200000\n") == 300000
    assert free_of(tmp_path, text, "500000\n", "600000\n") == 0


def test_free_memory_may_be_unknown(tmp_path):
    assert free_of(tmp_path, "MemTotal: 5 kB\n") is None
    assert free_of(tmp_path, "nonsense") is None
    assert free_bytes(torch.device("cpu"), tmp_path / "away", tmp_path) is None
    assert free_bytes(torch.device("mps")) is None


def test_files_that_a_container_keeps_in_memory_are_free_and_its_outer_groups_count(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemAvailable: 9000 kB\n")
    (tmp_path / "own").write_text("4:memory:/outer/inner\n0::/outer/inner\n")
    monkeypatch.setattr("yolo.train.setup.free_memory.OWN_GROUPS", tmp_path / "own")
    free = partial(free_bytes, torch.device("cpu"), tmp_path / "meminfo", tmp_path)
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    assert free() == 9000 * 1024
    write(inner, {"memory.max": "max", "memory.current": "5"})
    assert free() == 9000 * 1024
    write(inner.parent, {"memory.max": "900000", "memory.current": "700000"})
    assert free() == 200_000
    write(inner.parent, {"memory.stat": "anon 7\ninactive_file 100000\nactive_file 50000\n"})
    assert free() == 350_000
    old = tmp_path / "memory" / "outer"
    write(old, {"memory.limit_in_bytes": "300000", "memory.usage_in_bytes": "100000"})
    write(old, {"memory.stat": "total_inactive_file 20000\ntotal_active_file 1000\ninactive_file 1\n"})
    assert free() == 221_000


def write(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


@pytest.mark.gpu
def test_a_gpu_reports_its_free_memory():
    assert 0 < free_bytes(torch.device("cuda")) <= torch.cuda.mem_get_info()[1]
