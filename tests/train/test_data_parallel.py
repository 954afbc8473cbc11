"""yolo.distributed: two processes on the CPU against the result of one, and the failure of one process."""

import subprocess
import sys
import time

import pytest
import torch

from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, network_of, write_set
from tests.helpers.training_options import training_options
from tests.helpers.two_processes import LONGEST, in_two_processes
from yolo.distributed import Processes, ShardedSampler, connection_errors, device_of, processes_of
from yolo.errors import CfgError, DatasetError
from yolo.model.layers.sync_batchnorm import convert_sync_batchnorm
from yolo.train.setup.run import data_parallel, start

CPU = torch.device("cpu")


# ------------------------------------------------------------------------------------------ one process


def test_without_torchrun_there_is_one_process():
    assert processes_of({"PATH": "/bin"}) == Processes(rank=0, world=1, local_rank=0)
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert processes_of(environment) == Processes(rank=5, world=8, local_rank=1)


def test_cuda_means_the_gpu_of_the_process():
    second = Processes(rank=5, world=8, local_rank=1)
    assert device_of(second, "cuda") == torch.device("cuda", 1)
    assert device_of(second, "cpu") == CPU
    assert device_of(Processes(), "cuda") == torch.device("cuda")


ALONE = """
import sys, torch
from yolo.distributed import process_group, processes_of
alone, network = processes_of({}), torch.nn.Linear(2, 2)
before = "torch.distributed" in sys.modules
with process_group(alone, torch.device("cpu")):
    assert alone.any(True) and not alone.any(False)
    assert alone.mean({"loss": torch.tensor(2.0)}) == {"loss": 2.0}
    assert alone.shard("abc") == "abc" and alone.gather("abc", 3) == ["a", "b", "c"]
    alone.broadcast_buffers(network)
assert ("torch.distributed" in sys.modules) == before
"""


def test_one_process_never_asks_for_torchs_distributed_part():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------ shards


def test_the_processes_share_each_mini_batch():
    sampler = [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
    first, second = (ShardedSampler(sampler, 4, Processes(rank, 2, rank)) for rank in range(2))
    assert list(first) == [["a", "b"], ["e", "f"]]
    assert list(second) == [["c", "d"], ["g", "h"]]
    assert len(first) == len(second) == 2


def test_a_mini_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(CfgError, match="^found mini-batches of 4 images .* a multiple of 3, the"):
        ShardedSampler([], 4, Processes(0, 3, 0))


# ------------------------------------------------------------------------------------------ working together

IMAGES = torch.rand(4, 3, 48, 64, generator=torch.Generator().manual_seed(1))
STEPS = 6
DEAD_END = cfg_text(dropout=False).replace(
    "[maxpool]",
    "[convolutional]\nfilters=2\nsize=1\nactivation=linear\n\n[route]\nlayers=-2\n\n[maxpool]",
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two processes gave for all of the parts below; to start them takes far longer than that."""
    return in_two_processes(work_together, tmp_path_factory.mktemp("both"))


def work_together(processes):
    parts = (exchange, learn_a_shard, learn_without_synced_norm, learn_with_a_dead_end)
    return {part.__name__: part(processes) for part in parts}


def exchange(processes):
    flags = [processes.any(flag) for flag in (False, processes.rank == 1, processes.rank == 0)]
    means = processes.mean({"loss": torch.tensor(3.0 * processes.rank), "iou": 0.1})
    items = [f"{word}!" for word in processes.shard(("a", "b", "c", "d", "e"))]
    return flags, means, processes.gather(items, 5), processes.gather([], 0)


def test_flags_means_and_shards_come_together(both):
    first, second = (each["exchange"] for each in both)
    # by hand
    flags, means = [False, True, True], {"loss": 1.5, "iou": 0.1}
    assert first == (flags, means, ["a!", "b!", "c!", "d!", "e!"], [])
    assert second == (flags, means, None, None)


def learned(network, model, images):
    """Each step's loss, of the squares of raw maps, an image; SGD changes the network."""
    optimizer = torch.optim.SGD(network.parameters(), lr=5e-4, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        loss = model(images)[0].square().sum() / len(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def learn_a_shard(processes):
    network = convert_sync_batchnorm(network_of(cfg_text(dropout=False)))
    shard = IMAGES[processes.rank * 2 :][:2]
    losses = learned(network, data_parallel(network, processes, CPU), shard)
    return [processes.mean({"loss": loss})["loss"] for loss in losses], network.state_dict()


def test_two_processes_learn_what_one_learns(both):
    network = network_of(cfg_text(dropout=False))
    expected = [float(loss) for loss in learned(network, network, IMAGES)]
    assert expected[-1] < 0.8 * expected[0]
    for losses, state in (each["learn_a_shard"] for each in both):
        assert losses == pytest.approx(expected, rel=1e-5)
        for name, value in network.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)


def learn_without_synced_norm(processes):
    network = network_of(cfg_text(dropout=False))
    learned(network, data_parallel(network, processes, CPU), IMAGES[processes.rank * 2 :][:2])
    own = network.layers[0].norm.running_mean.clone()
    processes.broadcast_buffers(network)
    return own, network.layers[0].norm.running_mean


def test_the_buffers_are_made_the_first_ones(both):
    (first, _), (second, shared) = (each["learn_without_synced_norm"] for each in both)
    assert not torch.equal(first, second)
    assert torch.equal(first, shared)


def learn_with_a_dead_end(processes):
    network = network_of(DEAD_END)
    return learned(network, data_parallel(network, processes, CPU), IMAGES)


def test_a_branch_that_leads_nowhere_does_not_stop_the_exchange(both):
    first, second = (each["learn_with_a_dead_end"] for each in both)
    assert len(first) == STEPS and first == second


def test_parts_that_are_not_equal_are_one_line_in_each_process(tmp_path):
    drawn = write_set(tmp_path / "four", FOUR_IMAGES)
    (tmp_path / "tiny.cfg").write_text(cfg_text().replace("batch=4", "batch=7"))
    options = training_options(cfg=tmp_path / "tiny.cfg", data=drawn.data, out=tmp_path / "run")
    for error in in_two_processes(start_training, tmp_path, options):
        assert isinstance(error, CfgError)
        assert str(error).startswith("found mini-batches of 7 images (batch / subdivisions), expected a multiple of 2")


def start_training(processes, options):
    start(options, processes)


# ------------------------------------------------------------------------------------------ a process is lost


def fail_in_the_second(processes):
    if processes.rank == 1:
        raise DatasetError("p3.png: found 0 bytes, expected an image")
    processes.any(False)


def test_an_error_in_one_process_ends_the_other_with_one_line(tmp_path):
    before = time.monotonic()
    first, second = in_two_processes(fail_in_the_second, tmp_path)
    assert time.monotonic() - before < LONGEST  # and not the wait of minutes
    assert isinstance(second, DatasetError) and str(second).startswith("p3.png")
    assert isinstance(first, ConnectionError)
    assert str(first).startswith("another process of this run was lost: found its connection clos")
    assert "\n" not in str(first)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), connection_errors():
        raise RuntimeError("shapes do not fit")


def test_the_loss_is_named_even_where_a_dying_loader_interrupts_it():
    with pytest.raises(ConnectionError, match="its connection closed"), connection_errors():
        try:
            raise RuntimeError("[gloo/transport/tcp/pair.cc:545] Connection reset by peer")
        except RuntimeError:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")  # noqa: B904
