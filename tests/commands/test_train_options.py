"""The options of training have their effects, and runs with them resume exactly."""

import csv
import os
import signal

import pytest
import torch

from tests.helpers.tiny_data import cfg_text, network_of
from tests.helpers.training_options import changed, same_tensors, tiny_options
from yolo.errors import WeightsError
from yolo.model.weights import load_weights, save_weights
from yolo.train.multiscale import parse_stages
from yolo.train.setup.run import start
from yolo.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core

STOPPED = 3  # of six steps
ADAM = (("adam", "1"), ("B1", ".8"))
OPTIONS = {
    "ema": {"ema": 0.9},
    "adam": {"overrides": ADAM},
    "adam, average, new sizes, one cycle": {
        "overrides": ADAM,
        "ema": 0.5,
        "sizes": parse_stages("32@0,64x48@2,96@5"),
        "policy": "one-cycle",
    },
    "frozen": {"freeze": 1},
    "slow backbone": {"cutoff": 2, "backbone_lr": 0.1},
    "16 bits": {"amp": True},
    "true gradient, pjreddie": {"dialect": "pjreddie", "box_gradient": "autograd"},
}


@pytest.fixture
def options(four, tmp_path):
    """A run of six steps of four images, from weights that another seed drew."""
    return tiny_options(four, tmp_path, seed=5)


def finish(options, stop_after=None):
    """Start, train, close; with `stop_after` a Ctrl-C reaches the run in that step. The Run as it ended."""
    run = start(options)
    log_step = run.logger.step

    def step(number, *rest):
        log_step(number, *rest)
        if number == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    run.logger.step = step
    try:
        train(run)
    finally:
        run.logger.close()
    return run


def state(run):
    """Everything that changes the rest of the run."""
    ema_state = run.ema.state_dict() if run.ema else {}
    memory = {
        f"optimiser.{number}.{name}": value
        for number, values in run.optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    named = {**run.network.state_dict(), **{f"average.{k}": v for k, v in ema_state.items()}}
    return {name: value.clone() for name, value in (named | memory).items()}


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_a_stopped_run_goes_on_exactly(options, tmp_path, changes):
    if "cutoff" in changes:
        weights = tmp_path / "begin.weights"
        from_seed(9, weights)
        changes = {**changes, "weights": weights}
    options = changed(options, **changes)
    whole = finish(changed(options, out=tmp_path / "whole"))
    stopped = finish(options, stop_after=STOPPED)
    assert stopped.interrupted and stopped.progress.step == STOPPED
    goes_on = changed(options, resume=options.output.out / "tiny_last.pt", weights=None, seed=99)
    rest = finish(goes_on)
    assert rest.progress == whole.progress and rest.progress.step == 6
    assert same_tensors(state(rest), state(whole))
    assert not same_tensors(state(stopped), state(whole))
    kept = [folder / "tiny_last.weights" for folder in (options.output.out, tmp_path / "whole")]
    assert kept[0].read_bytes() == kept[1].read_bytes()


def from_seed(seed, path):
    save_weights(network_of(cfg_text(), seed=seed), path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"ema": 0.5}, "out average, expected one with it"),
        ({"policy": "one-cycle"}, " policy=the cfg's, expected one-cycle"),
        ({"amp": True}, " amp=0, expected 1"),
    ],
)
def test_with_other_options_it_does_not_go_on(options, changes, found):
    finish(options, stop_after=STOPPED)
    with pytest.raises(WeightsError, match=f"tiny_last.pt: found a run with{found}"):
        start(changed(options, resume=options.output.out / "tiny_last.pt", **changes))


def test_what_is_kept_is_the_ema(options):
    """The .weights file has the EMA, for every Darknet; the .pt file has the weights of the training."""
    run = finish(changed(options, ema=0.5))
    kept, now = network_of(cfg_text(), seed=8), run.network
    load_weights(kept, options.output.out / "tiny_last.weights")
    ema_state = run.ema.state_dict()
    for name, value in kept.named_parameters():
        torch.testing.assert_close(value, ema_state[name], rtol=0, atol=0)
    assert not same_tensors(dict(kept.named_parameters()), dict(now.named_parameters()))


def test_layers_below_freeze_stay_as_they_were_and_others_learn(options):
    begin = network_of(cfg_text(), seed=5).state_dict()
    after = finish(changed(options, freeze=1)).network.state_dict()
    for name, value in after.items():
        if not name.endswith("num_batches_tracked"):
            frozen = name.startswith("layers.0.")
            assert torch.equal(value, begin[name]) == frozen, name


def test_a_backbone_learns_slower_by_its_factor(options, tmp_path):
    """Without decay and momentum one step moves each weight by rate x gradient."""
    weights = tmp_path / "begin.weights"
    from_seed(9, weights)
    once = (("max_batches", "1"), ("decay", "0"), ("momentum", "0"))
    options = changed(options, weights=weights, cutoff=2, overrides=once)
    run = start(options)
    run.logger.close()
    start_at = state(run)
    full = state(finish(changed(options, out=tmp_path / "full")))
    slow = state(finish(changed(options, backbone_lr=0.25)))
    for name in ("layers.0.conv.weight", "layers.2.conv.weight"):
        factor = 0.25 if name.startswith("layers.0.") else 1.0
        moved = full[name] - start_at[name]
        assert moved.abs().max() > 0
        torch.testing.assert_close(slow[name] - start_at[name], moved * factor, rtol=1e-2, atol=1e-8)


def test_sizes_are_those_of_the_steps(options):
    run = start(changed(options, sizes=parse_stages("32@0,64x48@3,96@5")))
    shapes = [tuple(batch.images.shape[2:]) for batch in run.batches]
    run.logger.close()
    assert shapes == [(32, 32), (32, 32), (48, 64), (48, 64), (96, 96), (96, 96)]


def test_16_bits_learn_what_32_do(options, tmp_path):
    """Maps in bfloat16 have three digits; the losses of them are float32, and the weights stay float32."""
    whole = finish(changed(options, out=tmp_path / "whole"))
    run = finish(changed(options, amp=True))
    assert all(value.dtype == torch.float32 for value in run.network.parameters())
    one, two = (column(folder, "loss/total") for folder in (tmp_path / "whole", options.output.out))
    assert len(one) == len(two) == 6
    assert max(abs(a - b) / a for a, b in zip(one, two, strict=True)) < 0.02
    assert not same_tensors(state(run), state(whole))  # it did compute in 16 bits


@pytest.mark.slow  # the first compilation takes a minute
@pytest.mark.filterwarnings("ignore")  # torch's own, of its compiler
def test_compiled_code_learns_the_same(options, tmp_path):
    options.cfg.write_text(cfg_text(dropout=False))
    finish(changed(options, out=tmp_path / "whole"))
    finish(changed(options, compiled=True))
    one, two = (column(folder, "loss/total") for folder in (tmp_path / "whole", options.output.out))
    assert max(abs(a - b) / a for a, b in zip(one, two, strict=True)) < 1e-4


def column(folder, name):
    """The numbers of a column of scalars.csv."""
    with open(folder / "scalars.csv", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]
