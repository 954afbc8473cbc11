"""yolo.train.checkpoint: what is saved comes back bit for bit; what is no checkpoint changes nothing."""

import errno
import os
import resource

import pytest
import torch

from tests.helpers.tiny_data import SIZE, cfg_text, network_of
from yolo.errors import WeightsError
from yolo.model.weights import save_weights
from yolo.records import WeightsFormat
from yolo.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from yolo.train.optimizer import make_optimizer, set_rate

PROGRESS = Progress(step=12, seen=2**33, seed=7, best_map=0.25)


def trained(text=None, seed=0):
    """A network and its optimizer after two updates, so that there is momentum and batch norm has moved."""
    network = network_of(text or cfg_text(), seed)
    optimizer = make_optimizer(network, network.training_settings)
    set_rate(optimizer, 0.01)
    for _ in range(2):
        network(torch.rand(2, 3, *SIZE))[0].square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, optimizer


def tensors(network, optimizer):
    momentum = [entry["momentum_buffer"] for entry in optimizer.state_dict()["state"].values()]
    return [value.clone() for value in (*network.state_dict().values(), *momentum)]


def equal(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_everything_comes_back_bit_for_bit(tmp_path):
    network, optimizer = trained()
    network.weights_format = WeightsFormat((0, 1, 0), "pjreddie")
    save_checkpoint(tmp_path / "a.pt", network, optimizer, PROGRESS)
    other, other_optimizer = trained(seed=1)
    before = tensors(other, other_optimizer)
    assert load_checkpoint(tmp_path / "a.pt", other, other_optimizer) == PROGRESS
    assert equal(tensors(network, optimizer), tensors(other, other_optimizer))
    assert not equal(before, tensors(other, other_optimizer))
    assert other.weights_format == WeightsFormat((0, 1, 0), "pjreddie")
    decays = [group["weight_decay"] for group in other_optimizer.param_groups]
    assert decays == [0.0001, 0.0]


def broken(tmp_path):
    """Files that are no checkpoint, by name."""
    network, optimizer = trained()
    save_checkpoint(tmp_path / "good.pt", network, optimizer, PROGRESS)
    whole = (tmp_path / "good.pt").read_bytes()
    save_weights(network, tmp_path / "weights.pt")
    torch.save({"a": 1}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    contents = {
        "empty.pt": b"",
        "text.pt": b"hello\n",
        "abc.pt": b"abc",
        "pickle.pt": b"\x80\x02cos\nsystem\n(S'echo'\ntR.",
        "head.pt": whole[:100],
        "half.pt": whole[: len(whole) // 2],
        "tail.pt": whole[len(whole) // 2 :],
        "flipped.pt": whole[:200] + bytes(100) + whole[300:],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [*contents, "weights.pt", "other.pt", "list.pt"]


def test_what_is_no_checkpoint_is_one_line_and_changes_nothing(tmp_path):
    names = broken(tmp_path)
    network, optimizer = trained(seed=1)
    before = tensors(network, optimizer)
    for name in names:
        with pytest.raises(WeightsError, match=f"{name}: found .*, expected a checkpoint") as error:
            load_checkpoint(tmp_path / name, network, optimizer)
        assert "\n" not in str(error.value) and "weights_only" not in str(error.value)
        assert equal(before, tensors(network, optimizer))


def test_another_networks_checkpoint_is_refused_and_changes_nothing(tmp_path):
    network, optimizer = trained(cfg_text(norm=False))
    save_checkpoint(tmp_path / "a.pt", network, optimizer, PROGRESS)
    other, other_optimizer = trained()
    before = tensors(other, other_optimizer)
    with pytest.raises(WeightsError, match="a.pt: found .* is it the checkpoint of another cfg?"):
        load_checkpoint(tmp_path / "a.pt", other, other_optimizer)
    assert equal(before, tensors(other, other_optimizer))


def test_a_missing_file_and_a_folder_are_os_errors(tmp_path):
    network, optimizer = trained()
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "away.pt", network, optimizer)
    with pytest.raises(IsADirectoryError):
        load_checkpoint(tmp_path, network, optimizer)


def full_at_sync(_descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_at_the_last_moment_leaves_the_old_file(tmp_path, monkeypatch):
    network, optimizer = trained()
    path = tmp_path / "a.pt"
    save_checkpoint(path, network, optimizer, PROGRESS)
    old = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full_at_sync)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, *trained(seed=1), PROGRESS)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("save", ["checkpoint", "weights"])
def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, save):
    """A limit on the size of files stands for the full disk: the system refuses to write on."""
    large = cfg_text().replace("filters=12", "filters=600")  # more than any buffer holds
    network, optimizer = trained(large)
    path = tmp_path / "a"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            if save == "checkpoint":
                save_checkpoint(path, network, optimizer, PROGRESS)
            else:
                save_weights(network, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
