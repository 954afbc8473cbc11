"""yolo.train.checkpoint: a saved state is loaded bit for bit; a file that is no checkpoint changes nothing."""

import errno
import os
import random
import resource
import zipfile

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


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    """25 of 60 such files were resumed as if they were whole: torch does not check the sums that it writes."""
    network, optimizer = trained()
    path = tmp_path / "a.pt"
    save_checkpoint(path, network, optimizer, PROGRESS)
    whole, expected = path.read_bytes(), tensors(network, optimizer)
    other, other_optimizer = trained(seed=1)
    draw, refused = random.Random(0), 0
    for _ in range(120):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            found = load_checkpoint(path, other, other_optimizer)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert found == PROGRESS and equal(tensors(other, other_optimizer), expected)
    assert refused > 60  # the others concern names, dates and gaps of the archive


def test_compressed_members_are_refused_before_they_are_unpacked(tmp_path):
    network, optimizer = trained()
    save_checkpoint(tmp_path / "a.pt", network, optimizer, PROGRESS)
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as stored,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    with pytest.raises(WeightsError, match=r"b.pt: found compressed \(.*\), expected a checkpoint"):
        load_checkpoint(tmp_path / "b.pt", network, optimizer)


def without_momentum(content):
    for values in content["optimiser"]["state"].values():
        values["momentum_buffer"] = torch.zeros(3, 3, 3, 3, 3)


MADE_BY_HAND = {
    "step: found '5', expected a whole number": lambda content: content.update(step="5"),
    "step: found -1, expected a whole number": lambda content: content.update(step=-1),
    "step: found True, expected a whole number": lambda content: content.update(step=True),
    "step: found 9{20}, expected": lambda content: content.update(step=int("9" * 20)),
    "seen: found 1.5, expected": lambda content: content.update(seen=1.5),
    "seed: found -7, expected a whole number": lambda content: content.update(seed=-7),
    "best_map: found nan, expected a number": lambda content: content.update(best_map=float("nan")),
    "best_map: found '1', expected a number": lambda content: content.update(best_map="1"),
    "weights_version: found .*, expected three": lambda content: content.update(weights_version=(0, 2)),
    "weights_order: found 5, expected alexeyab": lambda content: content.update(weights_order=5),
    "how: found .*, expected settings": lambda content: content.update(how={"batch": [1]}),
    "others: found something else, expected": lambda content: content.update(others={"average": 3}),
    "network: found .*, expected tensors": lambda content: content.update(network=[1]),
    "optimiser: found .*, expected the state": lambda content: content.update({"optimiser": {}}),
    "found lr='fast' of the optimizer": lambda content: content["optimiser"]["param_groups"][0].update(lr="fast"),
    "momentum_buffer of tensor 0 of the opt.*found shape .3, 3, 3, 3, 3., expected .6, 3, 3, 3": without_momentum,
    "found layers.*float64, expected .*float32": lambda content: content["network"].update(
        {name: value.double() for name, value in content["network"].items()}
    ),
}


@pytest.mark.parametrize("message", MADE_BY_HAND)
def test_fields_of_other_types_or_out_of_range_are_one_line(tmp_path, message):
    network, optimizer = trained()
    path = tmp_path / "a.pt"
    save_checkpoint(path, network, optimizer, PROGRESS)
    content = torch.load(path, weights_only=True)
    MADE_BY_HAND[message](content)
    torch.save(content, path)
    before = tensors(network, optimizer)
    with pytest.raises(WeightsError, match=f"a.pt: {message}") as error:
        load_checkpoint(path, network, optimizer)
    assert "\n" not in str(error.value) and equal(before, tensors(network, optimizer))


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
